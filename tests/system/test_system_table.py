"""A table of any columns, with holes: fitted, sampled, scored, given, filled; and from the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from shell import good, refused

import undiffuse as ud
from undiffuse.data import Cell
from undiffuse.diffusion import Filled
from undiffuse.recipes import load_data

R = np.random.default_rng(0)
N = 240
FAST = {"network.hidden": 16, "grid.steps": 40, "train.batch": 64, "train.watch": 0.0, "evaluate_terms": 8}
WORDS = [f"{name}={value}" for name, value in FAST.items()]


def table() -> pd.DataFrame:
    """Numbers, words, true and false, holes, and a column of names."""
    a = R.normal(size=N)
    frame = pd.DataFrame(
        {
            "name": [f"row {i}" for i in range(N)],
            "size": np.exp(a).round(2),
            "big": a > 0.5,
            "kind": np.where(a > 0, "tall", np.where(R.random(N) < 0.5, "flat", "round")),
            "count": (3 + 2 * a).round().clip(0, 9).astype(int),
        }
    )
    frame.loc[R.random(N) < 0.15, "size"] = np.nan
    frame.loc[R.random(N) < 0.15, "kind"] = None
    return frame


FRAME = table()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ud.Run:
    return ud.fit(FRAME, steps=30, settings=FAST, out=tmp_path_factory.mktemp("table") / "run", quiet=True)


def test_samples_are_rows_like_those_that_came_in(fitted: ud.Run):
    found = fitted.sample(20)
    assert list(found.columns) == ["size", "big", "kind", "count"]
    assert {str(found[name].dtype) for name in ("big", "count")} == {"bool", "int64"}
    assert set(found["kind"]) <= {"tall", "flat", "round"} and not found.isna().any(axis=None)
    assert np.allclose(found["size"] * 100, (found["size"] * 100).round())  # in steps, as they came
    again = ud.load(fitted.folder).sample(20)
    pd.testing.assert_frame_equal(found, again)


def test_columns_like_names_are_left_out_and_it_is_said(capsys: pytest.CaptureFixture[str]):
    ud.fit(FRAME, steps=0, settings=FAST)
    said = capsys.readouterr().out
    assert "columns left out: name (240 different values in 240 rows, like names)" in said
    assert "are missing, and count nowhere" in said and "1 x 3 categories" in said


def test_holes_are_filled_and_nothing_else(fitted: ud.Run):
    found = fitted.impute(FRAME, n=8)
    filled = found.filled
    assert list(filled.columns) == list(FRAME.columns) and filled["name"].equals(FRAME["name"])
    assert not filled.isna().any(axis=None)
    known = FRAME.notna()
    assert all(filled[name][known[name]].equals(FRAME[name][known[name]]) for name in FRAME)
    low, high = found.interval(0.8)
    holes = FRAME["size"].isna()
    assert (low["size"] <= filled["size"]).all() and (filled["size"] <= high["size"]).all()
    assert (low["size"] < high["size"])[holes].mean() > 0.5 and (low["size"] == high["size"])[~holes].all()
    assert not found.draw(0)[holes].equals(found.draw(1)[holes])
    assert "drawn 8 times" in repr(found)
    with pytest.raises(ValueError, match="share=1"):
        found.interval(1)
    with pytest.raises(ValueError, match="n=0"):
        fitted.impute(FRAME, n=0)
    whole = FRAME.dropna()
    pd.testing.assert_frame_equal(fitted.impute(whole, n=2).filled, whole)


def test_one_more_draw_lies_within_an_interval_as_often_as_it_says():
    """Whatever is drawn: of n the interval's share of n + 1 places, or the next that there is."""
    draws = torch.rand(20_000, 24, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Filled(draws[:, :23], torch.ones(20_000, 1, dtype=torch.bool), (Cell("x", "float64"),))
    for share, exact in ((0.9, 22 / 24), (0.75, 18 / 24), (0.5, 12 / 24)):
        low, high = found.interval(share)
        inside = ((low <= draws[:, 23]) & (draws[:, 23] <= high)).double().mean()
        assert abs(float(inside) - exact) < 4 * (exact * (1 - exact) / 20_000) ** 0.5


def test_what_is_given_stays(fitted: ud.Run):
    tall = fitted.given({"kind": "tall", "big": True}).sample(30)
    assert set(tall["kind"]) == {"tall"} and bool(tall["big"].all()) and tall["size"].nunique() > 5
    with pytest.raises(ValueError, match="no 'huge'"):
        fitted.given({"kind": "huge"})
    rows = fitted.given(pd.DataFrame({"kind": ["tall", "flat", "flat"]})).sample(3)
    assert rows["kind"].tolist() == ["tall", "flat", "flat"]


def test_bits_do_not_count_holes_and_conditionals_add_up(fitted: ud.Run):
    alone = FRAME[["count"]].head(40)
    assert (fitted.bits(alone, terms=0) < fitted.bits(FRAME.head(40), terms=0)).mean() > 0.9
    row = FRAME.dropna().head(1)
    many = pd.concat([row] * 300)
    joint = fitted.bits(many, terms=0)
    first = fitted.bits(many[["kind"]], terms=0)
    rest = fitted.given(many[["kind"]]).bits(many[["size", "big", "count"]], seed=1, terms=0)
    error = np.sqrt(sum(x.var() / len(x) for x in (joint, first, rest)))
    assert abs(joint.mean() - first.mean() - rest.mean()) < 0.15 + 4 * error  # of a model hardly trained


def test_new_rows_may_have_what_no_training_row_had(fitted: ud.Run, caplog: pytest.LogCaptureFixture):
    odd = FRAME.head(3).assign(kind=["tall", "huge", "huge"])
    bits = fitted.bits(odd)
    assert len(bits) == 3 and "taken for missing: huge (2 rows)" in caplog.text
    with pytest.raises(ValueError, match="none of the columns"):
        fitted.bits(pd.DataFrame({"other": [1.0]}))
    with pytest.raises(ValueError, match=r"'count': 2.5, where values go in steps of 1"):
        fitted.bits(FRAME.head(1).assign(count=2.5))


def test_the_command_line_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("holes.csv", index=False)
    assert "recipe table: columns: 2 x numbers in steps, 1 x true or false, 1 x 3 categories" in good(
        "check", "holes.csv"
    )
    good("train", "holes.csv", *WORDS, "train.steps=30", "--out", "run")
    run = ud.load("run")
    assert run.sample(2).dtypes.equals(FRAME[list(run.space.names)].dtypes)  # of a file, too
    test = load_data(run.recipe)
    assert test.names == ("size", "big", "kind", "count")
    path = good("sample", "run", "-n", 6).split()[-1]
    drawn = pd.read_csv(path)
    assert drawn.shape == (6, 4) and set(drawn["kind"]) <= {"tall", "flat", "round"}
    good("sample", "run", "-n", 6, "--out", "rows.parquet")
    assert pd.read_parquet("rows.parquet").equals(drawn.astype(pd.read_parquet("rows.parquet").dtypes))
    out = good("evaluate", "run", "--examples", 8)
    assert "independent columns" in out and "a normal copula" in out
    out = good("impute", "run", "holes.csv", "-n", 4)
    filled = pd.read_csv("holes-filled.csv")
    assert not filled.isna().any(axis=None) and filled["name"].equals(FRAME["name"])
    assert {Path(f"holes-filled{end}.csv").exists() for end in ("", "-low", "-high")} == {True}
    assert "holes-filled.csv: exists already" in refused("impute", "run", "holes.csv")
    assert "folder nowhere does not exist" in refused("impute", "run", "holes.csv", "--out", "nowhere/x.csv")
    assert "--evidence: rows of a table are filled without it" in refused(
        "impute", "run", "holes.csv", "--evidence", "--out", "y.csv"
    )
    assert (
        "n=0" in refused("impute", "run", "holes.csv", "-n", 0, "--out", "y.csv")
        and not Path("y.csv").exists()
    )
    assert "written as .csv or .parquet" in refused("impute", "run", "holes.csv", "--out", "x.npy")
    good("impute", "run", "holes.csv", "-n", 8, "--particles", 8, "--steps", 10, "--out", "weighed.csv")
    weighed = run.impute(pd.read_csv("holes.csv"), n=8, way=ud.diffusion.Way(particles=8, steps=10))
    pd.testing.assert_frame_equal(pd.read_csv("weighed.csv"), weighed.filled, check_dtype=False)
    assert "most surprising" in good("score", "run", "holes.csv")
    FRAME[["kind"]].dropna().head(2).to_csv("given.csv", index=False)
    given = pd.read_csv(good("sample", "run", "--given", "given.csv").split()[-1])
    assert given["kind"].tolist() == FRAME["kind"].dropna().head(2).tolist()
    assert "decoder" in good("doctor", "run")
    assert "no pictures" in refused("sample", "run", "--animate")
    assert "+0.0000" in good("compare", "run", "run", "--terms", 2)


def test_a_killed_training_goes_on_to_the_same_rows(tmp_path: Path):
    whole = ud.fit(FRAME, steps=12, settings=FAST, out=tmp_path / "whole", quiet=True)
    ud.fit(FRAME, steps=6, settings=FAST, out=tmp_path / "half", quiet=True)
    good("train", "--resume", tmp_path / "half", "train.steps=12")
    pd.testing.assert_frame_equal(whole.sample(4), ud.load(tmp_path / "half").sample(4))


def test_bad_tables_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="is there twice"):
        ud.fit(pd.DataFrame([["a", 1], ["b", 2]], columns=["x", "x"]), steps=0)
    with pytest.raises(ValueError, match=r"no column can be learned \(x: never varies"):
        ud.fit(pd.DataFrame({"x": ["a"] * 40}), steps=0)
    (tmp_path / "s.csv").write_text("a;b\n1;x\n2;y\n")
    assert "write it with commas between columns, not ';'" in refused("check", tmp_path / "s.csv")
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    out = refused("train", "table", f"data.path={tmp_path / 't.csv'}", "--out", tmp_path / "run")
    assert "kernel.columns=[0]: the data's columns have [0, 2] symbols" in out


def test_draws_are_tensors_for_tensors(fitted: ud.Run):
    raw = load_data(fitted.recipe).test[:6]
    found = fitted.impute(raw, n=3)
    assert isinstance(found.filled, torch.Tensor) and not bool(found.filled.isnan().any())


def test_what_is_no_table_is_not_made_one():
    for data, condition in ((np.zeros((9, 2)), None), (FRAME[["size", "count"]], "count")):
        with pytest.raises(ValueError, match=r"data\.kind=columns: of a DataFrame"):
            ud.fit(data, condition=condition, steps=0, quiet=True, settings={"data.kind": "columns"})
