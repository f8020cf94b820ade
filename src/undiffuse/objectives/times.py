"""How the times of a training batch are drawn: as positions u in [0, 1) along the chain.

An objective is a mean over uniform positions. Drawn from another density q its terms count 1 / q, which
leaves the mean as it is; their variance is least for q prop. to the root of E[term^2 | u].

The positions of a batch are drawn together. A part of it (`random.Batch`), in this process or in another,
takes its own of them, and what all parts found is for the training to learn from, after the step.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from undiffuse.devices import fetched, onto
from undiffuse.random import Batch, uniform

State = dict[str, list[float]]
Noise = torch.Generator | Batch


class Times(ABC):
    """Draws (B,) positions in [0, 1); each is uniform on its own, unless `balance` says otherwise."""

    in_parts = False  # whether the last draw was for a part of a batch

    def draw(self, count: int, generator: Noise) -> Tensor:
        """`count` positions, float64 on the CPU; of a part of a batch, its own among those of all."""
        self.in_parts = isinstance(generator, Batch)
        if isinstance(generator, Batch):
            return self.draw_all(generator.size, generator.whole())[generator.rows]
        return self.draw_all(count, generator)

    @abstractmethod
    def draw_all(self, count: int, generator: torch.Generator) -> Tensor:
        """The positions of a whole batch."""

    def balance(self, u: Tensor, terms: Tensor) -> Tensor:
        """The terms (B,) found at the drawn positions u, with the weights that uniform ones need not."""
        return terms

    def learn(self, found: Tensor) -> None:  # noqa: B027 - most learn nothing
        """Learn from the positions and terms (2, B) of a whole batch."""

    def found(self) -> Tensor | None:
        """(2, B): positions and terms of this process's parts since `learn`; None if nothing is learned."""
        return None

    def forget(self) -> None:  # noqa: B027 - most learn nothing
        """Leave out what was found: the parts are computed again."""

    def state(self) -> State:
        """What it has learned of the terms, for a checkpoint."""
        return {}

    def restore(self, state: State) -> None:  # noqa: B027 - most learn nothing
        """Put back what `state` gave."""


class Independent(Times):
    """Every example draws its own position."""

    def draw_all(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent uniform numbers."""
        return uniform((count,), generator)


class Stratified(Times):
    """Low-discrepancy: one shared offset, spread evenly over the batch (Kingma et al. 2021, App. I.1).

    Every position is uniform, but a batch covers the whole chain, so the loss varies less.
    """

    def draw_all(self, count: int, generator: torch.Generator) -> Tensor:
        """(u + i / B) mod 1 for i = 0 .. B-1."""
        offset = uniform((1,), generator)
        return (offset + torch.arange(count, dtype=torch.float64) / count) % 1


class Importance(Times):
    """Positions drawn as often as their terms are large (Nichol & Dhariwal 2021, section 3.3).

    The density is constant in each of `bins` parts of the chain and proportional to the root mean square of
    the terms seen there, a running one that forgets by `memory` a term; a share `floor` stays uniform, so
    that no term counts more than 1 / floor. Uniform until every part has been seen. Low-discrepancy, like
    `Stratified`. Raises ValueError for bins < 1, or a floor or memory that is no share.
    """

    def __init__(self, bins: int = 100, floor: float = 0.1, memory: float = 0.98) -> None:
        if bins < 1 or not 0 < floor <= 1 or not 0 <= memory < 1:
            raise ValueError(
                f"bins={bins}, floor={floor}, memory={memory}: at least one bin, a floor in (0, 1], a memory "
                "in [0, 1)"
            )
        self.floor, self.memory = floor, memory
        self.squares = torch.full((bins,), torch.nan, dtype=torch.float64)  # nan: not yet seen
        self._found: list[Tensor] = []

    @property
    def density(self) -> Tensor:
        """q in each bin, (bins,); its mean is 1."""
        root = self.squares.sqrt()
        if not bool(root.isfinite().all()) or not bool(root.any()):
            return torch.ones_like(root)
        return (1 - self.floor) * root / root.mean() + self.floor

    def draw_all(self, count: int, generator: torch.Generator) -> Tensor:
        """Stratified positions, sent through the inverse of q's distribution function."""
        density = self.density
        ends = density.cumsum(0) / density.sum()
        u = Stratified().draw_all(count, generator)
        bins = torch.searchsorted(ends, u, right=True).clamp(max=len(ends) - 1)
        share = density[bins] / density.sum()
        within = ((u - ends[bins] + share) / share).clamp(0, 1 - 1e-12)
        return (bins + within) / len(density)

    def balance(self, u: Tensor, terms: Tensor) -> Tensor:
        """The terms over the density they were drawn with, which learns from them (later, if in parts)."""
        weight = 1 / self.density[self._bins(u)]
        self._found.append(torch.stack([u, fetched(terms.detach())]))
        if not self.in_parts:
            self.learn(self.found())
        return terms * onto(weight, terms)

    def found(self) -> Tensor:
        """(2, B): positions and terms."""
        return torch.cat(self._found, 1)

    def forget(self) -> None:
        """Of positions and terms."""
        self._found.clear()

    def learn(self, found: Tensor) -> None:
        """The density follows the terms."""
        self.forget()
        u, terms = found[:, found.isfinite().all(0)]  # a step that was left out taught nothing
        bins = self._bins(u)
        count = torch.bincount(bins, minlength=len(self.squares))
        total = torch.zeros_like(self.squares).index_add(0, bins, terms.square())
        now, seen = total / count.clamp(min=1), count > 0
        kept = torch.where(self.squares.isnan(), 0.0, self.memory**count)
        self.squares = torch.where(seen, kept * self.squares.nan_to_num() + (1 - kept) * now, self.squares)

    def _bins(self, u: Tensor) -> Tensor:
        return (u * len(self.squares)).long()

    def state(self) -> State:
        """The mean squares, -1 where nothing was seen."""
        return {"squares": self.squares.nan_to_num(-1.0).tolist()}

    def restore(self, state: State) -> None:
        """Raises ValueError for another number of bins."""
        squares = torch.tensor(state["squares"], dtype=torch.float64)
        if squares.shape != self.squares.shape:
            raise ValueError(f"importance of {len(squares)} bins, the objective has {len(self.squares)}")
        self.squares = torch.where(squares < 0, torch.nan, squares)
        self._found.clear()


def times_at(grid: Tensor | None, u: Tensor, first: float = 1e-4) -> Tensor:
    """Times at the positions u: on the grid, or continuous from `first` to 1 if there is none."""
    if grid is None:
        return first + (1 - first) * u
    return grid[(u * len(grid)).long()]
