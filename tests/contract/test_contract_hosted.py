"""How often the host waits for a device: once in a training step, never in that of a sampler or a bound.

And nothing of it needs float64 there, which Apple's devices do not have.
"""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from examples import KERNELS, NETWORKS, OBJECTIVES, SAMPLERS, SCHEDULES, each
from torch import Tensor, nn

from hosted import META, Hosted
from undiffuse import devices, networks
from undiffuse.bases import GaussianBase, fit_columns
from undiffuse.bounds import Drawing, LinearControl, nelbo
from undiffuse.conditions import Classes, Given, Image, Series, Vector
from undiffuse.flow import dequantized, log_prob
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian, Mixed
from undiffuse.marginals import Marginals
from undiffuse.mixed import CELLS, MixedDenoiser
from undiffuse.model import Denoiser
from undiffuse.objectives import Continuous, Hybrid, Importance, Simple, Variational
from undiffuse.parameterizations import DiscretizedDecoder, Interpolated
from undiffuse.posteriors import RULES, Guided, Known, Noisy, Odds
from undiffuse.random import Streams
from undiffuse.samplers import Ancestral
from undiffuse.schedules import ConstantFraction, Learned, LearnedBetas, Linear, LogLinear, grids
from undiffuse.training import Settings, State, train
from undiffuse.training.precision import Precision

SHAPE, GRID = (1, 8, 8), grids.uniform(6)
T, S = (torch.tensor(t, dtype=torch.float64) for t in (0.6, 0.4))
FP32 = Precision("fp32", "asked")


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """The device is like Apple's."""
    monkeypatch.setattr(devices, "NARROW", {"meta"})


def small(size: int = 4, **options) -> nn.Module:
    return networks.MLP((size,), hidden=8, layers=1, **options)


def on_device(model: Denoiser) -> Denoiser:
    return deepcopy(model).to(META).eval()


def training(
    model: Denoiser, objective, shape: tuple[int, ...], optimizer: str = "adamw", given=None
) -> Hosted:
    """The reads and writes of the second step; the first makes the optimizer's state."""
    state = State(model.to(META), Settings(steps=3, batch=4, optimizer=optimizer), FP32)
    x_0 = torch.zeros(4, *shape)
    told = (lambda step: None) if given is None else (lambda step: given)
    steps = train(state, lambda step: x_0, objective, 0, told)
    with Hosted():
        next(steps)
    with Hosted() as counted:
        next(steps)
    assert not counted.wide or not devices.NARROW
    assert counted.writes.total() <= 40, counted.writes  # docs/results.md
    return counted


@pytest.mark.parametrize("make", **each(NETWORKS))
def test_a_training_step_waits_once(make):
    counted = training(Denoiser(make(SHAPE), Gaussian(LogLinear())), Simple(), SHAPE)
    assert counted.waited == 1, counted.waits


@pytest.mark.parametrize("objective", **each(OBJECTIVES))
def test_with_any_objective(objective):
    hybrid = isinstance(objective, Hybrid)
    variance = Interpolated() if hybrid else None
    model = Denoiser(small(outputs=2 if hybrid else 1), Gaussian(LogLinear()), variance=variance)
    counted = training(model, objective, (4,))
    learns = isinstance(objective.times, Importance)  # what it has found is on the host
    assert counted.waited == (2 if learns else 1), counted.waits


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_with_any_optimizer_levels_and_conditions(optimizer):
    kinds = {
        "kind": Classes(3),
        "pair": Vector((2,), (0.0, 0.0), (1.0, 1.0)),
        "small": Image((1, 4, 4), (0.0,), (1.0,)),
        "tale": Series((3, 2), (0.0, 0.0), (1.0, 1.0)),
    }
    net = networks.UNet(SHAPE, channels=8, multipliers=(1, 2), conditions=kinds)
    model = Denoiser(net, Gaussian(LogLinear()), decoder=DiscretizedDecoder(17))
    given = model.given({"kind": 1, "pair": [0.0, 1.0], "small": torch.zeros(4, 4)}).condition
    counted = training(model, Variational(grid=GRID), SHAPE, optimizer, given)
    assert counted.waited == 1, counted.waits


SYMBOLS = {
    "binomial": (Binomial(ConstantFraction()), 1),
    "categorical": (Categorical(Linear(), 4), 4),
    "absorbing": (Absorbing(ConstantFraction(), 3), 4),
}


@pytest.mark.parametrize("name", SYMBOLS)
def test_of_symbols(name):
    kernel, channels = SYMBOLS[name]
    net = networks.MLP((channels * 4,), hidden=8, layers=1)
    counted = training(Denoiser(net, kernel), Variational(grid=GRID), (4,))
    assert counted.waited == 1, counted.waits
    model = on_device(Denoiser(networks.MLP((channels * 4,), hidden=8, layers=1), kernel))
    assert not waits(model)


LEARNED = [(Learned, Continuous), (Learned, Variational), (lambda: LearnedBetas(6), Variational)]


@pytest.mark.parametrize(("schedule", "objective"), LEARNED)
def test_of_a_schedule_that_is_learned(monkeypatch, schedule, objective):
    """It is worked out where its parameters are, if float64 is there; else it goes to and fro."""
    model = Denoiser(small(), Gaussian(schedule()))
    assert training(deepcopy(model), objective(grid=GRID), (4,)).waited > 1
    monkeypatch.setattr(devices, "NARROW", set())
    counted = training(model, objective(grid=GRID), (4,))
    assert counted.waited == 1, counted.waits


def waits(model, sampler=None, rows: int = 4) -> Counter[str]:
    """Reads of one step of a sampler, by line."""
    sampler, x = sampler or Ancestral(), torch.zeros(rows, 4, device=META)
    with Hosted() as counted, torch.no_grad():
        sampler.step(model, x, T, S, sampler.init(), Streams(0, rows=range(rows)))
    assert not counted.wide
    return counted.waits


def plain(seed: int = 0) -> Denoiser:
    torch.manual_seed(seed)
    return on_device(Denoiser(small(), Gaussian(LogLinear())))


@pytest.mark.parametrize("sampler", **each(SAMPLERS))
def test_a_step_of_a_sampler_does_not_wait(sampler):
    model = plain()
    if type(sampler).__name__ == "Counted":
        kernel = Absorbing(ConstantFraction(), 3)
        model = on_device(Denoiser(small(4 * kernel.channels), kernel))
    if type(sampler).__name__ == "Resampled":
        model = RULES["replaced"](model, Known(torch.zeros(4), torch.tensor([True, False, False, False])))
    assert not waits(model, sampler)


@pytest.mark.parametrize("rule", RULES)
def test_nor_does_one_of_a_product(rule):
    model, mask = plain(), torch.tensor([True, False, False, True])
    if rule == "tilted":
        kernel = Binomial(ConstantFraction())
        model = on_device(Denoiser(small(), kernel))
        assert not waits(RULES[rule](model, Odds(torch.tensor([0.5, -2.0, 0.0, 1.0]))))
        return
    factors = [Known(torch.zeros(4), mask)] + ([] if rule == "replaced" else [Noisy(torch.zeros(4), 0.5)])
    for factor in factors:
        found = waits(RULES[rule](model, factor))
        roots = [line for line in found if line.startswith("posteriors/normals.py")]
        assert set(found) == set(roots), type(factor).__name__  # whether a Cholesky factor was found


def test_nor_does_one_of_a_tables_rows():
    raw = torch.rand(50, 3, dtype=torch.float64).round(decimals=1)
    maps = Marginals.fit(raw[:, :2], [0.0, 0.1])
    x_0 = torch.cat([maps.encode(raw[:, :2]), raw[:, 2:].round()], 1).float()
    kernel = Mixed(LogLinear(9, -6), [0, 0, 2])
    base = fit_columns(x_0, kernel.columns, maps)
    (size,) = kernel.feature_shape((3,))
    model = devices.moved(MixedDenoiser(small(size, outputs=2), kernel, base), META).eval()
    rows = torch.zeros(3, 3, device=META)
    told = model.told(Given({CELLS: rows}))
    for asked in (model, told):
        assert not reads_of(lambda asked=asked: asked.step(rows, T, S).sample(streams()))


def test_nor_does_guidance():
    a, b = plain(), plain(1)
    b.kernel = a.kernel
    assert not waits(Guided(a, b, 2.0))


@pytest.mark.parametrize("signs", [0, 2])
def test_a_walk_along_the_flow_does_not_wait(signs):
    """And a level's noise neither; the errors are worked out there."""
    model, grid = plain(), grids.logsnr(LogLinear(), 7, 1e-3)
    model.requires_grad_(False)
    x = torch.zeros(4, 4, device=META)
    with Hosted() as counted:
        y, _ = dequantized(x, "truncated", 0.1, 0.1, Streams(0, rows=range(4)))
        log_prob(model, y, grid=grid, generator=Streams(0, rows=range(4)), signs=signs)
    assert not counted.wide and not counted.waits


def reads_of(work) -> Counter[str]:
    with Hosted() as counted, torch.no_grad():
        work()
    assert not counted.wide
    return counted.waits


@pytest.mark.parametrize(
    "kernel", **each({n: k for n, k in KERNELS.items() if n in ("gaussian", "binomial")})
)
def test_a_bound_waits_as_often_however_long_its_chain(kernel):
    model, x_0 = on_device(Denoiser(small(3), kernel)), torch.zeros(3, 3, device=META)
    with Hosted(), torch.no_grad():
        model.kernel.schedule.logsnr(T)  # what is learned is read once
    found = [
        reads_of(lambda n=n, k=k: nelbo(model, x_0, grid=grids.uniform(n), generator=streams(), terms=k))
        for n, k in ((3, None), (9, None), (9, 2), (9, 5))
    ]
    assert all(each == found[0] for each in found) and found[0].total() <= 6, found


def test_nor_for_what_a_control_takes_off():
    """As often for many terms as for few."""
    model, base = plain(), GaussianBase(torch.zeros(4).double(), torch.ones(4).double())
    control = LinearControl(base, model.kernel, META)
    assert base.mean.device.type == "cpu"
    drawing = Drawing(Drawing.even(8).shares, torch.ones(8, dtype=torch.float64), control)
    how = {"grid": grids.uniform(9), "drawing": drawing}
    x_0 = torch.zeros(3, 4, device=META)
    found = [reads_of(lambda k=k: nelbo(model, x_0, generator=streams(), terms=k, **how)) for k in (2, 5)]
    assert found[0] == found[1] and found[0].total() <= 7, found


def test_a_learned_schedule_is_read_again_only_once_it_has_changed():
    schedule = deepcopy(SCHEDULES["learned"][1]).to(META)
    once = reads_of(lambda: schedule.logsnr(T)).total()
    assert once == 3 and not reads_of(lambda: (schedule.logsnr(T), schedule.slope(S)))
    with torch.no_grad():
        schedule.raw.add_(1)
    assert reads_of(lambda: schedule.logsnr(T)).total() == 1
    schedule.top.data = torch.zeros((), device=META)
    assert reads_of(lambda: schedule.logsnr(T)).total() <= 1


def streams() -> Streams:
    return Streams(0, rows=range(3))


def test_everything_is_made_without_memory():
    """Networks and schedules of every kind, on a device that has none."""
    with META:
        for makers in NETWORKS.values():
            for make in makers:
                assert all(p.device == META for p in make(SHAPE).parameters())
    for schedules in SCHEDULES.values():
        for schedule in schedules:
            assert isinstance(schedule.logsnr(T), Tensor)
