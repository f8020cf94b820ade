"""Weights of values at nodes in an integral against an exponential, exact for polynomials.

    sum_j w_j f(v_j) = integral_0^1 exp(-z (1 - v)) f(v) dv      for every polynomial f of degree < p

of p nodes, of which v = 0 is where a step begins and v = 1 where it ends. The moments on the right are

    mu_0 = (1 - exp(-z)) / z,    mu_k = (1 - k mu_{k-1}) / z

which loses all digits where z is small: there mu_k = sum_n (-z)^n k! / (k + 1 + n)!. The system of sums of
powers is solved as Björck and Pereyra (1970) do it, in p^2 operations and without the loss of an inverse.
"""

import math
from collections.abc import Sequence

SMALL = 2.0  # |z| up to which the series is summed
DIGITS = 1e-18  # of its first term, where it ends


def moments(z: float, count: int) -> list[float]:
    """mu_0 .. mu_{count-1}, for any z."""
    if abs(z) <= SMALL:
        return [_series(z, k) for k in range(count)]
    found = [-math.expm1(-z) / z]
    for k in range(1, count):
        found.append((1 - k * found[-1]) / z)
    return found


def weights(nodes: Sequence[float], z: float) -> list[float]:
    """w of p nodes in units of the step, which differ from each other."""
    found, last = moments(z, len(nodes)), len(nodes) - 1
    for k in range(last):
        for i in range(last, k, -1):
            found[i] -= nodes[k] * found[i - 1]
    for k in range(last - 1, -1, -1):
        for i in range(k + 1, last + 1):
            found[i] /= nodes[i] - nodes[i - k - 1]
        for i in range(k, last):
            found[i] -= found[i + 1]
    return found


def _series(z: float, k: int) -> float:
    term = total = 1 / (k + 1)
    while abs(term) > DIGITS:
        k += 1
        term *= -z / (k + 1)
        total += term
    return total
