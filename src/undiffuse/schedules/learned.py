"""Schedules with parameters, trained by the bound: a table of rates, and a continuous log-SNR.

    LearnedBetas  beta_1 fixed, beta_i = sigmoid(logit(start_i) + raw_i), i = 2 .. T
    Learned       logsnr_t = top - span u(t),   u from 0 to 1, piecewise linear, du/dt = n softmax(raw)

Both fall strictly whatever their parameters are. The first is that of Sohl-Dickstein et al. 2015 (2.4.1:
beta_1 stays small "to prevent overfitting"), trained by the gradient of the bound with its noise held fixed.
The second is that of Kingma et al. 2021 (VDM): the two ends are trained by the bound, which at infinitely
many steps does not depend on what lies between, so u is trained to lower the *variance* of its estimate:

    d/du E[L_i^2] = E[2 L_i dL_i/du]

which is the ordinary gradient with the factor 2 L_i for every row i. `Learned.between` is the schedule that
has it: the same numbers, with both ends held where they are while u moves, so that the mean of L_i stays too.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from undiffuse.devices import fetched, sent, widest
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
        raw = _double(self.raw)
        logits = sent(self._start, raw.device) + raw
        left = torch.cat([sent(self._first, raw.device), logsigmoid(-logits)])
        return torch.cat([left.new_zeros(1), left.cumsum(0)])


class Learned(Schedule):
    """A continuous log-SNR from about `first` at t = 0 to about `last` at t = 1, in `pieces` linear pieces.

    Raises ValueError unless first > last and pieces >= 1.
    """

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
        return self.at(self.reached(t))

    def slope(self, t: Tensor) -> Tensor:
        """d logsnr / dt < 0, float64 of t's shape."""
        return -softplus(_double(self.span)) * self.rate(t)

    def between(self, first: Tensor) -> "Between":
        """The same log-SNR, held at `first` (0-d, below 1) and at 1, with factors for the rows between."""
        return Between(self, first)

    def at(self, u: Tensor) -> Tensor:
        """The log-SNR where u has this value."""
        return _double(self.top) - softplus(_double(self.span)) * u

    def reached(self, t: Tensor) -> Tensor:
        """u(t), from 0 to 1."""
        rates = self._rates()
        share, piece = self._place(t, rates)
        before = torch.take(torch.cat([rates.new_zeros(1), rates.cumsum(0)]), piece)
        return before + share * torch.take(rates, piece)

    def rate(self, t: Tensor) -> Tensor:
        """du/dt."""
        rates = self._rates()
        return torch.take(rates, self._place(t, rates)[1]) * len(self.raw)

    def _place(self, t: Tensor, rates: Tensor) -> tuple[Tensor, Tensor]:
        """Where in a piece t is, and in which, beside the rates."""
        place = check_time(t) * len(self.raw)
        piece = place.long().clamp(max=len(self.raw) - 1)
        return sent(place - piece, rates.device), sent(piece, rates.device)

    def _rates(self) -> Tensor:
        """How far u rises in each piece; they sum to one."""
        return _double(self.raw).softmax(0)


class Between(Schedule):
    """A `Learned` schedule for the loss of one batch: its numbers, and another gradient of `raw`.

        logsnr_t = l_1 + (l_T - l_1) w(t),    w(t) = (u(t) - u(t_1)) / (1 - u(t_1))

    `raw` moves w, which is fixed at t_1 and at 1; the ends l_1 and l_T move with `top` and `span` alone. What
    comes back for w at times (B,) is multiplied by `row_scale` (B,), unless it is None; it may be set once
    the loss is known.
    """

    def __init__(self, of: Learned, first: Tensor) -> None:
        super().__init__()
        self.of, self.first = of, first
        self.row_scale: Tensor | None = None

    def logsnr(self, t: Tensor) -> Tensor:
        """That of the schedule itself."""
        before = self.of.reached(self.first)
        low, reach = self._ends(before)
        return low + reach * self._scaled((self.of.reached(t) - before) / (1 - before))

    def slope(self, t: Tensor) -> Tensor:
        """That of the schedule itself."""
        before = self.of.reached(self.first)
        return self._ends(before)[1] * self._scaled(self.of.rate(t) / (1 - before))

    def _ends(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """l_1 and l_T - l_1."""
        low = self.of.at(before.detach())
        return low, self.of.at(torch.ones_like(before)) - low

    def _scaled(self, w: Tensor) -> Tensor:
        """w, whose gradient is scaled row by row on its way back."""
        if w.requires_grad and w.ndim:
            w.register_hook(  # type: ignore[no-untyped-call]
                lambda g: g if self.row_scale is None else g * self.row_scale.to(g)
            )
        return w


def _double(parameter: nn.Parameter) -> Tensor:
    """It in float64: where it is while it is learned, so that no gradient goes to and fro, else on the host.

    It is read from a device once, until it changes. Where that has no float64 all is on the host.
    """
    if parameter.device.type == "cpu":
        return fetched(parameter)
    if parameter.requires_grad and torch.is_grad_enabled():
        return parameter.double() if widest(parameter.device) == torch.float64 else fetched(parameter)
    key, held = (parameter._version, parameter.data_ptr()), getattr(parameter, "host", None)
    if held is None or held[0] != key:
        held = key, fetched(parameter.detach())
        parameter.host = held  # type: ignore[attr-defined]
    found: Tensor = held[1]
    return found
