"""The variance-preserving Gaussian kernel (Sohl-Dickstein et al. 2015; Ho et al. 2020, eqs. 2, 4, 6, 7).

With keep_t = alpha_t^2 = sigmoid(logsnr_t), sigma_t^2 = 1 - keep_t and, for a step from s to t,
beta = 1 - keep_t / keep_s:

    transition  q(x_t | x_s)      = N(sqrt(1 - beta) x_s, beta)
    marginal    q(x_t | x_0)      = N(alpha_t x_0, sigma_t^2)
    bridge      q(x_s | x_t, x_0) = N(a x_0 + b x_t, beta sigma_s^2 / sigma_t^2)
                                    a = alpha_s beta / sigma_t^2,  b = sqrt(1 - beta) sigma_s^2 / sigma_t^2
    prior       pi                = N(0, 1)

Coefficients are worked out in float64 from the log-SNR, so that neither 1 - keep nor beta loses digits.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from undiffuse.distributions import Distribution, Normal
from undiffuse.kernels.base import Kernel
from undiffuse.schedules import Schedule, log_kept
from undiffuse.tensors import like

FAR = 700.0  # a log-SNR whose exponential float64 still holds


class Bridge(NamedTuple):
    """Coefficients of q(x_s | x_t, x_0) = N(a x_0 + b x_t, var), and the step's rate; float64."""

    a: Tensor
    b: Tensor
    var: Tensor
    beta: Tensor


class Level(NamedTuple):
    """A time in numbers: `place` is lambda = log(alpha / sigma), half of the log-SNR, infinite at an end."""

    place: float
    alpha: float
    sigma: float


class Gaussian(Kernel):
    """x_t = alpha_t x_0 + sigma_t eps, with alpha_t^2 + sigma_t^2 = 1 at every time."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t, float64 of t's shape."""
        logsnr = self.schedule.logsnr(t)
        return logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()

    def level(self, t: Tensor) -> Level:
        """That of t, 0-d: for coefficients that are worked out on the host."""
        logsnr = float(self.schedule.logsnr(t))
        up, down = (math.exp(min(each, FAR)) for each in (logsnr, -logsnr))
        return Level(logsnr / 2, 1 / math.sqrt(1 + down), 1 / math.sqrt(1 + up))

    def transition(self, x_s: Tensor, s: Tensor, t: Tensor) -> Normal:
        """N(sqrt(1 - beta) x_s, beta)."""
        beta = self.schedule.beta(s, t)
        return Normal(like((1 - beta).sqrt(), x_s) * x_s, like(beta, x_s))

    def marginal(self, x_0: Tensor, t: Tensor) -> Normal:
        """N(alpha_t x_0, sigma_t^2)."""
        alpha_t, sigma_t = self.alpha_sigma(t)
        return Normal(like(alpha_t, x_0) * x_0, like(sigma_t.square(), x_0))

    def bridge(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """N(a x_0 + b x_t, var)."""
        c = self.coefficients(s, t)
        return Normal(like(c.a, x_t) * x_0 + like(c.b, x_t) * x_t, like(c.var, x_t))

    def prior(self, like: Tensor) -> Normal:
        """N(0, 1)."""
        return Normal(torch.zeros_like(like), torch.ones((), dtype=like.dtype))

    def around(self, mean: Tensor, var: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """What a model's step from t to s of this mean and variance is: N(mean, var)."""
        return Normal(mean, var)

    def coefficients(self, s: Tensor, t: Tensor) -> Bridge:
        """The bridge's coefficients for steps from t down to s."""
        logsnr_s, logsnr_t = self.schedule.logsnr(s), self.schedule.logsnr(t)
        log_share = log_kept(logsnr_s, logsnr_t)
        beta = -torch.expm1(log_share)
        noise_s, noise_t = (-logsnr_s).sigmoid(), (-logsnr_t).sigmoid()
        return Bridge(
            a=logsnr_s.sigmoid().sqrt() * beta / noise_t,
            b=(0.5 * log_share).exp() * noise_s / noise_t,
            var=beta * noise_s / noise_t,
            beta=beta,
        )
