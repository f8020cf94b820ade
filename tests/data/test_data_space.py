import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from undiffuse.data import Affine, Levels, Splits, Symbols, space_from, space_of


@given(st.integers(2, 65536))
@settings(max_examples=60, deadline=None)
def test_every_level_survives_the_round_trip(levels):
    space = Levels(levels)
    k = torch.arange(levels, dtype=torch.int32)
    x_0 = space.encode(k)
    assert x_0.dtype == torch.float32
    assert x_0[0] == -1 and x_0[-1] == 1
    assert torch.equal(x_0, -x_0.flip(0))  # rounded once, so exactly symmetric
    assert torch.equal(space.decode(x_0).int(), k)


@pytest.mark.parametrize("levels", [2, 3, 17, 256, 257, 65535, 65536])
def test_levels_are_exactly_rounded(levels):
    k = torch.arange(levels, dtype=torch.int32)
    exact = 2 * k.double() / (levels - 1) - 1
    assert torch.equal(Levels(levels).encode(k).double(), exact.float().double()) or (
        (Levels(levels).encode(k).double() - exact).abs().max() < 2**-24
    )


def test_decode_rounds_and_clamps():
    space = Levels(5)
    x_0 = torch.tensor([-9.0, -1.0, -0.76, -0.74, 0.0, 0.9, 9.0])
    assert space.decode(x_0).tolist() == [0, 0, 0, 1, 2, 4, 4]
    assert space.decode(x_0).dtype == torch.uint8
    assert Levels(256).decode(x_0).dtype == torch.uint8
    assert Levels(257).decode(x_0).dtype == torch.int32


def test_booleans_are_two_levels():
    assert Levels(2).encode(torch.tensor([False, True])).tolist() == [-1, 1]


@pytest.mark.parametrize("levels", [1, 0, -3, 65537, True, 2.0])
def test_impossible_number_of_levels(levels):
    with pytest.raises(ValueError, match="levels"):
        Levels(levels)


@pytest.mark.parametrize(
    "raw",
    [torch.tensor([5]), torch.tensor([-1]), torch.tensor([0, 200], dtype=torch.uint8)],
)
def test_encode_refuses_what_is_not_a_level(raw):
    with pytest.raises(ValueError, match=r"not level numbers 0\.\.4"):
        Levels(5).encode(raw)


def test_encode_refuses_signed_bytes_below_zero_and_floats():
    with pytest.raises(ValueError, match="not level numbers"):
        Levels(256).encode(torch.tensor([-1], dtype=torch.int8))
    with pytest.raises(ValueError, match="whole numbers"):
        Levels(256).encode(torch.tensor([0.5]))


def test_vectors_are_scaled_feature_by_feature():
    x = torch.randn(1000, 3, generator=torch.manual_seed(0)) * torch.tensor([1.0, 50.0, 1e-3]) + 7
    x[:, 2] = 0.1  # constant
    space = Affine.fit(x)
    x_0 = space.encode(x)
    assert x_0.dtype == torch.float32
    assert torch.allclose(x_0.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x_0[:, :2].square().mean(0), torch.ones(2), atol=1e-5)
    assert space.std[2] == 1 and x_0[:, 2].abs().max() < 1e-6
    assert torch.allclose(space.decode(x_0), x, rtol=1e-5)
    double = Affine.fit(x.double())
    assert torch.equal(double.encode(x.double()), x_0) and double.decode(x_0).dtype == torch.float64


def test_images_share_one_mean_and_std():
    x = torch.rand(50, 2, 4, 4, generator=torch.manual_seed(0)) * torch.tensor([1.0, 9.0])[:, None, None]
    space = Affine.fit(x)
    assert space.mean.shape == ()
    x_0 = space.encode(x).double()
    assert abs(float(x_0.mean())) < 1e-6
    assert abs(float(x_0.square().mean()) - 1) < 1e-5


def test_fit_accumulates_in_float64_over_chunks(monkeypatch):
    monkeypatch.setattr("undiffuse.data.rows.CHUNK", 7)
    x = torch.randn(100, 3, generator=torch.manual_seed(1)) + 1000
    space = Affine.fit(x)
    assert torch.allclose(space.mean, x.double().mean(0), rtol=1e-14)
    assert torch.allclose(space.std, x.double().std(0, correction=0), rtol=1e-12)


def test_log_det_is_the_jacobian():
    vectors = Affine([0.0, 1.0], [2.0, 5.0])
    jacobian = torch.autograd.functional.jacobian(vectors.encode, torch.zeros(2))
    assert vectors.log_det((2,)) == pytest.approx(float(jacobian.logdet()))
    assert Affine(0.0, 2.0).log_det((3, 4, 4)) == pytest.approx(-48 * math.log(2))
    assert Levels(256).log_det((3, 4, 4)) == 0


def test_state_survives_json():
    for space in (
        Levels(17),
        Affine([0.1, 1 / 3], [math.pi, 1e-30]),
        Affine(0.1, 0.2),
        Affine(0.1, 0.2, double=True),
    ):
        state = json.loads(json.dumps(space.state()))
        again = space_from(state)
        assert type(again) is type(space)
        assert again.state() == space.state()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"kind": "os.system", "levels": 2},
        {"kind": "levels"},
        {"kind": "levels", "levels": 2, "more": 1},
        {"kind": "levels", "levels": "2"},
        {"kind": ["levels"]},
        {"kind": "affine", "mean": 0.0, "std": 0.0},
        {"kind": "affine", "mean": [0.0], "std": [1.0, 1.0]},
        {"kind": "affine", "mean": [[0.0]], "std": [[1.0]]},
        {"kind": "affine", "mean": "0", "std": "1"},
        {"kind": "affine", "mean": None, "std": 1.0},
        {"kind": "affine", "mean": 0.0, "std": 1.0, "double": "yes"},
        {"kind": "affine", "mean": float("nan"), "std": 1.0},
    ],
)
def test_bad_states_are_refused(state):
    with pytest.raises(ValueError):
        space_from(state)


def test_space_of_follows_the_levels():
    k = torch.zeros(2, 3, dtype=torch.uint8)
    assert isinstance(space_of(Splits(k, k, 4)), Levels)
    assert isinstance(space_of(Splits(k.float(), k.float(), None)), Affine)


@pytest.mark.parametrize("symbols", [2, 5, 256, 257, 65536])
def test_symbols_are_their_numbers(symbols):
    space, k = Symbols(symbols), torch.arange(symbols, dtype=torch.int32)
    x_0 = space.encode(k)
    assert x_0.dtype == torch.float32 and torch.equal(x_0, k.float())
    assert torch.equal(space.decode(x_0 + 0.3).int(), k) and space.log_det((3,)) == 0
    assert space.decode(x_0 * 9).max() == symbols - 1
    again = space_from(json.loads(json.dumps(space.state())))
    assert isinstance(again, Symbols) and again.symbols == symbols


@pytest.mark.parametrize("raw", [torch.tensor([0, 2]), torch.tensor([-1, 1]), torch.tensor([0.0, 1.0])])
def test_what_are_no_bits(raw):
    with pytest.raises(ValueError, match=r"level numbers|whole numbers"):
        Symbols(2).encode(raw)


def test_a_kernel_for_symbols_needs_as_many_levels():
    bits = Splits(torch.zeros(3, 4, dtype=torch.uint8), torch.zeros(2, 4, dtype=torch.uint8), 2)
    assert isinstance(space_of(bits, 2), Symbols) and isinstance(space_of(bits), Levels)
    with pytest.raises(ValueError, match="2 levels, the kernel is for 5 symbols"):
        space_of(bits, 5)
    for top, wide in ((1, 256), (4, 65536)):
        held = Splits(*(torch.full((n, 4), top, dtype=torch.int32) for n in (3, 2)), wide)
        with pytest.raises(ValueError, match=rf"use 0\.\.{top} alone, so set data\.levels={top + 1} "):
            space_of(held, top + 1)
        with pytest.raises(ValueError, match=f"{wide} levels, the kernel is for {top} symbols: choose"):
            space_of(held, top)
    points = Splits(torch.zeros(3, 4), torch.zeros(2, 4), None)
    with pytest.raises(ValueError, match="continuous values"):
        space_of(points, 2)
