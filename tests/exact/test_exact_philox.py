"""Philox against the published vectors, its numbers against their formulas, NumPy against PyTorch."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from undiffuse.philox import normals, philox, uniforms
from undiffuse.random import Streams, normal, uniform

ONES = 2**32 - 1
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
# Random123's known answers: rounds, counter, key, result
KNOWN = [
    (7, (0,) * 4, (0, 0), (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    (7, (ONES,) * 4, (ONES, ONES), (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
    (7, *PI, (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A)),
    (10, (0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (10, (ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (10, *PI, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]
LIBRARIES = [np, torch]


@pytest.mark.parametrize("xp", LIBRARIES, ids=lambda xp: xp.__name__)
@pytest.mark.parametrize(("rounds", "counter", "key", "result"), KNOWN)
def test_known_answers(xp, rounds, counter, key, result):
    words = xp.asarray([[n] * 3 for n in counter], dtype=xp.int64)
    philox(words, key[0] + (key[1] << 32), rounds)
    places = [(i - rounds) % 4 for i in range(4)]  # a round turns them by one
    assert [[int(word) for word in words[i]] for i in range(4)] == [[result[i]] * 3 for i in places]


def random_words(xp, seed: int, n: int = 100_000):
    words = xp.asarray(np.stack([np.arange(n), *np.full((3, n), 7)]), dtype=xp.int64)
    philox(words, seed)
    return words


def found(numbers, xp, words, tails=None):
    dtype = xp.float32 if tails is None else xp.float64
    out = xp.empty(words.shape, dtype=dtype)
    numbers(xp, xp.asarray(words), None if tails is None else xp.asarray(tails), out)
    return np.asarray(out)


def test_uniform_numbers_are_words_over_their_range():
    words, tails = random_words(np, 5), random_words(np, 6)
    single, double = found(uniforms, np, words), found(uniforms, np, words, tails)
    np.testing.assert_array_equal(single, np.minimum((words / 2**32).astype("f4"), 1 - 2**-24))
    np.testing.assert_array_equal(double, (words.astype("f8") * 2**21 + (tails >> 11)) / 2**53)
    most, least = np.full((4, 1), ONES), np.zeros((4, 1), "i8")
    assert (found(uniforms, np, most) == 1 - 2**-24).all()
    assert (found(uniforms, np, most, most) == 1 - 2**-53).all()
    assert not found(uniforms, np, least).any() and not found(uniforms, np, least, least).any()


def test_normal_numbers_are_those_of_the_formula():
    """In float32 to a few units in the last place of the radius, which is that of its uniform number."""
    words = random_words(np, 5)
    single, double = found(normals, np, words), found(normals, np, words, np.zeros_like(words))
    for i in (0, 2):
        rounded = (words[i].astype("f4") + np.float32(0.5)).astype("f8")
        radius = np.sqrt(np.maximum(-2 * np.log(rounded / 2**32), 0))
        angle = math.pi / 2 * ((words[i + 1] >> 1) / 2**30 - 1) + math.pi * (words[i + 1] & 1)
        for x, y, function in zip(single[i:], double[i:], (np.cos, np.sin), strict=False):
            assert (abs(x - radius * function(angle)) <= 6e-7 * radius + 1e-9).all()
            assert abs(x - y).max() < 3e-5
    exact = np.sqrt(-2 * np.log((words[0] * 2.0**21 + 0.5) / 2**53))
    assert abs(np.hypot(double[0], double[1]) - exact).max() < 1e-14


@pytest.mark.parametrize("wide", [False, True])
def test_normal_numbers_at_the_ends(wide):
    """Where a uniform number is all but 0 or 1 the radius is large or none, and never not a number."""
    ends = (0, 1, 2, ONES - 1, ONES)
    words = np.array([[a for a in ends for _ in ends], [b for _ in ends for b in ends]] * 2)
    for xp in LIBRARIES:
        x = found(normals, xp, words, words if wide else None)
        assert np.isfinite(x).all()
        assert abs(x).max() == pytest.approx((2 * math.log(2) * (54 if wide else 33)) ** 0.5)


class Device:
    """PyTorch as a device has it: on a CPU its root of float32 is another library's, and not IEEE 754's."""

    def __getattr__(self, name):
        return getattr(torch, name)

    @staticmethod
    def sqrt(x, out):
        return out.copy_(torch.sqrt(x.double()))


@pytest.mark.parametrize("numbers", [uniforms, normals])
def test_both_libraries_give_the_same_bits(numbers):
    """As any device that keeps IEEE 754 will: what PyTorch does here it does there."""
    words, tails = random_words(np, 5), random_words(np, 6)
    np.testing.assert_array_equal(random_words(torch, 5).numpy(), words)
    np.testing.assert_array_equal(found(numbers, np, words), found(numbers, Device(), words))
    wide = found(numbers, np, words, tails), found(numbers, torch, words, tails)
    np.testing.assert_allclose(*wide, rtol=1e-13, atol=1e-15)


def hashes() -> list[str]:
    drawn = [draw((50, 2999), Streams(3, rows=range(50)), torch.float32) for draw in (normal, uniform)]
    return [hashlib.sha256(x.numpy().tobytes()).hexdigest()[:16] for x in drawn]


HASHES = ["97449c10740dde33", "eaecbd6b3286eaf2"]


def test_float32_is_the_same_bits_on_any_processor():
    """This machine's best instructions, and those that any has."""
    assert hashes() == HASHES
    code = "from test_exact_philox import hashes; print(*hashes())"
    plain = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3"}
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    asked = {"env": os.environ | plain | {"PYTHONPATH": path}, "check": True, "stdout": subprocess.PIPE}
    assert subprocess.run([sys.executable, "-c", code], text=True, **asked).stdout.split() == HASHES
