"""The 2015 paper's choices: r itself at every time, or a growing power of it (section 2.5.4, eq. 23).

    Constant    r_t(x) = r(x)
    Annealed    r_t(x) = r(x)^(1 - t)

Each step is p(x_s | x_t) r_s(x_s), renormalised, which is cheap. Neither is E[r(x_0) | x_t], so that the
chain does not lead to p(x_0) r(x_0), however many its steps: for N(0, 1) data seen as y = 1 with noise of
width 1 the constant r leads to N(2/3, 1/3), the posterior is N(1/2, 1/2). Known elements are held clean at
every time.
"""

import torch
from torch import Tensor

from undiffuse.distributions import Distribution
from undiffuse.kernels import Absorbing, Discrete, Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.product import Factor, Look, Product
from undiffuse.tensors import ONE, ZERO, like


class Constant(Product):
    """r_t = r: the paper's eq. 23, in all of its experiments.

    Raises ValueError for an absorbing kernel with a factor that knows symbols only, and no masks.
    """

    def __init__(self, model: ReverseProcess, factor: Factor) -> None:
        super().__init__(model, factor)
        if isinstance(model.kernel, Absorbing) and not factor.masks:
            raise ValueError(
                f"{type(factor).__name__} is a factor of symbols, and says nothing of the masks that x_t has "
                "on an absorbing kernel: use Tilted"
            )
        self.weighable = factor.pinned is None

    def at(self, t: Tensor) -> Factor:
        """r_t, up to the power."""
        return self.factor

    def power(self, t: Tensor) -> Tensor:
        """The power of it that r_t is."""
        return torch.ones_like(t)

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """The model's step times r_s."""
        base = self.model.decode(x_t, t) if s is None else self.model.step(x_t, t, s)
        step = self._times(base, ZERO if s is None else s)
        return Look(base, step, lambda: self._log(x_t, t))

    def prior(self, like: Tensor) -> Distribution:
        """The model's prior times r_1."""
        return self._times(self.model.prior(like), ONE)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t] of the chain whose r_t this is: of numbers by the score of q(x_t) r_t(x_t).

        Of symbols what is predicted, times r_0 to that power. Raises ValueError where x_t keeps nothing of
        x_0, so that no x_0 has that score.
        """
        kernel, x_0 = self.kernel, self.model.predict(x_t, t)
        if isinstance(kernel, Discrete):
            return kernel.soft(self.at(ZERO).times(kernel.law(x_0), self.power(t)))
        assert isinstance(kernel, Gaussian)
        alpha_t, sigma_t = kernel.alpha_sigma(t)
        score = like(self.power(t), x_t) * self.at(t).slope(x_t)  # of r_t
        x_0 = _moved(x_0, score, sigma_t.square() / alpha_t, type(self).__name__)
        return self.factor.fill(x_0)

    def _log(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log r_t(x_t)."""
        log_r = self.at(t).log(x_t)
        return like(self.power(t), log_r) * log_r

    def _times(self, p: Distribution, s: Tensor) -> Distribution:
        return self.at(s).times(p, self.power(s))


class Annealed(Constant):
    """r_t = r^(1 - t): nothing at t = 1, all at t = 0."""

    def power(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t


def _moved(x_0: Tensor, score: Tensor, reach: Tensor, rule: str) -> Tensor:
    """x_0 + reach score, the reach being infinite where nothing is kept of x_0."""
    by = torch.where(score == 0, 0, like(reach, x_0) * score)
    if not bool(reach.isfinite().all()) and bool(by.isinf().any()):
        raise ValueError(
            f"{rule} predicts no x_0 at a time that keeps nothing of it: sample by ancestral steps, take "
            "Matched, or a schedule that keeps something to the end"
        )
    return x_0 + by
