"""E[x_0 | x_t], and of examples of few values C = Cov(x_0 | x_t), as a trained network knows them.

    C_t = sigma_t^2 / alpha_t  d E[x_0 | x_t] / d x_t

is exact for a perfect denoiser. A trained one is off a little everywhere, and the formula multiplies what its
slopes are off by sigma_t^2 / alpha_t, without limit as x_t loses x_0; what it predicts itself is off by
sigma_t / alpha_t times its error of the noise. Three things keep that small, and leave both moments as they
are for normal data:

- slopes are those of secants as long as the noise is wide, so that ripples average out;
- the network is asked no later than where the signal-to-noise ratio is `FAINT`, at q(x_s | x_t, x_0)'s mean
  there: E[x_0 | x_t] is the average of E[x_0 | x_s] about it, and C_t^-1 = C_s^-1 - (SNR_s - SNR_t);
- the eigenvalues of C are those that data can have.
"""

import math

import torch
from torch import Tensor

from undiffuse.devices import sent, wide
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.normals import rows, stable_root
from undiffuse.schedules import Schedule
from undiffuse.schedules.grids import invert
from undiffuse.tensors import like

FAINT = 0.1  # SNR below which slopes say less of C than slopes at this SNR do
NARROW, WIDE = 0.05, 10.0  # C is at least so much of the noise's variance; the data's variance is at most so


@torch.no_grad()
def moments(
    model: ReverseProcess, kernel: Gaussian, x_t: Tensor, t: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """E[x_0 | x_t] (B, *shape) and C (B, n, n), float64, of a model that predicts `mean` at x_t."""
    at, faint, x = _clearer(kernel, x_t, t, mean)
    alpha, sigma = kernel.alpha_sigma(at)
    average, slopes = _secants(model, x, at, like(sigma, x))
    unit = torch.eye(slopes.shape[-1], dtype=slopes.dtype, device=slopes.device)
    heard = alpha.square() > 0.5 * FAINT * sigma.square()  # a table of a step or two may have no such time
    found = torch.where(
        rows(heard, x, 3).bool(),
        rows(sigma.square() / alpha, x, 3) * slopes,
        rows(sigma.square(), x, 3) * unit,
    )
    values, vectors = torch.linalg.eigh((found + found.mT) / 2)
    past = rows(kernel.schedule.logsnr(at).exp() - kernel.schedule.logsnr(t).exp(), x, 2)
    values = values.maximum(rows(NARROW * sigma.square(), x, 2)).minimum(1 / (past + 1 / WIDE))
    matrix = vectors * (values / (1 - past * values)).unsqueeze(-2) @ vectors.mT
    return torch.where(faint, average, mean), matrix


@torch.no_grad()
def clear(model: ReverseProcess, kernel: Gaussian, x_t: Tensor, t: Tensor, mean: Tensor) -> Tensor:
    """E[x_0 | x_t] alone, of one more look, if any."""
    at, faint, x = _clearer(kernel, x_t, t, mean)
    return torch.where(faint, model.predict(x, at), mean) if bool(faint.any()) else mean


def forward(matrix: Tensor, more: Tensor) -> Tensor:
    """What C (B, n, n) is for normal data once x_s is known, with so much more SNR: (C^-1 + more)^-1."""
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.cholesky_solve(matrix, stable_root(unit + rows(more, matrix, 3) * matrix))


def _clearer(kernel: Gaussian, x_t: Tensor, t: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The time at which the network is asked, whether that is another than t, and where."""
    at = _audible(kernel.schedule, t)
    bridge = kernel.coefficients(at, t)
    faint = sent(like(at < t, x_t), x_t.device).bool()
    return at, faint, torch.where(faint, like(bridge.a, x_t) * mean + like(bridge.b, x_t) * x_t, x_t)


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


def _secants(model: ReverseProcess, x: Tensor, t: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """E[x_0 | x] about x, (B, *shape), and d E[x_0 | x] / d x, (B, n, n) in float64.

    Both are of the ends of secants of this reach to both sides, in one look.
    """
    n = x[0].numel()
    units = torch.eye(n, dtype=x.dtype, device=x.device).view(n, 1, *x.shape[1:])
    ends = torch.cat([x + reach * units, x - reach * units]).flatten(0, 1)
    each = torch.arange(len(x)).repeat(2 * n)
    above, below = model.rows(each).predict(ends, t[each] if t.ndim else t).view(2, n, *x.shape)
    slopes = wide((above - below) / (2 * reach)).flatten(2).permute(1, 2, 0)
    return ((above + below) / 2).mean(0), slopes
