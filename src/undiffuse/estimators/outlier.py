"""Rows that are unlike those that were fitted."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import OutlierMixin

from undiffuse.estimators.base import Estimator, natural
from undiffuse.runs.scoring import held_out

if TYPE_CHECKING:
    from undiffuse.runs import Run


class DiffusionOutlier(OutlierMixin, Estimator):  # type: ignore[misc]
    """Finds rows that take more bits than nearly all held-out ones.

    Args:
        false_alarm_rate: of rows like the held-out ones at most this share is called an outlier, whatever the
            model (or 1 / (n + 1), if there are but n of them).
        steps, settings, random_state, device: as of every estimator here.
    """

    def __init__(
        self,
        false_alarm_rate: float = 0.05,
        *,
        steps: int | None = None,
        settings: Any = None,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(steps=steps, settings=settings, random_state=random_state, device=device)
        self.false_alarm_rate = false_alarm_rate

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows X (N, D) but for a tenth; `offset_` is the lowest score of an inlier among those."""
        self._fit(self._frame(X, reset=True))
        return self

    def _take(self, model: "Run") -> None:
        super()._take(model)
        rate = self.false_alarm_rate
        if not 0 < rate < 1:
            raise ValueError(f"false_alarm_rate={rate}: a share, between 0 and 1")
        held = held_out(model).bits.sort(descending=True).values
        if not len(held):
            raise ValueError("the run's held-out data are not at hand: open it with those")
        rank = max(1, int(rate * (len(held) + 1)))
        self.offset_ = float(natural(held[rank - 1], model.shape[0]))

    def score_samples(self, X: Any) -> Any:
        """Log-probabilities of rows, (N,), in nats: the smaller, the stranger."""
        frame = self._fitted(X)
        return natural(self.model_.score(frame, self.seed_).bits, self.model_.shape[0])

    def decision_function(self, X: Any) -> Any:
        """The same less `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Any:
        """-1 for outliers, 1 for others, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
