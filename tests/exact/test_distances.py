"""Distances of features: closed forms, scipy's matrix root, loops over all pairs, invariances."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import t as student

from oracles import normals
from undiffuse.estimate import Estimate
from undiffuse.metrics import (
    frechet,
    frechet_of_moments,
    kernel_distance,
    mmd2,
    neighbours,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(count, dims, seed):
    """Correlated features with a mean."""
    return normals(count, dims, seed=seed) @ normals(dims, dims, seed=100 + seed) + normals(dims, seed=seed)


@pytest.fixture(params=[1, 7, 50])
def chunks(request, monkeypatch):
    """Blocks of so many numbers, so of one row or a few."""
    for name in ("rows", "frechet"):
        monkeypatch.setattr(importlib.import_module(f"undiffuse.metrics.{name}"), "CHUNK", request.param)


def by_scipy(x, y):
    """The formula with an explicit root of the product."""
    (m, c), (n, d) = ((np.mean(z, 0), np.atleast_2d(np.cov(z, rowvar=False))) for z in (x.numpy(), y.numpy()))
    return ((m - n) ** 2).sum() + np.trace(c) + np.trace(d) - 2 * np.trace(sqrtm(c @ d)).real


@pytest.mark.parametrize("dims", [1, 2, 9])
def test_frechet_is_the_formula(dims, chunks):
    x, y = mixed(40, dims, 1), mixed(60, dims, 2)
    assert frechet(x, y).mean == pytest.approx(by_scipy(x, y), rel=1e-9)


def test_frechet_of_gaussians_that_share_their_axes():
    """sum (m_1 - m_2)^2 + (s_1 - s_2)^2, in any rotation."""
    axes = torch.linalg.qr(normals(4, 4)).Q
    s_1, s_2 = torch.tensor([1.0, 2.0, 0.0, 0.5]).double(), torch.tensor([3.0, 0.0, 0.0, 0.5]).double()
    m = torch.tensor([1.0, -2.0, 0.0, 3.0]).double()
    covs = (axes @ torch.diag(s**2) @ axes.T for s in (s_1, s_2))
    exact = 14 + 4 + 4
    found = frechet_of_moments(torch.zeros(4), next(covs), m, next(covs))
    assert found == pytest.approx(exact, rel=1e-6)


def test_frechet_has_the_unbiased_variance():
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [5.0], [8.0]])
    assert frechet(x, y).mean == pytest.approx(25 + (math.sqrt(2) - math.sqrt(3)) ** 2, rel=1e-12)


@pytest.mark.parametrize(("count", "dims"), [(3, 20), (20, 3), (30, 30)])
def test_frechet_is_0_for_the_same_and_never_below(count, dims):
    x = mixed(count, dims, 3) * 100
    order = torch.randperm(count, generator=seeded())
    assert 0 <= frechet(x, x[order]).mean < 1e-12 * float(x.square().sum())  # rounding, of what is subtracted
    assert frechet(x, x.flip(1)).mean == pytest.approx(frechet(x.flip(1), x).mean, rel=1e-9)


def test_frechet_without_full_rank_is_that_of_the_plane_it_lies_in():
    """Ten dimensions, but all variance in two; of three and four examples."""
    plane = torch.linalg.qr(normals(10, 2)).Q.T
    x, y = normals(3, 2, seed=1), normals(4, 2, seed=2)
    assert frechet(x @ plane, y @ plane).mean == pytest.approx(by_scipy(x, y), rel=1e-10)


def test_frechet_minds_no_rotation_and_no_shift():
    x, y, turn = mixed(30, 5, 1), mixed(20, 5, 2), torch.linalg.qr(normals(5, 5)).Q
    assert frechet(x @ turn + 1e4, y @ turn + 1e4).mean == pytest.approx(frechet(x, y).mean, rel=1e-8)
    assert frechet(3 * x, 3 * y).mean == pytest.approx(9 * frechet(x, y).mean, rel=1e-10)


def test_orthogonal_spreads_share_nothing():
    x, y = torch.zeros(4, 2), torch.zeros(4, 2)
    x[:, 0], y[:, 1] = torch.tensor([1.0, -1, 1, -1]), torch.tensor([2.0, -2, 2, -2])
    assert frechet(x, y).mean == pytest.approx(4 / 3 * (1 + 4), rel=1e-12)


@pytest.mark.parametrize(("count", "dims"), [(30, 1), (30, 4), (6, 9)])
def test_the_error_of_frechet_is_the_spread_of_its_slopes(count, dims, chunks):
    """A little more weight on one example at a time, in moments worked out here: sum of slope^2 / N^2."""
    x, y = mixed(count, dims, 1), mixed(count + 5, dims, 2)
    sets, total = {"x": x, "y": y}, 0.0
    for name, z in sets.items():
        n, h, slopes = len(z), 1e-5, []
        for i in range(n):
            ends = []
            for step in (h, -h):
                weight = torch.full((n,), (1 - step) / n).double()
                weight[i] += step
                mean = weight @ z
                root = (weight[:, None].sqrt() * (z - mean)) * math.sqrt(n / (n - 1))
                other = sets["y" if name == "x" else "x"]
                far = (other - other.mean(0)) / math.sqrt(len(other) - 1)
                shared = torch.linalg.svdvals(root @ far.T).sum()
                apart = (mean - other.mean(0)).square().sum()
                ends.append(apart + root.square().sum() + far.square().sum() - 2 * shared)
            slopes.append(float(ends[0] - ends[1]) / (2 * h))
        total += np.var(slopes, ddof=1) / n * (student.ppf(student.cdf(2, 1e12), n - 1) / 2) ** 2
    found = frechet(x, y)
    assert found.se == pytest.approx(math.sqrt(total), rel=1e-4)


@pytest.mark.parametrize(("apart", "dims", "limit"), [(0.5, 3, 1.15), (0.0, 30, 1.6)])
def test_the_error_of_frechet_is_not_too_small(apart, dims, limit):
    """Against the spread of 120 distances: right for laws that differ, at most 1.6 times it for one law."""
    found = [
        frechet(apart + normals(100, dims, seed=2 * i), normals(150, dims, seed=2 * i + 1))
        for i in range(120)
    ]
    spread, said = np.std([e.mean for e in found]), np.sqrt(np.mean([e.se**2 for e in found]))
    assert 0.88 * spread < said < limit * spread


def test_the_error_of_frechet_where_nothing_varies():
    flat = torch.cat([normals(40, 2), torch.ones(40, 1)], 1)
    two = frechet(flat, flat + torch.tensor([1.0, 0.0, 0.0]))
    assert two.mean == pytest.approx(1) and 0 < two.se < 1
    assert frechet(torch.zeros(5, 2), torch.ones(4, 2)) == Estimate(2.0, 0.0)
    assert frechet(flat, flat).mean == pytest.approx(0, abs=1e-9)


def kernel(x, y):
    return (float(x @ y) / len(x) + 1) ** 3


def by_pairs(x, y):
    """MMD^2 term by term."""
    own = [np.mean([kernel(a, b) for a, b in itertools.permutations(z, 2)]) for z in (x, y)]
    return sum(own) - 2 * np.mean([kernel(a, b) for a, b in itertools.product(x, y)])


def test_mmd_is_the_mean_over_pairs(chunks):
    x, y = normals(7, 3, seed=1), 1 + normals(5, 3, seed=2)
    assert mmd2(x, y) == pytest.approx(by_pairs(x, y), rel=1e-10)


def test_kernel_distance_is_the_mean_over_disjoint_subsets():
    x, y = normals(11, 3, seed=1), 1 + normals(9, 3, seed=2)
    order = seeded(5)
    x_, y_ = (z[torch.randperm(len(z), generator=order)] for z in (x, y))
    each = [by_pairs(x_[i : i + 3], y_[i : i + 3]) for i in (0, 3, 6)]
    found = kernel_distance(x, y, generator=seeded(5), size=3)
    assert found.mean == pytest.approx(np.mean(each), rel=1e-10)
    wider = student.ppf(student.cdf(2, 1e12), 2) / 2
    assert found.se == pytest.approx(wider * np.std(each, ddof=1) / math.sqrt(3), rel=1e-6)
    assert kernel_distance(x, y, generator=seeded(5), size=3) == found
    assert kernel_distance(x, y, generator=seeded(6), size=3) != found


def test_kernel_distance_of_one_law_is_0_within_its_error():
    """200 estimates from sets of 40: a bias of half a standard error of one of them would show at 7 sigma."""
    found = [
        kernel_distance(normals(40, 4, seed=2 * i), normals(40, 4, seed=2 * i + 1), generator=seeded(i))
        for i in range(200)
    ]
    means = np.array([each.mean for each in found])
    assert abs(means.mean()) < 3.5 * means.std() / math.sqrt(200)
    assert (means < 0).any()
    wider = student.ppf(student.cdf(2, 1e12), 9) / 2  # ten subsets
    said = np.sqrt(np.mean([each.se**2 for each in found])) / wider
    assert said == pytest.approx(means.std(), rel=0.15)
    assert np.mean([abs(each.mean) < 2 * each.se for each in found]) > 0.92


def test_kernel_distance_of_point_masses():
    """At 0 and at c: k(0, 0) + k(c, c) - 2 k(0, c) = (c^2 + 1)^3 - 1 in every subset."""
    found = kernel_distance(torch.zeros(40, 6), torch.full((50, 6), 2.0), generator=seeded())
    assert (found.mean, found.se) == (pytest.approx(124), 0)


@pytest.mark.parametrize(("count", "size"), [(4, 2), (25, 2), (200, 20), (300, 30), (900, 30)])
def test_subsets_of_the_default(count, size, monkeypatch):
    module = importlib.import_module("undiffuse.metrics.kernel")
    assert module.SIZE == 1000
    monkeypatch.setattr(module, "SIZE", 30)
    x, y = torch.arange(count).double()[:, None] / count, torch.zeros(count + 3, 1)
    assert kernel_distance(x, y, generator=seeded()) == kernel_distance(x, y, generator=seeded(), size=size)


def by_loops(y, x, k):
    """The definitions, one ball at a time."""

    def away(a, b):
        return float((a - b).square().sum().sqrt())

    def reach(z, i):
        return sorted(away(z[i], other) for j, other in enumerate(z) if j != i)[k - 1] * (1 + 1e-9)

    in_x = np.array([[away(b, a) <= reach(x, i) for i, a in enumerate(x)] for b in y])
    in_y = np.array([[away(b, a) <= reach(y, j) for a in x] for j, b in enumerate(y)])
    return in_x.any(1).mean(), in_y.any(0).mean(), in_x.sum(1).mean() / k, in_x.any(0).mean()


def values(found):
    return found.precision, found.recall, found.density, found.coverage


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_neighbours_are_the_definitions(k, shift, chunks):
    y, x = 0.7 * normals(13, 2, seed=1) + shift, normals(17, 2, seed=2)
    assert values(neighbours(y, x, k)) == pytest.approx(by_loops(y, x, k), rel=1e-12)


def test_neighbours_mind_no_rotation_no_shift_and_no_scale():
    y, x, turn = normals(30, 3, seed=1), normals(40, 3, seed=2), torch.linalg.qr(normals(3, 3)).Q
    found = neighbours(y, x, 2)
    assert neighbours(y @ turn + 1e6, x @ turn + 1e6, 2) == found
    assert neighbours(1e-4 * y, 1e-4 * x, 2) == found


@pytest.mark.parametrize("offset", [0.0, 1000.1])
def test_equal_distances_count_as_equal(offset, chunks):
    """Levels: most distances are ties, and rounding must not decide them."""
    y, x = (torch.randint(0, 3, (n, 3), generator=seeded(n)) / 7 for n in (20, 24))
    found = neighbours(y.double() + offset, x.double() + offset, 2)
    assert values(found) == pytest.approx(by_loops(y.double(), x.double(), 2), rel=1e-12)


def test_neighbours_of_the_same_and_of_strangers():
    x = normals(30, 4)
    same = neighbours(x, x[torch.randperm(30, generator=seeded())], 3)
    assert values(same) == pytest.approx((1, 1, 4 / 3, 1))  # a ball holds its centre and three others
    assert values(neighbours(x + 100, x, 3)) == (0, 0, 0, 0)


def test_precision_and_recall_see_different_faults():
    """Samples of one of two modes are precise; samples of a wider law reach everywhere."""
    x = torch.cat([normals(50, 2, seed=1), normals(50, 2, seed=2) + 50])
    one = neighbours(normals(100, 2, seed=3), x, 3)
    assert one.precision > 0.9 and one.recall < 0.6 and one.coverage < 0.6
    wide = neighbours(50 * normals(100, 2, seed=4), x, 3)
    assert wide.precision < 0.5 and wide.recall > 0.9


def test_density_and_coverage_of_one_law():
    """1 and 1 - 2^-k in the mean: the expectations that Naeem et al. derive."""
    found = [neighbours(normals(300, 2, seed=i), normals(300, 2, seed=99 + i), 4) for i in range(20)]
    assert np.mean([each.density for each in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([each.coverage for each in found]) == pytest.approx(1 - 2**-4, abs=0.01)


ALL = (
    lambda x, y: frechet(x, y),
    lambda x, y: kernel_distance(x, y, generator=seeded()),
    lambda x, y: mmd2(x, y),
    lambda x, y: neighbours(x, y, 1),
)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize(
    ("samples", "data", "message"),
    [
        (torch.zeros(8), torch.zeros(8, 2), r"samples has shape \(8,\); give features"),
        (torch.zeros(8, 2), torch.zeros(0, 2), r"data has shape \(0, 2\)"),
        (torch.zeros(8, 2), torch.zeros(8, 2, 1), r"data has shape \(8, 2, 1\)"),
        (torch.zeros(8, 2), torch.zeros(1, 2), "data has 1 rows; give at least"),
        (torch.zeros(8, 2), torch.zeros(8, 3), "data has 3 features, samples has 2"),
        (torch.zeros(8, 2), torch.zeros(8, 2, dtype=torch.int32), "data is torch.int32; give floats"),
        (torch.full((8, 2), math.nan), torch.zeros(8, 2), "samples has values that are not finite"),
    ],
)
def test_bad_features_name_themselves(measure, samples, data, message):
    with pytest.raises(ValueError, match=message):
        measure(samples, data)


def test_bad_arguments_name_themselves():
    x = normals(8, 2)
    for size in (1, 5):
        with pytest.raises(ValueError, match=f"size is {size}; with 8 examples choose 2 to 4"):
            kernel_distance(x, x, generator=seeded(), size=size)
    with pytest.raises(ValueError, match="k is 0"):
        neighbours(x, x, 0)
    with pytest.raises(ValueError, match="samples has 8 rows; give at least 9"):
        neighbours(x, x, 8)
    eye = torch.eye(2)
    for moments, message in (
        ((x[0], eye, x[0], torch.eye(3)), r"cov_2 has shape \(3, 3\)"),
        ((x[0], eye, x[0], -eye), "cov_2 has the eigenvalue -1"),
        ((x[0], eye + eye.roll(1, 0).triu(), x[0], eye), "cov_1 is not a finite symmetric"),
    ):
        with pytest.raises(ValueError, match=message):
            frechet_of_moments(*moments)
