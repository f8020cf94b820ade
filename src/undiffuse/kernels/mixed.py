"""A kernel for the rows of a table: each column destroyed in its own way, all at one time t.

    q(x_t | x_0) = prod_c q_c(x_t,c | x_0,c)

Columns of numbers have the Gaussian kernel; columns of symbols, each with a number of symbols of its own, are
redrawn from a uniform law. NaN marks a cell that is left out: it stays NaN at every t, has no part in any
divergence, and nothing is said of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from undiffuse.distributions import Categorical, Columns, Distribution, Normal, Part
from undiffuse.kernels.base import Kernel
from undiffuse.kernels.categorical import Redraw
from undiffuse.kernels.gaussian import Gaussian
from undiffuse.schedules import ConstantFraction, Schedule
from undiffuse.tensors import like

MOST = 4096  # symbols of a column
NUMBER = 5  # features of a number: itself, the base's mean and deviation, whether given, whether left out


class Group(NamedTuple):
    """Columns (n,) that are destroyed by one kernel, and how many symbols each of them has (0: numbers)."""

    columns: Tensor
    kernel: Kernel
    counts: tuple[int, ...]


class Mixed(Kernel):
    """Rows of D columns: `columns` says how many symbols each has, 0 for numbers.

    Numbers follow the `schedule`, symbols that of `symbol_schedule`, by default the constant fraction.
    Raises ValueError for no columns, or a number of symbols that is none.
    """

    reversible = False

    def __init__(
        self, schedule: Schedule, columns: list[int], symbol_schedule: Schedule | None = None
    ) -> None:
        super().__init__()
        if not columns or not all(k == 0 or 2 <= k <= MOST for k in columns):
            raise ValueError(
                f"columns={columns}: of each how many symbols it has, 2 to {MOST}, 0 for numbers"
            )
        self.schedule, self.columns = schedule, tuple(columns)
        self.symbol_schedule = symbol_schedule or ConstantFraction()
        kernels, self._counts = [], [tuple(columns[i] for i in members) for members in self._members()]
        for number, (members, counts) in enumerate(zip(self._members(), self._counts, strict=True)):
            self.register_buffer(f"members{number}", torch.tensor(members), persistent=False)
            kernels.append(Gaussian(schedule) if counts[0] == 0 else self._redraw(counts))
        self.kernels = nn.ModuleList(kernels)

    def _members(self) -> list[list[int]]:
        return members_of(self.columns)

    def _redraw(self, counts: Sequence[int]) -> Redraw:
        most = max(counts)
        home = torch.stack([(torch.arange(most) < k).double() / k for k in counts])
        return Redraw(self.symbol_schedule, most, home)

    @property
    def groups(self) -> list[Group]:
        """Columns and kernels."""
        pairs = enumerate(zip(self.kernels, self._counts, strict=True))
        return [
            Group(self.get_buffer(f"members{i}"), cast(Kernel, kernel), counts)
            for i, (kernel, counts) in pairs
        ]

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse examples that are no rows of these columns."""
        if shape != (len(self.columns),):
            raise ValueError(f"kernel.columns: {len(self.columns)} columns for examples of shape {shape}")

    def feature_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(F,), as `undiffuse.mixed` makes them: five of a number, of symbols one for each, and two more."""
        seen, _ = feature_places(self.columns)
        return (sum(map(len, seen)),)

    def transition(self, x_s: Tensor, s: Tensor, t: Tensor) -> Columns:
        """Each column's."""
        return self._laws(x_s, lambda g, x: g.kernel.transition(x, s, t))

    def marginal(self, x_0: Tensor, t: Tensor) -> Columns:
        """Each column's."""
        return self._laws(x_0, lambda g, x: g.kernel.marginal(x, t))

    def bridge(self, x_0: Tensor | Columns, x_t: Tensor, s: Tensor, t: Tensor) -> Columns:
        """Each column's; of a soft x_0, a law of the columns, its mean over x_0.

        N(mean, v) of x_0    becomes    N(a mean + b x_t, w + a^2 v)    where a sure one has w
        """
        x_t = x_t.nan_to_num(0.0)
        if isinstance(x_0, Tensor):
            return self._laws(x_0, lambda g, x: g.kernel.bridge(x, x_t[:, g.columns], s, t))
        pairs = zip(self.groups, x_0.parts, strict=True)
        parts = [
            Part(g.columns, _mean_bridge(g.kernel, part.law, x_t[:, g.columns], s, t)) for g, part in pairs
        ]
        return replace(x_0, parts=parts)

    def soft(self, law: Columns) -> Columns:
        """Itself."""
        return law

    def prior(self, like: Tensor) -> Columns:
        """Each column's, of cells that are not NaN."""
        return self._laws(like, lambda g, x: g.kernel.prior(x))

    def _laws(self, x: Tensor, law: Callable[[Group, Tensor], Distribution]) -> Columns:
        out, x = x.isnan(), x.nan_to_num(0.0)
        return Columns([Part(g.columns, law(g, x[:, g.columns])) for g in self.groups], out)


def members_of(columns: Sequence[int]) -> list[list[int]]:
    """The columns of every group: numbers, then symbols that are about as many."""
    sizes = [0 if k == 0 else k.bit_length() for k in columns]
    return [[i for i, size in enumerate(sizes) if size == each] for each in sorted(set(sizes))]


def feature_places(columns: Sequence[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Of every column where its features are among all F, and what is said of it among an output of 2 F.

    Features are, group by group, those of numbers, one kind after the other, and indicators, symbol by
    symbol; then which symbols are given, and which left out. What is said is a number's mean where its first
    feature is and its width F further, and of symbols a logit for each indicator.
    """
    seen: list[list[int]] = [[] for _ in columns]
    said: list[list[int]] = [[] for _ in columns]
    groups = members_of(columns)
    place, most = 0, [max(columns[i] for i in group) for group in groups]
    for group, count in zip(groups, most, strict=True):
        for j, column in enumerate(group):
            seen[column] = [place + k * len(group) + j for k in range(count or NUMBER)]
            said[column] = seen[column] if count else seen[column][:1]
        place += (count or NUMBER) * len(group)
    for group, count in zip(groups, most, strict=True):
        if count:
            for j, column in enumerate(group):
                seen[column] = [*seen[column], place + j, place + len(group) + j]
            place += 2 * len(group)
    return seen, [each if columns[i] else [each[0], each[0] + place] for i, each in enumerate(said)]


def _mean_bridge(kernel: Kernel, law: Distribution, x_t: Tensor, s: Tensor, t: Tensor) -> Distribution:
    """The mean over x_0 of the bridges to it, for numbers as wide as that is."""
    if isinstance(kernel, Redraw):
        assert isinstance(law, Categorical)
        return kernel.bridge(kernel.soft(law), x_t, s, t)
    assert isinstance(kernel, Gaussian) and isinstance(law, Normal)
    c = kernel.coefficients(s, t)
    loc = like(c.a, x_t) * law.loc.to(x_t) + like(c.b, x_t) * x_t
    return Normal(loc, like(c.var, law.var) + like(c.a.square(), law.var) * law.var)
