"""The kernel of universal quantisation (Yang et al. 2024): normal marginals, but steps back that are uniform.

    bridge   q(x_s | x_t, x_0) = U(a x_0 + b x_t - w/2, a x_0 + b x_t + w/2),   w = sqrt(12 var)

with the Gaussian bridge's a, b and var, so that mean and variance of every latent are the Gaussian kernel's;
the normal marginal and transition are exact at t = 1, and elsewhere as good as sums of uniform numbers are
normal. A model's step is a normal one plus the same uniform noise. A draw of the bridge can therefore be sent
by rounding to a shifted grid of spacing w, at the cost of -log2(w p(x_s | x_t)) bits and no more: what the
codec does.
"""

import math

from torch import Tensor

from undiffuse.distributions import Smoothed, Uniform
from undiffuse.kernels.gaussian import Gaussian
from undiffuse.tensors import like


class Universal(Gaussian):
    """The Gaussian kernel's moments, with uniform bridges. Few steps of it are best, about 4 to 20."""

    reversible = False

    def bridge(self, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Uniform:
        """U about the Gaussian bridge's mean, of its variance."""
        return Uniform(super().bridge(x_0, x_t, s, t).mean, like(self.spacing(s, t), x_t))

    def around(self, mean: Tensor, var: Tensor, s: Tensor, t: Tensor) -> Smoothed:
        """A normal plus the bridge's uniform noise, of this mean and, together, this variance.

        A variance below the bridge's is taken as a little above it.
        """
        own = like(self.coefficients(s, t).var, mean)
        excess = (var - own).clamp(min=0) + 1e-6 * own
        return Smoothed(mean, excess, like(self.spacing(s, t), mean))

    def spacing(self, s: Tensor, t: Tensor) -> Tensor:
        """W of the step from t to s, float64."""
        return math.sqrt(12) * self.coefficients(s, t).var.sqrt()
