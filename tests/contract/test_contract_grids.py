"""Laws of grids: latent times that rise to exactly 1."""

import pytest
import torch
from examples import GRIDS, KINDS, each
from hypothesis import given
from hypothesis import strategies as st

from undiffuse.schedules import Cosine, Linear, LogLinear, grids


@pytest.mark.parametrize("grid", **each(GRIDS))
def test_grids_rise_to_exactly_one(grid):
    assert grid.dtype == torch.float64 and grid.ndim == 1
    assert grid[0] > 0 and grid[-1] == 1 and (grid.diff() > 0).all()
    assert torch.equal(grids.check_grid(grid), grid)


@given(st.integers(1, 3000))
def test_uniform(steps):
    i = torch.arange(1, steps + 1, dtype=torch.float64)
    assert torch.equal(grids.uniform(steps), i / steps)


@given(st.integers(2, 500), st.data())
def test_thinning_keeps_both_ends_and_spreads_evenly(steps, data):
    keep = data.draw(st.integers(2, steps))
    grid = grids.strided(steps, keep)
    assert len(grid) == keep and grid[0] == 1 / steps and grid[-1] == 1
    places = (grid * steps).round()
    assert ((places.diff() - (steps - 1) / (keep - 1)).abs() <= 1).all()
    assert torch.equal(places / steps, grid)


def test_thinning_takes_the_nearest_place():
    """Places 0, 3.67, 7.33 and 11 of twelve: rounded, not cut."""
    assert (grids.strided(12, 4) * 12).round().tolist() == [1, 5, 8, 12]


def test_thinning_one_and_too_many():
    assert grids.thin(grids.uniform(9), 1).tolist() == [1.0]
    assert torch.equal(grids.thin(grids.uniform(9), 9), grids.uniform(9))
    with pytest.raises(ValueError, match="keep=10"):
        grids.strided(9, 10)
    for make in (grids.uniform, lambda n: grids.thin(grids.uniform(3), n)):
        with pytest.raises(ValueError, match="at least one"):
            make(0)


EVERY = pytest.mark.parametrize("schedule", **each(KINDS))


@EVERY
def test_invert_is_the_inverse_of_log_snr(schedule):
    t = torch.linspace(0.01, 0.99, 200, dtype=torch.float64)
    torch.testing.assert_close(grids.invert(schedule, schedule.logsnr(t)), t, rtol=0, atol=1e-8)


@EVERY
@pytest.mark.parametrize("steps", [2, 9, 200])
def test_log_snr_grid_is_evenly_spaced(schedule, steps):
    grid = grids.logsnr(schedule, steps, first=0.01)
    logsnr = schedule.logsnr(grid)
    assert len(grid) == steps and grid[0] == 0.01 and grid[-1] == 1
    assert torch.equal(grids.check_grid(grid), grid)
    gaps = logsnr.clamp(min=-15.0).diff()
    torch.testing.assert_close(gaps, gaps.mean().expand_as(gaps), rtol=1e-6, atol=1e-7)


def test_log_snr_grid_of_a_log_linear_schedule_is_uniform():
    grid = grids.logsnr(LogLinear(), 10, first=0.1)
    torch.testing.assert_close(grid, grids.uniform(10))


def test_log_snr_grid_refusals():
    assert grids.logsnr(Linear(), 1).tolist() == [1.0]
    for first in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="first"):
            grids.logsnr(Cosine(), 5, first)


@pytest.mark.parametrize(
    "bad", [[0.0, 1.0], [0.5], [0.5, 0.5, 1.0], [0.7, 0.3, 1.0], [0.5, 1.5], [[1.0]], [-1.0, 1.0]]
)
def test_what_is_no_grid_is_refused(bad):
    with pytest.raises(ValueError, match="grid"):
        grids.check_grid(torch.tensor(bad))


def test_no_times_at_all():
    with pytest.raises(ValueError, match="grid"):
        grids.check_grid(torch.tensor([]))
