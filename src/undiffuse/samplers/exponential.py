r"""One integrator of the reverse process of Gaussian kernels; other solvers are its settings (`solvers`).

With lambda = log(alpha / sigma), half of the log-SNR, and D = E[x_0 | x], the reverse process of noise tau is

    x_s = sigma_s / sigma_t e^{-tau^2 h} x_t + alpha_s c int_0^h e^{-c (h - u)} D(lambda_t + u) du
          + sigma_s sqrt(1 - e^{-2 tau^2 h}) z,                h = lambda_s - lambda_t,  c = 1 + tau^2

tau = 0 is the probability-flow equation, tau = 1 the time reversal of the forward process. All but D is
exact; D is a polynomial in lambda through the predictions at hand, whose weights `quadrature` finds. With
`of="noise"` it is eps = (x - alpha D) / sigma that is a polynomial:

    x_s = alpha_s / alpha_t x_t - sigma_s c int_0^h e^{h - u} eps(lambda_t + u) du
          + sigma_s tau sqrt(e^{2h} - 1) z

A *multistep* solver takes the predictions of earlier steps, one call a step. A *singlestep* one makes calls
of its own between t and s, at 1/2, or at 1/3 and 2/3 of h. A *corrector* makes the last step again once there
is a prediction at its end, with the same noise: no more calls, since that prediction was due anyway.

The order is that of the polynomial; with a corrector the corrector's, but at most one more. With noise it is
1 in what the noise adds to D, and the noise's own mean and variance are exact. A step from a time at which
nothing is left of the data, where lambda is infinite, is of first order, and no later polynomial goes through
its prediction.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from undiffuse.kernels import Level
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import DiscretizedDecoder
from undiffuse.random import Generator, normal
from undiffuse.samplers.base import Sampler, check_gaussian, gaussian_of
from undiffuse.samplers.quadrature import weights
from undiffuse.schedules.grids import invert
from undiffuse.tensors import column

MOST = 4  # the highest order
BETWEEN = {1: (), 2: (1 / 2,), 3: (1 / 3, 2 / 3)}  # calls of a singlestep solver, as shares of h
Of = Literal["data", "noise"]
Clip = Literal["none", "static", "dynamic"]
QUANTILE = 0.995  # of an example's values that dynamic clipping leaves as they are


class Node(NamedTuple):
    """A prediction (D, or eps) and where it was made."""

    level: Level
    value: Tensor


class Part(NamedTuple):
    """A step but for the predictions: x_s = `exact` + gain sum_j w_j P_j, with the weights for this z."""

    begin: float
    h: float
    exact: Tensor
    gain: float
    z: float

    def whole(self, nodes: Sequence[Node]) -> Tensor:
        """x_s with the polynomial through these."""
        places = [(node.level.place - self.begin) / self.h for node in nodes]
        x, found = self.exact, weights(places, self.z) if math.isfinite(self.h) else [1.0]
        for weight, node in zip(found, nodes, strict=True):
            x = torch.add(x, node.value, alpha=self.gain * weight)
        return x


class Past(NamedTuple):
    """Predictions so far, the newest first, and the last step, which a corrector makes again."""

    nodes: tuple[Node, ...] = ()
    step: Part | None = None


class Exponential(Sampler):
    """For Gaussian kernels: models, guided models, and products.

    Args:
        order: of the polynomial, 1 to 4; singlestep 1 to 3.
        tau: noise on the way: 0 none, 1 as much as the forward process has.
        corrector: the order at which every step is made again, 2 to 5, or 0 for never.
        singlestep: whether predictions are made between the times, `order` calls a step, not remembered.
        of: what the polynomial is of, "data" or "noise".
        clip: what becomes of predictions beyond [-1, 1], where levels are: "none", nothing; "static", they
            are clipped; "dynamic", to where 99.5 % of an example's values lie, and scaled back (Saharia et
            al. 2022).

    Raises ValueError for what none of its steps can be.
    """

    def __init__(
        self,
        order: int = 2,
        tau: float = 0.0,
        corrector: int = 0,
        singlestep: bool = False,
        of: Of = "data",
        clip: Clip = "none",
    ) -> None:
        _check(order, tau, corrector, singlestep)
        for name, value, known in (("of", of, Of), ("clip", clip, Clip)):
            if value not in get_args(known):
                raise ValueError(f"{name}={value!r}: one of {', '.join(get_args(known))}")
        self.tau, self.corrector, self.singlestep, self.of, self.clip = tau, corrector, singlestep, of, clip
        self.predictor = order
        self.order = min(corrector, order + 1) if corrector else order
        self.deterministic = tau == 0

    def check(self, model: ReverseProcess) -> None:
        """Refuse kernels without a noise to predict, and clipping of what has no range."""
        check_gaussian(model, type(self).__name__)
        inner: Any = model
        while not isinstance(inner, Denoiser) and isinstance(getattr(inner, "model", None), ReverseProcess):
            inner = inner.model
        if self.clip != "none" and not isinstance(getattr(inner, "decoder", None), DiscretizedDecoder):
            raise ValueError(f"clip={self.clip}: only data with levels have a range to clip predictions to")

    def init(self) -> Past:
        """Nothing is known yet."""
        return Past()

    def step(
        self,
        model: ReverseProcess,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: Past | None,
        generator: Generator,
    ) -> tuple[Tensor, Past]:
        """x_s, and with it what later steps remember."""
        x_t, nodes = self.arrive(model, x_t, t, state or Past())
        part = self._part(x_t, nodes[0].level, gaussian_of(model).level(s), generator)
        if not math.isfinite(part.h):
            return part.whole(nodes[:1]), Past()
        if self.singlestep:
            return part.whole(self._between(model, x_t, part.h, generator, nodes[0])), Past()
        kept = nodes[: max(self.predictor, self.corrector - 1)]
        return part.whole(nodes[: self.predictor]), Past(kept, part if self.corrector else None)

    def arrive(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, past: Past
    ) -> tuple[Tensor, tuple[Node, ...]]:
        """x_t, corrected, and the predictions up to the one that is made here."""
        nodes = (self._look(model, x_t, t), *past.nodes)
        return x_t if past.step is None else past.step.whole(nodes[: self.corrector]), nodes

    def finish(
        self, model: ReverseProcess, x_t: Tensor, t: Tensor, state: Any, generator: Generator
    ) -> tuple[Tensor, Any]:
        """A draw of p(x_0 | x_t); without noise, x_0-hat."""
        if self.deterministic:
            return self.predict(model, x_t, t), state
        return model.decode(x_t, t).sample(generator).to(x_t.dtype), state

    def kept(self, h: float) -> tuple[float, float]:
        """Of the noise in x_t what is in x_s still, e^{-tau^2 h}; and tau^2."""
        square = self.tau**2
        return (math.exp(-square * h) if square else 1.0), square

    def predict(self, model: ReverseProcess, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], clipped."""
        x_0 = model.predict(x_t, t)
        if self.clip == "none":
            return x_0
        if self.clip == "static":
            return x_0.clamp(-1, 1)
        ends = column(x_0.flatten(1).abs().quantile(QUANTILE, 1).clamp(min=1), x_0)
        return x_0.clamp(-ends, ends) / ends

    def _part(self, x: Tensor, t: Level, s: Level, generator: Generator) -> Part:
        """What is exact of a step, with its noise. Without noise s may be later than t."""
        h = s.place - t.place
        kept, square = self.kept(h)
        ratio, z = s.sigma / t.sigma * kept, (1 + square) * h
        if h == math.inf:
            linear, gain = ratio, s.alpha
        elif h == -math.inf:  # x_s is the noise in x_t
            linear, gain = (ratio, -ratio * t.alpha) if self.of == "data" else (0.0, s.sigma)
        elif self.of == "data":
            linear, gain = ratio, s.alpha * z
        else:
            linear, gain, z = s.alpha / t.alpha, -s.sigma * (1 + square) * h, -h
        exact = x * linear
        if not self.deterministic:
            known = self.of == "data" or h == math.inf
            var = 1 - kept**2 if known else square * math.expm1(2 * h)
            noise = normal(tuple(x.shape), generator, x.dtype, x.device)
            exact = torch.add(exact, noise, alpha=s.sigma * math.sqrt(var))
        return Part(t.place, h, exact, gain, z)

    def _between(
        self, model: ReverseProcess, x_t: Tensor, h: float, generator: Generator, now: Node
    ) -> list[Node]:
        """Predictions on the way of a step of length h, each where those before it lead."""
        nodes, kernel = [now], gaussian_of(model)
        places = [now.level.place + share * h for share in BETWEEN[self.predictor]]
        for between in invert(kernel.schedule, 2 * torch.tensor(places, dtype=torch.float64)):
            part = self._part(x_t, now.level, kernel.level(between), generator)
            nodes.append(self._look(model, part.whole(nodes), between))
        return nodes

    def _look(self, model: ReverseProcess, x_t: Tensor, t: Tensor) -> Node:
        """The prediction at x_t, as the polynomial is of it."""
        level, value = gaussian_of(model).level(t), self.predict(model, x_t, t)
        known = self.of == "data" or level.place == -math.inf
        return Node(level, value if known else torch.add(x_t, value, alpha=-level.alpha) / level.sigma)


def _check(order: int, tau: float, corrector: int, singlestep: bool) -> None:
    """Raise ValueError for steps that cannot be."""
    most = max(BETWEEN) if singlestep else MOST
    if not 1 <= order <= most:
        kind = "singlestep solver" if singlestep else "solver"
        raise ValueError(f"order={order}: a {kind} has order 1 to {most}")
    if not 0 <= tau < math.inf:
        raise ValueError(f"tau={tau:g}: the noise on the way, from 0 (none); 1 is as much as the chain has")
    if corrector and not 2 <= corrector <= MOST + 1:
        raise ValueError(f"corrector={corrector}: its order is 2 to {MOST + 1}, or 0 for no corrector")
    if singlestep and (corrector or tau):
        raise ValueError(
            "singlestep=true: such steps have no corrector and no noise; leave corrector and tau at 0"
        )
