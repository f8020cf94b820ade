"""Any table of diffusion rates beta_1 .. beta_T: a chain with the latent times 1/T, 2/T, .., 1.

    keep at i/T = prod_{j <= i} (1 - beta_j)

Between the grid times the log-SNR is interpolated linearly; where one end of an interval is infinite
(t = 0, where keep = 1, and t = 1 if beta_T = 1) the kept share is, instead.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from undiffuse.schedules.base import Schedule, check_time, logit


class Betas(Schedule):
    """The schedule of a table of rates `betas` (T,), each in (0, 1); the last one may be 1.

    >>> Betas([0.1, 0.2]).keep(torch.tensor([0.5, 1.0]))
    tensor([0.9000, 0.7200], dtype=torch.float64)
    """

    def __init__(self, betas: Sequence[float] | Tensor) -> None:
        super().__init__()
        table = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        _check_table(table)
        self.steps = len(table)
        log_keep = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-table).cumsum(0)])
        self.betas = table  # plain attributes: part of the recipe, not of the weights
        self._keep = log_keep.exp()
        self._logsnr = logit(log_keep)

    def logsnr(self, t: Tensor) -> Tensor:
        """Exact at i/T, interpolated between."""
        place = check_time(t) * len(self.betas)
        nearest = place.round()
        place = torch.where((place - nearest).abs() < 1e-9, nearest, place)
        right = place.ceil().long().clamp(min=1)
        share = place - (right - 1)
        return self._between(right - 1, right, share)

    def _between(self, left: Tensor, right: Tensor, share: Tensor) -> Tensor:
        a, b = self._logsnr[left], self._logsnr[right]
        keep = torch.lerp(self._keep[left], self._keep[right], share)
        lost = torch.lerp(1 - self._keep[left], 1 - self._keep[right], share)
        finite = a.isfinite() & b.isfinite()
        inner = torch.where(finite, torch.lerp(a, b, share), keep.log() - lost.log())
        return torch.where(share == 0, a, torch.where(share == 1, b, inner))


def _check_table(table: Tensor) -> None:
    if table.ndim != 1 or len(table) < 1:
        raise ValueError(f"betas is a list of T >= 1 rates, got shape {tuple(table.shape)}")
    good = (table > 0) & (table < 1)
    good[-1] = 0 < table[-1] <= 1
    if not bool(good.all()):
        i = int((~good).nonzero()[0])
        raise ValueError(f"betas[{i}]={table[i]:g}: rates lie in (0, 1); only the last may be 1")
