"""Models: reverse processes whose every step is a distribution.

    p(x_0) = integral of pi(x_1) prod_i p(x_{t_{i-1}} | x_{t_i}) p(x_0 | x_{t_1})

Bounds, objectives and samplers see nothing but `prior`, `predict`, `step`, `decode` and the kernel.

A model times a factor is a model again; see `undiffuse.product`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.bases import Base, NumberBase
from undiffuse.conditions import Conditions, Given, given_of
from undiffuse.devices import onto, wide
from undiffuse.distributions import Distribution
from undiffuse.kernels import Discrete, Kernel
from undiffuse.parameterizations import (
    Decoder,
    LearnedDecoder,
    Logit,
    NormalDecoder,
    Parameterization,
    Posterior,
    ResidualVariance,
    SymbolDecoder,
    V,
    Variance,
    beginning_at,
)


class ReverseProcess(nn.Module, ABC):
    """A model. x_t is (B, *shape); t > s are float64, 0-d or (B,)."""

    kernel: Kernel

    @abstractmethod
    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], of x_t's shape."""

    @abstractmethod
    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """p(x_s | x_t)."""

    @abstractmethod
    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """p(x_0 | x_t), for the first latent time of a grid."""

    def prior(self, like: Tensor) -> Distribution:
        """p(x_1), where the walk back starts: the kernel's pi, of the shape of `like`."""
        return self.kernel.prior(like)

    @property
    def examples(self) -> int | None:
        """How many examples it is conditioned on, one by one; None if on none, or on what is for all."""
        return None

    def check_count(self, count: int) -> None:
        """Raise ValueError if it is conditioned on another number of examples."""
        if self.examples not in (None, count):
            raise ValueError(f"{self.examples} conditions for {count} examples: give one, or one each")

    def rows(self, index: Tensor) -> "ReverseProcess":
        """The model for these rows of the batch it is conditioned on; itself if on none."""
        return self

    def rows_alike(self, count: int) -> "ReverseProcess":
        """The model for so many rows like the first of the batch it is conditioned on."""
        return self.rows(torch.zeros(count, dtype=torch.long))

    def outlook(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Tensor, Distribution]:
        """E[x_0 | x_t] and p(x_s | x_t), or p(x_0 | x_t) if s is None; of one look where that is possible."""
        return self.predict(x_t, t), self.decode(x_t, t) if s is None else self.step(x_t, t, s)

    def laws(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Distribution, Distribution]:
        """p(x_0 | x_t) as if its elements were independent, and p(x_s | x_t), or p(x_0 | x_t) if s is None.

        For kernels with such laws, those of symbols and of columns.
        """
        x_0, law = self.outlook(x_t, t, s)
        assert isinstance(self.kernel, Discrete)
        return self.kernel.law(x_0), law

    def __mul__(self, factor: "Multiplier") -> "ReverseProcess":
        """The model of p(x_0) r(x_0), renormalised."""
        return factor.on(self)


class Multiplier(ABC):
    """What a model can be multiplied by."""

    @abstractmethod
    def on(self, model: ReverseProcess) -> ReverseProcess:
        """The product."""


class Denoiser(ReverseProcess):
    """A network that predicts the data from a noisy version of it, as a reverse process.

    `network(x, t)` takes the kernel's features of x_t and t as (B,) in [0, 1], both in x_t's dtype, and
    returns a tensor of the features' shape; twice as many channels (dimension 1) if the variance is learned.
    A step is the kernel's bridge at the prediction, with the variance's width (Ho et al. 2020, eq. 7). For
    Gaussian kernels the network predicts v unless told otherwise; for symbols it gives logits of x_0.
    `conditions` are what it can be given, by name, those of the network unless told: it takes the value of
    one as a third argument, (B, ...), or a dictionary of several. A network of three arguments that says
    nothing of conditions is given any tensor.

    Raises ValueError for parts that do not go together.
    """

    def __init__(
        self,
        network: nn.Module,
        kernel: Kernel,
        parameterization: Parameterization | None = None,
        variance: Variance | None = None,
        decoder: Decoder | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__()
        symbols = kernel.symbols is not None
        self.network = network
        self.condition: Given | None = None
        said = getattr(network, "conditions", {}) if conditions is None else conditions
        self.conditions: Conditions = dict(said)
        self.kernel = kernel
        self.parameterization = parameterization or (Logit() if symbols else V())
        self.base = self.parameterization.base  # here too: it is saved and moved with the model
        self.variance = variance or Posterior()
        self.decoder = decoder or (SymbolDecoder() if symbols else NormalDecoder())
        for part in (self.parameterization, self.variance, self.decoder):
            part.check(kernel)
        if self.decoder.learned and not self.variance.last:
            raise ValueError(
                "decoder=learned needs a variance that has a step to t = 0: free, sigmoid or residual"
            )

    @classmethod
    def on(cls, base: Base, network: nn.Module, kernel: Kernel, *, learned: bool = True) -> "Denoiser":
        """A model that begins at a base: one whose network gives zeros is the base.

        Of numbers the variance is `learned`, which takes twice as many channels of output; of symbols there
        is none.
        """
        said = beginning_at(base)
        if not isinstance(base, NumberBase):
            return cls(network, kernel, said)
        return cls(network, kernel, said, ResidualVariance(base, learned), LearnedDecoder())

    def prior(self, like: Tensor) -> Distribution:
        """The kernel's pi; of a model on a base what the base says of x_1, where something of x_0 is left."""
        return self.kernel.prior(like) if self.base is None else self.base.prior(like, self.kernel)

    def given(self, condition: Any) -> "Denoiser":
        """The model of examples with this condition: one for all, or (B, ...), one a row; None tells nothing.

        Of several conditions a dictionary, by name; what is missing is not told, nor is -1 of a class and NaN
        of numbers. It shares its weights with this one. Raises ValueError for a network that takes none, and
        for what is none of its conditions.
        """
        if self.conditions:
            return self.told(given_of(self.conditions, condition))
        if condition is not None and not takes_condition(self.network):
            raise ValueError("this model takes no condition: train one with condition=labels, or another")
        free = condition if isinstance(condition, Mapping) else {"condition": condition}
        return self.told(None if condition is None else Given({k: _rowed(v) for k, v in free.items()}))

    def told(self, given: Given | None) -> "Denoiser":
        """The same of a condition that was checked."""
        model = copy(self)
        model.condition = given
        return model

    @property
    def examples(self) -> int | None:
        """As many as there are conditions."""
        return None if self.condition is None or self.condition.count == 1 else self.condition.count

    def rows(self, index: Tensor) -> "Denoiser":
        """The model of these rows' conditions."""
        if self.condition is None or self.examples is None:
            return self
        return self.told(self.condition.rows(index))

    def under(self, kernel: Kernel) -> "Denoiser":
        """The same network, shared, as the model of another kernel; what its parts refuse is the caller's."""
        model = copy(self)
        model._modules = self._modules | {"kernel": kernel}
        return model

    def output(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's output, and its second half if the variance is learned; in x_t's dtype."""
        x = self.parameterization.features(x_t, t, self.kernel)
        given = () if self.condition is None else (self.condition.batch(x),)
        out = self.network(x, onto(t, x).expand(len(x)), *given).to(x.dtype)
        if not self.variance.learned:
            return _checked(out, x, 1), None
        out, raw = _checked(out, x, 2).chunk(2, 1)
        return out, raw

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0-hat."""
        return self.predict_from(self.output(x_t, t)[0], x_t, t)

    def predict_from(self, out: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The x_0-hat that this output of the network means."""
        return self.parameterization.predict(out, x_t, t, self.kernel)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """The bridge to the predicted x_0."""
        return self.step_from(*self.output(x_t, t), x_t, t, s)

    def step_from(
        self, output: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Distribution:
        """The step that this output of the network means."""
        return self.variance.step(self.kernel, self.predict_from(output, x_t, t), raw, x_t, s, t)

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """The decoder around x_0-hat, in float64: a certain prediction leaves little to the other symbols."""
        return self.decode_from(*self.output(x_t, t), x_t, t)

    def outlook(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Tensor, Distribution]:
        """x_0-hat and the step, or the decoder, of one output of the network."""
        out, raw = self.output(x_t, t)
        p = self.decode_from(out, raw, x_t, t) if s is None else self.step_from(out, raw, x_t, t, s)
        return self.predict_from(out, x_t, t), p

    def looked(self, x_t: Tensor, t: Tensor) -> Callable[[Tensor | None], Distribution]:
        """What one call at x_t says of every s: p(x_s | x_t), or p(x_0 | x_t) if s is None."""
        out, raw = self.output(x_t, t)
        return lambda s: (
            self.decode_from(out, raw, x_t, t) if s is None else self.step_from(out, raw, x_t, t, s)
        )

    def decode_from(self, out: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Distribution:
        """The decoder around the x_0-hat that this output of the network means, in float64."""
        x_t = wide(x_t)
        x_0 = self.predict_from(wide(out), x_t, t)
        last = self.variance.last_step(self.kernel, x_0, raw, x_t, t) if self.decoder.learned else None
        return self.decoder(x_0, x_t, t, self.kernel, last)


def takes_condition(network: nn.Module) -> bool:
    """Whether it has a third argument."""
    known = getattr(network, "conditions", None)
    if known is not None:
        return bool(known)
    found = inspect.signature(network.forward).parameters.values()
    return len([p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) > 2


def _rowed(value: Any) -> Tensor:
    """A condition that nobody has described, (B, ...)."""
    found = torch.as_tensor(value)
    return found.reshape(1) if found.ndim == 0 else found


def _checked(out: Tensor, x_t: Tensor, halves: int) -> Tensor:
    wanted = torch.Size((len(x_t), halves * x_t.shape[1], *x_t.shape[2:]))
    if out.shape != wanted:
        raise ValueError(
            f"the network gave {tuple(out.shape)} for x_t {tuple(x_t.shape)}; this model needs "
            f"{tuple(wanted)}" + (" (mean and variance)" if halves == 2 else "")
        )
    return out
