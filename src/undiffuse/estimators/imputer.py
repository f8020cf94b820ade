"""Holes, filled."""

from typing import Any, Self

from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from undiffuse.estimators.base import Estimator


class DiffusionImputer(OneToOneFeatureMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """Fills the holes of rows by draws given what is there: the median of numbers, the most frequent word.

    Args:
        draws: of every hole.
        steps, settings, random_state, device: as of every estimator here.
    """

    def __init__(
        self,
        draws: int = 20,
        *,
        steps: int | None = None,
        settings: Any = None,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(steps=steps, settings=settings, random_state=random_state, device=device)
        self.draws = draws

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows X (N, D), holes and all."""
        self._fit(self._frame(X, reset=True), **{"data.kind": "columns"})
        return self

    def transform(self, X: Any) -> Any:
        """The rows, filled. Columns that never varied, or were empty, stay as they are."""
        frame = self._fitted(X)
        return self._like(X, self._drawn(frame, self.draws).filled)

    def sample(self, X: Any, n: int = 1) -> list[Any]:
        """So many filled tables, each as probable as the others: multiple imputation."""
        frame = self._fitted(X)
        found = self._drawn(frame, n)
        return [self._like(X, found.draw(i)) for i in range(n)]
