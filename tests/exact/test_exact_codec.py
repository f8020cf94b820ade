"""Sizes of files against entropies and bounds, and the best chains against all of them."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from compressors import exact, gaussian, pictures
from oracles import Constant, f64, normals
from undiffuse import bounds, codec
from undiffuse.bounds.chains import Costs
from undiffuse.codec import planning
from undiffuse.codec.alphabet import lattice
from undiffuse.codec.chain import Chain
from undiffuse.codec.channel import CANDIDATES, _blocks, _draws, _pick, _rank
from undiffuse.codec.coder import QueueReader, QueueWriter, Stack
from undiffuse.codec.rounding import Follower, Recorder
from undiffuse.distributions import Normal
from undiffuse.kernels import Binomial, Categorical, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, DiscretizedDecoder, Posterior
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, Cosine, grids

COARSE = grids.uniform(12)  # what a plan is looked for on takes time by its square


def coded_bits(data: bytes) -> float:
    """Of the examples alone, a value."""
    found = codec.account(data)
    return found.share(found.data)


def test_independent_bits_cost_their_entropy():
    """The chain says nothing that is not known, so that the bound is the entropy."""
    p, n = torch.tensor([0.03, 0.5, 0.8, 0.2]), 3000
    x = torch.from_numpy(np.random.default_rng(0).random((n, 4)) < p.numpy()).to(torch.uint8)
    model = Denoiser(Constant(p.logit()), Binomial(ConstantFraction(), 0.3))
    surprise = -(p.log2() * x + (1 - p).log2() * (1 - x))
    for steps in (1, 3):
        plan = codec.Plan(10, (0, 4, 9)[3 - steps :])
        data = codec.compress(model, x, grid=grids.uniform(10), plan=plan)
        one = posterior_bound(model, x, plan)
        assert coded_bits(data) == pytest.approx(one, rel=0.01, abs=64 / x.numel())
        assert coded_bits(data) >= surprise.mean() - 64 / x.numel()
    only = codec.Plan(10, (9,))
    model = Denoiser(Constant(p.logit()), Binomial(ConstantFraction(), 0.3))
    data = codec.compress(model, x, grid=grids.uniform(10), plan=only)  # x_1 forgets everything
    assert coded_bits(data) == pytest.approx(surprise.mean().item(), abs=0.002)
    entropy = -(p * p.log2() + (1 - p) * (1 - p).log2()).mean().item()
    assert coded_bits(data) == pytest.approx(entropy, abs=4 * surprise.mean(1).std().item() / n**0.5)


def posterior_bound(model: Denoiser, x: torch.Tensor, plan: codec.Plan) -> float:
    """Of these examples on the plan's chain, in bits a value."""
    found = bounds.evaluate(model, x.float(), grid=plan.grid(grids.uniform(plan.base)))
    return found.total.mean


def test_symbols_cost_their_entropy():
    p, n = torch.tensor([0.7, 0.2, 0.08, 0.02]), 2000
    x = torch.multinomial(p, 2 * n, True, generator=keyed("symbols")).view(n, 2).to(torch.uint8)
    model = Denoiser(Constant(p.log().repeat_interleave(2)), Categorical(ConstantFraction(), 4))
    data = codec.compress(model, x, grid=grids.uniform(5), plan=codec.Plan(5, (4,)))
    surprise = -p.log2()[x.long()]
    assert coded_bits(data) == pytest.approx(surprise.mean().item(), abs=0.003)


def sampled(model: Denoiser, n: int, seed: int = 0) -> torch.Tensor:
    """Levels of the normal data that `exact` is the denoiser of."""
    law, levels = model.network.exact, model.decoder.levels
    x = law.mean + law.var.sqrt() * normals(n, len(law.mean), seed=seed)
    return ((x + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1).to(torch.uint8)


def bound(model: Denoiser, x: torch.Tensor, method: str, plan: codec.Plan) -> tuple[float, float]:
    """Mean and standard error of the bound on the plan's chain, bits a value."""
    grid = plan.grid(COARSE)
    planned = codec.planned(codec.METHODS[method].model(model), grid, plan)
    found = bounds.evaluate(planned, codec.files.space(model).encode(x), grid=grid)
    return found.total.mean, found.total.se


@pytest.mark.slow
@pytest.mark.parametrize(("method", "above"), [("lossless", 0.01), ("universal", 0.01)])
def test_gaussian_chains_cost_their_bound(method, above):
    model = exact()
    x = sampled(model, 600)
    plan = codec.choose(model, x, method=method, grid=COARSE, knots=[5]).best(len(x), 5).plan
    value, se = bound(model, x, method, plan)
    entropy = -np.log2(probabilities(model, x)).mean()
    found = coded_bits(codec.compress(model, x, method=method, grid=COARSE, plan=plan))
    assert found == pytest.approx(value, rel=above, abs=3 * se)
    assert value > entropy - 3 * se and found > entropy - 0.01  # and none is below the truth


def probabilities(model: Denoiser, x: torch.Tensor) -> np.ndarray:
    """True ones of the levels."""
    law, step = model.network.exact, 2 / (model.decoder.levels - 1)
    true = stats.norm(law.mean.numpy(), law.var.sqrt().numpy())
    middle = x.numpy() * step - 1
    low = np.where(x == 0, -np.inf, middle - step / 2)
    high = np.where(x == model.decoder.levels - 1, np.inf, middle + step / 2)
    return true.cdf(high) - true.cdf(low)


@pytest.mark.slow
def test_finer_cells_cost_nothing():
    model = exact()
    x = sampled(model, 500)
    plan = codec.choose(model, x, grid=COARSE, knots=[5]).best(len(x), 5).plan
    plans = [replace(plan, resolution=fine) for fine in (1, 3, 8)]
    sizes = [coded_bits(codec.compress(model, x, grid=COARSE, plan=each)) for each in plans]
    assert sizes[0] > sizes[1] - 0.02 and sizes[1] == pytest.approx(sizes[2], abs=0.02)


def test_the_start_is_one_groups_and_the_first_example_pays_it():
    data = codec.compress(exact(), sampled(exact(), 300), grid=COARSE, steps=4)
    found = codec.account(data)
    assert 0 < found.start < 8 * 40  # about one latent of one example


def test_the_best_chains_are_the_best_of_all():
    g, n = np.random.default_rng(0), 6
    steps = torch.full((n, n), torch.inf).double()
    steps[np.triu_indices(n, 1)] = torch.from_numpy(g.random(n * (n - 1) // 2))
    costs = Costs(grids.uniform(n), torch.from_numpy(g.random(n)), steps, *[torch.zeros(n, 0)] * 3, 0.5)
    for k, found in enumerate(costs.best(9), 1):
        every = {}
        for places in itertools.combinations(range(n), k):
            if places[-1] == n - 1:
                cost = costs.first[places[0]] + sum(steps[a, b] for a, b in itertools.pairwise(places)) + 0.5
                every[places] = float(cost)
        assert found.nats == pytest.approx(min(every.values())) and every[found.places] == min(every.values())
    assert len(costs.best(9)) == n and len(costs.best(2)) == 2


def test_costs_of_a_chain_are_its_bound():
    model, grid = exact(), grids.uniform(8)
    x = codec.files.space(model).encode(sampled(model, 800))
    how = codec.METHODS["lossless"]
    option = planning.trade(how, model, x, grid, 8, levels=64, knots=[3]).best(800, 4)
    plan, bits = option.plan, option.bits
    (found,) = bounds.costs(model, x, grid=grid, generator=keyed("und", "plan"), knots=[3])
    wide, knots = codec.planned(model, plan.grid(grid), plan), found.knots(found.best(4)[3].places)
    assert (wide.variance.knots[1:] - knots[1:]).abs().max() <= 1 / 16  # half a code
    assert (wide.decoder.knots - knots[0]).abs().max() <= 1 / 16
    report = bounds.evaluate(wide, x, grid=plan.grid(grid))
    assert bits == pytest.approx(report.total.mean, abs=5 * report.total.se)
    for row, by in itertools.product(range(4), (16, -16)):
        codes = [list(each) for each in plan.codes]
        codes[row] = [max(0, code + by) for code in codes[row]]
        other = replace(plan, codes=codes)
        off = bounds.evaluate(codec.planned(model, plan.grid(grid), other), x, grid=plan.grid(grid))
        assert off.total.mean > report.total.mean


def test_a_longer_choice_is_never_worse():
    """On the same costs; with learned variances and with best ones, and what `choose` says of them."""
    for variance in ("forward", "free"):
        model = gaussian(variance=variance)
        x, knots = 2 * torch.rand(8, 4) - 1, 2 * (variance != "free")
        (found,) = bounds.costs(model, x, grid=grids.uniform(9), generator=keyed(1), knots=[knots])
        best = [each.nats for each in found.best(9)]
        assert all(math.isfinite(each) for each in best)
        longest = found.best(9)[-1]
        assert longest.places == tuple(range(9)) and found.knots(longest.places).shape == (9, knots)
    trade = codec.choose(gaussian(), pictures(4, 3), grid=grids.uniform(9))
    assert [each.steps for each in trade.options] == [*range(1, 10)] and trade.held == 0
    best, sizes = trade.best(4), [trade.size(each, 4) for each in trade.options]
    assert best.plan.places[-1] == 8 and trade.size(best, 4) <= 1.03 * min(sizes)
    assert trade.best(4, 4).steps == len(trade.best(4, 4).plan.codes) == 4
    for count, options, knots in ((4, {}, {1}), (800, {}, {1, 5, 17}), (4, {"knots": [5]}, {5})):
        trade = codec.choose(gaussian(), pictures(count, 11), grid=grids.uniform(3), **options)
        assert {len(each.plan.codes[1]) for each in trade.options if each.steps == 2} == knots
    for knots in (0, 65):
        with pytest.raises(ValueError, match=f"knots={knots}"):
            codec.choose(gaussian(), pictures(4, 3), knots=[knots])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lossless", "universal"])
def test_what_is_expected_is_of_new_data(method):
    """Chains fitted to few examples cost these less than others; weighed on others, as much as on any."""
    model, grid = exact(size=4), grids.uniform(6)
    few, new, more = (sampled(model, n, seed) for n, seed in ((6, 1), (500, 2), (2000, 3)))
    fitted, weighed = (
        codec.choose(model, few, new=each, method=method, grid=grid, knots=[9]) for each in (None, new)
    )
    for steps in (1, 3):
        own, true = fitted.best(100, steps), weighed.best(100, steps)
        assert own.plan == true.plan and (fitted.held, weighed.held) == (0, 500)
        planned = codec.planned(codec.prepared(model, method), true.plan.grid(grid), true.plan)
        x_0 = codec.files.space(model).encode(more)
        report = bounds.evaluate(planned, x_0, grid=true.plan.grid(grid))
        error = (true.se**2 + report.total.se**2) ** 0.5
        assert true.bits == pytest.approx(report.total.mean, abs=4 * error + 0.02)
        assert own.bits < true.bits - 4 * true.se
    refitted = codec.choose(model, more[:500], new=new, method=method, grid=grid, knots=[9])
    assert refitted.best(100, 3).bits < true.bits  # more examples make the better plan


@pytest.mark.parametrize("method", ["lossless", "universal", "channel"])
def test_expected_sizes_are_those_of_files(method):
    """Header, first bits and all, whatever the number of examples; and few of them get a short plan."""
    model, grid = exact(size=16), grids.uniform(10)
    train, new = sampled(model, 300, 1), sampled(model, 300, 2)
    trade = codec.choose(model, train, new=new, method=method, grid=grid, knots=[1, 9])
    for count, steps in ((2, 1), (2, 4), (60, 2), (60, None)):
        option, x = trade.best(count, steps), sampled(model, count, 3)
        size = len(codec.compress(model, x, method=method, grid=grid, plan=option.plan))
        assert trade.size(option, count) == pytest.approx(
            size, rel=0.05 + 0.05 * (method == "channel"), abs=12
        )
    sizes = [trade.size(each, 2) for each in trade.options]
    assert len(trade.best(2).plan.codes[0]) == 1 and trade.size(trade.best(2), 2) <= 1.03 * min(sizes)


def test_reverse_channel_draws_follow_q():
    """Blocks of one number: mean and variance of what is picked are those of q, nearly."""
    aim, ratio, n = 1.2, 0.3, 400
    draws, one = _draws(torch.zeros(n, 1), 1, 2, 0), np.ones((1, 1))
    found = np.array([_pick(aim * one, ratio * one, each)[1][0, 0] for each in draws])
    assert found.mean() == pytest.approx(aim, abs=4 * (ratio / n) ** 0.5 + 0.01)
    assert found.var() == pytest.approx(ratio, rel=4 * (2 / n) ** 0.5 + 0.03)


def test_blocks_hold_every_element_once():
    x = torch.arange(14).view(2, 7).double()
    blocks = _blocks(x, 3)
    assert blocks.shape == (2, 3, 3)
    assert sorted(blocks[1].ravel().tolist()) == [0, 0, *range(7, 14)]  # filled up with zeros
    assert _blocks(x, 3, 1.0).sum() == blocks.sum() + 4


def test_universal_draws_have_the_bridges_moments():
    """What the decoder receives is uniform about the bridge's mean, whatever the data."""
    model = exact(size=1)
    how = codec.METHODS["universal"]
    chain = Chain(how.model(model), (1,), codec.Plan(50, (9, 30), ((224,), (4,))), grids.uniform(50))
    x, x_0, out, sides = normals(4000, 1), normals(4000, 1, seed=1).clamp(-1, 1), QueueWriter(), Recorder()
    sent = how.send(chain, 2, x, x_0, out, sides, 0)
    got = how.receive(chain, 2, x, QueueReader(out.words()), Follower(sides.sides), 0)
    assert torch.equal(sent, got)
    bridge = chain.model.kernel.bridge(x_0, x, *chain.grid)
    away = (sent - bridge.mean) / bridge.width
    assert away.abs().max() <= 0.5 + 1e-9
    assert away.mean().abs() < 4 / (12 * 4000) ** 0.5 and away.var() == pytest.approx(1 / 12, rel=0.06)
    assert np.corrcoef(away.ravel(), x_0.ravel())[0, 1] == pytest.approx(0, abs=0.06)


def test_a_kernel_of_any_schedule_and_posterior_variance_beats_none():
    model = Denoiser(
        Constant(torch.zeros(3)), Gaussian(Cosine(20)), X0(), Posterior(), DiscretizedDecoder(16)
    )
    x = torch.full((200, 3), 8, dtype=torch.uint8)
    assert coded_bits(codec.compress(model, x)) < 4.0


@pytest.mark.parametrize("word", [1, 2**32 - 1], ids=["low", "high"])
def test_a_draw_stays_near_its_mean(word: int):
    """Bits that draw the last cell a law knows give that cell, and come back; once in ten million they do."""
    cells, rounding = lattice(0.01, 3.0), Recorder()
    law = cells.law(Normal(torch.linspace(-1, 1, 50).double(), f64(0.0004)), rounding, 0, closed=True)
    stack = Stack(np.full(200, word, np.uint32), 0)
    before = stack.words()[0]
    drawn = stack.pop(law)
    assert np.abs(cells.values(drawn) - np.linspace(-1, 1, 50)).max() <= 0.02 * 10 + 0.03
    stack.push(law, drawn)
    assert np.array_equal(stack.words()[0], before)
    with pytest.raises(ValueError, match="no encoder"):
        stack.push(law, drawn + 100)


def test_numbers_far_from_their_mean_are_written_out():
    """As far as the lattice goes, which their law does not; among others that are near."""
    cells = lattice(0.01, 3.0)
    law = cells.law(Normal(torch.linspace(-1, 1, 50).double(), f64(0.0004)), Recorder(), 0)
    stack = Stack(np.full(200, 123456789, np.uint32), 0)
    numbers = stack.pop(law)
    numbers[::7] = numbers[::7] + np.where(numbers[::7] < 0, 2, -2) * law.reach
    numbers[0], numbers[49] = law.ends
    assert (np.abs(numbers - law.base) > law.reach).sum() >= 8
    stack.push(law, numbers)
    assert np.array_equal(stack.pop(law), numbers)


def test_a_chain_draws_by_closed_laws():
    """Or one draw in ten million would be anywhere, and no decoder would know."""
    chain = Chain(gaussian(), (3,), codec.Plan(20, (4, 19)), grids.uniform(20))
    assert all(chain.forward(i, np.zeros((1, 3)), Recorder(), 0).closed for i in (1, 2))
    assert not chain.prior(1, Recorder(), 0).closed


@pytest.mark.parametrize("bits", [0.0, 3.3, 7.0])
def test_a_picks_number_costs_what_its_law_says(bits):
    """The law falls like j^-(1 + 1/(I + 1.6)) over the candidates, I bits of KL (Theis & Ahmed 2022)."""
    weights = np.arange(1, CANDIDATES + 1) ** -(1 + 1 / (bits + 1.6))
    for number in (1, 2, 40, 700):
        out = QueueWriter()
        out.push(_rank(round(10 * bits), 2000), np.full(2000, number - 1, np.int32))
        cost = 32 * len(out.words()) / 2000
        assert cost == pytest.approx(-np.log2(weights[number - 1] / weights.sum()), abs=0.05)
