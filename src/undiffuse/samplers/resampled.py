"""Back and forth: every step repeated, from x_t noised anew (Lugmayr et al. 2022, RePaint, algorithm 1).

    x_s ~ p(x_s | x_t);    then `times` - 1 times    x_t ~ q(x_t | x_s),  x_s ~ p(x_s | x_t)

What one step of a product does not know of a factor, the next visit may. Any kernel.
"""

from typing import Any

from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Generator
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler


class Resampled(Sampler):
    """Ancestral steps, each made `times` times. Raises ValueError for fewer than one."""

    def __init__(self, times: int = 10) -> None:
        if times < 1:
            raise ValueError(f"times={times}: every step is made at least once")
        self.times = times
        self._once = Ancestral()

    def step(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, s: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """The last of the draws of x_s."""
        x_s, state = self._once.step(model, x_t, t, s, state, generator)
        for _ in range(self.times - 1):
            x_t = model.kernel.transition(x_s, s, t).sample(generator).to(x_s.dtype)
            x_s, state = self._once.step(model, x_t, t, s, state, generator)
        return x_s, state

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_0 | x_t)."""
        return self._once.finish(model, x_t, t, state, generator)
