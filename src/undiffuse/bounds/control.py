"""The cost of a step if x_0 were normal and its denoiser linear: a control variate for the bound.

Along the axes U of a normal density N(m, U diag(c) U'), with z = U' (x_0 - m), S = alpha^2 c + sigma^2 and
standard normal noise e, its denoiser misses x_0 by

    z sigma^2 / S - e alpha sigma c / S,

of which the mean of the square is known for every x_0. A step of the bridge's variance costs half the growth
of the signal-to-noise ratio times that square (Kingma et al. 2021, eq. 13).
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor

from undiffuse.bases import GaussianBase
from undiffuse.devices import fetched, moved, onto, wide
from undiffuse.kernels import Gaussian
from undiffuse.tensors import total

HOST = torch.device("cpu")
VALUES = 2**22  # of a table of all steps that are held at once


class LinearControl:
    """C_j by a normal density of the data, on the host, for a Gaussian chain that is walked on a device."""

    def __init__(self, base: GaussianBase, kernel: Gaussian, device: torch.device = HOST) -> None:
        self.base, self.kernel = base, kernel
        self.there = cast(GaussianBase, moved(deepcopy(base), device))

    def at(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """1/2 (SNR_s - SNR_t) |x_0 - x_0-hat(x_t)|^2, (B,)."""
        away = self.there.axes.along(x_0) - self.there.belief(x_t, t, self.kernel).mean
        return wide(total(away.square())) * onto(self._growth(s, t), x_0)

    def mean(self, x_0: Tensor, grid: Tensor) -> Tensor:
        """Its mean over x_t, of every step of the grid, (B, T - 1)."""
        z = self.base.axes.along(fetched(x_0) - self.base.mean).flatten(1).square()
        return torch.cat(list(self._parts(z, self.base.var.flatten(), grid)), 1) * self._growth(
            grid[:-1], grid[1:]
        )

    def _parts(self, z: Tensor, var: Tensor, grid: Tensor) -> Iterator[Tensor]:
        for t in torch.split(grid[1:], max(1, VALUES // len(var))):
            alpha, sigma = (c.unsqueeze(1) for c in self.kernel.alpha_sigma(t))
            scale = alpha.square() * var + sigma.square()
            noise = (alpha * sigma * var / scale).square().sum(1)
            yield z @ (sigma.square() / scale).square().mT + noise

    def _growth(self, s: Tensor, t: Tensor) -> Tensor:
        """1/2 (SNR_s - SNR_t), float64."""
        snr_s, snr_t = (self.kernel.schedule.logsnr(each).exp() for each in (s, t))
        return (snr_s - snr_t) / 2
