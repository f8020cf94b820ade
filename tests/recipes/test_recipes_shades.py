"""Which raw values are black and white in pictures, and that pictures are read as they are drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from undiffuse.data import Array, space_of
from undiffuse.diffusion.output import to_bytes
from undiffuse.runs.example import read_example
from undiffuse.runs.facts import facts_of

R = np.random.default_rng(0)


def run_of(tmp_path, array, **options):
    """What drawing needs of a run on this array, and its training data."""
    np.save(tmp_path / "a.npy", array)
    splits = Array(tmp_path / "a.npy", **options).load()
    facts = facts_of(splits, space_of(splits))
    run = SimpleNamespace(
        recipe={"data": None}, shades=tuple(facts["shades"]), shape=splits.shape, levels=splits.levels
    )
    return run, splits.train[:]


@pytest.mark.parametrize(
    ("low", "high", "dtype", "options", "shades"),
    [
        (0, 4096, "u2", {}, "ends"),
        (30_000, 34_000, "u2", {}, "ends"),
        (5, 900, "i4", {"levels": 1024}, "ends"),
        (7, 8, "u2", {}, (0, 65535)),
        (20, 90, "u1", {}, (0, 255)),
        (0, 2, "u1", {"levels": 2}, (0, 1)),
    ],
)
def test_pictures_of_many_levels_are_drawn_from_the_least_to_the_largest_in_use(
    tmp_path, low, high, dtype, options, shades
):
    run, train = run_of(tmp_path, R.integers(low, high, (60, 1, 8, 8)).astype(dtype), **options)
    assert run.shades == (tuple(map(float, train.aminmax())) if shades == "ends" else shades)
    drawn = to_bytes(run, train)
    if shades == "ends":
        assert (int(drawn.min()), int(drawn.max())) == (0, 255)
    Image.fromarray(drawn[0, 0].numpy()).save(tmp_path / "a.png")
    assert torch.equal(to_bytes(run, read_example(run, tmp_path / "a.png")), drawn[:1])


def test_digits_of_large_numbers_are_drawn(tmp_path):
    run, train = run_of(tmp_path, 1e9 + R.random((60, 1, 8, 8)))
    drawn = to_bytes(run, train)
    assert len(drawn.unique()) == 256 and run.shades == pytest.approx((1e9, 1e9 + 1), rel=1e-11)
    Image.fromarray(drawn[0, 0].numpy()).save(tmp_path / "a.png")
    assert torch.equal(to_bytes(run, read_example(run, tmp_path / "a.png")), drawn[:1])
