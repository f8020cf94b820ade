"""Philox4x32-10: random words that are a function of a counter and a key (Salmon et al. 2011).

Four words of a counter, (c_0, c_1, c_2, c_3), go through ten rounds: with the key's words k_0, k_1 and the
high and low halves of the products c_0 M_0 and c_2 M_1,

    c_0' = high(c_2 M_1) ^ c_1 ^ k_0,   c_1' = low(c_2 M_1),
    c_2' = high(c_0 M_0) ^ c_3 ^ k_1,   c_3' = low(c_0 M_0),

after which a constant is added to each word of the key. Nothing has a state, so any number can be had alone,
in any order and on any device; here many are drawn together, by operations on whole arrays.

A uniform number is a word over 2^32; two words give two normal numbers (Box & Muller 1958). In float32 their
logarithm and sine are sums of products, since those of libraries differ in the last bit from one processor to
the next: every operation here is one that IEEE 754 rounds correctly, so the same counter gives the same bits
wherever that is kept. In float64, of 53 bits, the functions are the library's, and the last bit may differ.

Arrays are PyTorch's or NumPy's, and `xp` is the one or the other: NumPy starts an operation in half the time.
"""

import math
from collections.abc import Sequence
from typing import Any

ROUNDS = 10
LOW = 2**32 - 1
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
ADDED = 0x9E3779B9, 0xBB67AE85  # to the words of the key: the golden ratio, sqrt(3) - 1
HALF = 0x3F3504F3  # the bits of sqrt(1/2) in float32
LOGARITHM = [-4 / (2 * k + 1) for k in range(5)]  # -4 atanh(s) / s in s^2
SINE = [(-1) ** k * (math.pi / 4) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(5)]

Array = Any  # a tensor or an ndarray


def philox(words: Array, key: int, rounds: int = ROUNDS) -> None:
    """Put the random words of counters (4, ...), int64 in [0, 2^32), in their place.

    The key has 64 bits. A round turns the four by one place: after ten c_0 is where c_2 was, and so on. The
    high half of a product is left as it falls until a round takes the low one.
    """
    c_0, c_1, c_2, c_3 = words
    k_0, k_1 = key & LOW, key >> 32
    for _ in range(rounds):
        c_0 *= MULTIPLIERS[0]
        c_2 *= MULTIPLIERS[1]
        c_1 ^= c_2 >> 32
        c_1 ^= k_0
        c_1 &= LOW
        c_3 ^= c_0 >> 32
        c_3 ^= k_1
        c_3 &= LOW
        c_0, c_1, c_2, c_3 = c_1, c_2, c_3, c_0
        k_0, k_1 = (k_0 + ADDED[0]) & LOW, (k_1 + ADDED[1]) & LOW
    c_1 &= LOW
    c_3 &= LOW


def uniforms(xp: Any, words: Array, tails: Array | None, out: Array) -> None:
    """A number in [0, 1) for each word: float32, or float64 with other words for their tails."""
    out[...] = words if tails is None else _joined(words, tails)
    out *= 2**-32 if tails is None else 2**-53
    if tails is None:
        xp.clip(out, 0, 1 - 2**-24, out=out)


def normals(xp: Any, words: Array, tails: Array | None, out: Array) -> None:
    """Standard normal numbers (4, ...) of words (4, ...): float32, or float64 with others for their tails.

    Words 0 and 1 are two numbers, the coordinates of a point of the plane, and so are 2 and 3: one is the
    radius sqrt(-2 log u), the other, as a signed number, the angle pi v / 2 with v in [-1, 1), which its last
    bit turns by pi. In float32 half of the angle is used: there the cosine is a root of the sine.
    """
    radius, direction = words[::2], words[1::2]
    if tails is None:
        r, sine = _minus_2_log(xp, radius), xp.asarray(direction >> 1, dtype=xp.float32)
        sine *= 2**-30
        sine -= 1
        sine *= _polynomial(sine * sine, SINE)
        cosine = sine * sine
        cosine *= -1
        cosine += 1
        xp.sqrt(cosine, out=cosine)
        x = cosine - sine
        x *= cosine + sine
        sine *= cosine
        sine *= 2
        y = sine
    else:
        u = xp.asarray(_joined(radius, tails[::2]), dtype=xp.float64)
        u += 0.5
        u *= 2**-53
        r = xp.log(u, out=u)
        r *= -2
        angle = xp.asarray(_joined(direction >> 1, tails[1::2]), dtype=xp.float64)
        angle *= math.pi * 2**-52
        angle -= math.pi / 2
        x, y = xp.cos(angle), xp.sin(angle, out=angle)
    xp.sqrt(r, out=r)
    sign = xp.asarray(direction & 1, dtype=r.dtype)
    sign *= -2
    sign += 1
    r *= sign
    xp.multiply(x, r, out=out[::2])
    xp.multiply(y, r, out=out[1::2])


def _minus_2_log(xp: Any, words: Array) -> Array:
    """Of u = (word + 1/2) / 2^32 = m 2^e with m in [sqrt(1/2), sqrt(2)).

    -2 log u = -2 e log 2 - 4 atanh(s), s = (m - 1) / (m + 1).
    """
    u = xp.asarray(words, dtype=xp.float32)
    u += 0.5
    bits = u.view(xp.int32)
    bits -= HALF + (32 << 23)
    exponent = xp.asarray(bits >> 23, dtype=xp.float32)
    exponent *= -2 * math.log(2)
    bits &= 2**23 - 1
    bits += HALF
    m = bits.view(xp.float32)
    s = m - 1
    m += 1
    s /= m
    s *= _polynomial(s * s, LOGARITHM)
    s += exponent
    return s


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Each product and each sum is rounded: as one operation they would be rounded once."""
    found = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        found += coefficient
        found *= x
    found += coefficients[0]
    return found


def _joined(words: Array, tails: Array) -> Array:
    """Whole numbers of 53 bits."""
    return (words << 21) + (tails >> 11)
