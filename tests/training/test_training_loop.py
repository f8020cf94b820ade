"""The loop: what one step does, what it never does, and that it learns."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from toy import DATA, Told, batches, new_state, same, steps, tensors

from oracles import f64, normals
from undiffuse import bounds, networks, samplers
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Hybrid, Simple, Variational
from undiffuse.parameterizations import Eps, Free, Interpolated, Mean, Sigmoid, V
from undiffuse.schedules import LogLinear, grids
from undiffuse.training import Batches, Settings, State, train
from undiffuse.training.optimizer import learning_rate


def plain(model: Denoiser, x_0: Tensor, generator: torch.Generator) -> Tensor:
    """An objective without randomness."""
    return (model.network(x_0, torch.full((len(x_0),), 0.5)) - x_0).square().mean(1)


def test_accumulated_parts_make_the_same_step():
    one, four = new_state(), new_state(accumulate=4)
    (a,), (b,) = steps(one, plain, 1), steps(four, plain, 1)
    assert a.loss == pytest.approx(b.loss, rel=1e-6)
    assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-5)
    for name, t in tensors(one).items():
        torch.testing.assert_close(tensors(four)[name], t, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("more", [-1, 1])
def test_batches_of_another_size_are_refused(more: int):
    """The loss is divided by the size in the settings: of other batches it would be another loss."""
    state, given = new_state(), batches()
    other = (lambda n: given(n)[:more]) if more < 0 else (lambda n: torch.cat([given(n), given(n)[:more]]))
    with pytest.raises(ValueError, match=rf"a batch of {state.settings.batch + more} examples: the settings"):
        next(iter(train(state, other, plain, 0)))


def test_a_report_says_what_the_step_did():
    state = new_state(clip=0.0)
    expected = plain(state.model, batches()(0), torch.Generator())
    expected.mean().backward()
    norm = torch.cat([p.grad.flatten() for p in state.model.parameters()]).norm()
    reports = steps(state, plain)
    assert reports[0].loss == pytest.approx(expected.mean().item())
    assert reports[0].grad_norm == pytest.approx(float(norm))
    assert [r.step for r in reports] == [1, 2, 3, 4, 5, 6]
    assert [r.lr for r in reports] == [learning_rate(i, state.settings) for i in range(6)]
    assert all(r.seconds > 0 for r in reports)


def test_the_average_follows_step_by_step():
    """average += (1 - d) (weights - average), d = min(0.9, (1 + step) / (10 + step))."""
    state = new_state(steps=20)
    average = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    for step, _ in enumerate(train(state, batches(), Told(plain), seed=5)):
        for name, p in state.model.named_parameters():
            average[name] += (1 - min(0.9, (1 + step) / (10 + step))) * (p.detach() - average[name])
    for name, expected in average.items():
        torch.testing.assert_close(state.ema.average[name], expected, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_by_their_norm():
    free, clipped = new_state(clip=0.0), new_state(clip=1e-3)
    (a,), (b,) = steps(free, plain, 1), steps(clipped, plain, 1)
    assert a.grad_norm == b.grad_norm > 0.1
    first = {n: t for n, t in tensors(free).items() if n.startswith("exp_avg/")}
    for name, t in first.items():
        torch.testing.assert_close(tensors(clipped)[name], t * 1e-3 / a.grad_norm, rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize(
    "factor", [lambda x: x * math.nan, lambda x: x * math.inf, lambda x: x + (x.detach() - x).sqrt()]
)
def test_what_is_not_finite_stops_before_the_weights(factor):
    """The third has a finite loss and an infinite gradient."""
    state = new_state()
    steps(state, plain, 2)
    before = tensors(state)
    with pytest.raises(FloatingPointError, match=r"step 2.*train\.lr"):
        steps(state, lambda *a: factor(plain(*a)))
    assert same(tensors(state), before)
    assert state.step == 2


def test_an_interrupted_step_leaves_nothing_behind():
    def interrupted(model, x_0, generator):
        plain(model, x_0, generator).mean().backward()
        raise KeyboardInterrupt

    once, again = new_state(), new_state()
    with pytest.raises(KeyboardInterrupt):
        steps(again, interrupted)
    steps(once)
    steps(again)
    assert same(tensors(once), tensors(again))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_stopping_between_steps_changes_nothing(dropout: float):
    whole, parts = new_state(dropout), new_state(dropout)
    steps(whole)
    steps(parts, count=2)
    torch.rand(7)  # the global generator moves on meanwhile
    steps(parts)
    assert same(tensors(whole), tensors(parts))


def test_dropout_is_there_and_has_noise_of_its_own():
    assert steps(new_state(0.0))[-1].loss != steps(new_state(0.5))[-1].loss
    seeds = []

    def watched(model, x_0, generator):
        seeds.append((torch.initial_seed(), generator.whole().initial_seed()))
        return plain(model, x_0, generator)

    steps(new_state(), watched)
    assert len({seed for pair in seeds for seed in pair}) == 12


def test_the_global_generator_is_left_alone():
    state = new_state(0.5)
    before = torch.get_rng_state()
    steps(state)
    samplers.sample(state.model.eval(), (3, 2), generator=torch.Generator(), grid=grids.uniform(5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_weights_stay_in_full_precision(precision: str):
    state = new_state(precision=precision)
    assert all(math.isfinite(p.loss) for p in steps(state))
    assert {t.dtype for t in tensors(state).values()} == {torch.float32}


def test_bf16_computes_in_half_precision():
    one, two = new_state(), new_state(precision="bf16")
    a, b = steps(one, count=1)[0].loss, steps(two, count=1)[0].loss
    assert a != b
    assert a == pytest.approx(b, rel=0.02)


def test_the_loss_falls():
    losses = [p.loss for p in steps(new_state(steps=300, lr=0.02), plain)]
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])


def test_gaussian_data_come_down_to_their_entropy():
    """The bound of a trained model is above -log2 of the true density, but not by much."""
    law = torch.distributions.Normal(f64(1.0, -0.5), f64(0.7, 0.1))
    data, test = ((law.mean + n * law.stddev).float() for n in (normals(4000, 2), normals(500, 2, seed=1)))
    exact = -law.log_prob(test.double()).mean() / math.log(2)
    kernel, grid = Gaussian(LogLinear(8, -6)), grids.uniform(300)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = Denoiser(networks.MLP((2,), hidden=32, layers=2), kernel)
    untrained = bounds.evaluate(model, test, grid=grid, terms=20).total
    told = Settings(steps=400, batch=256, lr=0.02, decay="cosine", warmup=20, ema=0.98)
    state = State(model, told)
    for _ in train(state, Batches(data, lambda x: x, 256, 0), Simple(), seed=0):
        pass
    with state.ema.applied():
        trained = bounds.evaluate(model.eval(), test, grid=grid, terms=20).total
    assert trained.mean < untrained.mean - 1.5
    assert exact < trained.mean < exact + 0.25


def test_the_data_are_not_changed():
    before = DATA.clone()
    steps(new_state())
    assert torch.equal(DATA, before)


class Both(torch.nn.Module):
    """A small network with a second output for the variance."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.layers = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.SiLU(), torch.nn.Linear(32, 4))

    def forward(self, x_t, t):
        return self.layers(torch.cat([x_t, t[:, None]], 1))


EVERY = itertools.product(enumerate([Eps(), V(), Mean(50)]), enumerate([Interpolated(), Free(), Sigmoid()]))


@pytest.mark.parametrize(
    ("said", "variance", "kind"), [(a, b, (Hybrid, Variational)[(i + j) % 2]) for (i, a), (j, b) in EVERY]
)
def test_a_learned_variance_trains_without_nan_and_lowers_the_bound(said, variance, kind):
    """Also at a high rate, over a chain with steps from tiny to large."""
    grid = grids.uniform(50)
    model = Denoiser(Both(), Gaussian(LogLinear(10.0, -8.0)), said, variance)

    def bound() -> float:
        return bounds.evaluate(model, DATA, grid=grid, seed=1).total.mean

    before = bound()
    state = State(model, Settings(steps=100, batch=64, lr=5e-3, warmup=10))
    for progress in train(state, Batches(DATA, lambda x: x, 64, 0), kind(grid=grid), seed=0):
        assert math.isfinite(progress.loss) and math.isfinite(progress.grad_norm)
    assert bound() < before
