"""r_t(x_t) = E[r(x_0) | x_t] where x_0 given x_t is taken to be normal, N(x_0-hat, C): see `belief`.

With what the factor makes of that belief, N(m', C'), and the bridge q(x_s | x_t, x_0) = N(a x_0 + b x_t, v),

    p(x_s | x_t) = N(a x_0-hat + b x_t, a^2 C + v),    p~(x_s | x_t) = N(a m' + b x_t, a^2 C' + v)

if C is a matrix (examples of few values): exact for normal data and a normal r, with any number of steps, and
for other data the normals nearest to a perfect denoiser's steps (Bao et al. 2022), whatever the model's own
variance. Otherwise the step is the model's with its mean moved by a (m' - x_0-hat); what it keeps of too much
width is of second order in the length of the step. The last step is p(x_0 | x_t) r(x_0) itself.
"""

from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.distributions import Correlated, Distribution, Normal
from undiffuse.kernels import Bridge, Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.belief import Belief, Spread, Tweedie, Updating
from undiffuse.posteriors.normals import shifted, stable_root
from undiffuse.product import Factor, Look, Product
from undiffuse.tensors import ONE, like


class Matched(Product):
    """For Gaussian kernels; `spread` says how C is found, by default with the products that the factor asks.

    Raises ValueError for other kernels.
    """

    def __init__(self, model: ReverseProcess, factor: Factor, spread: Spread | None = None) -> None:
        super().__init__(model, factor)
        if not isinstance(model.kernel, Gaussian):
            raise ValueError("Matched takes x_0 to be normal given x_t: for Gaussian kernels; use Tilted")
        if not isinstance(factor, Updating):
            raise ValueError(
                f"{type(factor).__name__} has no `update`, and Matched asks what it makes of a belief"
            )
        self.spread, self.updating, self.chain = spread or Tweedie(factor.products), factor, model.kernel

    def of(self, model: ReverseProcess, factor: Factor) -> "Matched":
        """With the same spread."""
        return Matched(model, factor, self.spread)

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """The belief at x_t, updated, and the step that it means."""
        belief, base = self.spread(self.model, x_t, t, lambda x: self.model.outlook(x, t, s))
        found, log_r = self.updating.update(belief)
        if s is None:
            return Look(base, self.factor.times(base), log_r)
        bridge = self.chain.coefficients(s, t)
        if belief.matrix is not None and found.matrix is not None:
            return Look(_step(belief, bridge, x_t), _step(found, bridge, x_t), log_r)
        return Look(base, shifted(base, like(bridge.a, x_t) * (found.mean - belief.mean)), log_r)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t, r]."""
        belief = self._belief(x_t, t)
        found, _ = self.updating.update(belief)
        return self.factor.fill(found.mean)

    def prior(self, like: Tensor) -> Distribution:
        """pi(x_1) r_1(x_1), with x_0-hat linear in x_1, if C is a matrix; else pi, since x_1 says little."""
        base = self.model.prior(like)
        belief = self._belief(base.mean, ONE)
        if belief.matrix is None or not isinstance(base, Normal):
            return base
        alpha, sigma = self.chain.alpha_sigma(ONE)
        jacobian = belief.matrix * (alpha / sigma.square())
        return _start(base, self.updating, belief, jacobian)

    def _belief(self, x_t: Tensor, t: Tensor) -> Belief:
        """That at x_t, by the prediction alone: where nothing is kept of x_0 there is no last step."""
        return self.spread(self.model, x_t, t, lambda x: (self.model.predict(x, t), None))[0]


def _step(belief: Belief, bridge: Bridge, x_t: Tensor) -> Correlated:
    """The bridge from x_t, averaged over the belief: N(a m + b x_t, a^2 C + v)."""
    assert belief.matrix is not None
    a, var = _column(bridge.a, belief.matrix), _column(bridge.var, belief.matrix)
    unit = torch.eye(belief.matrix.shape[-1], dtype=belief.matrix.dtype, device=belief.matrix.device)
    loc = like(bridge.a, x_t) * belief.mean + like(bridge.b, x_t) * x_t
    return Correlated(loc, stable_root(a.square() * belief.matrix + var * unit).to(loc))


def _start(base: Normal, factor: Updating, belief: Belief, jacobian: Tensor) -> Correlated:
    """x_1 given r, where x_1 ~ N(0, 1) and x_0 = x_0-hat(0) + J x_1 + noise of covariance C."""
    assert belief.matrix is not None
    unit = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
    whole = jacobian @ jacobian.mT + belief.matrix
    found, _ = factor.update(replace(belief, matrix=whole))
    gain = torch.cholesky_solve(jacobian, stable_root(whole)).mT  # J' Cov(x_0)^-1
    assert found.matrix is not None
    by = gain @ (found.mean - belief.mean).flatten(1).unsqueeze(-1).to(gain)
    root = stable_root(unit - gain @ (whole - found.matrix) @ gain.mT)
    return Correlated(base.loc + by.view(base.shape).to(base.loc), root.to(base.loc))


def _column(coefficient: Tensor, matrix: Tensor) -> Tensor:
    """0-d as it is, (B,) against (B, n, n)."""
    return coefficient.to(matrix).view(-1, 1, 1) if coefficient.ndim else coefficient
