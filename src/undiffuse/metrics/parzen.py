"""Gaussian Parzen windows: the log likelihood of test data under blurred samples.

    log p(x) = log mean_k exp(-|x - mu_k|^2 / (2 s^2)) - D log(s sqrt(2 pi))

for samples mu_k, k = 1..N, of D dimensions and a width s that is chosen on validation data. This is table 2
of Sohl-Dickstein et al. (2015), after Goodfellow et al. (2014): 10,000 samples, MNIST pixels in [0, 1], s the
best of logspace(-1, 0, 10) on 1,000 validation images, the mean over 10,000 test images. The first version of
that table holds nats, the last one bits. It judges samples, not models: training images score best of all.

Distances come from |x|^2 + |mu|^2 - 2 x.mu in float64, with the mean of the samples as origin. What cancels
leaves an error near 2^-52 (R/s)^2 nats, where R is the largest distance from that origin: 10^-11 for MNIST at
s = 0.1. Only data that spreads over more than 10^6 widths would notice.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.estimate import Estimate
from undiffuse.track import SILENT, Track

WIDTHS = tuple(10 ** (place / 9 - 1) for place in range(10))  # logspace(-1, 0, 10)
CHUNK = 2**22  # squared distances held at a time: 32 MiB


@dataclass(frozen=True)
class Parzen:
    """The mean log likelihood of `examples` test examples under `samples` samples, per example."""

    width: float
    nats: Estimate
    samples: int
    examples: int
    widths: tuple[float, ...]

    @property
    def bits(self) -> Estimate:
        """The same in bits."""
        return self.nats * (1 / math.log(2))

    @property
    def at_edge(self) -> bool:
        """Whether the chosen width is an end of the list: then one beyond may be better."""
        return len(self.widths) > 1 and self.width in (min(self.widths), max(self.widths))


def parzen(
    samples: Tensor,
    validation: Tensor,
    test: Tensor,
    widths: Sequence[float] = WIDTHS,
    track: Track = SILENT,
) -> Parzen:
    """Choose the width on validation data, then score the test data.

    The standard error is std(log p)/sqrt(M) over the M test examples, the variance divided by M as in the
    protocol's own code. If the result's `at_edge` is true, widen the list.

    Args:
        samples: floats ``(N, *shape)`` of the model, on the scale of the data: pixels in [0, 1].
        validation: floats ``(V, *shape)``, V >= 1.
        test: floats ``(M, *shape)``, M >= 2.
        widths: positive, in the data's units.
        track: is told how far it is.

    Raises:
        ValueError: data that is empty, not finite, integer or of unequal shapes; a width not positive.
    """
    _rows(samples=samples, test=test)  # refuse bad test data before the work on validation data
    if len(test) < 2:
        raise ValueError(f"test has {len(test)} example; give at least 2: one has no standard error")
    choosing, scoring = track.split(len(validation), len(test))
    width = choose_width(validation, samples, widths, choosing)
    each = log_density(test, samples, width, scoring)
    error = float(each.std(correction=0)) / math.sqrt(len(each))
    return Parzen(width, Estimate(float(each.mean()), error), len(samples), len(test), tuple(widths))


def choose_width(
    validation: Tensor, samples: Tensor, widths: Sequence[float] = WIDTHS, track: Track = SILENT
) -> float:
    """The width under which the validation data is most likely; of equally good ones the first.

    Args:
        validation: floats ``(V, *shape)``.
        samples: floats ``(N, *shape)``.
        widths: positive, in the data's units; each distance is computed once for all of them.
        track: is told how far it is.
    """
    scores = torch.cat(list(_chunks(validation, samples, widths, track, "validation")), 1)
    return float(widths[int(scores.mean(1).argmax())])


def log_density(x: Tensor, samples: Tensor, width: float, track: Track = SILENT) -> Tensor:
    """log p(x) in nats, float64 ``(B,)``, at x ``(B, *shape)``; finite however far x is from all samples.

    Args:
        x: floats ``(B, *shape)``.
        samples: floats ``(N, *shape)``.
        width: s > 0, in the data's units.
        track: is told how far it is.

    >>> print(round(log_density(torch.zeros(1, 1), torch.zeros(5, 1), 1.0).item(), 4))
    -0.9189
    """
    return torch.cat(list(_chunks(x, samples, [width], track, "x")), 1)[0]


def _chunks(x: Tensor, samples: Tensor, widths: Sequence[float], track: Track, name: str) -> Iterator[Tensor]:
    """log p ``(len(widths), rows)``, chunk by chunk of the rows of x."""
    _check(widths)
    mu, x = _rows(samples=samples, **{name: x})
    origin = mu.mean(0)
    mu, x = mu - origin, x - origin
    length = mu.square().sum(1)
    for rows in track.each(torch.split(x, _height(len(mu)))):
        distance = torch.addmm(length, rows, mu.T, alpha=-2)  # |mu|^2 - 2 x.mu, (rows, N)
        distance.add_(rows.square().sum(1, keepdim=True)).clamp_(min=0)
        yield torch.stack([_mix(distance, float(width), mu.shape[1]) for width in widths])


def _mix(distance: Tensor, width: float, dims: int) -> Tensor:
    """log p ``(rows,)`` from squared distances ``(rows, N)``."""
    near = torch.logsumexp(distance * (-0.5 / width**2), 1)
    return near - math.log(distance.shape[1]) - dims * math.log(width * math.sqrt(2 * math.pi))


def _height(samples: int) -> int:
    return max(1, CHUNK // max(samples, 1))


def _rows(**arrays: Tensor) -> list[Tensor]:
    """Each array as float64 ``(N, D)`` on the CPU, all of the shape of the first."""
    first, shape = next((name, tuple(array.shape[1:])) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.ndim < 2 or array.numel() == 0:
            raise ValueError(f"{name} has shape {tuple(array.shape)}; give a non-empty (N, D)")
        if not array.is_floating_point():
            raise ValueError(f"{name} is {array.dtype}; give floats: pixels / 255 for the usual protocol")
        if tuple(array.shape[1:]) != shape:
            raise ValueError(
                f"{name} has examples of shape {tuple(array.shape[1:])}, {first} of {shape}; make them equal"
            )
        if not array.isfinite().all():
            raise ValueError(f"{name} has values that are not finite; leave those examples out")
    return [array.detach().cpu().double().flatten(1) for array in arrays.values()]


def _check(widths: Sequence[float]) -> None:
    if len(widths) == 0:
        raise ValueError("widths is empty; give at least one positive width")
    for width in widths:
        if not (math.isfinite(width) and width > 0):
            raise ValueError(f"width is {width}; give a positive number, in the units of the data")
