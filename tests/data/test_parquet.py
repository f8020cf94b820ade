"""Tables that stay on disk are those that are read whole."""

import gc
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import undiffuse as ud
from undiffuse.data import Rows, parquet
from undiffuse.data.columns import Columns
from undiffuse.data.watched import set_aside
from undiffuse.files import WriteError
from undiffuse.recipes import choosing

N = 120
RNG = np.random.default_rng(3)
DAYS = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 90, N), unit="D"))
WHOLE = pd.DataFrame(
    {
        "whole": RNG.integers(0, 9, N),
        "some": pd.array(RNG.integers(0, 9, N), dtype="Int64"),
        "price": np.round(RNG.normal(20, 5, N), 2),
        "real": RNG.normal(size=N),
        "words": RNG.choice(["ant", "bee", "cat"], N),
        "size": pd.Categorical(RNG.choice(["s", "m", "l"], N), ["s", "m", "l", "xl"], ordered=True),
        "true": RNG.random(N) < 0.5,
        "day": DAYS,
        "text": DAYS[::-1].dt.strftime("%Y-%m-%d"),
        "name": [f"name {i}" for i in range(N)],
        "same": 1.0,
    }
)
HOLES = pd.DataFrame(RNG.random(WHOLE.shape) < 0.2, columns=WHOLE.columns)
HOLES["whole"] = False
HOLES.iloc[3] = True
FRAME = WHOLE.mask(HOLES).astype({"true": object}).set_index(pd.Index(range(5, N + 5), name="key"))
PARTS = [{"memory": memory} for memory in (1.0, 0.0)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parquet, "PART", 50)
    FRAME.to_parquet(tmp_path / "table.parquet", row_group_size=37)
    return tmp_path / "table.parquet"


@pytest.mark.parametrize("columns", [None, ["day", "words", "real"]])
def test_rows_on_disk_are_those_in_memory(path: Path, columns: list[str] | None):
    whole, streamed = (Columns(path, columns, **part).load() for part in PARTS)
    assert isinstance(streamed.train, Rows) and isinstance(whole.train, torch.Tensor)
    assert streamed.cells == whole.cells and streamed.names == whole.names
    assert streamed.advice == whole.advice and (columns is not None or "nothing but holes" in whole.advice[0])
    for ours, theirs in ((streamed, whole), (set_aside(streamed, 0.1), set_aside(whole, 0.1))):
        torch.testing.assert_close(ours.train[:], theirs.train[:], rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(ours.test[:], theirs.test[:], rtol=0, atol=0, equal_nan=True)


def test_models_of_both_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch):
    small = {"network.hidden": 8, "grid.steps": 8}
    drawn, reasons = [], []
    for part in PARTS:
        monkeypatch.setattr(choosing, "MEMORY", part["memory"])
        reasons.append(choosing.choose(path).reasons)
        settings = small | {"data.memory": part["memory"]}
        drawn.append(ud.fit(path, steps=4, settings=settings, quiet=True).sample(5))
    assert reasons[0] == reasons[1]
    pd.testing.assert_frame_equal(*drawn)


def test_what_is_on_disk_goes_with_its_rows(path: Path):
    rows = parquet.read_large(path).raw
    kept = rows.path
    assert kept.exists() and parquet.read_large(path).raw is rows
    FRAME.head(90).to_parquet(path)
    assert len(parquet.read_large(path).raw) == 90 and kept.exists()
    del rows
    gc.collect()
    assert not kept.exists() and not kept.parent.exists()


def test_what_is_no_such_file_is_refused(path: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="no column 'far'; there are: whole, some"):
        Columns(path, ["far"], memory=0).load()
    (tmp_path / "bad.parquet").write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"bad\.parquet: no table"):
        Columns(tmp_path / "bad.parquet").load()
    with pytest.raises(FileNotFoundError, match="none"):
        Columns(tmp_path / "none.parquet").load()
    with pytest.raises(ValueError, match="memory=-1"):
        Columns(path, memory=-1)
    FRAME[["same"]].to_parquet(tmp_path / "same.parquet")
    with pytest.raises(ValueError, match=r"no column can be learned \(same: never varies"):
        Columns(tmp_path / "same.parquet", memory=0).load()


def test_a_damaged_column_is_none_that_is_left_out(path: Path, monkeypatch: pytest.MonkeyPatch):
    from pyarrow import ArrowInvalid

    def damaged(file: object) -> object:
        raise ArrowInvalid("a page that is none")

    monkeypatch.setattr(parquet, "_series_of", lambda file: damaged)
    with pytest.raises(ValueError, match=r"table\.parquet: no table: a page that is none"):
        Columns(path, memory=0).load()


def test_a_full_disk_is_said(path: Path, monkeypatch: pytest.MonkeyPatch):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"rows\.npy: File too large: .* are free"):
            Columns(path, memory=0).load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("column", [None, "whole", "price", "true"])
def test_what_is_chosen_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str | None):
    frame = pd.DataFrame(RNG.normal(size=(N, 3)), columns=list("abc")).assign(none=np.nan)
    frame = frame if column is None else frame.assign(other=WHOLE[column])
    frame.to_parquet(tmp_path / "t.parquet")
    found = []
    for part in PARTS:
        monkeypatch.setattr(choosing, "MEMORY", part["memory"])
        found.append(choosing.choose(tmp_path / "t.parquet"))
    assert found[0].node == found[1].node and found[0].reasons == found[1].reasons
    assert found[1].node["data"]["kind"] == ("table" if column is None else "columns")
