"""A model bound to raw data: what cannot be meant is refused when it is made, and kinds of data are alike."""

import numpy as np
import pandas as pd
import pytest
import torch

from undiffuse import Diffusion, kernels, schedules
from undiffuse.diffusion.containers import container_of, tensor_of
from undiffuse.networks import MLP, UNet
from undiffuse.parameterizations import DiscretizedDecoder, LearnedDecoder, NormalDecoder
from undiffuse.schedules import grids

R = np.random.default_rng(0)
LEVELS = R.integers(0, 17, (40, 8, 8)).astype("u1")
FLAT = LEVELS.reshape(40, 64)
POINTS = R.normal(size=(100, 2)).astype("f4")
BITS = R.integers(0, 2, (50, 6)).astype(bool)
GRID = grids.uniform(4)


def net(shape: tuple[int, ...]) -> MLP:
    return MLP(shape, hidden=8, layers=1)


REFUSED = {
    "a density for levels": (
        (net((1, 8, 8)), LEVELS, {"levels": 17, "decoder": NormalDecoder()}),
        r"the data have 17 levels, the model ends with a density; use DiscretizedDecoder\(17\)",
    ),
    "other levels": (
        (net((1, 8, 8)), LEVELS, {"levels": 17, "decoder": DiscretizedDecoder(256)}),
        r"the data have 17 levels, the model ends with one of 256",
    ),
    "levels for a density": (
        (net((2,)), POINTS, {"decoder": DiscretizedDecoder(256)}),
        "the data are continuous, a decoder of levels gives probabilities",
    ),
    "whole floats": (
        (net((64,)), FLAT.astype("f4"), {}),
        r"steps of 1.* set data\.levels=17",
    ),
    "unknown levels": (
        (net((64,)), FLAT.astype("i8"), {}),
        r"say how many levels they have",
    ),
    "too many levels": (
        (net((64,)), FLAT, {"levels": 9}),
        r"values 0 to 16, levels are 0\.\.8",
    ),
    "one level too few": ((net((64,)), FLAT, {"levels": 16}), r"values 0 to 16, levels are 0\.\.15"),
    "no whole numbers": ((net((2,)), POINTS, {"levels": 9}), "the data are not whole numbers"),
    "one axis": ((net((2,)), POINTS[:, 0], {}), r"data of shape \(100,\): give \(N, D\)"),
    "a kernel of bits": (
        (net((2,)), POINTS, {"kernel": kernels.Binomial(schedules.ConstantFraction())}),
        "the kernel is for 2 symbols",
    ),
    "learned without a width": ((net((2,)), POINTS, {"decoder": LearnedDecoder()}), "needs a variance"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gives_a_plausible_wrong_number_is_refused(name: str):
    (network, data, how), message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        Diffusion(network, data, **how)


@pytest.mark.parametrize("data", ["words", [["a", "b"]], {"a": 1}, None, np.array([[1j]])])
def test_what_is_no_data_is_refused(data: object):
    with pytest.raises(TypeError, match="is no data"):
        Diffusion(net((2,)), data)


def test_levels_have_the_decoder_of_their_number():
    made = Diffusion(UNet((1, 8, 8), channels=4, multipliers=(1,), blocks=1), LEVELS, levels=17, grid=GRID)
    assert made.levels == 17 and made.model.decoder.levels == 17 and made.shape == (1, 8, 8)
    assert made.bits(LEVELS[:3]).shape == (3,)  # grey pictures as they came
    assert np.array_equal(made.bits(LEVELS[:3]), made.bits(LEVELS[:3, None]))


def test_pictures_with_their_channels_last_are_understood():
    data = torch.from_numpy(R.integers(0, 256, (9, 3, 4, 4)).astype("u1"))
    made = Diffusion(net((3, 4, 4)), data, grid=GRID)
    assert torch.equal(made.bits(data), made.bits(data.movedim(1, -1)))
    with pytest.raises(ValueError, match=r"examples of shape \(4, 4, 2\): this run has \(3, 4, 4\)"):
        made.bits(data.movedim(1, -1)[..., :2])


def test_bits_are_of_a_binomial_chain():
    made = Diffusion(net((6,)), BITS, grid=GRID)
    assert made.model.kernel.symbols == 2
    assert set(np.unique(made.sample(8))) <= {0, 1}


def test_a_model_is_taken_as_it_is():
    model = Diffusion(net((2,)), POINTS).model
    assert Diffusion(model, POINTS).model is model
    with pytest.raises(ValueError, match="network is a model"):
        Diffusion(model, POINTS, decoder=NormalDecoder())


def test_what_comes_back_is_of_the_kind_that_went_in():
    frame = pd.DataFrame(POINTS, columns=["a", "b"], index=range(5, 105))
    tensor = torch.from_numpy(POINTS)
    made = {
        name: Diffusion(net((2,)), data, grid=GRID)
        for name, data in (("pandas", frame), ("numpy", POINTS), ("torch", tensor), ("list", POINTS.tolist()))
    }
    weights = made["torch"].model.state_dict()
    for each in made.values():
        each.model.load_state_dict(weights)
    samples = {name: each.sample(3, seed=1) for name, each in made.items()}
    assert [type(samples[name]) for name in ("pandas", "numpy", "torch")] == [
        pd.DataFrame,
        np.ndarray,
        torch.Tensor,
    ]
    assert list(samples["pandas"].columns) == ["a", "b"]
    assert np.array_equal(samples["numpy"], samples["torch"]) and np.array_equal(
        samples["pandas"], samples["numpy"]
    )
    bits = made["torch"].bits(frame)
    assert list(bits.index) == list(frame.index)  # the argument decides
    assert np.array_equal(bits, made["pandas"].bits(tensor))
    assert isinstance(made["pandas"].bits(tensor), torch.Tensor)
    between = made["numpy"].interpolate(POINTS[:1], POINTS[1:2], points=3)
    assert isinstance(between, np.ndarray) and between.shape == (1, 3, 2)


def test_columns_are_known_by_their_names():
    """In another order, or beside others, they are the same; what lacks one is refused."""
    frame = pd.DataFrame(POINTS, columns=["a", "b"])
    made = Diffusion(net((2,)), frame, grid=GRID)
    turned = frame.assign(c="words")[["c", "b", "a"]]
    assert np.array_equal(made.bits(turned), made.bits(frame))
    assert list(made.interpolate(turned[:2], frame[:2], points=2).shape) == [2, 2, 2]
    with pytest.raises(ValueError, match="no column 'b'; there are: a, c"):
        made.bits(frame.rename(columns={"b": "c"}))


def test_data_that_nobody_may_write_to_are_copied():
    array = np.broadcast_to(np.float32(1.0), (3, 2))
    assert tensor_of(array).tolist() == [[1.0, 1.0]] * 3
    assert tensor_of(np.arange(3, dtype=">f8")).dtype == torch.float64
    assert tensor_of(np.arange(3, dtype="u2")).tolist() == [0, 1, 2]
    assert container_of([1]) is None


def test_a_copy_has_what_it_is_given_and_nothing_else():
    made = Diffusion(net((2,)), POINTS, grid=GRID)
    assert made.replace(first=0.5).first == 0.5 and made.first == 0.0
    with pytest.raises(AttributeError, match="no 'frist'"):
        made.replace(frist=1)
