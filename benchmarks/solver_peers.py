"""Solvers of this library, of diffusers and of azula, each as one call: from x_1 down the same lambda."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from undiffuse import Denoiser
from undiffuse.kernels import Gaussian
from undiffuse.parameterizations import X0
from undiffuse.random import Streams
from undiffuse.samplers import Exponential
from undiffuse.schedules import LogLinear
from undiffuse.schedules.grids import invert

try:
    import diffusers
except ImportError:
    diffusers = None
try:
    import azula.noise
    import azula.sample
    from azula.denoise import DiracPosterior
except ImportError:
    azula = None

KERNEL = Gaussian(LogLinear(12, -14))
Denoise = Callable[[Tensor, float], Tensor]  # (x, lambda) -> E[x_0 | x]
Solver = Callable[[Denoise, Tensor, Tensor], Tensor]  # x_1, lambda (N,) rising -> x at the last of them


class Asked(nn.Module):
    """A denoiser of lambda, as a network."""

    def __init__(self, denoise: Denoise, kernel: Gaussian) -> None:
        super().__init__()
        self.denoise, self.kernel = denoise, kernel

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t]."""
        return self.denoise(x_t, self.kernel.level(t[0]).place)


def model_of(denoise: Denoise, kernel: Gaussian = KERNEL) -> Denoiser:
    """A denoiser of lambda, as a model of this kernel."""
    return Denoiser(Asked(denoise, kernel), kernel, X0())


class Silent(Streams):
    """Where noise is left out."""

    def __init__(self) -> None:
        super().__init__(0, rows=[])

    def draw(self, kind: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Zeros."""
        return torch.zeros(shape, dtype=dtype, device=device)


def scales(place: float) -> tuple[float, float]:
    """alpha and sigma at lambda."""
    return 1 / math.sqrt(1 + math.exp(-2 * place)), 1 / math.sqrt(1 + math.exp(2 * place))


def ours(solver: Exponential) -> Solver:
    """One of this library's."""

    def run(denoise: Denoise, x: Tensor, places: Tensor) -> Tensor:
        model, state = model_of(denoise), solver.init()
        for t, s in pairwise(invert(KERNEL.schedule, 2 * places)):
            x, state = solver.step(model, x, t, s, state, Silent())
        return x

    return run


def theirs(name: str, **options: Any) -> Solver:
    """A scheduler of diffusers."""
    heun = name == "HeunDiscrete"

    def run(denoise: Denoise, x: Tensor, places: Tensor) -> Tensor:
        scheduler = getattr(diffusers, f"{name}Scheduler")(prediction_type="sample", **options)
        scheduler.set_timesteps(len(places) - 1)
        sigmas, asked = (-places).exp(), places[:-1].tolist()
        if heun:
            sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:].repeat(2)])
            asked = [asked[0], *np.repeat(asked[1:], 2).tolist(), float(places[-1])]
            x = x / scales(asked[0])[0]
        scheduler.sigmas, scheduler.timesteps = sigmas, torch.arange(len(asked))
        for place, t in zip(asked, scheduler.timesteps, strict=True):
            seen = x * scales(place)[0] if heun else x
            x = scheduler.step(denoise(seen, place), t, x).prev_sample
        return x * scales(float(places[-1]))[0] if heun else x

    return run


def of_azula(name: str, **options: Any) -> Solver:
    """A sampler of azula."""

    def run(denoise: Denoise, x: Tensor, places: Tensor) -> Tensor:
        last = len(places) - 1

        def at(t: Tensor) -> Tensor:
            return torch.as_tensor(np.interp((1 - t.numpy()) * last, range(last + 1), places.numpy()))

        class Given(azula.noise.Schedule):
            def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
                place = at(t)
                return (2 * place).sigmoid().sqrt(), (-2 * place).sigmoid().sqrt()

        class Exact(torch.nn.Module):
            schedule = Given()

            def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
                return DiracPosterior(denoise(x_t, float(at(t))))

        sampler = getattr(azula.sample, f"{name}Sampler")
        return sampler(Exact(), steps=last, silent=True, dtype=torch.float64, **options)(x)

    return run
