"""Forty steps on the swiss roll: learned rates, the fixed table, and what a perfect denoiser reaches.

    undiffuse train swiss-roll-40 --out runs/roll-learned
    undiffuse train swiss-roll-40 kernel.schedule.kind=log-linear --out runs/roll-fixed
    python benchmarks/swiss_roll_2015.py runs/roll-learned runs/roll-fixed ...

In bits per point, as gaps to the exact -log2 p. The perfect denoiser has the exact mean and the exact
diagonal variance of every reverse step, worked out from the density; its best schedule is found by gradients
of its own bound, from the schedule of the first run.
"""

import copy
import math
import sys

import torch
from torch import Tensor

import undiffuse
from undiffuse import bounds
from undiffuse.data import SwissRoll
from undiffuse.distributions import Normal
from undiffuse.estimate import Estimate
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.objectives import Variational
from undiffuse.random import keyed
from undiffuse.tensors import like

POINTS, COMPONENTS, SEARCH = 50_000, 768, 400


class Perfect(ReverseProcess):
    """Exact means and diagonal variances for a mixture of equal normals N(m_k, std^2 I)."""

    def __init__(self, kernel: Gaussian, means: Tensor, std: float) -> None:
        super().__init__()
        self.kernel, self.means, self.std = kernel, means.double(), std

    def moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """E[x_0 | x_t] and its diagonal variance."""
        x, (alpha, sigma) = x_t.double(), self.kernel.alpha_sigma(t)
        alpha, sigma = (c.unsqueeze(1) if c.ndim else c for c in (alpha, sigma))
        var = (alpha * self.std).square() + sigma.square()
        logits = (x @ self.means.T - alpha * self.means.square().sum(1) / 2) * (alpha / var)
        share = logits.softmax(1)
        first, second = share @ self.means, share @ self.means.square()
        shrunk = 1 - alpha.square() * self.std**2 / var
        own = self.std**2 * sigma.square() / var
        spread = (second - first.square()).clamp(min=0) * shrunk.square() + own
        return first + alpha * self.std**2 / var * (x - alpha * first), spread

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean."""
        return self.moments(x_t, t)[0]

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Normal:
        """The normal of the exact moments of x_s."""
        (mean, var), bridge = self.moments(x_t, t), self.kernel.coefficients(s, t)
        a = like(bridge.a, mean)
        return Normal(a * mean + like(bridge.b, mean) * x_t, like(bridge.var, mean) + a.square() * var)

    def decode(self, x_t: Tensor, t: Tensor) -> Normal:
        """The normal of the exact moments of x_0."""
        return Normal(*self.moments(x_t, t))


def main(*folders: str) -> None:
    source = SwissRoll(train=20_000, test=POINTS, seed=1)
    splits = source.load()
    points = splits.test
    exact = -source.log_density(points) / math.log(2)
    means, std = source.components(COMPONENTS)
    print(f"{POINTS:,} held-out points; exact -log2 p {estimate(exact)} bits per point; gaps to it:")
    runs = {folder: undiffuse.load(folder) for folder in folders}
    for name, run in runs.items():
        show(name, 2 * run.bits(points) - exact)
        show(
            "  a perfect denoiser on its schedule",
            bits(Perfect(run.model.kernel, means, std), points) - exact,
        )
    first = next(iter(runs.values()))
    kernel = best(copy.deepcopy(first.model.kernel), means, std, splits.train, first.grid)
    show("a perfect denoiser on the best schedule found", bits(Perfect(kernel, means, std), points) - exact)


def best(kernel: Gaussian, means: Tensor, std: float, train: Tensor, grid: Tensor) -> Gaussian:
    """The kernel with its learned rates trained for the perfect denoiser."""
    kernel.requires_grad_(True)
    model, objective = Perfect(kernel, means, std), Variational(grid=grid)
    optimizer = torch.optim.Adam(kernel.parameters(), lr=0.03)
    for step in range(SEARCH):
        rows = torch.randint(len(train), (512,), generator=keyed("rows", step))
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / SEARCH)
        optimizer.zero_grad()
        objective(model, train[rows].double(), keyed("noise", step)).mean().backward()
        optimizer.step()
    return kernel.requires_grad_(False)


def bits(model: ReverseProcess, points: Tensor) -> Tensor:
    """The bound of every point, in bits."""
    steps = model.kernel.schedule.steps or 40
    parts = bounds.blocks(model, points, grid=undiffuse.schedules.grids.uniform(steps))
    return torch.cat([part.total for _, part in parts]) / math.log(2)


def show(name: str, values: Tensor) -> None:
    print(f"{name:48s} {estimate(values)}", flush=True)


def estimate(x: Tensor) -> Estimate:
    return Estimate(float(x.mean()), float(x.std() / math.sqrt(len(x))))


if __name__ == "__main__":
    main(*sys.argv[1:])
