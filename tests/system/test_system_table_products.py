"""A table times what else is known of its columns, and as a file; from Python and from the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from shell import good, refused
from test_system_score import rows  # noqa: F401 - a fixture
from test_system_table import FRAME

import undiffuse as ud
from undiffuse.diffusion import Filled, Way

KNOWN = FRAME.drop(columns="name")


def test_what_else_is_known_of_columns(rows: ud.Run):  # noqa: F811
    found = rows.posterior(rows.by_column({"kind": {"round": 50.0}, "count": (8, 0.5)}), n=64)
    assert isinstance(found.samples, pd.DataFrame) and list(found.samples.columns) == list(rows.space.names)
    plain = rows.sample(64)
    assert (found.samples["kind"] == "round").mean() > (plain["kind"] == "round").mean() + 0.3
    assert abs(found.samples["count"].mean() - 8) < 1 < abs(plain["count"].mean() - 8)
    assert found.method == "tilted, groups of 64 particles"
    either = rows.by_column({"size": lambda v: torch.where(v < 1.0, 0.0, -30.0)})
    assert (rows.posterior(either, n=32).samples["size"] < 1.05).all()
    with pytest.raises(TypeError, match="symbols of a table have no mean"):
        _ = found.mean


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"weight": (1, 2)}, "no column 'weight'; there are: size, big"),
        ({"kind": {"square": 2}}, "'kind' has no 'square'; there are: flat, round, tall"),
        ({"kind": {"flat": 0}}, "weights of 'kind' are positive numbers"),
        ({"size": {"flat": 2}}, "'size' has numbers in steps of 0.01: give"),
        ({"size": (1, 0)}, "a positive std"),
        ({"kind": (1, 1)}, r"'kind' has 3 categories, \(1, 1\) is for numbers"),
        ({"size": "big"}, "'size' is 'big'; give"),
    ],
)
def test_what_is_known_of_no_column(rows: ud.Run, about, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        rows.by_column(about)


def test_holes_by_products(rows: ud.Run):  # noqa: F811
    """The same cells, by the model that is told nothing times what is known."""
    few = KNOWN.iloc[:6]
    for way in (Way(method="tilted", steps=10), Way(particles=16, steps=10)):
        found = rows.impute(few, n=5, way=way)
        assert isinstance(found, Filled) and found.draws.shape == (6, 5, 4)
        pd.testing.assert_frame_equal(found.filled[few.notna()], few.where(few.notna()), check_dtype=False)
        assert not found.filled.isna().any(axis=None)


def test_a_table_is_a_file_and_back(rows: ud.Run):  # noqa: F811
    data = rows.compress(KNOWN, steps=4)
    pd.testing.assert_frame_equal(rows.decompress(data), KNOWN)
    assert len(data) < len(KNOWN.to_csv(index=False)) / 3
    raw = rows.in_tensors.decompress(data)
    assert raw.shape == (len(KNOWN), 4) and int(raw.isnan().sum()) == int(KNOWN.isna().sum().sum())


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME, "column 'name' is none of this model's, size, big, kind, count; leave it out"),
        (KNOWN.drop(columns="big"), "column 'big' is not there; of unknown values give it empty"),
        (KNOWN.assign(kind="square"), "column 'kind': no 'square'; there are flat, round, tall"),
    ],
)
def test_what_would_not_come_back_is_refused(rows: ud.Run, frame: pd.DataFrame, message: str):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        rows.compress(frame, steps=2)


def test_columns_in_another_order_are_the_same_rows(rows: ud.Run):  # noqa: F811
    mixed = KNOWN.head(5)[["count", "kind", "size", "big"]]
    pd.testing.assert_frame_equal(rows.decompress(rows.compress(mixed, steps=2)), KNOWN.head(5))


def test_files_from_the_command_line(rows: ud.Run, tmp_path: Path):  # noqa: F811
    KNOWN.to_csv("known.csv", index=False)
    said = good("compress", rows.folder, "known.csv", "-o", "known.und", "--steps", "4")
    assert ".csv by xz" in said and "bound on this chain" in said
    assert "240 of shape 4" in good("inspect", "known.und")
    good("decompress", rows.folder, "known.und", "-o", "back")
    assert Path("back/data.csv").read_text() == Path("known.csv").read_text()
    good("compress", rows.folder, "--test", "10", "-o", "test.und", "--steps", "2", "--no-bound")
    FRAME.to_csv("names.csv", index=False)
    KNOWN.assign(kind="square").to_csv("square.csv", index=False)
    KNOWN.assign(size=0.001).to_csv("fine.csv", index=False)
    KNOWN.assign(count=10**9).to_csv("far.csv", index=False)
    np.save("rows.npy", np.zeros((3, 4)))
    for name, message in (
        ("names.csv", "column 'name' is none of this model's, size, big, kind, count; leave it out"),
        ("square.csv", "column 'kind': no 'square'; there are flat, round, tall"),
        ("fine.csv", "column 'size': 0.001, where values go in steps of 0.01"),
        ("far.csv", "too far beyond the training data"),
        ("rows.npy", "this run compresses one table, .csv or .parquet"),
    ):
        assert message in refused("compress", rows.folder, name, "-o", "none.und", "--steps", "2")
    assert "no pictures on the way" in refused("compress", rows.folder, "known.csv", "-o", "x.und", "--lossy")


def test_continuous_columns_are_no_file(tmp_path: Path):
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "b": list("xyz") * 20})
    run = ud.fit(frame, steps=1, settings={"network.hidden": 8, "grid.steps": 8}, quiet=True)
    with pytest.raises(ValueError, match="continuous numbers, which no number of bits gives back"):
        run.compress(frame)
