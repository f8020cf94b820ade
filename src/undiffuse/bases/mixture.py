"""A mixture of normal densities, and what x_0 is thought to be under it:

    r_k  prop. to  w_k N(x_t; alpha_t m_k, S_k),     S_k = alpha_t^2 C_k + sigma_t^2
    E[x_0 | x_t]   = sum_k r_k e_k,                  e_k = m_k + alpha_t C_k S_k^-1 (x_t - alpha_t m_k)
    Cov[x_0 | x_t] = sum_k r_k (sigma_t^2 C_k S_k^-1 + (e_k - E)(e_k - E)')

Each component has axes of its own. What the chain takes of the covariance is its diagonal along those of one
normal density of the same data, which also says what x_1 is and what the network sees: steps are normal and a
mixture is not, so that the model comes to the mixture with the number of its steps, where that of a single
normal is there with one.
"""

import math

import torch
from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.bases.gaussian import GaussianBase
from undiffuse.bases.numbers import Belief, NumberBase
from undiffuse.devices import onto, wide
from undiffuse.distributions import Distribution
from undiffuse.kernels import Gaussian
from undiffuse.tensors import ONE, ZERO


class MixtureBase(NumberBase):
    """sum_k w_k N(means[k], U_k diag(vars[k]) U_k') of examples flattened to n values.

    `log_weights` (K,), `means` (K, n), `vars` (K, n) and `frames` (K, n, n), whose columns are U_k; `normal`
    is the normal density beside it. Raises ValueError for other shapes, or variances that are none.
    """

    log_weights: Tensor
    means: Tensor
    vars: Tensor
    frames: Tensor

    def __init__(
        self, log_weights: Tensor, means: Tensor, vars: Tensor, frames: Tensor, normal: GaussianBase
    ) -> None:
        super().__init__()
        count, size = means.shape
        fitting = frames.shape == (count, size, size) and size == normal.mean.numel()
        if not (fitting and bool((vars > 0).all())):
            raise ValueError("vars: positive variances (K, n), with axes (K, n, n) and means (K, n)")
        self.normal = normal
        named = {"log_weights": log_weights.log_softmax(0), "means": means, "vars": vars, "frames": frames}
        for name, tensor in named.items():
            self.register_buffer(name, wide(tensor))

    @property
    def axes(self) -> Axes:
        """Those of the normal density."""
        return self.normal.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.normal.shape

    def log_prob(self, x_0: Tensor) -> Tensor:
        """The mixture's, float64."""
        return self._joint(wide(x_0), ONE, ZERO)[0].logsumexp(1)

    def prior(self, like: Tensor, kernel: Gaussian) -> Distribution:
        """That of the normal density."""
        return self.normal.prior(like, kernel)

    def features(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """Those of the normal density."""
        return self.normal.features(x_t, t, kernel)

    def belief(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Belief:
        """Mean and diagonal of the covariance, along the axes."""
        alpha, sigma = (onto(c, x_t).reshape(-1, 1, 1) for c in kernel.alpha_sigma(t))
        noise = sigma.square()
        log_joint, z, scale = self._joint(x_t, alpha, noise)
        weights, share = log_joint.softmax(1).unsqueeze(-1), self.vars.to(x_t) / scale
        frames = self.frames.to(x_t)
        means = self.means.to(x_t) + torch.einsum("kij,bkj->bki", frames, alpha * share * z)
        mean = (weights * means).sum(1)
        turned = self._turned(frames.mT).square()  # how much of an axis of its own lies along ours
        spread = self._turned(means - mean.unsqueeze(1)).square()
        spread = spread + torch.einsum("bkj,kji->bki", noise * share, turned)
        var = (weights * spread).sum(1).view(-1, *self.shape)
        return Belief(self.axes.along(mean.view(-1, *self.shape)), var)

    def _joint(self, x: Tensor, alpha: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k N(x; alpha m_k, S_k) (B, K); x - alpha m_k along its axes, and S_k, both (B, K, n)."""
        away = x.flatten(1).unsqueeze(1) - alpha * self.means.to(x)
        z = torch.einsum("kij,bki->bkj", self.frames.to(x), away)
        scale = alpha.square() * self.vars.to(x) + noise
        log_normal = -0.5 * (z.square() / scale + (2 * math.pi * scale).log()).sum(-1)
        return self.log_weights.to(x) + log_normal, z, scale.expand_as(z)

    def _turned(self, x: Tensor) -> Tensor:
        """Examples (B, K, n) along the axes."""
        return self.axes.along(x.reshape(-1, *self.shape)).view(x.shape)
