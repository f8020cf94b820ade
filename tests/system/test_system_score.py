"""Scores: shares of held-out examples, p values, alarms, maps of bits; from Python and the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from shell import good, refused
from test_system_door import FAST, POINTS
from test_system_table import FAST as FAST_TABLE
from test_system_table import FRAME
from torch import Tensor

import undiffuse as ud
from undiffuse.runs.scores import Held, Scores, at_least
from undiffuse.runs.scoring import held_out

R = np.random.default_rng(1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ud.Run:
    folder = tmp_path_factory.mktemp("scored") / "run"
    return ud.fit(POINTS, steps=6, settings=FAST, out=folder, quiet=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> ud.Run:
    folder = tmp_path_factory.mktemp("rows") / "run"
    return ud.fit(FRAME, steps=10, settings=FAST_TABLE, out=folder, quiet=True)


def scores(bits: Tensor, held: Tensor) -> Scores:
    return Scores(bits.double(), bits * 0, bits * 2, Held(held.double(), held * 2), "columns")


def test_a_p_value_is_its_rank_among_those_held_out():
    """Of n + 1 examples that are alike, any may be the one that is looked at: p is k / (n + 1), each once."""
    n = 19
    every = torch.randperm(n + 1, generator=torch.Generator().manual_seed(0))
    p, two = [], []
    for i in range(n + 1):
        held = torch.cat([every[:i], every[i + 1 :]])
        found = scores(every[i : i + 1], held)
        p.append(float(found.p_value))
        two.append(float(found.typicality))
        assert found.percentile == pytest.approx(100 * float((held <= every[i]).sum()) / n)
        assert found.background_p_value == found.p_value
    assert np.allclose(sorted(p), np.arange(1, n + 2) / (n + 1))
    for a in (0.1, 0.2, 0.5, 0.75, 1.0):
        assert np.mean(np.array(two) <= a + 1e-9) <= a + 1e-9
    assert two[int(every.argmin())] == two[int(every.argmax())] == min(two) == pytest.approx(0.1)


def test_equal_bits_count_against_an_alarm():
    held = torch.tensor([0.0, 1.0, 1.0, 2.0]).double()
    assert at_least(held, torch.tensor([1.0, 3.0, -1.0]).double()).tolist() == [0.8, 0.2, 1.0]


def test_alarms_are_raised_at_the_rate_that_was_asked_for():
    random = torch.Generator().manual_seed(0)
    held, found = (torch.randn(n, generator=random, dtype=torch.float64) for n in (999, 20_000))
    made = scores(found, held)
    for by in ("bits", "typicality", "background"):
        share = float(made.alarm(0.1, by).double().mean())
        assert share == pytest.approx(0.1, abs=0.03)  # 999 held-out examples: 0.01
    assert (made.alarm(0.1) == (found >= held.sort().values[-99])).all()


@pytest.mark.parametrize(
    ("rate", "by", "message"),
    [
        (0.01, "bits", "rate=0.01: 19 held-out examples tell 0.05 at least"),
        (0.05, "typicality", "rate=0.05: 19 held-out examples tell 0.1 at least"),
        (1.5, "bits", "rate=1.5: a share of false alarms"),
        (0.1, "luck", "by='luck': by one of bits, typicality, background"),
    ],
)
def test_refused_alarms(rate, by, message):
    with pytest.raises(ValueError, match=message):
        scores(torch.zeros(1), torch.arange(19)).alarm(rate, by)


def test_examples_are_scored_beside_those_held_out(fitted: ud.Run):
    held = held_out(fitted)
    assert len(held.bits) == len(held.above) == 12
    for _ in range(2):
        again = held_out(fitted)  # from its file
        assert torch.equal(again.bits, held.bits) and torch.equal(again.above, held.above)
        (fitted.folder / "held-out.json").write_text("{}")  # damaged: found again
    far = np.vstack([POINTS[:5], [[60.0, -40.0]]]).astype("f4")
    found = fitted.score(far)
    assert found.percentile[5] == 100 and found.bits.argmax() == 5 and found.p_value[5] == 1 / 13
    assert found.background == "independent"
    assert found.rows()[5][1:4] == (float(found.bits[5]), float(found.se[5]), 100.0)
    np.save("far.npy", far)
    said = json.loads(good("score", fitted.folder, "far.npy", "--json"))
    assert [row["bits_per_dim"] for row in said] == found.bits.tolist()
    assert good("score", fitted.folder, "far.npy", "--csv", "out.csv").splitlines()[-1] == "out.csv"
    assert "exists already" in refused("score", fitted.folder, "far.npy", "--csv", "out.csv")
    frame = pd.read_csv("out.csv")
    assert frame["percentile"].iloc[5] == 100 and len(frame) == 6
    assert "<table>" in found._repr_html_()


def test_the_error_of_a_score_is_that_of_its_mean(fitted: ud.Run):
    """Twelve scores of one example scatter as their errors say."""
    found = [fitted.score(POINTS[:40], seed) for seed in range(12)]
    means, errors = (torch.stack([getattr(each, name) for each in found]) for name in ("bits", "se"))
    ratio = float(means.var(0).mean() / errors.square().mean())
    assert 0.7 < ratio < 1.4  # 40 examples of 11 degrees of freedom: a standard error of 0.07


def test_an_alarm_is_kept_with_the_run(fitted: ud.Run):
    far = np.vstack([POINTS[:5], [[60.0, -40.0]]]).astype("f4")
    np.save("far.npy", far)
    assert "alarm" not in good("score", fitted.folder, "far.npy")
    assert "at which rate?" in refused("score", fitted.folder, "far.npy", "--by", "bits")
    assert "12 held-out" in refused("score", fitted.folder, "far.npy", "--alarm", "0.01")
    assert "by one of bits" in refused("score", fitted.folder, "far.npy", "--alarm", "0.1", "--by", "luck")
    assert "alarm" not in good("score", fitted.folder, "far.npy")  # what was refused is not kept
    said = good("score", fitted.folder, "far.npy", "--alarm", "0.08", "--by", "background")
    assert "by background; of examples like the held-out ones at most 0.08 raise it" in said
    later = json.loads(good("score", fitted.folder, "far.npy", "--json"))
    raised = fitted.score(far).alarm(0.08, "background")
    assert [row["alarm"] for row in later] == raised.tolist() and raised[5]


def test_a_table_is_mapped_column_by_column(fitted: ud.Run, rows: ud.Run):
    some = FRAME.iloc[:30]
    bits = rows.bits_map(some)
    assert list(bits.columns) == ["size", "big", "kind", "count"] and bits.index.equals(some.index)
    assert np.allclose(bits.sum(axis=1), 4 * rows.bits(some), rtol=1e-5, atol=1e-4)
    assert (bits["size"][some["size"].isna()] == 0).all()
    found = rows.score(some)
    assert found.names == tuple(map(str, some.index)) and found.background == "columns"
    some.to_csv("some.csv", index=False)
    good("score", rows.folder, "some.csv", "--map", "map.csv")
    assert np.allclose(pd.read_csv("map.csv"), bits)
    assert "written as .csv or .parquet" in refused("score", rows.folder, "some.csv", "--map", "map.npy")
    assert "of pictures alone" in refused("score", rows.folder, "some.csv", "--sheet", "map.png")


def test_a_map_is_in_raw_units(fitted: ud.Run):
    """Shifted and stretched data cost log2 of the stretch more, column by column."""
    wide = ud.fit(POINTS * [1.0, 8.0], steps=0, settings=FAST, quiet=True)
    same = ud.fit(POINTS, steps=0, settings=FAST, quiet=True)
    near, far = (np.asarray(run.bits_map(x)) for run, x in ((same, POINTS), (wide, POINTS * [1.0, 8.0])))
    assert np.allclose(far - near, [0.0, 3.0], atol=1e-3)
    assert np.allclose(near.mean(1), same.bits(POINTS), atol=1e-4)
    some = [run.score(x[:9]).above for run, x in ((same, POINTS), (wide, POINTS * [1.0, 8.0]))]
    assert some[0].allclose(some[1], atol=1e-3)  # the background is in the same units


def test_pictures_are_beside_their_files(tmp_path: Path):
    pictures = R.integers(0, 256, (40, 6, 7)).astype("u1")
    words = {"network.channels": 8, "grid.steps": 8, "train.batch": 8}
    run = ud.fit(pictures, steps=1, settings=words, out=tmp_path / "run", quiet=True)
    (tmp_path / "new").mkdir()
    for i, each in enumerate((pictures[0], pictures[0] * 0)):
        Image.fromarray(each).save(tmp_path / "new" / f"{i}.png")
    found = run.score(np.stack([pictures[0], pictures[0] * 0])[:, None])
    assert found.background == "PNG"
    file = 8 * len((tmp_path / "new" / "0.png").read_bytes()) / 42
    assert float(found.above[0]) == pytest.approx(float(found.bits[0]) - file, abs=1e-9)
    assert found.above[1] > found.above[0]  # nothing is simpler than black
    good("score", tmp_path / "run", tmp_path / "new", "--sheet", "sheet.png", "--map", "map.npy")
    assert np.load("map.npy").shape == (2, 1, 6, 7)
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 100


def test_held_out_and_new_examples_of_one_law_have_uniform_p_values():
    x = (R.normal(size=(1300, 2)) @ [[1.0, 1.0], [0.0, 0.5]]).astype("f4")
    run = ud.fit(x[:300], test=x[300:700], steps=4, settings=FAST, quiet=True)
    assert stats.kstest(run.score(x[700:]).p_value.numpy(), "uniform").pvalue > 0.01
