"""Examples that are held out and looked at while training: which weights to keep, and when to end.

Each look has -log p of the same examples with the same noise, so that two looks differ by what was learned
between them and by little else. Weights are better if they take fewer bits by more than one standard error
of the difference: of few examples, some of many weights always seem to. Looks come at growing intervals, the
first before anything is learned.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FIRST, GROWTH = 50, 6  # steps to the first looks; later they are a sixth of the way apart
EARLY = 500  # steps before which no look counts against going on: the first of them may lead astray
LIKE = {"best": 1, "bits": [0.0], "began": 0.0, "fewest": 0.0, "since": 1, "ended": False}  # its state


class Watch:
    """The best weights seen, and their bits (N,) of the examples.

    It ends after `patience` looks in a row without fewer bits, surely or not. `began` is the mean of the
    first look, `fewest` the lowest of all. A `patience` of 0 never ends.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best, self.since, self.ended, self.began, self.fewest = -1, 0, False, 0.0, math.inf
        self.bits = torch.zeros(0, dtype=torch.float64)
        self.weights: dict[str, Tensor] = {}
        self._next = 0

    def due(self, step: int) -> bool:
        """Whether there is a look after this step."""
        while self._next < step:
            self._next += max(FIRST, self._next // GROWTH)
        return self._next == step

    def look(self, step: int, bits: Tensor, weights: Mapping[str, Tensor]) -> bool:
        """Whether these bits are surely fewer than the best so far; then the weights are copied and kept."""
        mean, bits = float(bits.mean()), bits.double()
        self.began = mean if self.best < 0 else self.began
        self.since = 0 if mean < self.fewest else self.since + (step >= EARLY)
        self.fewest = min(mean, self.fewest)
        self.ended = 0 < self.patience <= self.since
        if self.best >= 0 and not surely_fewer(bits, self.bits):
            return False
        self.best, self.bits = step, bits
        self.weights = {name: w.detach().clone() for name, w in weights.items()}
        return True

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        kept = {"best": self.best, "bits": self.bits.tolist(), "since": self.since}
        return kept | {"began": self.began, "fewest": self.fewest, "ended": self.ended}

    def restore(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, and the best weights."""
        self.best, self.since, self.ended = state["best"], state["since"], state["ended"]
        self.began, self.fewest = state["began"], state["fewest"]
        self.bits = torch.tensor(state["bits"], dtype=torch.float64)
        self.weights, self._next = dict(weights), 0


def surely_fewer(bits: Tensor, others: Tensor) -> bool:
    """Whether these bits (N,) of the same examples are fewer, by more than the standard error of that."""
    fewer = others - bits
    return bool(fewer.mean() > fewer.std() / len(fewer) ** 0.5)
