"""Sliced Wasserstein distances: closed forms, pairs by rank, and an error that covers."""

import pytest
import torch

from undiffuse.metrics import sliced_wasserstein


def keyed_directions():
    return torch.Generator().manual_seed(1)


def test_sliced_sees_a_shift():
    """Of the same points, moved by m: the mean of (u.m)^2 over directions, |m|^2 / D on average."""
    x, m = (
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.tensor([1.0, 2, 2]),
    )
    found = sliced_wasserstein(x, x + m, generator=keyed_directions(), directions=20_000)
    u = torch.randn(3, 20_000, generator=keyed_directions(), dtype=torch.float64)
    expected = ((m.double() @ (u / u.norm(dim=0))) ** 2).mean()
    assert found.mean == pytest.approx(float(expected)) and abs(found.mean - 3) < 0.1
    assert sliced_wasserstein(x, x, generator=keyed_directions()).mean == 0


def test_sliced_of_one_dimension_pairs_values_by_rank():
    x, y = torch.arange(20.0).view(-1, 1), torch.arange(40.0).view(-1, 1) / 2
    found = sliced_wasserstein(x[torch.randperm(20)], y, generator=keyed_directions())
    assert found.mean == pytest.approx(0.5 * 0.5**2)  # each x meets x and x + 1/2


def test_its_error_covers():
    """Of normal points against those of another mean: the spread over 60 repeats is what the error says."""
    g = torch.Generator().manual_seed(3)
    found = []
    for _ in range(60):
        x, y = torch.randn(200, 4, generator=g), 0.5 + torch.randn(200, 4, generator=g)
        found.append(sliced_wasserstein(x, y, generator=keyed_directions(), directions=64))
    means, errors = torch.tensor([e.mean for e in found]), torch.tensor([e.se for e in found])
    assert 0.75 < float(errors.square().mean().sqrt() / means.std()) < 1.35


def test_sliced_refuses_too_few():
    with pytest.raises(ValueError, match="3 rows"):
        sliced_wasserstein(torch.zeros(3, 2), torch.zeros(30, 2), generator=keyed_directions())
    with pytest.raises(ValueError, match="directions=0"):
        sliced_wasserstein(torch.zeros(20, 2), torch.zeros(30, 2), generator=keyed_directions(), directions=0)
