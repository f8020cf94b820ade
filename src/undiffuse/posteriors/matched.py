"""r_t(x_t) = E[r(x_0) | x_t] where x_0 given x_t is taken to be normal, N(x_0-hat, C): see `belief`.

Let the model's step be p(x_s | x_t) = N(mu, S), however wide. With C_s, what C becomes once x_s is known, and
k = alpha_s / sigma_s^2, the belief at x_s is N(x_0-hat + k C_s (x_s - mu), C_s), so that r_t is what the
factor says of the belief N(x_0-hat, k^2 C_s S C_s + C_s). If it makes N(m', C') of it,

    p~(x_s | x_t) = N(mu + k P (m' - x_0-hat), k^2 P C' P + P),    P = (S^-1 + k^2 C_s)^-1

if C is a matrix (examples of few values): exact for normal data, the model's exact steps and a normal r, with
any number of steps. Otherwise the step is the model's with its mean moved by a (m' - x_0-hat), a being what
the bridge q(x_s | x_t, x_0) takes of x_0; what it keeps of too much width is of second order in the length of
the step. The last step is p(x_0 | x_t) r(x_0) itself. Whatever C is, paths are weighed by the model's steps.
"""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from undiffuse.devices import wide
from undiffuse.distributions import Correlated, Distribution
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.posteriors.belief import Belief, Spread, Tweedie, Updating
from undiffuse.posteriors.moments import forward
from undiffuse.posteriors.normals import inverse, rows, shifted, stable_root, variance
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
        if s is None:
            base = self.model.decode(x_t, t)
            return Look(base, self.factor.times(base), lambda: self.factor.normaliser(base))
        belief, base = self.spread(self.model, x_t, t, lambda x: self.model.outlook(x, t, s))
        if belief.matrix is not None:
            more = self.chain.schedule.logsnr(s).exp() - self.chain.schedule.logsnr(t).exp()
            return Look(base, *self._turned(base, replace(belief, matrix=forward(belief.matrix, more)), s))
        found, log_r = self.updating.update(belief)
        a = like(self.chain.coefficients(s, t).a, x_t)
        return Look(base, shifted(base, a * (found.mean - belief.mean)), log_r)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t, r]."""
        found, _ = self.updating.update(self._belief(x_t, t))
        return self.factor.fill(found.mean)

    def prior(self, like: Tensor) -> Distribution:
        """pi(x_1) r_1(x_1), with x_0-hat linear in x_1, if C is a matrix; else pi, since x_1 says little."""
        base = self.model.prior(like)
        belief = self._belief(base.mean, ONE)
        return base if belief.matrix is None else self._turned(base, belief, ONE)[0]

    def _belief(self, x_t: Tensor, t: Tensor) -> Belief:
        """That at x_t, of the prediction alone: where nothing is kept of x_0 there is no last step."""
        return self.spread(self.model, x_t, t, lambda x: (self.model.predict(x, t), None))[0]

    def _turned(
        self, base: Distribution, belief: Belief, s: Tensor
    ) -> tuple[Correlated, Callable[[], Tensor]]:
        """p(x_s) r_s(x_s), and log E[r]: at x_s the belief is as wide as this, and on average there."""
        assert belief.matrix is not None
        alpha, sigma = self.chain.alpha_sigma(s)
        k, own = rows(alpha / sigma.square(), belief.matrix, 3), variance(base)
        slope = k * belief.matrix
        found, log_r = self.updating.update(replace(belief, matrix=slope @ own @ slope.mT + belief.matrix))
        assert found.matrix is not None
        left = inverse(inverse(own) + k * slope)
        by = k * left @ wide(found.mean - belief.mean).flatten(1).unsqueeze(-1)
        root = stable_root(k.square() * left @ found.matrix @ left.mT + left)
        return Correlated(base.mean + by.view(base.mean.shape).to(base.mean), root.to(base.mean)), log_r
