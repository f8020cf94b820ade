"""Laws of what an output means, and of reverse widths."""

import math

import pytest
import torch
from examples import AFFINE, GAUSSIAN, VARIANCES, each, small_model

from oracles import Constant, f64, normals
from undiffuse.distributions import Rotated
from undiffuse.kernels import Absorbing, Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import (
    X0,
    Eps,
    FixedDecoder,
    Forward,
    Free,
    Interpolated,
    LearnedDecoder,
    Logit,
    Mean,
    NormalDecoder,
    Perturbed,
    Posterior,
    Score,
    Sigmoid,
    SymbolDecoder,
    Table,
    V,
)
from undiffuse.schedules import Betas, ConstantFraction, Cosine, Linear, grids

EVERY = pytest.mark.parametrize("parameterization", **each(AFFINE))
ON = pytest.mark.parametrize("kernel", **each(GAUSSIAN))
GRID = grids.strided(1000, 21)
KERNEL = Gaussian(Linear())


def noisy(kernel, t):
    x_0, eps = normals(len(t), 3), normals(len(t), 3, seed=1)
    alpha, sigma = (c[:, None] for c in kernel.alpha_sigma(t))
    return x_0, eps, alpha, sigma, alpha * x_0 + sigma * eps


@EVERY
@ON
def test_the_target_predicts_the_data(parameterization, kernel):
    try:
        parameterization.check(kernel)
    except ValueError:
        assert kernel.schedule.keep(f64(1.0)) < 1e-12  # they do not go together
        return
    x_0, _, alpha, _, x_t = noisy(kernel, GRID)
    target = parameterization.target(x_0, x_t, GRID, kernel)
    found = parameterization.predict(target, x_t, GRID, kernel)
    error = (found - x_0).abs() * alpha  # eps must divide by alpha
    assert target.isfinite().all() and error.max() < 1e-10


@EVERY
def test_errors_scale_by_c_out(parameterization):
    x_t, out, error = (normals(21, 3, seed=i) for i in range(3))
    c_x, c_out = getattr(parameterization, "of", parameterization).coefficients(GRID, KERNEL)
    assert c_x.shape == c_out.shape == GRID.shape and c_x.dtype == torch.float64
    a, b = (parameterization.predict(o, x_t, GRID, KERNEL) for o in (out, out + error))
    torch.testing.assert_close(b - a, c_out[:, None] * error, rtol=1e-6, atol=1e-9)


def test_targets_are_the_textbook_ones():
    x_0, eps, alpha, sigma, x_t = noisy(KERNEL, GRID)
    close = torch.testing.assert_close
    close(Eps().target(x_0, x_t, GRID, KERNEL), eps, rtol=1e-9, atol=1e-9)
    close(Score().target(x_0, x_t, GRID, KERNEL), -eps / sigma, rtol=1e-9, atol=1e-9)
    close(V().target(x_0, x_t, GRID, KERNEL), alpha * eps - sigma * x_0, rtol=1e-9, atol=1e-9)
    assert torch.equal(X0().target(x_0, x_t, GRID, KERNEL), x_0)
    bridge = KERNEL.bridge(x_0, x_t, (GRID - 1e-3).clamp(min=0), GRID)
    close(Mean(1000).target(x_0, x_t, GRID, KERNEL), bridge.mean, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("schedule", [ConstantFraction(), Cosine(None), Betas([0.5, 1.0])])
def test_eps_is_refused_where_it_says_nothing(schedule):
    with pytest.raises(ValueError, match="use v or x0"):
        Denoiser(Constant(f64(0.0)), Gaussian(schedule), Eps())
    for other in (V(), X0(), Mean(2)):
        Denoiser(Constant(f64(0.0)), Gaussian(schedule), other)


def test_parameterizations_are_gaussian():
    class Strange(torch.nn.Module):
        schedule = Linear()

    for parameterization in (X0(), V(), Eps(), Mean()):
        with pytest.raises(ValueError, match="Gaussian"):
            parameterization.check(Strange())
    with pytest.raises(ValueError, match="steps"):
        Mean(0)


def pieces(kernel, rows=20):
    t = torch.arange(2, rows + 2).double() / (rows + 1)
    s = t - 1 / (rows + 1)
    return kernel.coefficients(s, t), torch.zeros(rows, 3).double(), s, t


@ON
def test_variances_are_ordered(kernel):
    bridge, x, s, t = pieces(kernel)
    low, high = (kind()(bridge, None, x, s, t).expand(20, 3) for kind in (Posterior, Forward))
    torch.testing.assert_close(low, bridge.var[:, None].expand(20, 3))
    torch.testing.assert_close(high, bridge.beta[:, None].expand(20, 3))
    ends = [Interpolated()(bridge, torch.full_like(x, raw), x, s, t) for raw in (-1.0, 1.0)]
    torch.testing.assert_close(ends[0], low, rtol=1e-12, atol=0)
    torch.testing.assert_close(ends[1], high, rtol=1e-12, atol=0)
    raw = 2 * torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).double() - 1
    between = Interpolated()(bridge, raw, x, s, t)
    assert (low <= between).all() and (between <= high).all()
    middle = Interpolated()(bridge, torch.zeros_like(x), x, s, t)
    torch.testing.assert_close(middle, (low * high).sqrt())
    torch.testing.assert_close(Free()(bridge, torch.zeros_like(x), x, s, t), high)
    torch.testing.assert_close(Free()(bridge, raw, x, s, t), high * raw.exp())


@pytest.mark.parametrize("variance", **each(VARIANCES))
def test_variances_are_positive_and_broadcast(variance):
    model = small_model(variance=variance)
    for dtype in (torch.float32, torch.float64):
        x = normals(4, 3).to(dtype)
        model.to(dtype)
        one = model.step(x, f64(0.5), f64(0.45))
        rows = model.step(x, f64(0.5).expand(4), f64(0.45).expand(4))
        for p in (one, rows):
            wide = torch.float64 if isinstance(p, Rotated) else dtype  # its variances are
            assert (p.var > 0).all() and p.log_prob(x).dtype == p.kl(p).dtype == wide
            draw = p.sample(torch.Generator().manual_seed(0))
            assert draw.shape == (4, 3) and draw.dtype == dtype
        torch.testing.assert_close(one.var.expand(4, 3).to(rows.var), rows.var.expand(4, 3))


@pytest.mark.parametrize("variance", **each(VARIANCES))
def test_a_step_has_the_mean_of_the_bridge_to_the_prediction(variance):
    model, x, s, t = small_model(variance=variance), normals(4, 3), f64(0.45), f64(0.5)
    bridge = model.kernel.bridge(model.predict(x, t), x, s, t)
    torch.testing.assert_close(model.step(x, t, s).mean, bridge.mean)
    if type(variance) is Posterior:
        torch.testing.assert_close(model.step(x, t, s).kl(bridge), torch.zeros(4, 3).double())


def test_a_network_learns_each_half_for_its_own_use():
    out = torch.cat([torch.full((3,), 0.5), torch.full((3,), -1.0)]).double()
    model = Denoiser(Constant(out), KERNEL, X0(), Interpolated())
    x, s, t = normals(4, 3), f64(0.4), f64(0.5)
    assert (model.predict(x, t) == 0.5).all()
    torch.testing.assert_close(model.step(x, t, s).var[0, 0], KERNEL.coefficients(s, t).var)


def test_networks_of_the_wrong_width_are_refused():
    wide = Constant(torch.zeros(6).double())
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(4, 3\)"):
        Denoiser(wide, KERNEL, X0()).predict(normals(4, 3), f64(0.5))
    with pytest.raises(ValueError, match="mean and variance"):
        Denoiser(Constant(f64(0.0, 0.0)), KERNEL, X0(), Free()).predict(normals(4, 2), f64(0.5))


def test_a_table_knows_its_own_grid_only():
    table, x = Table([0.1, 0.2, 0.3, 0.4]), normals(4, 1)

    def var(s: torch.Tensor, t: torch.Tensor) -> list[float]:
        return table(KERNEL.coefficients(s, t), None, x, s, t).flatten().tolist()

    assert [var(f64((i - 1) / 4), f64(i / 4)) for i in (1, 2, 3, 4)] == [[0.1], [0.2], [0.3], [0.4]]
    assert var(f64(0.0, 0.75, 0.25, 0.5), f64(0.25, 1.0, 0.5, 0.75)) == [0.1, 0.4, 0.2, 0.3]
    off_grid, two_steps, all_steps, half_a_step = (0.05, 0.3), (0.25, 0.75), (0.0, 1.0), (0.375, 0.5)
    for s, t in (off_grid, two_steps, all_steps, half_a_step):
        with pytest.raises(ValueError, match="own chain"):
            var(f64(s), f64(t))
    with pytest.raises(ValueError, match="own chain"):
        var(f64(0.0, 0.25), f64(0.25, 0.75))
    for bad in ([0.1, 0.0], [0.1, -1.0], [[0.1]]):
        with pytest.raises(ValueError, match="positive"):
            Table(bad)


@pytest.mark.parametrize("variance", [Free(), Sigmoid(0.5)])
def test_a_learned_last_step_has_the_network_s_width(variance):
    out = torch.cat([torch.full((3,), 0.5), torch.full((3,), -1.0)]).double()
    model, x, t = Denoiser(Constant(out), KERNEL, X0(), variance, LearnedDecoder()), normals(4, 3), f64(0.1)
    p, beta = model.decode(x, t), KERNEL.schedule.beta(f64(0.0), t)
    odds = beta / (1 - beta)
    width = beta / math.e if isinstance(variance, Free) else 1 / (1 + math.exp(0.5) / odds)
    assert torch.equal(p.mean, torch.full((4, 3), 0.5).double())
    torch.testing.assert_close(p.var, width.expand(4, 3))
    for narrow in (Posterior(), Interpolated(), Forward()):
        with pytest.raises(ValueError, match="decoder=learned"):
            Denoiser(Constant(out), KERNEL, X0(), narrow, LearnedDecoder())


def test_the_sigmoid_variance_is_forward_at_zero():
    bridge, x, s, t = pieces(KERNEL)
    zero = Sigmoid()(bridge, torch.zeros_like(x), x, s, t)
    torch.testing.assert_close(zero, bridge.beta[:, None].expand(20, 3))
    some = Sigmoid(0.1)(bridge, torch.full_like(x, 3.0), x, s, t)
    torch.testing.assert_close(some.logit(), bridge.beta.logit()[:, None].expand(20, 3) + 0.3)
    with pytest.raises(ValueError, match="scale"):
        Sigmoid(0.0)


def test_a_perturbation_of_zero_is_the_forward_step():
    """Eq. 65 with its square root: E[x_s] = sqrt(1 - beta) x_t, and one unit of output is sqrt(beta)."""
    x, s, t = normals(4, 3), f64(0.5), f64(0.55)
    beta = KERNEL.schedule.beta(s, t)
    for value in (0.0, 2.0):
        model = Denoiser(Constant(torch.full((3,), value).double()), KERNEL, Perturbed(20), Forward())
        step = model.step(x, t, s)
        torch.testing.assert_close(
            step.mean, (1 - beta).sqrt() * x + beta.sqrt() * value, rtol=1e-9, atol=1e-12
        )
        torch.testing.assert_close(step.var, beta)


def test_parts_for_numbers_and_for_symbols_are_not_mixed():
    bits = Binomial(ConstantFraction())
    for parts in (
        {"parameterization": V()},
        {"variance": Forward()},
        {"decoder": NormalDecoder()},
        {"decoder": LearnedDecoder()},
    ):
        with pytest.raises(ValueError, match=r"symbols|logit"):
            Denoiser(torch.nn.Identity(), bits, **parts)
    for parts in ({"parameterization": Logit()}, {"decoder": SymbolDecoder()}):
        with pytest.raises(ValueError, match="symbols"):
            Denoiser(torch.nn.Identity(), KERNEL, **parts)
    with pytest.raises(ValueError, match="backwards"):
        Denoiser(torch.nn.Identity(), Absorbing(ConstantFraction(), 3), decoder=FixedDecoder())
