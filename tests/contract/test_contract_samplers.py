"""Laws of samplers and of the loop: the right law, the right times, the same sample in any company."""

import pytest
import torch
from examples import GAUSSIAN, OF_NUMBERS, each, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import GaussianDenoiser, GaussianReverse, Replay, f64, normals
from undiffuse.kernels import Gaussian, Kernel
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.networks import MLP, UNet
from undiffuse.parameterizations import X0, V
from undiffuse.random import keyed
from undiffuse.samplers import DDIM, Ancestral, Langevin, reverse, sample, start, trajectory
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids
from watched import reports, watched

EVERY = pytest.mark.parametrize("sampler", **each(OF_NUMBERS))
GRID = grids.logsnr(Linear(steps=None), 60, first=1e-4)


@EVERY
@pytest.mark.parametrize("kernel", **each(GAUSSIAN))
def test_one_point_is_found_by_every_sampler(sampler, kernel):
    """If every prediction is the point, so is the sample (up to the width of the decoder)."""
    point, t = f64(0.3, -0.7), f64(1e-6)
    model = Denoiser(GaussianDenoiser(kernel, point, f64(0.0, 0.0)), kernel, X0())
    grid = torch.cat([t.reshape(1), grids.uniform(9)])
    *_, (last, x) = reverse(model, normals(50, 2), sampler=sampler, grid=grid, generator=keyed(0))
    sd = kernel.alpha_sigma(t)[1]
    assert last == 0 and x.isfinite().all()
    assert (x - point).abs().max() < 6 * sd + 1e-9


@EVERY
def test_gaussian_data_come_back(sampler):
    mean, var, n = f64(0.5, -1.0), f64(0.3, 2.0), 20_000
    kernel = Gaussian(Linear(steps=None))
    model = Denoiser(GaussianDenoiser(kernel, mean, var), kernel, X0())
    if isinstance(sampler, Ancestral):
        model = GaussianReverse(kernel, mean, var)
    *_, (_, x) = reverse(model, normals(n, 2), sampler=sampler, grid=GRID, generator=keyed(0))
    assert ((x.mean(0) - mean).abs() < 5 * (var / n).sqrt() + 0.03).all()
    bias = 1e-3 if isinstance(sampler, Ancestral) else 0.15  # DDIM's own error at 60 steps
    assert ((x.var(0) / var - 1).abs() < 5 * (2 / n) ** 0.5 + bias).all()
    assert torch.corrcoef(x.T)[0, 1].abs() < 5 / n**0.5


@EVERY
@pytest.mark.parametrize("schedule", [ConstantFraction(), Cosine(None)])
def test_a_chain_that_erases_everything_can_be_walked(sampler, schedule):
    kernel = Gaussian(schedule)
    model = Denoiser(GaussianDenoiser(kernel, f64(0.0), f64(1.0)), kernel, X0())
    long = 333 if isinstance(sampler, DDIM) else 40
    for steps in (2, 3, 7, long):  # rounding once made eta = 1 the root of a negative number
        *_, (_, x) = reverse(
            model, normals(500, 1), sampler=sampler, grid=grids.uniform(steps), generator=keyed(0)
        )
        assert x.isfinite().all()


class Watcher(ReverseProcess):
    """Notes the times it is asked for."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel, self.asked = kernel, []
        self.exact = GaussianReverse(kernel, f64(0.0, 0.0), f64(1.0, 1.0))

    def predict(self, x_t, t):
        self.asked.append(float(t))
        return self.exact.predict(x_t, t)

    def step(self, x_t, t, s):
        self.asked.append(float(t))
        return self.exact.step(x_t, t, s)

    def decode(self, x_t, t):
        self.asked.append(float(t))
        return self.exact.decode(x_t, t)


@EVERY
def test_one_call_a_latent_time_from_one_downwards(sampler):
    model, grid = Watcher(Gaussian(Linear())), grids.strided(20, 5)
    walk = list(reverse(model, normals(3, 2), sampler=sampler, grid=grid, generator=keyed(0)))
    again = getattr(sampler, "corrections", 0)  # calls that a corrector makes at every time it arrives at
    times = getattr(sampler, "times", 1)  # that every step is made
    expected = [1.0, *(t for t in grid.flip(0).tolist()[1:] for _ in range(1 + again))]
    own = {1.0, *grid.tolist()}
    asked = [t for t in model.asked if t in own]
    assert asked == [t for t in expected for _ in range(times if t > grid[0] else 1)]
    between = sampler.predictor - 1 if getattr(sampler, "singlestep", False) else 0
    assert len(model.asked) - len(asked) == between * (len(grid) - 1)
    assert model.asked == sorted(model.asked, reverse=True)
    assert [t for t, _ in walk] == [*grid.flip(0).tolist(), 0.0]
    assert torch.equal(walk[0][1], normals(3, 2)) and all(x.shape == (3, 2) for _, x in walk)


class Other(Kernel):
    """Not Gaussian."""

    transition = marginal = bridge = prior = lambda self, *_: None


def test_refusals():
    model = Watcher(Gaussian(Linear()))
    model.kernel = Other()
    with pytest.raises(ValueError, match="use ancestral"):
        next(reverse(model, normals(1, 2), sampler=DDIM(), grid=f64(0.5, 1.0), generator=keyed(0)))
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="eta"):
            DDIM(eta)
    model = small_model()
    for grid in (f64(0.5, 0.9), f64(1.0, 0.5), torch.tensor([])):
        with pytest.raises(ValueError, match="grid"):
            sample(model, (1, 3), generator=keyed(0), grid=grid)
    with pytest.raises(ValueError, match="at least one"):
        next(trajectory(model, (0, 3), generator=keyed(0)))


def vectors():
    torch.manual_seed(0)
    network = MLP((3,), hidden=16, layers=2)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    return Denoiser(network, Gaussian(Cosine(20)), V()).eval(), (3,)


def images():
    torch.manual_seed(0)
    network = UNet((1, 5, 6), channels=8, multipliers=(1, 2))
    torch.nn.init.normal_(network.last.weight, std=0.1)
    return Denoiser(network, Gaussian(Cosine(20)), V()).eval(), (1, 5, 6)


@pytest.mark.parametrize("make", [vectors, images])
@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), DDIM(1.0), Langevin()])
def test_a_sample_is_the_same_in_any_company(make, sampler):
    (model, shape), grid = make(), grids.uniform(3)

    def draw(n, first=0, block=16):
        return sample(
            model, (n, *shape), generator=keyed(5), sampler=sampler, grid=grid, first=first, block=block
        )

    everyone = draw(50)
    assert len({tuple(x.flatten().tolist()) for x in everyone}) == 50
    for n in (1, 3, 16, 33):
        assert torch.equal(draw(n), everyone[:n])
    for first in (1, 15, 16, 40):
        assert torch.equal(draw(3, first), everyone[first : first + 3])
    assert draw(0).shape == (0, *shape)


@pytest.mark.slow
@settings(max_examples=10)
@given(n=st.integers(1, 40), first=st.integers(0, 3000))
def test_default_blocks_keep_their_samples_too(n, first):
    model, grid = GaussianReverse(Gaussian(Linear()), f64(0.0), f64(0.5)), f64(0.5, 1.0)
    some = sample(model, (n, 1), generator=keyed(1), grid=grid, first=first)
    last = sample(model, (1, 1), generator=keyed(1), grid=grid, first=first + n - 1)
    assert torch.equal(some[-1:], last)
    assert not torch.equal(some[-1:], sample(model, (1, 1), generator=keyed(2), grid=grid, first=first))


@EVERY
def test_a_trajectory_ends_in_the_sample(sampler):
    model, shape = vectors()
    options = {"sampler": sampler, "grid": grids.uniform(4), "first": 5, "block": 8}
    walk = list(trajectory(model, (9, *shape), generator=keyed(3), **options))
    assert [t for t, _ in walk] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert all(x.shape == (9, 3) for _, x in walk)
    assert torch.equal(walk[-1][1], sample(model, (9, *shape), generator=keyed(3), **options))


def test_one_generator_gives_new_samples_each_time():
    model, shape = vectors()
    generator = keyed(0)
    a, b = (sample(model, (2, *shape), generator=generator, grid=grids.uniform(2)) for _ in range(2))
    assert not torch.equal(a, b)


@given(n=st.integers(0, 30), first=st.integers(0, 30), block=st.sampled_from([1, 4, 8]))
@settings(max_examples=15)
def test_every_step_of_every_block_is_reported(n, first, block):
    model, (track, told), grid = (
        GaussianReverse(Gaussian(Linear()), f64(0.0), f64(1.0)),
        watched(),
        f64(0.5, 1.0),
    )
    sample(model, (n, 1), generator=keyed(0), grid=grid, first=first, block=block, track=track)
    if n:
        assert reports(told) == (-(-(first + n) // block) - first // block) * len(grid)


def test_the_default_is_ancestral_over_a_thousand_steps():
    model = Watcher(Gaussian(Linear()))
    sample(model, (1, 2), generator=keyed(0), block=1)
    assert model.asked == grids.uniform(1000).flip(0).tolist()


def test_the_start_is_the_prior():
    model = GaussianReverse(Gaussian(Linear()), f64(0.0), f64(1.0))
    x = start(model, torch.zeros(20_000, 2), keyed(0))
    assert x.dtype == torch.float32 and x.shape == (20_000, 2)
    assert x.mean().abs() < 5 / 40_000**0.5 and abs(x.var() - 1) < 5 * (2 / 40_000) ** 0.5


def test_ddim_mixes_prediction_and_noise():
    """Eq. 12 of the paper, written out, at one step with known noise."""
    model, x, z = small_model(), normals(4, 3), normals(4, 3, seed=9)
    s, t, keep = f64(0.3), f64(0.8), model.kernel.schedule.keep
    x_0 = model.predict(x, t)
    eps = (x - keep(t).sqrt() * x_0) / (1 - keep(t)).sqrt()
    for eta in (0.0, 0.4, 1.0):
        sd = eta * ((1 - keep(s)) / (1 - keep(t))).sqrt() * (1 - keep(t) / keep(s)).sqrt()
        expected = keep(s).sqrt() * x_0 + (1 - keep(s) - sd**2).sqrt() * eps + sd * z
        found, _ = DDIM(eta).step(model, x, t, s, None, Replay(z))
        torch.testing.assert_close(found, expected)
