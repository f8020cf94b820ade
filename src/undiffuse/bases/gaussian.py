"""A normal density of the data, N(mean, U diag(c) U'), and the Gaussian chain's exact steps for it.

Along the axes U everything is one number at a time. With S = alpha_t^2 c + sigma_t^2 and
z = U' (x_t - alpha_t mean), of variance S,

    E[x_0 | x_t]     = mean + U (alpha_t c / S) z
    Cov[x_0 | x_t]   = U diag(sigma_t^2 c / S) U'
    features         = z / sqrt(S)

and p(x_s | x_t) = N(a E[x_0 | x_t] + b x_t, bridge variance + a^2 Cov[x_0 | x_t]), so that the bound of
normal data is exact with any number of steps.
"""

import math

from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.bases.numbers import Belief, NumberBase, drawn_in
from undiffuse.devices import onto, wide
from undiffuse.distributions import Distribution, Rotated
from undiffuse.kernels import Gaussian
from undiffuse.tensors import ONE, like, total


class GaussianBase(NumberBase):
    """N(mean, U diag(var) U'): `mean` (*shape), `var` (*shape) along the axes, positive.

    Raises ValueError for a variance that is none, or of another shape.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, mean: Tensor, var: Tensor, axes: Axes | None = None) -> None:
        super().__init__()
        if mean.shape != var.shape or not bool((var > 0).all()) or not bool(var.isfinite().all()):
            raise ValueError("var: positive variances along the axes, of the mean's shape")
        self.basis = axes or Axes()
        self.register_buffer("mean", wide(mean))
        self.register_buffer("var", wide(var))

    @property
    def axes(self) -> Axes:
        """Those of the covariance."""
        return self.basis

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.mean.shape)

    def log_prob(self, x_0: Tensor) -> Tensor:
        """The normal's, float64."""
        z = self.axes.along(wide(x_0) - self.mean)
        return -0.5 * total(z.square() / self.var + (2 * math.pi * self.var).log())

    def prior(self, like: Tensor, kernel: Gaussian) -> Distribution:
        """N(alpha_1 mean, U S_1 U')."""
        alpha, sigma = kernel.alpha_sigma(ONE)
        var = (alpha.square() * self.var + sigma.square()).unsqueeze(0)
        loc = (alpha * self.mean).to(like).expand(like.shape)
        return Rotated(loc, var, self.axes)

    def features(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """z / sqrt(S)."""
        alpha, scale, _ = self._scales(t, kernel)
        return drawn_in(self._away(x_t, alpha) * onto(scale.rsqrt(), x_t))

    def belief(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Belief:
        """The normal one."""
        alpha, scale, noise = self._scales(t, kernel)
        share = self.var / scale
        centre = self.axes.along(self.mean.to(x_t).unsqueeze(0))
        return Belief(centre + onto(alpha * share, x_t) * self._away(x_t, alpha), noise * share)

    def spread(self, x_t: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """sigma_t^2 c / S, whatever x_t."""
        _, scale, noise = self._scales(t, kernel)
        return noise * self.var / scale

    def _away(self, x_t: Tensor, alpha: Tensor) -> Tensor:
        """z."""
        return self.axes.along(x_t - onto(alpha, x_t) * self.mean.to(x_t))

    def _scales(self, t: Tensor, kernel: Gaussian) -> tuple[Tensor, Tensor, Tensor]:
        """alpha_t, S and sigma_t^2, to broadcast against examples, float64."""
        alpha, sigma = (like(c, self.mean.unsqueeze(0)) for c in kernel.alpha_sigma(t))
        noise = sigma.square()
        return alpha, alpha.square() * self.var + noise, noise
