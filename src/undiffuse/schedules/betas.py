"""Any table of diffusion rates beta_1 .. beta_T: a chain with the latent times 1/T, 2/T, .., 1.

    keep at i/T = prod_{j <= i} (1 - beta_j)

Between the grid times the log-SNR is interpolated linearly; where one end of an interval is infinite
(t = 0, where keep = 1, and t = 1 if beta_T = 1) the kept share is, instead.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from undiffuse.devices import sent
from undiffuse.schedules.base import Schedule, check_time, logit


class Tabulated(Schedule):
    """A schedule that is given by the log of the kept share at 0, 1/T, .., 1."""

    steps: int

    @abstractmethod
    def log_keep(self) -> Tensor:
        """log keep at i/T for i = 0 .. T, float64 (T + 1,), the first 0."""

    def table(self) -> Tensor:
        """The log-SNR at the same times; its infinite ends have no gradient."""
        log_keep = self.log_keep()
        ends = (log_keep == 0) | log_keep.isinf()
        infinite = torch.where(log_keep == 0, torch.inf, -torch.inf)
        return torch.where(ends, infinite, logit(torch.where(ends, -1.0, log_keep)))

    def logsnr(self, t: Tensor) -> Tensor:
        """Exact at i/T, interpolated between."""
        place = check_time(t) * self.steps
        nearest = place.round()
        between = (place - nearest).abs() >= 1e-9
        table = self.table()
        exact = torch.take(table, sent(nearest.long(), table.device))
        if not bool(between.any()):
            return exact
        return torch.where(sent(between, table.device), self._between(place), exact)

    def _between(self, place: Tensor) -> Tensor:
        """Interpolated in the interval of each place; something finite at its ends."""
        right = place.ceil().long().clamp(min=1)
        share = place - (right - 1)
        share = torch.where((share == 0) | (share == 1), 0.5, share)
        log_keep = self.log_keep()
        share, right = sent(share, log_keep.device), sent(right, log_keep.device)
        ends = torch.take(log_keep, right - 1), torch.take(log_keep, right)
        open_end = (ends[0] == 0) | ends[1].isinf()
        return torch.where(open_end, _between_keeps(*ends, share), _between_logsnrs(*ends, share))


class Betas(Tabulated):
    """The schedule of a table of rates `betas` (T,), each in (0, 1); the last one may be 1.

    >>> Betas([0.1, 0.2]).keep(torch.tensor([0.5, 1.0]))
    tensor([0.9000, 0.7200], dtype=torch.float64)
    """

    def __init__(self, betas: Sequence[float] | Tensor) -> None:
        super().__init__()
        table = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        _check_table(table)
        self.steps = len(table)
        self.betas = table  # plain attributes: part of the recipe, not of the weights
        self._log_keep = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-table).cumsum(0)])
        self._table = super().table()

    def log_keep(self) -> Tensor:
        """Sums of log(1 - beta)."""
        return self._log_keep

    def table(self) -> Tensor:
        """Worked out once."""
        return self._table


def _between_logsnrs(left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """Linear in the log-SNR; where one end is infinite, something finite that is not used."""
    a, b = (logit(torch.where((x == 0) | x.isinf(), -1.0, x)) for x in (left, right))
    return torch.lerp(a, b, share)


def _between_keeps(left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """Linear in the kept share."""
    keep = torch.lerp(left.exp(), right.exp(), share)
    lost = torch.lerp(-torch.expm1(left), -torch.expm1(right), share)
    return keep.log() - lost.log()


def _check_table(table: Tensor) -> None:
    if table.ndim != 1 or len(table) < 1:
        raise ValueError(f"betas is a list of T >= 1 rates, got shape {tuple(table.shape)}")
    good = (table > 0) & (table < 1)
    good[-1] = 0 < table[-1] <= 1
    if not bool(good.all()):
        i = int((~good).nonzero()[0])
        raise ValueError(f"betas[{i}]={table[i]:g}: rates lie in (0, 1); only the last may be 1")
