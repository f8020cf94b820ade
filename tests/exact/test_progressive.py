"""Rate and distortion as a receiver gets them: Gaussian data lie on their rate-distortion function."""

import math

import pytest
import torch
from test_exact_bits import BITS, DATA, STATES, Perfect

from oracles import GaussianReverse, Replay, f64, normal_kl, normals
from undiffuse.bounds import evaluate, progressive, receive
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.random import Streams, keyed
from undiffuse.schedules import ConstantFraction, Linear, grids
from watched import reports, watched

CHAIN = Gaussian(Linear(1e-3, 0.3, steps=20))
NATS = math.log(2)


@pytest.mark.parametrize("s2", [0.25, 1.0, 4.0])
def test_gaussian_data_lie_on_their_rate_distortion_function(s2):
    """D = s^2 sigma^2 / v; rate = I(x_t; x_0) + KL(q(x_1) || pi) = log(s^2 / D) / 2 + KL."""
    grid, data = grids.uniform(20), s2**0.5 * normals(8000, 2)
    model = GaussianReverse(CHAIN, f64(0.0), f64(s2))
    found = progressive(model, data, grid=grid)
    keep = CHAIN.schedule.keep(found.t)
    v = keep * s2 + 1 - keep
    squares = s2 * (1 - keep) / v
    end = float(normal_kl(f64(0.0), v[0]))
    rate = (0.5 * (s2 / squares).log() + end) / NATS
    assert ((found.rate - rate).abs() < 4 * found.rate_se + 1e-9).all()
    assert ((found.distortion - squares.sqrt()).abs() < 4 * found.distortion_se).all()
    assert (found.distortion_se / found.distortion).max() < 0.01 and found.rate_se.max() < 0.03
    expected = squares.sqrt() / (2 * 8000 * 2) ** 0.5  # of a root mean square of 16,000 normals
    torch.testing.assert_close(found.distortion_se, expected, rtol=0.05, atol=0)
    assert (found.rate.diff() > 0).all() and (found.distortion.diff() < 0).all()
    assert found.received.tolist() == list(range(1, 21)) and torch.equal(found.t, grid.flip(0))


@pytest.mark.parametrize("k", [None, 3])
def test_the_last_rate_and_the_decoder_are_the_bound(k):
    model, data = GaussianReverse(CHAIN, f64(0.0), f64(0.3)), 2 * normals(40, 3)
    options = {"grid": grids.uniform(20), "seed": 3, "terms": k, "block": 16}
    found, report = progressive(model, data, points=4, **options), evaluate(model, data, **options)
    assert found.rate[-1].item() == pytest.approx(report.prior.mean + report.steps.mean, rel=1e-12)
    assert found.rate[-1].item() == pytest.approx(report.rate.mean, rel=1e-12)
    assert found.rate_se[-1].item() == pytest.approx(report.rate.se, rel=1e-9)
    assert (found.decode, found.examples, found.steps) == (report.decode, 40, 20)
    received = report.prior.mean + report.per_step.flip(0).cumsum(0)[[3, 8, 13, 18]]
    torch.testing.assert_close(found.rate[:4], received)
    assert found.received.tolist() == [5, 10, 15, 20]
    torch.testing.assert_close(found.t, f64(0.8, 0.55, 0.3, 0.05))


def test_a_path_is_one_of_the_forward_process():
    """x_t is linear in x_0 and the draws; its slope and covariances down the path, digit by digit."""

    class Seen(GaussianReverse):
        def predict(self, x_t, t):
            return x_t

    model, t = Seen(CHAIN, f64(0.0), f64(1.0)), f64(1.0, 0.6, 0.25, 0.05)
    ends = torch.eye(5).double()  # of x_0 and of four draws, one is 1
    walks = [receive(model, end[0].view(1, 1), t, Replay([e.view(1, 1) for e in end[1:]])) for end in ends]
    slopes = torch.stack([torch.cat(list(walk)).flatten() for walk in walks])
    keep = CHAIN.schedule.keep(t)
    torch.testing.assert_close(slopes[0], keep.sqrt())
    later, earlier = torch.maximum(keep[:, None], keep), torch.minimum(keep[:, None], keep)
    torch.testing.assert_close(slopes[1:].T @ slopes[1:], (earlier / later).sqrt() * (1 - later))


def test_errors_of_bits_by_enumeration():
    """E[1 - p(x_0 | x_t)] over all states of data and noise, at every latent time."""
    p0, grid = 0.2, grids.uniform(5)
    model = Denoiser(Perfect(p0), Binomial(ConstantFraction(), p0))
    rows = torch.multinomial(DATA, 24_000, True, generator=keyed("progressive rows"))
    found = progressive(model, STATES[rows], grid=grid)
    assert found.symbols
    x_0, x_t = (x.flatten(0, 1) for x in (STATES[:, None].expand(-1, 8, -1), STATES[None].expand(8, -1, -1)))
    for i, t in enumerate(grid.flip(0)):
        joint = DATA.repeat_interleave(8) * model.kernel.marginal(x_0, t).log_prob(x_t).sum(1).exp()
        one = model.predict(x_t, t)
        wrong = torch.where(x_0 > 0.5, 1 - one, one).sum(1) / BITS
        assert abs(float(found.distortion[i] - joint @ wrong)) < 4 * float(found.distortion_se[i])
    assert (found.distortion_se < 0.01 * found.distortion).all()
    assert (found.distortion.diff() < 0).all() and (found.rate.diff() > 0).all()


def test_a_view_is_the_unit_of_the_distortion():
    model, data = GaussianReverse(CHAIN, f64(0.0), f64(1.0)), normals(30, 2)
    plain, seen = (
        progressive(model, data, grid=grids.uniform(20), points=2, view=view)
        for view in (lambda x: x, lambda x: 5 - 127.5 * x)
    )
    torch.testing.assert_close(seen.distortion, 127.5 * plain.distortion)
    torch.testing.assert_close(seen.distortion_se, 127.5 * plain.distortion_se)
    assert torch.equal(seen.rate, plain.rate)


def test_no_error_has_no_standard_error():
    class Knows(GaussianReverse):
        def predict(self, x_t, t):
            return torch.zeros_like(x_t)

    found = progressive(Knows(CHAIN, f64(0.0), f64(1.0)), torch.zeros(9, 2).double(), grid=grids.uniform(4))
    assert not found.distortion.any() and not found.distortion_se.any()


def test_examples_do_not_depend_on_their_company_and_calls_are_reported():
    model, data, (track, told) = GaussianReverse(CHAIN, f64(0.0), f64(0.4)), normals(20, 3), watched()
    options = {"grid": grids.uniform(20), "points": 6}
    found = [
        progressive(model, data, block=block, track=part, **options)
        for block, part in zip((8, 20), track.split(3, 1), strict=True)
    ]
    for name in ("rate", "rate_se", "distortion", "distortion_se"):
        torch.testing.assert_close(getattr(found[0], name), getattr(found[1], name))
    grid = grids.uniform(20)
    assert reports(told) == 4 * 26
    alone = list(receive(model, data[4:5], grid.flip(0), Streams(0, rows=range(4, 5))))
    among = list(receive(model, data, grid.flip(0), Streams(0, rows=range(20))))
    torch.testing.assert_close(alone[-1][0], among[-1][4])


def test_refusals():
    model, data = GaussianReverse(CHAIN, f64(0.0), f64(1.0)), normals(4, 2)
    with pytest.raises(ValueError, match="points=0"):
        progressive(model, data, grid=grids.uniform(20), points=0)
    with pytest.raises(ValueError, match="at least two"):
        progressive(model, data[:1], grid=grids.uniform(20))
    with pytest.raises(ValueError, match="grid"):
        progressive(model, data, grid=f64(0.2, 0.7))
