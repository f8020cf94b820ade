"""A model of the rows of a table: columns of numbers and of symbols, of which any may be given or left out.

A cell is in one of three states. On its way it is x_t at the chain's time t; *given* it is x_0, as the
condition `cells` says, whatever x_t is; *left out* it is NaN, and the others are modelled without it. So one
network knows

    p(x_A | x_B)        for any two sets A and B of columns

where A are the cells on their way. Of numbers the network gives what the base (`bases.ColumnsBase`) is off,
in the base's deviations, and how much wider a step is; of symbols a change of their logits. One that gives
zeros is the base. What is left out or given has no part in a bound, and samples have there what was given.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from undiffuse.bases import ColumnsBase, Frequencies
from undiffuse.bases.columns import Belief, Cells
from undiffuse.conditions import Row
from undiffuse.devices import onto, sent, wide
from undiffuse.distributions import Columns, Distribution, Normal, Part, Scored
from undiffuse.kernels import Discrete, Group, Kernel, Mixed
from undiffuse.kernels.mixed import NUMBER
from undiffuse.model import Denoiser
from undiffuse.parameterizations import Decoder, Parameterization, Variance
from undiffuse.tensors import column, like

CELLS = "cells"  # name of the condition
LARGEST = 20.0  # of the log of a share
WRONG = 0.5  # of the noise's width, the least of a decoder: one level of many may look like another
UNSURE = 1e-3  # share of the base in what is said of a symbol: however sure a network is, it may be wrong


class ByColumn(Parameterization, Variance, Decoder):
    """What stands for prediction, width and last step of `MixedDenoiser`, which has its own.

    The network has a second output, for the widths.
    """

    learned = last = True

    def __init__(self, base: ColumnsBase) -> None:
        self.base = base

    def check(self, kernel: Kernel) -> None:
        """What the base refuses."""
        assert self.base is not None
        self.base.check(kernel)

    def _apart(self, *_: Any, **__: Any) -> Any:
        raise TypeError("what is said of a table's cells depends on what is given: ask the model")

    features = predict = step = last_step = __call__ = _apart


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


class Look(NamedTuple):
    """What is known at x_t: the cells, what the base thinks of numbers, and the network's output."""

    seen: Seen
    belief: Belief | None
    out: Tensor
    raw: Tensor


class MixedDenoiser(Denoiser):
    """The model of rows that begins at a base.

    `network(features, t)` has an output of twice the features' size. Raises ValueError for a kernel of other
    columns.
    """

    kernel: Mixed
    base: ColumnsBase

    def __init__(self, network: nn.Module, kernel: Mixed, base: ColumnsBase) -> None:
        row = {CELLS: Row((len(kernel.columns),))}
        whole = ByColumn(base)
        super().__init__(network, kernel, whole, whole, whole, row)

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
        seen = self.seen(like)
        return replace(self.kernel.prior(like.nan_to_num(0.0)), out=seen.aside, filled=seen.filled)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0-hat (B, D): means of numbers, the likeliest symbols; what is given, and NaN where left out."""
        return self._belief(self._look(x_t, t), t).point.to(x_t)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        """p(x_s | x_t)."""
        return self.laws(x_t, t, s)[1]

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        """p(x_0 | x_t), in float64."""
        return self.laws(x_t, t, None)[1]

    def outlook(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Tensor, Distribution]:
        """x_0-hat and the step, or the decoder, of one output of the network."""
        belief, law = self.laws(x_t, t, s)
        return belief.point.to(x_t), law

    def looked(self, x_t: Tensor, t: Tensor) -> Callable[[Tensor | None], Columns]:
        """The step to any s, or the decoder."""
        look = self._look(x_t, t)
        belief = self._belief(look, t, sharp=True)
        return lambda s: self._law(belief, look, t, s)

    def _law(self, belief: Columns, look: Look, t: Tensor, s: Tensor | None) -> Columns:
        x_t = look.seen.cells.x
        return self._last(belief, t) if s is None else self.kernel.bridge(belief, x_t, s, t)

    def laws(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Columns, Columns]:
        """p(x_0 | x_t) by column, of numbers their scores', and the step or the decoder."""
        look = self._look(x_t, t)
        belief = self._belief(look, t, sharp=s is None)
        return belief, self._law(belief, look, t, s)

    def _look(self, x_t: Tensor, t: Tensor) -> Look:
        """The network's output, and what it is about."""
        seen, belief = self.seen(x_t), None
        groups = self._groups()
        if groups[0][1] is None:
            belief = self.base.belief(seen.cells, t, self.kernel)
        x = self._features(seen, belief, x_t, t)
        out = self.network(x, onto(t, x).expand(len(x))).to(x.dtype)
        if out.shape != (len(x), 2 * x.shape[1]):
            wanted = (len(x), 2 * x.shape[1])
            raise ValueError(f"the network gave {tuple(out.shape)}; this model needs {wanted}")
        return Look(seen, belief, *out.chunk(2, 1))

    def _features(self, seen: Seen, belief: Belief | None, x_t: Tensor, t: Tensor) -> Tensor:
        """(B, F): numbers, then symbols, group by group; then which symbols are given, and left out."""
        parts, flags = [], []
        for group, known in self._groups():
            cells = seen.of(group.columns)
            states = [cells.given.to(x_t), cells.out.to(x_t)]
            if known is None:
                assert belief is not None
                parts += [cells.x, belief.mean.to(x_t), belief.std.to(x_t), *states]
            else:
                hot = known.features(cells.x, t, _discrete(group))
                there = (~cells.out).to(hot).repeat(1, _discrete(group).channels)
                parts.append(hot * there)
                flags += states
        return torch.cat(parts + flags, 1)

    def _belief(self, look: Look, t: Tensor, sharp: bool = False) -> Columns:
        """p(x_0 | x_t) by column; sharp is in float64, where the sure leave little to others."""
        parts = []
        for group, known, own in self._own(look.out):
            cells = look.seen.of(group.columns)
            if known is None:
                law: Distribution = self._numbers(look, own)
            else:
                told = (wide(own), cells._replace(x=wide(cells.x))) if sharp else (own, cells)
                law = _discrete(group).law(self._soft(*told, t, group, known))
            parts.append(Part(group.columns, law))
        return Columns(parts, look.seen.aside, look.seen.filled)

    def _numbers(self, look: Look, out: Tensor) -> Normal:
        """Of scores (B, n), in float64."""
        assert look.belief is not None
        mean, raw = look.belief.mean + look.belief.std * wide(out), look.raw[:, : out.shape[1]]
        return Normal(mean, look.belief.std.square() * wide(raw).clamp(-LARGEST, LARGEST).exp())

    def _last(self, belief: Columns, t: Tensor) -> Columns:
        """The same of values, numbers being no surer than noise lets them be."""
        noise = (-self.kernel.schedule.logsnr(t)).exp()

        def of_values(part: Part) -> Part:
            if not isinstance(part.law, Normal):
                return part
            var = torch.maximum(part.law.var, WRONG**2 * onto(column(noise, part.law.var), part.law.var))
            return part._replace(law=Scored(replace(part.law, var=var), self.base.marginals))

        return replace(belief, parts=[of_values(part) for part in belief.parts])

    def _soft(self, out: Tensor, cells: Cells, t: Tensor, group: Group, known: Frequencies) -> Tensor:
        """Probabilities (B, C, K) of symbols; of those left out their x_t says nothing."""
        kernel = _discrete(group)
        evidence = kernel.evidence(cells.x, t).masked_fill(cells.out.unsqueeze(-1), 0.0)
        logits = evidence + kernel.logits(known.log_probs).to(cells.x)
        own = kernel.soften(like(1 + kernel.sharpness(t), out) * out, logits)
        return own + UNSURE * (kernel.soften(torch.zeros_like(out), logits) - own)

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


def _discrete(group: Group) -> Discrete:
    assert isinstance(group.kernel, Discrete)
    return group.kernel
