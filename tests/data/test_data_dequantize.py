import math

import pytest
import torch
from scipy import stats

from undiffuse.data import dequantize
from undiffuse.data.dequantize import dequantized
from undiffuse.data.source import Splits


def ramp(levels=256, copies=50, dtype=torch.uint8):
    x = torch.arange(levels).to(dtype).repeat(copies)[:, None]
    return Splits(x, x, levels, torch.arange(len(x)), None)


def test_floor_gives_back_the_levels():
    raw = ramp(copies=1000)
    noisy = dequantized(raw)
    assert noisy.levels is None and noisy.train.dtype == torch.float32 and noisy.shape == raw.shape
    for y, k in ((noisy.train, raw.train), (noisy.test, raw.test)):
        assert torch.equal(y.floor(), k.float())
    assert torch.equal(noisy.train_labels, raw.train_labels) and noisy.test_labels is None


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize(("levels", "dtype"), [(2, torch.uint8), (256, torch.uint8), (65536, torch.int32)])
def test_float32_never_rounds_up_to_the_next_level(monkeypatch, u, levels, dtype):
    monkeypatch.setattr(dequantize, "uniform", lambda shape, _: torch.full(shape, u, dtype=torch.float64))
    raw = ramp(levels, 1, dtype)
    noisy = dequantized(raw).train
    assert torch.equal(noisy.floor(), raw.train.float())
    assert (noisy - raw.train - u).abs().max() <= levels * 2**-24


def test_noise_is_uniform_and_independent():
    raw = ramp(copies=200)
    u = (dequantized(raw).train - raw.train).double()[:, 0]
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-3
    lagged = ((u[:-1] - 0.5) * (u[1:] - 0.5)).mean()
    assert abs(lagged) < 4 / 12 / math.sqrt(len(u))


def test_determinism(monkeypatch):
    raw = ramp()
    noisy, again, other = dequantized(raw), dequantized(raw), dequantized(raw, seed=1)
    assert torch.equal(noisy.train, again.train) and torch.equal(noisy.test, again.test)
    assert not torch.equal(noisy.train, noisy.test)
    assert not torch.equal(noisy.train, other.train)
    monkeypatch.setattr(dequantize, "CHUNK", 999)
    assert torch.equal(dequantized(raw).train, noisy.train)


def test_the_original_is_left_alone():
    raw = ramp(2, 1, torch.int32)
    dequantized(raw)
    assert raw.train.dtype == torch.int32 and raw.train.flatten().tolist() == [0, 1]


def test_images_keep_their_shape():
    x = torch.zeros(5, 3, 4, 2, dtype=torch.uint8).transpose(2, 3)  # not contiguous
    assert dequantized(Splits(x, x, 256)).train.shape == (5, 3, 2, 4)


def test_continuous_data_is_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"levels=None.*already"):
        dequantized(Splits(x, x, None))
