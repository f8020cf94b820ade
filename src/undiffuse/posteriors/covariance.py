"""Cov(x_0 | x_t) of examples of few values, as a trained network knows it.

    C_t = sigma_t^2 / alpha_t  d E[x_0 | x_t] / d x_t

is exact for a perfect denoiser. A trained one is off a little everywhere, and the formula multiplies what its
slopes are off by sigma_t^2 / alpha_t, without limit as x_t loses x_0. Three things keep that small, and leave
C as it is for normal data:

- slopes are those of secants as long as the noise is wide, so that ripples average out;
- they are asked for no later than where the signal-to-noise ratio is `FAINT`, and C is carried on from there
  as that of normal data is, C_t^-1 = C_s^-1 - (SNR_s - SNR_t), at the x_s that x_t's noise leads back to;
- its eigenvalues are those that data can have.
"""

import math

import torch
from torch import Tensor

from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.normals import rows, stable_root
from undiffuse.schedules import Schedule
from undiffuse.schedules.grids import invert
from undiffuse.tensors import like

FAINT = 0.1  # SNR below which slopes say less of C than slopes at this SNR do
NARROW, WIDE = 0.05, 10.0  # C is at least so much of the noise's variance; the data's variance is at most so


@torch.no_grad()
def covariance(model: ReverseProcess, kernel: Gaussian, x_t: Tensor, t: Tensor, mean: Tensor) -> Tensor:
    """C (B, n, n), float64, of a model that predicts `mean` at x_t."""
    at = _audible(kernel.schedule, t)
    (alpha_t, sigma_t), (alpha, sigma) = kernel.alpha_sigma(t), kernel.alpha_sigma(at)
    noise = (x_t - like(alpha_t, x_t) * mean) * like(sigma / sigma_t, x_t)
    x = torch.where(like(at < t, x_t).to(x_t.device).bool(), like(alpha, x_t) * mean + noise, x_t)
    found = rows(sigma.square() / alpha, x, 3) * _slopes(model, x, at, like(sigma, x))
    unit = torch.eye(found.shape[-1], dtype=found.dtype, device=found.device)
    heard = alpha.square() > 0.5 * FAINT * sigma.square()  # a table of a step or two may have no such time
    matrix = torch.where(rows(heard, x, 3).bool(), found, rows(sigma.square(), x, 3) * unit)
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    past = rows(kernel.schedule.logsnr(at).exp() - kernel.schedule.logsnr(t).exp(), x, 2)
    values = values.maximum(rows(NARROW * sigma.square(), x, 2)).minimum(1 / (past + 1 / WIDE))
    faint: Tensor = vectors * (values / (1 - past * values)).unsqueeze(-2) @ vectors.mT
    return faint


def forward(matrix: Tensor, more: Tensor) -> Tensor:
    """What C (B, n, n) is for normal data once x_s is known, with so much more SNR: (C^-1 + more)^-1."""
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.cholesky_solve(matrix, stable_root(unit + rows(more, matrix, 3) * matrix))


def _audible(schedule: Schedule, t: Tensor) -> Tensor:
    """t, or the last time before it whose SNR is `FAINT`; of a table's chain one of its own times."""
    least = torch.full_like(t, math.log(FAINT))
    faint = schedule.logsnr(t) < least
    if not bool(faint.any()):
        return t
    at = invert(schedule, least)
    if schedule.steps is not None:  # a network may know no other times
        at = (at * schedule.steps).floor().clamp(min=1) / schedule.steps
    return torch.where(faint, at.minimum(t), t)


def _slopes(model: ReverseProcess, x: Tensor, t: Tensor, reach: Tensor) -> Tensor:
    """d E[x_0 | x] / d x (B, n, n), float64, by secants of this reach to both sides, in one look."""
    n = x[0].numel()
    units = torch.eye(n, dtype=x.dtype, device=x.device).view(n, 1, *x.shape[1:])
    ends = torch.cat([x + reach * units, x - reach * units]).flatten(0, 1)
    each = torch.arange(len(x)).repeat(2 * n)
    above, below = model.rows(each).predict(ends, t[each] if t.ndim else t).view(2, n, *x.shape)
    return ((above - below) / (2 * reach)).flatten(2).permute(1, 2, 0).double()
