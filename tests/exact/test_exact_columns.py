"""How the base of a table is fitted: correlations where cells are missing, or wide."""

import math

import torch
from test_exact_tables import SCHEDULE

from oracles import f64, normals
from undiffuse.bases import columns_fitting, fit_columns
from undiffuse.bases.columns import Cells
from undiffuse.kernels import Mixed
from undiffuse.marginals import Marginals

NAN = math.nan


def test_correlations_of_rows_with_holes_are_the_likeliest():
    """Where the second is missing for the largest of the first: Anderson (1957), in closed form."""
    z = normals(3000, 2)
    z[:, 1] = 0.8 * z[:, 0] + 0.6 * z[:, 1]
    z[z[:, 0] > 0.3, 1] = NAN
    whole = z[~z.isnan().any(1)]
    slope = (whole[:, 0] * whole[:, 1]).sum() / whole[:, 0].square().sum()
    left = (whole[:, 1] - slope * whole[:, 0]).square().mean()
    spread = z[:, 0].square().mean()
    exact = slope * spread.sqrt() / (slope**2 * spread + left).sqrt()
    found = columns_fitting._correlations(z, 2)
    naive = torch.corrcoef(whole.T)[0, 1]
    assert abs(float(found[0, 1] - exact)) < 0.005 < 0.1 < abs(float(naive - exact))


def test_moments_given_what_is_known_are_those_of_the_normal_law():
    corr = f64(1, 0.7, -0.3, 0.7, 1, 0.2, -0.3, 0.2, 1).view(3, 3)
    z, known = f64(0.5, 0, -1).view(1, 3), torch.tensor([[True, False, True]])
    some = torch.tensor([0, 2])
    gain = corr[1:2][:, some] @ torch.linalg.inv(corr[some][:, some])
    mean = torch.cat([z[0, :1], gain @ z[0, some], z[0, 2:]])
    exact = torch.outer(mean, mean)
    exact[1, 1] += 1 - (gain @ corr[some][:, 1:2]).squeeze()
    assert columns_fitting.moments(z, known, corr).allclose(exact, atol=1e-12)


def test_a_wide_cell_says_less_than_a_score():
    """Of b beside a number a of three levels: mean and width of b where a is given, by many draws."""
    a = normals(40_000, 1)[:, 0]
    b = 0.9 * a + (1 - 0.81) ** 0.5 * normals(40_000, seed=1)
    raw = torch.stack([a.round().clamp(-1, 1), b], 1)
    maps = Marginals.fit(raw, [1.0, 0.0])
    x_0 = maps.encode(raw).float()
    base = fit_columns(x_0, [0, 0], maps)
    kernel = Mixed(SCHEDULE, [0, 0])
    first, means, spreads = torch.tensor([[True, False]]), [], []
    for level in (-1.0, 0.0, 1.0):
        row = x_0[raw[:, 0] == level]
        found = base.belief(Cells(row[:1], first, ~first), f64(1.0), kernel)
        means.append(float(found.mean[0, 1] - row[:, 1].double().mean()))
        spreads.append(float(found.std[0, 1].square() / row[:, 1].double().var()))
    assert max(map(abs, means)) < 0.12 and 0.8 < sum(spreads) / 3 < 1.2
