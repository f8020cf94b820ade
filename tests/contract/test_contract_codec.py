"""What a file gives back is what went in: every method, kernel, shape and number of levels; and refusals."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from compressors import SYMBOLS, gaussian, pictures, symbols, unet, universal
from oracles import Constant, f64
from undiffuse import codec
from undiffuse.codec.chain import Chain
from undiffuse.codec.container import EXTRA
from undiffuse.conditions import Classes
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MLP
from undiffuse.parameterizations import X0, DiscretizedDecoder, Forward
from undiffuse.posteriors import Noisy
from undiffuse.schedules import ConstantFraction, Cosine, Linear, grids
from watched import reports, watched

SHAPES = [(5,), (2, 7), (1, 5, 3), (3, 4, 4), (1, 1, 1), (1,)]
FAST = {"grid": grids.uniform(6), "plan": codec.Plan(6, (1, 3, 5))}
CHOSEN = {"grid": grids.uniform(6), "steps": 3}


def there_and_back(model: Denoiser, x: Tensor, method: str = "lossless", **options: object) -> bytes:
    """The file of x, after a check that it gives back x."""
    grid = options.get("grid")
    data = codec.compress(model, x, method=method, **options)
    found = codec.decompress(model, data, grid=grid)
    assert found.dtype == x.dtype
    assert torch.equal(found, x)
    return data


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape(method, shape):
    there_and_back(gaussian(), pictures(3, *shape), method, **FAST)


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("levels", [2, 3, 17, 256, 5000, 65536])
def test_every_number_of_levels(method, levels):
    x = pictures(3, 4, levels=levels)
    x[0], x[1] = 0, levels - 1
    there_and_back(gaussian(levels), x, method, **FAST)


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("variance", ["posterior", "forward", "interpolated", "free"])
def test_every_variance(method, variance):
    there_and_back(gaussian(variance=variance), pictures(3, 6), method, **CHOSEN)


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("variance", ["interpolated", "free"])
def test_a_model_of_universal_steps(method, variance):
    there_and_back(universal(variance=variance), pictures(3, 1, 3, 3), method, **FAST)


@pytest.mark.parametrize("name", SYMBOLS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 3)], ids=str)
def test_symbols(name, shape):
    model = SYMBOLS[name]()
    there_and_back(model, pictures(7, *shape, levels=model.kernel.symbols), **FAST)


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("count", [1, 2, 33])
def test_every_number_of_examples(method, count):
    there_and_back(gaussian(), pictures(count, 3), method, **FAST)


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_every_number_of_steps(method, steps):
    there_and_back(gaussian(), pictures(2, 3), method, plan=codec.Plan(20, tuple(range(20 - steps, 20))))


@pytest.mark.parametrize("method", codec.METHODS)
def test_a_chain_of_one_step(method):
    there_and_back(gaussian(), pictures(2, 3), method, grid=grids.uniform(1))


def test_the_same_call_gives_the_same_file():
    for method in codec.METHODS:
        a, b = (codec.compress(gaussian(), pictures(5, 3), method=method, **CHOSEN) for _ in range(2))
        assert a == b


@pytest.mark.parametrize("method", codec.METHODS)
@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_data(method, value):
    there_and_back(gaussian(), torch.full((4, 1, 3, 3), value, dtype=torch.uint8), method, **FAST)


def test_several_stacks(monkeypatch):
    """More values than one stack holds."""
    monkeypatch.setattr("undiffuse.codec.lossless.STACKED", 10)
    data = there_and_back(gaussian(), pictures(7, 4), **FAST)
    assert [count for count, _ in codec.unpack(data)[0].chunks] == [2, 2, 2, 1]


def test_several_batches(monkeypatch):
    """More examples than go through the network at once, in every method."""
    monkeypatch.setattr("undiffuse.codec.method.cpu_block", lambda shape: 2)
    monkeypatch.setattr("undiffuse.codec.lossless._most", lambda shape: 2)
    for method in codec.METHODS:
        there_and_back(gaussian(), pictures(21, 4), method, **FAST)


def test_close_calls_are_those_of_their_group(monkeypatch):
    """With a wide edge every group has many, at every step, and none is taken for another's."""
    monkeypatch.setattr("undiffuse.codec.rounding.EDGE", 0.01)
    data = there_and_back(gaussian(), pictures(40, 6), **FAST)
    assert codec.account(data).calls > 100


@pytest.mark.parametrize("method", codec.METHODS)
def test_random_cases(method):
    """Shapes, levels, chains and data by a seeded die."""
    r = np.random.default_rng(list(codec.METHODS).index(method))
    for case in range(8):
        shape = tuple(r.integers(1, 5, size=r.integers(1, 4)).tolist())
        levels, count = int(r.choice([2, 5, 256, 1000])), int(r.integers(1, 9))
        x = pictures(count, *shape, levels=levels, seed=case)
        if r.random() < 0.3:
            x = x.clamp(min=levels // 2)
        model = gaussian(levels, str(r.choice(["posterior", "free"])), seed=case)
        there_and_back(model, x, method, grid=grids.uniform(int(r.integers(2, 9))), steps=2)


def test_there_and_back_the_same_steps_are_reported():
    for method in codec.METHODS:
        (here, coded), (there, decoded) = watched(), watched()
        x, model = pictures(21, 4), gaussian()
        plan = codec.choose(model, x, method=method, grid=FAST["grid"]).best(21, 3).plan
        data = codec.compress(model, x, method=method, grid=FAST["grid"], plan=plan, track=here)
        codec.decompress(model, data, grid=FAST["grid"], track=there)
        groups = 17 if method == "lossless" else 1  # of one example at first, then two
        assert [reports(coded), reports(decoded)] == [3 * groups] * 2


def test_a_model_of_one_label():
    model, x = unet(conditions={"kind": Classes(3)}), pictures(2, 1, 8, 8)
    data = there_and_back(model.given(1), x, **FAST)
    for other in (model.given(2), model):
        with pytest.raises(ValueError, match="another model"):
            codec.decompress(other, data, grid=FAST["grid"])
    with pytest.raises(ValueError, match="3 conditions for 2 examples"):
        codec.compress(model.given(torch.tensor([0, 1, 1])), x)


@pytest.mark.parametrize("method", sorted(codec.METHODS))
def test_a_condition_for_each_example(method):
    """Every example is coded given its own, in groups of any size; another's does not read it."""
    model = unet(conditions={"kind": Classes(3)})
    x, labels = pictures(20, 1, 8, 8), torch.arange(20) % 3
    there_and_back(model.given(labels), x, method, **FAST)
    data = codec.compress(model.given(labels), x, method=method, **FAST)
    with pytest.raises(ValueError, match="another model"):
        codec.decompress(model.given(labels.flip(0)), data, grid=FAST["grid"])
    alone = Chain(model.given(labels), (1, 8, 8), codec.Plan(2, (0, 1)), grids.uniform(2))
    values = alone.tensor(np.zeros((3, 64)))
    for rows in (slice(0, 3), slice(4, 7)):
        own = alone.rows(rows).back(2, values).mean
        for number, label in enumerate(labels[rows]):
            one = Chain(model.given(int(label)), (1, 8, 8), codec.Plan(2, (0, 1)), grids.uniform(2))
            torch.testing.assert_close(one.back(2, values).mean[number], own[number])


@pytest.mark.parametrize("method", ["universal", "channel"])
def test_every_prefix_decodes_and_the_error_falls(method):
    """The file cut off anywhere behind its header; `bits` say the same; the distortion falls."""
    model, x = smooth(), (torch.linspace(30, 220, 64).view(8, 8) + 5 * pictures(6, 8, 8, levels=3)).byte()
    data = codec.compress(model, x, method=method, plan=codec.Plan(20, (1, 3, 6, 10, 19)))
    _header, parts = codec.unpack(data)
    body, errors = sum(map(len, parts)), []
    for end in np.cumsum([0, *map(len, parts)]).tolist():
        found = codec.decompress(model, data[: len(data) - body + end])
        assert torch.equal(found, codec.decompress(model, data, bits=8 * end / x.numel()))
        errors.append((found.double() - x.double()).square().mean().sqrt().item())
    assert errors[-1] == 0 and all(b < a for a, b in itertools.pairwise(errors))
    cut = codec.decompress(model, data[:-1])
    assert (cut.double() - x.double()).square().mean().sqrt() == pytest.approx(errors[-2])
    for end in range(len(data) - body):
        with pytest.raises(ValueError, match=r"header|begin"):
            codec.decompress(model, data[:end])


def smooth() -> Denoiser:
    """A denoiser of values near the middle: x_t shrunk as for normal data of variance 0.3."""

    class Shrink(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            keep = kernel.schedule.keep(t.double()).view(-1, *[1] * (x.ndim - 1))
            return keep.sqrt() * 0.3 / (0.3 * keep + 1 - keep) * x

    kernel = Gaussian(Linear(1e-3, 0.3, steps=20))
    return Denoiser(Shrink(), kernel, X0(), Forward(), DiscretizedDecoder(256))


def test_what_is_refused_to_compress():
    x, bits = pictures(2, 3), symbols(Binomial(ConstantFraction(), 0.2))
    continuous = Denoiser(MLP((3,), 4, 1), Gaussian(Linear()))
    for model, data, options, wrong in (
        (continuous, x, {}, "continuous data"),
        (gaussian() * Noisy(torch.zeros(3), 1.0), x, {}, "no product"),
        (gaussian(), x[:0], {}, "no examples"),
        (gaussian(), x.float(), {}, "not whole numbers"),
        (gaussian(100), x, {}, "not level numbers"),
        (gaussian(), x.int() - 300, {}, "not level numbers"),
        (bits, pictures(2, 3, levels=3), {}, "not level numbers"),
        (gaussian(), x, {"method": "zip"}, "method='zip'"),
        (gaussian(), x, {"steps": 21}, "steps=21"),
        (gaussian(), x, {"steps": 0}, "steps=0"),
        (gaussian(), x, {"steps": -3}, "steps=-3"),
        (bits, pictures(2, 3, levels=2), {"method": "universal"}, "--lossy"),
        (bits, pictures(2, 3, levels=2), {"method": "channel"}, "--lossy"),
        (gaussian(), x, {"extra": bytes(EXTRA + 1)} | FAST, "names and sizes"),
        (net(), pictures(2, 4), CHOSEN, r"shape \(4,\)"),
        (gaussian(), x, {"grid": f64(0.5, 0.2, 1.0)}, "grid"),
    ):
        with pytest.raises(ValueError, match=wrong) as error:
            codec.compress(model, data, **options)
        assert "\n" not in str(error.value)


def net() -> Denoiser:
    """A network for vectors of three."""
    return Denoiser(MLP((3,), 4, 1), Gaussian(Linear(steps=20)), decoder=DiscretizedDecoder(256))


def test_what_is_refused_to_decompress():
    x, model = pictures(2, 3), gaussian()
    data, lossy = (codec.compress(model, x, method=how, **FAST) for how in ("lossless", "universal"))
    bits = symbols(Binomial(ConstantFraction(), 0.2))
    for known, file, options, wrong in (
        (model, b"", {}, "begin"),
        (model, b"\x89PNG\r\n\x1a\n" + data, {}, "begin"),
        (model, data[:8] + b"\x02" + data[9:], {}, "version 2"),
        (model, data + b"x", {}, "1 bytes too many"),
        (model, data[:-1], {}, "cut off within chunk 1"),
        (model, data, {"bits": 1.0}, "--lossy"),
        (model, lossy, {"bits": -1.0}, "bits=-1"),
        (model, lossy, {"bits": float("nan")}, "bits=nan"),
        (model, data, {"values": 5}, "5 allowed"),
        (model, data, {"shape": (4,)}, r"shape \(3,\)"),
        (model, data, {"grid": grids.uniform(7)}, "6 steps"),
        (gaussian(seed=2), data, {}, "another model"),
        (gaussian(255), data, {}, "another model"),
        (bits, data, {}, "another model"),
        (gaussian(kernel=Gaussian(Cosine(20))), data, {}, "another kernel"),
    ):
        with pytest.raises(ValueError, match=wrong) as error:
            codec.decompress(known, file, **({"grid": FAST["grid"]} | options))
        assert "\n" not in str(error.value)
    assert torch.equal(codec.decompress(model, lossy, grid=FAST["grid"], bits=float("inf")), x)


def test_the_account_is_of_every_byte():
    for method in codec.METHODS:
        data = codec.compress(gaussian(), pictures(40, 6), method=method, **FAST)
        found = codec.account(data)
        assert found.total == 8 * len(data) == found.header + found.calls + found.start + found.data
        assert min(found.header, found.data) > 0 <= found.start and found.calls < 100
        assert (found.start > 0) == (method == "lossless") and found.values == 240


def test_labels_and_plans_can_be_given():
    model, x = gaussian(), pictures(4, 3)
    plan = codec.Plan(20, (4, 11, 19), ((220, 210), (30, 40), (10, 20)), 8)
    data = codec.compress(model, x, plan=plan, extra=b"mine")
    header, _ = codec.unpack(data)
    assert (header.plan, header.extra, header.count, header.shape) == (plan, b"mine", 4, (3,))
    assert torch.equal(codec.decompress(model, data), x)
    wider = codec.compress(model, x, plan=replace(plan, codes=(plan.codes[0], (200, 200), (200, 200))))
    assert len(wider) > len(data)


@pytest.mark.parametrize(
    "kernel", [Binomial(ConstantFraction()), Categorical(Cosine(20), 3), Absorbing(ConstantFraction(), 3)]
)
def test_what_the_model_thinks_impossible_is_coded_all_the_same(kernel):
    """Predictions of 0 and 1, and data that are the other."""
    sure = torch.tensor([100.0]) if kernel.channels == 1 else 100 * torch.eye(kernel.channels)[0]
    model = Denoiser(Constant(sure if kernel.channels == 1 else sure.view(-1)), kernel)
    x = pictures(3, 1, levels=kernel.symbols)
    x[0] = 0
    there_and_back(model, x, **FAST)
