r"""The two-dimensional swiss roll, with its exact density.

    u ~ U(0, 1),   t = 3/2 pi (1 + 2u),   c(t) = (t cos t, t sin t),   raw = c(t) + noise N(0, I)

as in scikit-learn. ``x = scale (raw - E raw)`` with ``E \|x\|^2 = 2``: unit second moment a
dimension. Both moments are integrals of elementary functions, so the density does not depend on any
sample.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.data.source import Source, Splits
from undiffuse.random import keyed, normal, uniform

FIRST, LAST = 1.5 * math.pi, 4.5 * math.pi  # range of the angle t
CHUNK = 2**22  # distances held at a time by the density


class SwissRoll(Source):
    """Points on a noisy spiral; the one data set here whose true log-likelihood is known.

    Args:
        train: number of training points.
        test: number of test points.
        noise: standard deviation around the spiral, in its own units (radius 4.7 to 14.1).
        seed: other seeds give other points of the same density.

    Raises:
        ValueError: if a count is not positive or the noise out of range.
    """

    source: ClassVar[str] = "generated; the spiral of scikit-learn's make_swiss_roll, in its plane"
    licence: ClassVar[str] = "none needed: generated"
    about: ClassVar[str] = "points (2,), continuous; 100,000 + 20,000 unless told; exact density"

    def __init__(self, train: int = 100_000, test: int = 20_000, noise: float = 0.5, seed: int = 0) -> None:
        if train < 1 or test < 1:
            raise ValueError(f"train={train} and test={test} must both be at least 1 point")
        if not 1e-3 <= noise <= 1e3:
            raise ValueError(f"noise={noise} must be from 0.001 to 1000; try data.noise=0.5")
        self.train, self.test, self.noise, self.seed = train, test, noise, seed

    def load(self) -> Splits:
        """Draw the points."""
        return Splits(self._draw("train", self.train), self._draw("test", self.test), levels=None)

    def components(self, n: int = 4096) -> tuple[Tensor, float]:
        """The density as n equally weighted normals: means ``(n, 2)`` float64 and their std.

        They sit at the midpoints of n equal intervals of u, a quadrature of error O(1/n^2).
        """
        u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return self._scaled(_spiral(u)), self.noise * self._scale

    def log_density(self, x: Tensor, n: int | None = None) -> Tensor:
        """Log-density at x ``(B, 2)``, in nats, float64 ``(B,)``.

        Args:
            x: points, in the coordinates of `load`.
            n: number of mixture components; None takes enough for this noise.
        """
        # The spiral moves by at most 134 per unit of u: components no further apart than noise / 7.
        means, std = self.components(n or max(4096, math.ceil(1000 / self.noise)))
        log_z = math.log(len(means)) + math.log(2 * math.pi) + 2 * math.log(std)
        rows = torch.split(x.double(), max(1, CHUNK // len(means)))
        return torch.cat([_log_kernels(row, means, std).logsumexp(1) - log_z for row in rows])

    def _draw(self, name: str, n: int) -> Tensor:
        generator = keyed(self.seed, "swiss-roll", name)
        curve = _spiral(uniform((n,), generator))
        return self._scaled(curve + self.noise * normal((n, 2), generator)).float()

    def _scaled(self, raw: Tensor) -> Tensor:
        return self._scale * (raw - _mean())

    @property
    def _scale(self) -> float:
        """sqrt(2 / E|raw - E raw|^2)."""
        square = (LAST**3 - FIRST**3) / (3 * (LAST - FIRST))  # E t^2
        spread = square + 2 * self.noise**2 - float(_mean().square().sum())
        return math.sqrt(2 / spread)


def _spiral(u: Tensor) -> Tensor:
    """c(t) at u in [0, 1]: ``(n, 2)``."""
    t = FIRST + (LAST - FIRST) * u
    return torch.stack((t * t.cos(), t * t.sin()), 1)


def _mean() -> Tensor:
    """E c(t), from the antiderivatives t sin t + cos t and sin t - t cos t."""
    t = torch.tensor([FIRST, LAST], dtype=torch.float64)
    cosine = (t * t.sin() + t.cos()).diff()
    sine = (t.sin() - t * t.cos()).diff()
    return torch.cat((cosine, sine)) / (LAST - FIRST)


def _log_kernels(x: Tensor, means: Tensor, std: float) -> Tensor:
    """-|x - mean|^2 / (2 std^2) for every pair: ``(B, n)``."""
    dx, dy = (x[:, i, None] - means[None, :, i].to(x.device) for i in (0, 1))
    return dx.square_().add_(dy.square_()).mul_(-0.5 / std**2)
