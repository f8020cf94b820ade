"""What has no density is refused, with keys to set that work; what has one is let through."""

import math
import re

import numpy as np
import pytest
import torch
import yaml

from undiffuse.data import Affine, Array, Rows
from undiffuse.data.continuous import FINE
from undiffuse.data.dequantize import bare, dithered
from undiffuse.data.source import Splits
from undiffuse.kernels import Gaussian
from undiffuse.recipes.reading import read, shipped
from undiffuse.recipes.recipe import Recipe

R = np.random.default_rng(0)
NORMAL = 0.5 * math.log2(2 * math.pi * math.e)  # bits of N(0, 1)


def load(tmp_path, array, **options):
    np.save(tmp_path / "a.npy", array)
    return Array(tmp_path / "a.npy", **options).load()


def normal(mean: float, *shape: int) -> np.ndarray:
    return mean + R.normal(size=shape)


HONEST = {
    "far": normal(3e7, 4000, 2),
    "farther": normal(1e8, 4000, 2),
    "near-float32": normal(0, 400_000, 2).astype("f4"),
    "offset-float32": (300 + 10 * R.normal(size=(20_000, 3))).astype("f4"),
    "uniform-float32": R.random((300_000, 1), dtype="f4"),
    "pictures": R.random((400, 1, 16, 16), dtype="f4"),
    "wide": normal(5, 300, 700).astype("f4"),
    "heavy-tails": R.standard_cauchy((5000, 2)),
    "log-normal": np.exp(3 * R.normal(size=(5000, 1))).astype("f4"),
    "tiny": 1e-30 * normal(1, 1000, 2),
    "huge": 1e30 * normal(1, 1000, 2),
    "large-integers": np.round(1e7 * R.normal(size=(5000, 1))),  # steps of 1e-7 standard deviations
    "pairs": np.repeat(normal(0, 5000, 2), [2] * 2 + [1] * 4998, 0),
    **{f"small-{n}": normal(3, n, 2) for n in (3, 5, 8, 12, 30)},
    **{f"small-{n}-float32": normal(3, n, 2).astype("f4") for n in (3, 5, 8, 12, 30, 100)},
}


@pytest.mark.parametrize("name", HONEST)
def test_what_has_a_density_is_let_through(tmp_path, name):
    array = HONEST[name]
    splits = load(tmp_path, array)
    assert splits.levels is None
    assert splits.train.dtype == (torch.float64 if array.dtype == np.float64 else torch.float32)
    Affine.fit(splits.train).encode(splits.train[:])


@pytest.mark.parametrize("mean", [100, 150, 200, 255, 256, 300, 500, 511, 600, 1000, 3000])
def test_float32_far_from_zero_is_refused_when_it_is_loaded_or_not_at_all(tmp_path, mean):
    for n in (6, 300, 5000):
        try:
            train = load(tmp_path, normal(mean, n, 1).astype("f4")).train
        except ValueError as error:
            assert mean >= 150 and "data.spacing=" in str(error)
        else:
            assert mean < 300
            Affine.fit(train).encode(train)


@pytest.mark.slow
def test_small_sets_are_not_refused_by_chance(tmp_path):
    for seed in range(150):
        r = np.random.default_rng(seed)
        for dtype in ("f4", "f8"):
            load(tmp_path, r.normal(size=(int(r.integers(2, 20)), 3)).astype(dtype))


def zero_inflated(share: float) -> np.ndarray:
    rain = np.exp(R.normal(size=(4000, 1))) * (R.random((4000, 1)) > share)
    return np.hstack([normal(0, 4000, 1), rain])


COARSE = {
    "far-float32": (normal(3e7, 4000, 2).astype("f4"), "column 0 goes in steps of 2"),
    "farther-float32": (normal(1e8, 4000, 2).astype("f4"), r"column 0 is always 1e\+08.* data\.spacing=8 "),
    "farthest-float32-few": (1e8 + 8 * R.normal(size=(12, 2)).astype("f4"), "steps of 8"),
    "rounded-in-float64": (normal(3e7, 4000, 2).astype("f4").astype("f8"), "steps of 2"),
    "bits": (R.integers(0, 2, (500, 4)).astype("f4"), r"column 0 goes in steps of 1.*set data\.levels=2 if"),
    "integers": (
        R.integers(0, 17, (500, 8, 8)).astype("f8"),
        r": goes in steps of 1; set data\.levels=17 if",
    ),
    "integers-few": (R.integers(0, 900, (12, 3)).astype("f8"), "steps of 1"),
    "digits-flat": (
        (R.integers(0, 17, (500, 90)) * (np.arange(90) > 3)).astype("f4") / 16,
        r"column 0 is always 0, .* more columns; .* data\.spacing=0.0625 ",
    ),
    "negative": (R.integers(-40, 40, (500, 1)).astype("f4"), r"steps of 1; number them"),
    "cents": (np.round(np.exp(3 + R.normal(size=(2000, 1))), 2), "goes in steps of 0.01"),
    "cents-float32": (
        np.round(np.exp(3 + R.normal(size=(2000, 1))), 2).astype("f4"),
        "goes in steps of 0.01",
    ),
    "cents-few": (np.round(20 + 5 * R.normal(size=(20, 1)), 2), "goes in steps of 0.01"),
    "nickels": (np.round(20 * normal(30, 500, 1)) / 20, "goes in steps of 0.05"),
    "bytes": (R.integers(0, 256, (50, 1, 8, 8)).astype("f4") / 255, r"goes in steps of 0\.0039215"),
    "bytes-centred": (
        R.integers(0, 256, (50, 1, 8, 8)).astype("f4") / 127.5 - 1,
        r"goes in steps of 0\.00784",
    ),
    "constant": (np.hstack([normal(0, 500, 1), np.full((500, 1), 0.1)]), "column 1 is always 0.1"),
    "constant-pictures": (np.zeros((50, 1, 4, 4)), ": is always 0"),
    "mixed": (
        np.hstack([R.integers(0, 90, (900, 1)), normal(0, 900, 1), np.round(normal(5, 900, 2), 2)]),
        r"column 0 goes in steps of 1, column 2 .* 0\.01, .* data\.spacing=\[1, 0, 0\.01, 0\.01\]",
    ),
    "zero-inflated": (zero_inflated(0.6), r"column 1 repeats [56]\d\.\d\d% of its values, such as 0"),
    "a-few-zeros": (zero_inflated(0.01), r"column 1 repeats \d\.\d\d% of its values, such as 0"),
    "clipped": (normal(0, 4000, 1).clip(-1, 1), "repeats 3"),
    "float16": (normal(0, 4000, 2).astype("f2"), "column 0 repeats"),
    "small-float16": (normal(0, 12, 2).astype("f2"), r"steps of 0\.000[12]"),
    "one-in-a-hundred-at-300": (
        np.where(R.random((20_000, 1)) < 0.01, 300, 300 + 10 * R.normal(size=(20_000, 1))).astype("f4"),
        "such as 300;",
    ),
    "resampled": (R.choice(normal(0, 300, 1)[:, 0], (900, 1)), ": repeats 9"),
    "round-dollars-among-cents": (
        np.where(R.random((5000, 1)) < 0.3, 1e6, np.round(1e6 * R.random((5000, 1)), 2)),
        "repeats 30|repeats 29|repeats 31",
    ),
}


@pytest.mark.parametrize("name", COARSE)
def test_what_has_none_is_refused_and_the_spacing_that_is_named_works(tmp_path, name):
    array, message = COARSE[name]
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, array)
    said = str(caught.value)
    assert "\n" not in said and "a.npy has no density: " in said and "data.levels=" in said
    spacing = yaml.safe_load(re.search(r"data\.spacing=(\[[^]]*\]|\S+)", said).group(1))
    splits = load(tmp_path, array, spacing=spacing)
    assert splits.levels is None and splits.train.dtype == torch.float64
    levels = re.search(r"data\.levels=(\d+)", said)
    if levels:
        assert load(tmp_path, array, levels=int(levels.group(1))).levels == int(levels.group(1))


def test_rounding_takes_the_noise_away_again(tmp_path):
    array = normal(3e7, 500, 2).astype("f4").astype("f8")
    for memory in (0, 1):
        splits = load(tmp_path, array, spacing=[2, 2], memory=memory)
        assert isinstance(splits.train, Rows) == (memory == 0)
        everything = torch.cat([splits.train[:], splits.test[:]])
        rounded = (everything / 2).round() * 2
        assert sorted(map(tuple, rounded.tolist())) == sorted(map(tuple, array.tolist()))
        noise = everything - rounded
        assert abs(float(noise.mean())) < 5 / math.sqrt(12 * noise.numel()) * 2
        if memory == 0:
            first = everything
    assert torch.equal(first, everything)  # in memory or not


def test_columns_without_a_width_stay_as_they_are(tmp_path):
    array = np.hstack([R.integers(0, 9, (500, 1)), normal(0, 500, 1)])
    splits = load(tmp_path, array, spacing=[1, 0])
    assert set(splits.train[:, 1].tolist()) <= set(array[:, 1].tolist())


def test_whole_numbers_with_a_spacing(tmp_path):
    array = R.integers(-50, 10**6, (500, 2))
    with pytest.raises(ValueError, match=r"data\.levels=K .*data\.spacing=1"):
        load(tmp_path, array)
    splits = load(tmp_path, array, spacing=1)
    assert splits.levels is None
    assert load(tmp_path, array.clip(0, 255).astype("u1"), spacing=1).levels is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": 0}, "spacing=0: the distance"),
        ({"spacing": [0, 0]}, "spacing="),
        ({"spacing": -1}, "spacing=-1"),
        ({"spacing": [1, float("nan")]}, "spacing="),
        ({"spacing": []}, "spacing="),
        ({"spacing": [1, 1, 1]}, r"spacing: 3 numbers, for examples of shape \(2,\)"),
        ({"spacing": 1, "levels": 2}, "give one"),
        ({"spacing": 1e-9}, "goes in steps of 1"),  # noise that no model could see
        ({"spacing": [1, 1e-9]}, r"column 1 goes in steps of 1; .*spacing=\[0, 1\]"),
    ],
)
def test_bad_spacings(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, R.integers(0, 9, (500, 2)).astype("f8"), **options)


@pytest.mark.parametrize("mean", [3e7, 1e8])
def test_bits_of_values_far_from_zero(tmp_path, mean):
    """With the best model of x_0, N(0, 1), the bits of raw values are those of N(mean, 1)."""
    train = load(tmp_path, normal(mean, 20_000, 1)).train
    space = Affine.fit(train)
    x_0 = space.encode(train).double()
    bits = (0.5 * x_0.square() + 0.5 * math.log(2 * math.pi)) / math.log(2) - space.log_det((1,)) / math.log(
        2
    )
    assert abs(float(bits.mean()) - NORMAL) < 4 * float(bits.std()) / math.sqrt(len(bits))
    assert (space.decode(space.encode(train)) - train).abs().max() < 1e-6  # std 1, of numbers of 1e8
    with pytest.raises(ValueError, match=r"float32.* standard deviations apart; give float64"):
        space.encode(train.float())


def test_noise_costs_no_bits_that_are_not_there():
    """Multiples of w with noise have the entropy of the multiples, here 5 equally likely ones, plus log w."""
    k = torch.arange(5).repeat(4000)[:, None]
    x = dithered(Splits(0.25 * k.double(), 0.25 * k.double(), None), torch.tensor(0.25)).train
    found = np.histogram(x.numpy(), bins=50, range=(-0.125, 1.125), density=True)[0]
    entropy = -np.sum(found * np.log2(found)) * 0.025
    assert entropy == pytest.approx(math.log2(5) + math.log2(0.25), abs=0.005)


def test_steps_that_pass_are_too_fine_for_every_chain_that_is_shipped():
    """Normals of width sigma gain nothing on steps up to sigma; and no chain has a narrower last step."""
    x = torch.arange(-60, 60, dtype=torch.float64)
    bump = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)  # delta = sigma = 1: its sum at the steps
    assert abs(math.log2(float(bump.sum()))) < 1e-8
    for name in shipped():
        plan = Recipe(read(name))
        kernel = plan["kernel"].build()
        if isinstance(kernel, Gaussian):
            alpha, sigma = (each.detach() for each in kernel.alpha_sigma(plan.grid(kernel)[:1]))
            assert float(sigma / alpha) > FINE, name


@pytest.mark.parametrize("width", [[0.1], [0.1, 0, 7], [1.0]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_without_their_noise_are_known(width, dtype):
    width = torch.tensor(width, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    steps = torch.randint(-9000, 9000, (40, 3), generator=g)
    values = (steps * torch.where(width > 0, width, 0.123)).to(dtype)
    assert bare(values, width)
    for row in values[:, None]:
        assert bare(row, width)
    assert not bare(values[:0], width)
    noise = torch.rand(40, 3, generator=g, dtype=torch.float64) - 0.5
    with_noise = (values + width * noise).to(dtype)
    assert not bare(with_noise, width)
    assert not bare(torch.full((1, 3), torch.nan), width)
    assert sum(bare(row, width) for row in with_noise[:, None]) == 0
