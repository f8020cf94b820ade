"""Schedules with parameters, trained by the bound: a table of rates, and a continuous log-SNR.

    LearnedBetas  beta_1 fixed, beta_i = sigmoid(logit(start_i) + raw_i), i = 2 .. T
    Learned       logsnr_t = top - span u(t),   u from 0 to 1, piecewise linear, du/dt = n softmax(raw)

Both fall strictly whatever their parameters are. The first is that of Sohl-Dickstein et al. 2015 (2.4.1:
beta_1 stays small "to prevent overfitting"), trained by the gradient of the bound with its noise held fixed.
The second is that of Kingma et al. 2021 (VDM): the two ends are trained by the bound, which at infinitely
many steps does not depend on what lies between, so u is trained to lower the *variance* of its estimate:

    d/du E[L_i^2] = E[2 L_i dL_i/du]

which is the ordinary gradient with the factor 2 L_i for every row i; `row_scale` holds these factors while
a batch goes backwards.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from undiffuse.schedules.base import Schedule, check_time
from undiffuse.schedules.betas import Tabulated


class LearnedBetas(Tabulated):
    """T rates, all but the first of them learned; they start evenly spread in log-SNR.

    `first` is beta_1, `last` the log-SNR that the table starts from at t = 1. Raises ValueError unless
    steps >= 2, 0 < first < 1 and the log-SNR falls.
    """

    def __init__(self, steps: int = 40, first: float = 1e-3, last: float = -6.0) -> None:
        super().__init__()
        top = math.log1p(-first) - math.log(first) if 0 < first < 1 else math.nan
        if steps < 2 or not top > last:
            raise ValueError(
                f"steps={steps}, first={first:g}, last={last:g}: at least two steps, the rate beta_1 = first "
                "in (0, 1), and a log-SNR that falls from that of beta_1 to last"
            )
        self.steps = steps
        log_keep = logsigmoid(torch.linspace(top, last, steps, dtype=torch.float64))
        log_left = log_keep.diff()  # log(1 - beta_i)
        self._first = log_keep[:1]
        self._start = torch.log(-torch.expm1(log_left)) - log_left
        self.raw = nn.Parameter(torch.zeros(steps - 1))

    def log_keep(self) -> Tensor:
        """Sums of log(1 - beta), 1 - beta = sigmoid(-logit beta)."""
        logits = self._start + self.raw.to("cpu", torch.float64)
        left = torch.cat([self._first, logsigmoid(-logits)])
        return torch.cat([torch.zeros(1, dtype=torch.float64), left.cumsum(0)])


class Learned(Schedule):
    """A continuous log-SNR from about `first` at t = 0 to about `last` at t = 1, in `pieces` linear pieces.

    Raises ValueError unless first > last and pieces >= 1.
    """

    row_scale: Tensor | None = None

    def __init__(self, first: float = 8.0, last: float = -6.0, pieces: int = 32) -> None:
        super().__init__()
        if not first > last or pieces < 1:
            raise ValueError(
                f"first={first:g}, last={last:g}, pieces={pieces}: log-SNR falls, in at least one piece"
            )
        self.top = nn.Parameter(torch.tensor(float(first)))
        self.span = nn.Parameter(torch.tensor(first - last).expm1().log())  # through softplus
        self.raw = nn.Parameter(torch.zeros(pieces))

    def logsnr(self, t: Tensor) -> Tensor:
        """top - span u(t)."""
        place, piece = self._place(check_time(t))
        rates = self._rates()
        reached = torch.cat([torch.zeros(1, dtype=torch.float64), rates.cumsum(0)])[piece]
        u = self._hooked(reached + (place - piece) * rates[piece])
        return self._double(self.top) - softplus(self._double(self.span)) * u

    def slope(self, t: Tensor) -> Tensor:
        """d logsnr / dt < 0, float64 of t's shape."""
        piece = self._place(check_time(t))[1]
        return -softplus(self._double(self.span)) * self._hooked(self._rates()[piece] * len(self.raw))

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor]:
        place = t * len(self.raw)
        return place, place.long().clamp(max=len(self.raw) - 1)

    def _rates(self) -> Tensor:
        """How far u rises in each piece; they sum to one."""
        return self._double(self.raw).softmax(0)

    def _hooked(self, u: Tensor) -> Tensor:
        """u, whose gradient is scaled row by row on its way back."""
        if u.requires_grad and u.ndim:
            u.register_hook(  # type: ignore[no-untyped-call]
                lambda g: g if self.row_scale is None else g * self.row_scale
            )
        return u

    def _double(self, parameter: Tensor) -> Tensor:
        return parameter.to("cpu", torch.float64)
