"""A model of the rows of a table: columns of numbers and of symbols, of which any may be given or left out.

A cell is in one of three states. On its way it is x_t at the chain's time t; *given* it is x_0, as the
condition `cells` says, whatever x_t is; *left out* it is NaN, and the others are modelled without it. So one
network knows

    p(x_A | x_B)        for any two sets A and B of columns

where A are the cells on their way. Of numbers the network gives what the base (`bases.ColumnsBase`) is off,
in the base's deviations, and how much wider a step is; of symbols a change of their logits. One that gives
zeros is the base. What is left out or given has no part in a bound, and samples have there what was given.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from undiffuse.bases import ColumnsBase, Frequencies
from undiffuse.bases.columns import Belief, Cells
from undiffuse.conditions import Row
from undiffuse.devices import onto, sent, wide
from undiffuse.distributions import Columns, Distribution, Normal, Part, Scored
from undiffuse.kernels import Discrete, Gaussian, Group, Kernel, Mixed
from undiffuse.model import Denoiser
from undiffuse.parameterizations import Decoder, Parameterization, Variance
from undiffuse.tensors import like

CELLS = "cells"  # name of the condition
LARGEST = 20.0  # of the log of a share
NUMBER = (
    5  # features of a number: itself, what the base thinks and how surely, whether given, whether left out
)


class ByColumn(Parameterization):
    """What `MixedDenoiser` makes of the network's output."""

    def __init__(self, base: ColumnsBase) -> None:
        self.base = base

    def check(self, kernel: Kernel) -> None:
        """What the base refuses."""
        assert self.base is not None
        self.base.check(kernel)

    def features(self, x_t: Tensor, t: Tensor, kernel: Kernel) -> Tensor:
        """Depends on what is given: `MixedDenoiser.features`."""
        raise TypeError("features of a table's cells depend on what is given")

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Any) -> Tensor:
        """Depends on what is given: `MixedDenoiser.predict_from`."""
        raise TypeError("predictions of a table's cells depend on what is given")


class ByColumnVariance(Variance):
    """The widths that `MixedDenoiser` gives its steps: a second output of the network."""

    learned = last = True

    def check(self, kernel: Kernel) -> None:
        """Refuse other kernels than those of tables."""
        if not isinstance(kernel, Mixed):
            raise ValueError("a model of a table's columns: use kernel.kind=mixed")

    def step(self, kernel: Any, x_0: Tensor, raw: Any, x_t: Tensor, s: Tensor, t: Tensor) -> Distribution:
        """`MixedDenoiser.step_from` has it."""
        raise TypeError("steps of a table's cells depend on what is given")

    def last_step(self, kernel: Any, x_0: Tensor, raw: Any, x_t: Tensor, t: Tensor) -> Distribution:
        """`MixedDenoiser.decode_from` has it."""
        raise TypeError("steps of a table's cells depend on what is given")


class ByColumnDecoder(Decoder):
    """The last step that `MixedDenoiser` has: levels and densities of numbers, probabilities of symbols."""

    learned = True

    def check(self, kernel: Kernel) -> None:
        """Refuse what `ByColumnVariance` does."""
        ByColumnVariance().check(kernel)

    def __call__(self, x_0: Tensor, x_t: Tensor, t: Tensor, kernel: Any, last: Any = None) -> Distribution:
        """`MixedDenoiser.decode_from` has it."""
        raise TypeError("steps of a table's cells depend on what is given")


class Seen(NamedTuple):
    """Cells (B, D) as the network is to see them, and what is put where they are no part of a draw."""

    cells: Cells
    filled: Tensor

    @property
    def aside(self) -> Tensor:
        """Those that are not on their way."""
        return self.cells.given | self.cells.out

    def of(self, columns: Tensor) -> Cells:
        """Some columns of them."""
        return Cells(*(each[:, columns] for each in self.cells))


class MixedDenoiser(Denoiser):
    """The model of rows that begins at a base. `network(features, t)` has an output of twice the features'
    size.

    Raises ValueError for a kernel of other columns.
    """

    kernel: Mixed
    base: ColumnsBase

    def __init__(self, network: nn.Module, kernel: Mixed, base: ColumnsBase) -> None:
        row = {CELLS: Row((len(kernel.columns),))}
        super().__init__(network, kernel, ByColumn(base), ByColumnVariance(), ByColumnDecoder(), row)

    def seen(self, x_t: Tensor) -> Seen:
        """What is known of the cells."""
        out = x_t.isnan()
        if self.condition is None:
            return Seen(Cells(x_t.nan_to_num(0.0), torch.zeros_like(out), out), x_t.new_full((), torch.nan))
        told = sent(self.condition.values[CELLS], x_t.device, x_t.dtype).expand_as(x_t)
        given = told.isfinite()
        x = torch.where(given, told, x_t.nan_to_num(0.0))
        return Seen(Cells(x, given, out & ~given), told)

    def prior(self, like: Tensor) -> Distribution:
        """The kernel's, of what is not given."""
        return self._aside(self.kernel.prior(like.nan_to_num(0.0)), self.seen(like))

    def output(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's output, in two halves."""
        x = self.features(x_t, t)
        out = self.network(x, onto(t, x).expand(len(x))).to(x.dtype)
        if out.shape != (len(x), 2 * x.shape[1]):
            raise ValueError(
                f"the network gave {tuple(out.shape)}; this model needs {(len(x), 2 * x.shape[1])}"
            )
        first, second = out.chunk(2, 1)
        return first, second

    def features(self, x_t: Tensor, t: Tensor) -> Tensor:
        """(B, F): numbers, then symbols, group by group; then which symbols are given, and left out."""
        seen, parts, flags = self.seen(x_t), [], []
        for group, known in self._groups():
            cells = seen.of(group.columns)
            states = [cells.given.to(x_t), cells.out.to(x_t)]
            if known is None:
                belief = self.base.belief(cells, t, self.kernel)
                parts += [cells.x, belief.mean.to(x_t), belief.std.to(x_t), *states]
            else:
                hot = known.features(cells.x, t, _discrete(group))
                there = (~cells.out).to(hot).repeat(1, _discrete(group).channels)
                parts.append(hot * there)
                flags += states
        return torch.cat(parts + flags, 1)

    def predict_from(self, out: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0-hat (B, D): means of numbers, the likeliest symbols; what is given, and NaN where left out."""
        seen, found = self.seen(x_t), torch.empty_like(x_t)
        for group, known, own in self._own(out):
            cells = seen.of(group.columns)
            if known is None:
                found[:, group.columns] = self._number(own, cells, t)[0].to(found)
            else:
                found[:, group.columns] = self._soft(own, cells, t, group, known).argmax(-1).to(found)
        return torch.where(seen.aside, onto(seen.filled, x_t), found)

    def step_from(
        self, output: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Distribution:
        """p(x_s | x_t)."""
        return self._law(output, raw, x_t, t, s)

    def decode_from(self, out: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor) -> Distribution:
        """p(x_0 | x_t), in float64."""
        assert raw is not None
        return self._law(wide(out), wide(raw), wide(x_t), t, None)

    def _law(self, out: Tensor, raw: Tensor | None, x_t: Tensor, t: Tensor, s: Tensor | None) -> Columns:
        seen, parts = self.seen(x_t), []
        for group, known, own in self._own(out):
            cells = seen.of(group.columns)
            if known is None:
                assert raw is not None
                law = self._number_law(own, raw[:, : own.shape[1]], cells, t, s)
            else:
                soft, kernel = self._soft(own, cells, t, group, known), _discrete(group)
                law = kernel.law(soft) if s is None else kernel.bridge(soft, cells.x, s, t)
            parts.append(Part(group.columns, law))
        return Columns(parts, seen.aside, seen.filled)

    def _number_law(
        self, out: Tensor, raw: Tensor, cells: Cells, t: Tensor, s: Tensor | None
    ) -> Distribution:
        """Of numbers (B, n)."""
        mean, std = self._number(out, cells, t)
        left = std.square() * wide(raw).clamp(-LARGEST, LARGEST).exp()
        if s is None:
            return Scored(Normal(mean, left), self.base.marginals)
        c = Gaussian(self.kernel.schedule).coefficients(s, t)
        x = cells.x
        loc = like(c.a, x) * mean.to(x) + like(c.b, x) * x
        return Normal(loc, like(c.var, left) + like(c.a.square(), left) * left)

    def _number(self, out: Tensor, cells: Cells, t: Tensor) -> Belief:
        """x_0-hat of numbers, and the base's deviation; float64."""
        belief = self.base.belief(cells, t, self.kernel)
        return Belief(belief.mean + belief.std * wide(out), belief.std)

    def _soft(self, out: Tensor, cells: Cells, t: Tensor, group: Group, known: Frequencies) -> Tensor:
        """Probabilities (B, C, K) of symbols; of those left out their x_t says nothing."""
        kernel = _discrete(group)
        evidence = kernel.evidence(cells.x, t).masked_fill(cells.out.unsqueeze(-1), 0.0)
        logits = evidence + kernel.logits(known.log_probs).to(cells.x)
        return kernel.soften(like(1 + kernel.sharpness(t), out) * out, logits)

    def _groups(self) -> list[tuple[Group, Frequencies | None]]:
        """The kernel's groups, and what the base knows of their symbols."""
        known = iter(self.base.symbols)
        return [(group, None if group.counts[0] == 0 else next(known)) for group in self.kernel.groups]  # type: ignore[misc]

    def _own(self, out: Tensor) -> list[tuple[Group, Frequencies | None, Tensor]]:
        """With each group the part of the network's output that is about it."""
        found, place = [], 0
        for group, known in self._groups():
            n = len(group.columns)
            size = n if known is None else n * _discrete(group).channels
            found.append((group, known, out[:, place : place + size]))
            place += NUMBER * n if known is None else size
        return found

    @staticmethod
    def _aside(law: Columns, seen: Seen) -> Columns:
        return replace(law, out=seen.aside, filled=seen.filled)


def _discrete(group: Group) -> Discrete:
    assert isinstance(group.kernel, Discrete)
    return group.kernel
