"""A number given the other columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_X_y

from undiffuse.estimators.base import TARGET, Estimator, natural

if TYPE_CHECKING:
    from undiffuse.runs import Run


class DiffusionRegressor(RegressorMixin, Estimator):  # type: ignore[misc]
    """The law of a number given a row: its mean, quantiles, draws and probability.

    Args:
        draws: of which means and quantiles are taken.
        steps, settings, random_state, device: as of every estimator here.
    """

    def __init__(
        self,
        draws: int = 100,
        *,
        steps: int | None = None,
        settings: Any = None,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(steps=steps, settings=settings, random_state=random_state, device=device)
        self.draws = draws

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows X (N, D), which may have holes, and numbers y (N,)."""
        frame, y = self._frame(X, reset=True), self._target(X, y)
        if TARGET in frame:
            raise ValueError(f"X has a column {TARGET!r}, which is what y is called here: rename it")
        self._fit(frame.assign(**{TARGET: y}), **{"data.kind": "columns"})
        return self

    def _take(self, model: "Run") -> None:
        if TARGET not in model.container.names:
            raise ValueError("y never varies, or the run has no column 'target': there is nothing to predict")
        super()._take(model)

    def sample(self, X: Any, n: int = 1) -> Any:
        """So many draws of y for each row, (N, n)."""
        frame = self._fitted(X).assign(**{TARGET: np.nan})
        found = self._drawn(frame, n)
        place = list(self.model_.container.names).index(TARGET)
        return found.draws[:, :, place].numpy()

    def predict(self, X: Any) -> Any:
        """The mean of y, (N,)."""
        return self.sample(X, self.draws).mean(1)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Any:
        """Quantiles of y, (N, Q)."""
        return np.quantile(self.sample(X, self.draws), quantiles, axis=1, method="median_unbiased").T

    def score_samples(self, X: Any, y: Any) -> Any:
        """Lower bounds on log p(y | X) of every row, (N,), in nats."""
        frame, model = self._fitted(X), self.model_
        given = frame[[name for name in model.container.names if name != TARGET]]
        truth = frame[[]].assign(**{TARGET: np.asarray(y, np.float64)})
        bits = model.given(given).bits(truth, self.seed_)
        return natural(bits, model.shape[0])

    def _target(self, X: Any, y: Any) -> Any:
        """The numbers, as many as there are rows."""
        rows = np.zeros((len(X), 1)) if hasattr(X, "columns") else X
        return check_X_y(rows, y, y_numeric=True, ensure_all_finite="allow-nan")[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
