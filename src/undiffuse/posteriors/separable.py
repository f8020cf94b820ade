"""What else is known of a table's columns, one by one: r(x) = prod_c r_c(x_c).

Times a law with independent columns this is a law of that kind again. Symbols have their probabilities times
r_c, exactly; of numbers, normal in their scores, mean and variance of N(z; m, v) r_c(z) are found on a grid,

    z = m + u sqrt(v),    weights prop. to exp(-u^2 / 2) r_c(z)

and the law is taken for normal with these. Weights of paths make up for what that misses.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from undiffuse.devices import wide
from undiffuse.distributions import Categorical, Columns, Distribution, Normal, Part, Scored
from undiffuse.kernels import Kernel, Mixed
from undiffuse.posteriors.observation import Observation
from undiffuse.tensors import ONE

NODES, REACH = 129, 8.0  # of the grid, and how many deviations it goes out
NEVER = -60.0  # log-probability of a symbol that a column does not have, at most
LogFactor = Callable[[Tensor], Tensor]


class Separable(Observation):
    """`log_rs` give log r_c, elementwise, of x_0's values of column c: scores, or numbers of symbols.

    Raises ValueError for no columns.
    """

    smooth = False

    def __init__(self, log_rs: Mapping[int, LogFactor]) -> None:
        if not log_rs:
            raise ValueError("log_rs: of one column at least")
        self.log_rs = dict(log_rs)

    def check(self, kernel: Kernel) -> None:
        """Refuse all but tables, and columns that they do not have."""
        if not isinstance(kernel, Mixed):
            raise ValueError("Separable is known of a table's columns: for other data use LogDensity")
        lost = [c for c in self.log_rs if not 0 <= c < len(kernel.columns)]
        if lost:
            raise ValueError(f"log_rs: no column {lost[0]} among {len(kernel.columns)}")

    def log(self, x: Tensor) -> Tensor:
        """The sum of log r_c, of cells that are not NaN."""
        found = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for c, log_r in self.log_rs.items():
            found = found + wide(log_r(x[:, c])).masked_fill(x[:, c].isnan(), 0.0)
        return found

    def times(self, p: Distribution, power: Tensor = ONE) -> Columns:
        """Column by column."""
        assert isinstance(p, Columns)
        return Columns([part._replace(law=self._times(part, power)[0]) for part in p.parts], p.out, p.filled)

    def normaliser(self, p: Distribution) -> Tensor:
        """log E_p[r(x)]."""
        assert isinstance(p, Columns)
        found = torch.zeros(len(p.out), dtype=torch.float64, device=p.out.device)
        for part in p.parts:
            each = wide(self._times(part, ONE)[1])
            found = found + each.masked_fill(p.out[:, part.columns], 0.0).sum(1)
        return found

    def _times(self, part: Part, power: Tensor) -> tuple[Distribution, Tensor]:
        """The part times r, and log E[r^power] of each of its columns, (B, n)."""
        if isinstance(part.law, Categorical):
            log_r = torch.zeros_like(part.law.log_probs)
            for i, own in self._of(part):
                there = (part.law.log_probs[:, i] > NEVER).any(
                    0
                )  # others have fewer symbols than the longest
                log_r[:, i, there] = (power * own(part.law.values[there])).to(log_r)
            logits = part.law.log_probs + log_r
            return Categorical(logits, part.law.values), logits.logsumexp(-1)
        law = part.law.law if isinstance(part.law, Scored) else part.law
        assert isinstance(law, Normal)
        loc, var = wide(law.loc).clone(), wide(law.var).expand_as(law.loc).clone()
        log_z = torch.zeros_like(loc)
        for i, own in self._of(part):
            loc[:, i], var[:, i], log_z[:, i] = _moments(loc[:, i], var[:, i], own, power)
        made = Normal(loc.to(law.loc), var.to(law.loc))
        return Scored(made, part.law.of) if isinstance(part.law, Scored) else made, log_z

    def _of(self, part: Part) -> list[tuple[int, LogFactor]]:
        """Which of the part's columns have a factor."""
        return [(i, self.log_rs[c]) for i, c in enumerate(part.columns.tolist()) if c in self.log_rs]


def _moments(loc: Tensor, var: Tensor, log_r: LogFactor, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and log-normaliser of N(loc, var) r^power, (B,) each."""
    u = torch.linspace(-REACH, REACH, NODES, dtype=loc.dtype, device=loc.device)
    z = loc.unsqueeze(1) + var.sqrt().unsqueeze(1) * u
    log_w = -0.5 * u.square() - 0.5 * math.log(2 * math.pi) + math.log(2 * REACH / (NODES - 1))
    joint = log_w + power * wide(log_r(z))
    log_z = joint.logsumexp(1)
    weights = (joint - log_z.unsqueeze(1)).exp()
    mean = (weights * z).sum(1)
    spread = (weights * (z - mean.unsqueeze(1)).square()).sum(1)
    return mean, spread.clamp(min=1e-12), log_z
