"""diffusers' schedulers set to the library's conventions.

Index i of a diffusers table is our time (i + 1) / T. Its tables are float32; `precise` gives it float64
products of the same betas, so that formulas can be compared to 1e-10 and not to rounding.
"""

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.schedules import Betas

T = 50
OPTIONS = {"num_train_timesteps": T, "beta_start": 1e-3, "beta_end": 0.3, "clip_sample": False}


def precise(scheduler, betas: Tensor | None = None):
    """The scheduler with float64 tables, from its own betas or from these."""
    scheduler.betas = scheduler.betas.double() if betas is None else betas
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.final_alpha_cumprod = scheduler.one = torch.ones((), dtype=torch.float64)
    return scheduler


def ddpm(**options) -> DDPMScheduler:
    return precise(DDPMScheduler(**OPTIONS, **options))


def ddim(**options) -> DDIMScheduler:
    return precise(DDIMScheduler(**OPTIONS, set_alpha_to_one=True, **options))


def kernel_of(scheduler) -> Gaussian:
    """The library's kernel on the scheduler's table."""
    return Gaussian(Betas(scheduler.betas.double()))


def time(index: Tensor | int) -> Tensor:
    """Our time of diffusers' index; index -1 is the data."""
    return (torch.as_tensor(index, dtype=torch.float64) + 1) / T
