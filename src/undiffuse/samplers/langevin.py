r"""Predictor and corrector: an ancestral step, then Langevin steps at the new time (Song et al. 2021, G).

    score      g(x)  = (alpha_s x_0-hat(x) - x) / sigma_s^2,  that of q(x_s) if x_0-hat = E[x_0 | x_s]
    corrector  x'    = x + (1 - rho) sigma_s^2 g(x) + sqrt(1 - rho^2) sigma_s z,    rho = exp(-2 snr^2)

The paper's corrector (algorithms 4, 5) is x + e g + sqrt(2 e) z with e = 2 (snr |z| / |g|)^2, the norms
being averages over the batch. Noise given its x_0 has E|g|^2 = dims / sigma_s^2, so that e = 2 snr^2
sigma_s^2: that is the step taken here, for every sample whatever its batch. And it is taken exactly for
such noise. Written as

    x' = alpha_s x_0-hat + sigma_s (rho eps-hat + sqrt(1 - rho^2) z)

it is the Langevin diffusion dx = g dt + sqrt(2) dw over a time e with x_0-hat held still, an Ornstein-
Uhlenbeck process: of the predicted noise a share rho is kept, the rest is drawn anew.

What it leaves behind, with a perfect model of q(x_s) = N(m, S) (each dimension), h = 1 - rho, w = sigma_s^2
/ S:

    mean              m, exactly
    variance          (1 - h w)^2 v + h (2 - h) sigma_s^2 from v;   S (1 - h^2 w (1 - w)) from v = S
    stationary law    N(m, S (2 - h) / (2 - h w))

So it is exact where x_0 is certain (w = 1) and at rest where noise is nothing (w = 0). Between the two a
correction takes at most h^2 / 4 of the variance, 0.06 % at snr = 0.16; the stationary variance is low by
less than h / 2, first order in h. The plain step x + e g + sqrt(2 e) z would be high by up to h / 2, most
of all at w = 1. A larger number of steps does not remove this bias, a smaller snr does.
"""

import math
from typing import Any

from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, normal
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler, check_gaussian, gaussian_of
from undiffuse.tensors import like


class Langevin(Sampler):
    """Ancestral steps, each followed by `corrections` Langevin steps; for Gaussian kernels.

    `snr` sets how far one goes: 2 snr^2 sigma_s^2 of Langevin time. Every correction calls the network once
    more. Raises ValueError unless corrections >= 1 and 0 < snr < infinity.
    """

    order = 0  # in the number of steps, which does not shrink the corrector's bias; that is 1 in snr^2

    def __init__(self, corrections: int = 1, snr: float = 0.16) -> None:
        if corrections < 1:
            raise ValueError(f"corrections={corrections}: at least one a step; for none use ancestral")
        if not 0 < snr < math.inf:
            raise ValueError(f"snr={snr:g}: a positive number, such as 0.16")
        self.corrections, self.snr = corrections, snr
        self._predictor = Ancestral()

    def check(self, model: ReverseProcess) -> None:
        """Refuse kernels whose states have no score."""
        check_gaussian(model, "Langevin")

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Any,
        generator: Generator,
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_s | x_t), corrected."""
        x_s, state = self._predictor.step(model, x_t, t, s, state, generator)
        for _ in range(self.corrections):
            x_s = self.correct(model, x_s, s, generator)
        return x_s, state

    def correct(self, model: ReverseProcess, x: Tensor, s: Tensor, generator: Generator) -> Tensor:
        """One Langevin step at time s > 0, 0-d or (B,), from x (B, *shape)."""
        alpha_s, sigma_s = gaussian_of(model).alpha_sigma(s)
        moved = -math.expm1(-2 * self.snr**2)  # 1 - rho
        fresh = math.sqrt(-math.expm1(-4 * self.snr**2))  # sqrt(1 - rho^2)
        pull = like(alpha_s, x) * model.predict(x, s) - x  # sigma_s^2 times the score
        noise = normal(tuple(x.shape), generator, x.dtype, x.device)
        return x + moved * pull + like(fresh * sigma_s, x) * noise

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_0 | x_t)."""
        return self._predictor.finish(model, x_t, t, state, generator)
