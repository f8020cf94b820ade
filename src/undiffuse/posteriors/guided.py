"""Guidance: two models of the same data, one sharpened away from the other.

    p~(x_s | x_t) prop. to p(x_s | x_t)^w u(x_s | x_t)^(1 - w)

With p the model given a label and u the model given none, and both steps normal of one width, this is
classifier-free guidance (Ho & Salimans 2022, eq. 6): the predictions mix, x_0-hat = w x_p + (1 - w) x_u.
w = 0 is u, w = 1 is p, w > 1 is more typical of the label than p is, and less varied. For every kernel.
"""

from torch import Tensor

from undiffuse.distributions import Distribution
from undiffuse.model import ReverseProcess


class Guided(ReverseProcess):
    """The geometric mixture of `model` with weight `scale` and of `base` with 1 - scale.

    Raises ValueError for a scale that is not finite, or models on different kernels.
    """

    def __init__(self, model: ReverseProcess, base: ReverseProcess, scale: float) -> None:
        super().__init__()
        if not abs(scale) < float("inf"):
            raise ValueError(f"scale={scale}: guidance is a finite number; 1 is none")
        if model.kernel is not base.kernel:
            raise ValueError("guidance mixes two models on the same kernel")
        self.model, self.base, self.scale, self.kernel = model, base, scale, model.kernel

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The predictions, mixed; for symbols they need not be probabilities."""
        given, base = self.model.predict(x_t, t), self.base.predict(x_t, t)
        return base + self.scale * (given - base)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """The steps, blended."""
        return self.model.step(x_t, t, s).blend(self.base.step(x_t, t, s), self.scale)

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """The last steps, blended."""
        return self.model.decode(x_t, t).blend(self.base.decode(x_t, t), self.scale)

    def outlook(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Tensor, Distribution]:
        """Both, of one look of each model."""
        (given, p), (base, q) = (model.outlook(x_t, t, s) for model in (self.model, self.base))
        return base + self.scale * (given - base), p.blend(q, self.scale)

    def rows(self, index: Tensor) -> "Guided":
        """Both for these rows."""
        return Guided(self.model.rows(index), self.base.rows(index), self.scale)

    def prior(self, like: Tensor) -> Distribution:
        """Where both start."""
        return self.model.prior(like)
