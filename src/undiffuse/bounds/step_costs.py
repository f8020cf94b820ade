"""What one network call at x_t tells of all steps from t: with the model's own widths, or others."""

from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor

from undiffuse import terms
from undiffuse.bounds.contexts import decoder_scale, squared_error
from undiffuse.devices import fetched, onto, wide
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import ContextualDecoder, DiscretizedDecoder, Hats
from undiffuse.random import Generator
from undiffuse.tensors import ZERO, total


class StepCosts(Protocol):
    """Nats of every example (B,) from x_t on, and the knots (K,) of the widths, as `Costs` has them."""

    first: Tensor  # -log p(x_0 | x_t)
    error: Tensor
    scale: Tensor

    def step(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) and log2(a^2 / v_q)."""


class Drawn:
    """A draw of x_t for examples x_0 (B, *shape), and what the network says there."""

    def __init__(self, model: Denoiser, x_0: Tensor, t: Tensor, generator: Generator) -> None:
        self.model, self.x_0, self.t = model, x_0, t
        self.x_t = terms.noisy(model, x_0, t, generator)

    def fitted(self, knots: int) -> StepCosts:
        """With the best widths of so many knots for these examples; the model's own for 0."""
        if not knots:
            return _Own(self)
        decoder, x = cast(DiscretizedDecoder, self.model.decoder), self.predicted
        error = squared_error(Hats(x, knots), wide(self.x_0) - x)
        kernel = cast(Gaussian, self.model.kernel)
        scale, _ = decoder_scale(decoder, error, x, wide(self.x_0), self.t, kernel)
        return _Contextual(self, error, scale)

    def under(self, error: Tensor, scale: Tensor) -> StepCosts:
        """With widths that were found before; the model's own for no knots."""
        return _Contextual(self, error, scale) if len(error) else _Own(self)

    @cached_property
    def predicted(self) -> Tensor:
        """x_0-hat, float64."""
        out, _ = self.model.output(self.x_t, self.t)
        return self.model.predict_from(wide(out), wide(self.x_t), self.t)


class _Own:
    """The model's own widths."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn, self.law = drawn, drawn.model.looked(drawn.x_t, drawn.t)
        self.error = self.scale = torch.zeros(0, dtype=torch.float64)
        self.first = fetched(total(-self.law(None).log_prob(drawn.x_0)))

    def step(self, s: Tensor) -> tuple[Tensor, Tensor]:
        drawn = self.drawn
        q = drawn.model.kernel.bridge(drawn.x_0, drawn.x_t, s, drawn.t)
        return fetched(total(q.kl(self.law(s)))), ZERO


class _Contextual:
    """Widths by context."""

    def __init__(self, drawn: Drawn, error: Tensor, scale: Tensor) -> None:
        self.kernel, decoder = (
            cast(Gaussian, drawn.model.kernel),
            cast(DiscretizedDecoder, drawn.model.decoder),
        )
        self.x_0, self.x_t, self.t, self.x = wide(drawn.x_0), wide(drawn.x_t), drawn.t, drawn.predicted
        self.error, self.scale = (onto(each, self.x) for each in (error, scale))
        self.spread = Hats(self.x, len(error))(self.error)
        law = ContextualDecoder(decoder, self.scale)(self.x, x_t=self.x, t=self.t, kernel=self.kernel)
        self.first = fetched(total(-law.log_prob(self.x_0)))

    def step(self, s: Tensor) -> tuple[Tensor, Tensor]:
        c = self.kernel.coefficients(s, self.t)
        gain = (c.a.square() / c.var).log2()
        q, p = (self.kernel.bridge(x, self.x_t, s, self.t) for x in (self.x_0, self.x))
        broad = self.kernel.around(p.mean, c.var * (1 + (gain + self.spread).exp2()), s, self.t)
        return fetched(total(q.kl(broad))), gain
