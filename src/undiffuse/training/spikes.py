"""Loss spikes: a loss far above all of the last ones, seen before the update that it would make.

With the median m and the largest M of the last 100 losses that made an update, and a factor f, a loss is a
spike if

    loss > m + f (M - m).

Distances above the median, not ratios to it: a bound in nats may be negative. If the losses are independent
and alike, f = 1 calls one in 101 a spike, and f = 3 about one in 45,000 even of exponential ones. A spike
that is only recorded joins the last losses, so that one event is not reported at every step.
"""

from statistics import median

WINDOW, LEAST = 100, 20  # losses looked back at; fewer than LEAST say nothing yet
REMEDY = "try a smaller train.lr, a smaller train.clip or a longer train.warmup, or train.on_spike=record"


class SpikeError(RuntimeError):
    """The loss of a step, counted from 0, that is a spike; `why` the run cannot go on, if it cannot."""

    def __init__(self, step: int, loss: float, median: float, limit: float, why: str = "") -> None:
        super().__init__(
            f"step {step}: loss {loss:.6g} is a spike: the last have a median of {median:.6g} and a limit of "
            f"{limit:.6g}{f'; {why}; {REMEDY}' if why else ''}"
        )
        self.step, self.loss, self.median, self.limit = step, loss, median, limit

    def because(self, why: str) -> "SpikeError":
        """The error that ends a run."""
        return SpikeError(self.step, self.loss, self.median, self.limit, why)


class Spikes:
    """The last losses, oldest first, and what lies too far above them; with factor 0 nothing does."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.recent: list[float] = []

    def find(self, step: int, loss: float) -> SpikeError | None:
        """The spike that this loss would be."""
        if not self.factor or len(self.recent) < LEAST:
            return None
        middle = median(self.recent)
        limit = middle + self.factor * (max(self.recent) - middle)
        return SpikeError(step, loss, middle, limit) if loss > limit else None

    def add(self, loss: float) -> None:
        """Count the loss of an update in."""
        if self.factor:
            self.recent = [*self.recent, loss][-WINDOW:]
