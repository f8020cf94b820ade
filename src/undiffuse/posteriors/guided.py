"""Guidance: two models of the same data, one sharpened away from the other.

    p~(x_s | x_t) prop. to p(x_s | x_t)^w u(x_s | x_t)^(1 - w)

With p the model given a label and u the model given none, and both steps normal of one width, this is
classifier-free guidance (Ho & Salimans 2022, eq. 6): the predictions mix, x_0-hat = w x_p + (1 - w) x_u.
w = 0 is u, w = 1 is p, w > 1 is more typical of the label than p is, and less varied. For every kernel.

Every step is a geometric mixture, and normalised. What the chain leads to is not the geometric mixture
p(x_0)^w u(x_0)^(1 - w) / Z of what the two models lead to, however many its steps, and neither for 0 < w < 1:
the normalisers that are dropped,

    Z_s(x_t) = integral of p(x_s | x_t)^w u(x_s | x_t)^(1 - w) dx_s

depend on x_t, and while each is nearly 1 their product is not. For p(x_0) = N(1, 1/4), u(x_0) = N(0, 1) and
w = 2 the mixture is N(8/7, 1/7) = N(1.143, 0.143), and the chain leads to N(1.25, 0.110). Only where no Z_s
depends on x_t, as for normal data of one covariance, are the two the same.

Weighed by the product of these Z_s, as `samplers.Particles` does, paths are draws of
p(x_0, .., x_1)^w u(x_0, .., x_1)^(1 - w) / Z, and x_0 is one of the mixture as far as both models reverse the
same forward process: given x_0, the rest of a path has the law q(x_1, .. | x_0) under either.
`samplers.evidence` gives log Z with it; for a label it is log E_u[(p(label | x_0) / p(label))^w].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.distributions import Distribution
from undiffuse.distributions.base import blended
from undiffuse.kernels import Discrete
from undiffuse.model import ReverseProcess
from undiffuse.product import Look, Weighable, check_steps


class Guided(Weighable):
    """`model` with weight `scale` and `base` with 1 - scale, mixed step by step; weighed by particles, whole.

    Raises ValueError for a scale that is not finite, or models on different kernels or on kernel=universal.
    """

    def __init__(self, model: ReverseProcess, base: ReverseProcess, scale: float) -> None:
        super().__init__()
        if not abs(scale) < float("inf"):
            raise ValueError(f"scale={scale}: guidance is a finite number; 1 is none")
        if model.kernel is not base.kernel:
            raise ValueError("guidance mixes two models on the same kernel")
        check_steps(model.kernel)
        self.model, self.base, self.scale, self.kernel = model, base, scale, model.kernel

    def check_weights(self) -> None:
        """Refuse models that have weights of their own."""
        if isinstance(self.model, Weighable) or isinstance(self.base, Weighable):
            raise ValueError(
                "the paths of a guided model are weighed against those of two plain models: guide these, and "
                "multiply the result"
            )

    def look(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> Look:
        """The steps, mixed and blended."""
        p, q = (m.decode(x_t, t) if s is None else m.step(x_t, t, s) for m in (self.model, self.base))
        return Look(Mixed(p, q, self.scale), p.blend(q, self.scale), lambda: torch.zeros(len(x_t)).double())

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The predictions, mixed: means of numbers, and log-probabilities of symbols."""
        return self._mixed(self.model.predict(x_t, t), self.base.predict(x_t, t))

    def outlook(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Tensor, Distribution]:
        """Both, of one look of each model."""
        (given, p), (base, q) = (model.outlook(x_t, t, s) for model in (self.model, self.base))
        return self._mixed(given, base), p.blend(q, self.scale)

    @property
    def examples(self) -> int | None:
        """Those of the model."""
        return self.model.examples

    def rows(self, index: Tensor) -> "Guided":
        """Both for these rows."""
        return Guided(self.model.rows(index), self.base.rows(index), self.scale)

    def prior(self, like: Tensor) -> Distribution:
        """Where both start."""
        return self.model.prior(like)

    def _mixed(self, given: Tensor, base: Tensor) -> Tensor:
        if isinstance(self.kernel, Discrete):
            law: Distribution = self.kernel.law(given).blend(self.kernel.law(base), self.scale)
            return self.kernel.soft(law)
        return base + self.scale * (given - base)


@dataclass(frozen=True)
class Mixed:
    """p(x)^weight q(x)^(1 - weight), not normalised."""

    p: Distribution
    q: Distribution
    weight: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities, mixed."""
        return blended(self.p.log_prob(x), self.q.log_prob(x), self.weight)

    def rows(self, index: Tensor) -> "Mixed":
        """Of the rows."""
        return Mixed(self.p.rows(index), self.q.rows(index), self.weight)
