"""A mixture of normal densities, and what x_0 is thought to be under it:

    r_k  prop. to  w_k N(x_t; alpha_t m_k, S_k),     S_k = alpha_t^2 C_k + sigma_t^2
    E[x_0 | x_t]   = sum_k r_k e_k,                  e_k = m_k + alpha_t C_k S_k^-1 (x_t - alpha_t m_k)
    Cov[x_0 | x_t] = sum_k r_k (sigma_t^2 C_k S_k^-1 + (e_k - E)(e_k - E)')

Each component has axes of its own. What the chain takes of the covariance are its diagonal along the axes of
all the data: steps are normal and a mixture is not, so that the model comes to the mixture with the number of
its steps, where that of a single normal is there with one.
"""

import math

import torch
from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.bases.numbers import Belief, NumberBase, drawn_in
from undiffuse.distributions import Distribution, Rotated
from undiffuse.kernels import Gaussian
from undiffuse.tensors import ONE, like


class MixtureBase(NumberBase):
    """sum_k w_k N(means[k], U_k diag(vars[k]) U_k') of vectors or anything flattened.

    `log_weights` (K,), `means` (K, n), `vars` (K, n) and `frames` (K, n, n), whose columns are U_k; `axes`
    are those along which the network's output is read; `shape` is that of an example of n values.
    """

    log_weights: Tensor
    means: Tensor
    vars: Tensor
    frames: Tensor

    def __init__(
        self,
        log_weights: Tensor,
        means: Tensor,
        vars: Tensor,
        frames: Tensor,
        axes: Axes,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        if not bool((vars > 0).all()) or frames.shape != (*means.shape, means.shape[1]):
            raise ValueError("vars: positive variances (K, n), with axes (K, n, n) and means (K, n)")
        self._shape, self.axes = tuple(shape), axes
        named = {"log_weights": log_weights.log_softmax(0), "means": means, "vars": vars, "frames": frames}
        for name, tensor in named.items():
            self.register_buffer(name, tensor.double())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self._shape

    def log_prob(self, x_0: Tensor) -> Tensor:
        """The mixture's, float64."""
        one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        return self._joint(x_0.double(), one, zero)[0].logsumexp(1)

    def prior(self, like: Tensor, kernel: Gaussian) -> Distribution:
        """A normal of the mean and, along the axes, the variance of x_1."""
        alpha, sigma = kernel.alpha_sigma(ONE)
        mean, var = self._moments(self.log_weights.exp().unsqueeze(0), self.means.unsqueeze(0), self.vars)
        loc = self.axes.back(alpha * mean).to(like).expand(like.shape)
        return Rotated(loc, alpha.square() * var + sigma.square(), self.axes)

    def features(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """x_t along the axes, of zero mean and unit variance."""
        alpha, sigma = (like(c, x_t.double()) for c in kernel.alpha_sigma(t))
        mean, var = self._moments(self.log_weights.exp().unsqueeze(0), self.means.unsqueeze(0), self.vars)
        scale = (alpha.square() * var + sigma.square()).sqrt()
        return drawn_in((self.axes.along(x_t) - (alpha * mean).to(x_t)) / scale.to(x_t))

    def belief(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Belief:
        """Mean and diagonal of the covariance, along the axes."""
        alpha, sigma = (c.reshape(-1, 1, 1) for c in kernel.alpha_sigma(t))
        log_joint, z, scale = self._joint(x_t.double(), alpha, sigma.square())
        share = self.vars / scale
        means = self.means + (self.frames @ (alpha * share * z).unsqueeze(-1)).squeeze(-1)
        mean, var = self._moments(log_joint.softmax(1), means, sigma.square() * share)
        return Belief(mean.to(x_t), var)

    def _joint(self, x: Tensor, alpha: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k N(x; alpha m_k, S_k) (B, K); x - alpha m_k along its axes, and S_k, both (B, K, n)."""
        away = x.flatten(1).unsqueeze(1) - alpha * self.means
        z = torch.einsum("kij,bki->bkj", self.frames, away)
        scale = alpha.square() * self.vars + noise
        log_normal = -0.5 * (z.square() / scale + (2 * math.pi * scale).log()).sum(-1)
        return self.log_weights + log_normal, z, scale.expand_as(z)

    def _moments(self, weights: Tensor, means: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variances along the axes, (B, *shape), of components of these (B, K), (B, K, n)."""
        mean = (weights.unsqueeze(-1) * means).sum(1)
        turned = self._turned(means - mean.unsqueeze(1)).square()
        spread = torch.einsum("...kj,kij->...ki", var, self._mixing)
        total = (weights.unsqueeze(-1) * (turned + spread)).sum(1)
        return self.axes.along(mean.view(-1, *self.shape)), total.view(-1, *self.shape)

    def _turned(self, x: Tensor) -> Tensor:
        """(B, K, n) along the axes."""
        return self.axes.along(x.reshape(-1, *self.shape)).view(x.shape)

    @property
    def _mixing(self) -> Tensor:
        """How much of component k's variance j lies along axis i, (K, n, n)."""
        turned = self._turned(self.frames.mT).mT
        return turned.square()
