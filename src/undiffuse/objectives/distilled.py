"""Distillation: a student whose one step from t to s is a teacher's many (Luhman & Luhman 2021).

On the student's grid t_1 < .. < t_N a teacher is walked along the probability flow from x_t to x_s, in
steps of its own, and the student's x_0-hat at x_t is to be the one with which a single step without noise
arrives there too (Salimans & Ho 2022, appendix G):

    x~ = (x_s - (sigma_s / sigma_t) x_t) / (alpha_s - (sigma_s / sigma_t) alpha_t)

At t_1 it is the teacher's own prediction. The student begins with the teacher's weights; its chain of N times
has a bound like any other.
"""

from typing import Literal, Protocol

import torch
from torch import Tensor

from undiffuse.conditions import Given
from undiffuse.devices import onto, sent
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives.simple import Simple
from undiffuse.objectives.times import Noise, Times
from undiffuse.objectives.weights import Weight


class Teacher(Protocol):
    """What is to be learned."""

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor | None, given: Given | None, steps: int) -> Tensor:
        """x_s (B, *shape) by so many steps; x_0-hat for no s. Times are 0-d."""


class Distilled(Simple):
    """Error of the output by `loss`, against a teacher of `substeps` steps for each of the student's.

    The `teacher` is what a run puts there. Raises ValueError for substeps below 1, no grid of at least two
    times; when it is called as `Simple` does, and without a teacher.
    """

    unit = "mean error of the network's output"

    def __init__(
        self,
        loss: Literal["l1", "l2", "huber"] = "l2",
        substeps: int = 8,
        weight: Weight | None = None,
        times: Times | None = None,
        grid: Tensor | None = None,
    ) -> None:
        super().__init__(loss, weight, times, grid)
        if substeps < 1:
            raise ValueError(f"substeps={substeps}: a teacher walks one step at least")
        if grid is None or len(grid) < 2:
            raise ValueError("a student needs a grid of at least two times: undiffuse distill RUN --steps 4")
        self.substeps = substeps
        self.teacher: Teacher | None = None

    def __call__(self, model: Denoiser, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) mean errors over the dimensions."""
        self.check(model)
        assert self.grid is not None
        u = self.times.draw(len(x_0), generator)
        index = (u * len(self.grid)).long()
        t = self.grid[index]
        x_t = model.kernel.marginal(x_0, t).sample(generator)
        aim = torch.empty_like(x_t)
        for i in sorted(set(index.tolist())):
            rows = (index == i).nonzero()[:, 0]
            there = sent(rows, x_t.device)
            aim[there] = self.aim(model.rows(rows), x_t[there], i)
        return self.times.balance(u, self.error(model, model.output(x_t, t)[0], aim, x_t, t))

    @torch.no_grad()
    def aim(self, model: Denoiser, x_t: Tensor, i: int) -> Tensor:
        """x~ of these states at the grid's time number i, (B, *shape)."""
        if self.teacher is None:
            raise ValueError("objective.kind=distilled: has no teacher; begin it with undiffuse distill RUN")
        assert isinstance(model.kernel, Gaussian) and self.grid is not None
        t = self.grid[i]
        if i == 0:
            last: Tensor = self.teacher(x_t, t, None, model.condition, self.substeps)
            return last
        x_s = self.teacher(x_t, t, self.grid[i - 1], model.condition, self.substeps)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = (model.kernel.alpha_sigma(r) for r in (t, self.grid[i - 1]))
        ratio = sigma_s / sigma_t
        found: Tensor = (x_s - onto(ratio, x_t) * x_t) / onto(alpha_s - ratio * alpha_t, x_t)
        return found
