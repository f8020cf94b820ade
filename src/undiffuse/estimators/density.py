"""The density of rows."""

from typing import Any, Self

import numpy as np

from undiffuse.estimators.base import Estimator, natural


class DiffusionDensity(Estimator):
    """A density of rows, of numbers, words, dates, with holes: log-probabilities, and samples."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train it on rows X (N, D)."""
        self._fit(self._frame(X, reset=True))
        return self

    def score_samples(self, X: Any) -> Any:
        """Lower bounds on log p of every row, (N,), in nats; probabilities of levels, densities of numbers.

        Estimates by random steps of the chain: `estimator.model_.bits(X, terms=0)` takes all of them.
        """
        frame = self._fitted(X)
        return natural(self.model_.bits(self.model_.with_noise(frame), self.seed_), self.model_.shape[0])

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of that."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: int = 0) -> Any:
        """So many rows, as a DataFrame."""
        return self.model_.sample(n_samples, random_state)
