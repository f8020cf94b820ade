"""Examples that are held out and looked at while training: which weights to keep, and when to end.

Each look has -log p of the same examples with the same noise, so that two looks differ by what was learned
between them and by little else. Looks come at growing intervals, the first before anything is learned.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FIRST, GROWTH = 50, 6  # steps to the first looks; later they are a sixth of the way apart
EARLY = 500  # steps before which no look counts against going on: the first of them may lead astray
LIKE = {"best": 1, "bits": [0.0], "began": 0.0, "since": 1, "ended": False}  # its state


class Watch:
    """The best weights seen, and their bits (N,) of the examples; ends after `patience` looks without better.

    `began` is the mean of the first look's bits. A `patience` of 0 never ends.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best, self.since, self.ended, self.began = -1, 0, False, 0.0
        self.bits = torch.zeros(0, dtype=torch.float64)
        self.weights: dict[str, Tensor] = {}
        self._next = 0

    def due(self, step: int) -> bool:
        """Whether there is a look after this step."""
        while self._next < step:
            self._next += max(FIRST, self._next // GROWTH)
        return self._next == step

    def look(self, step: int, bits: Tensor, weights: Mapping[str, Tensor]) -> bool:
        """Whether these bits are the fewest so far; then the weights are copied and kept."""
        self.began = float(bits.mean()) if self.best < 0 else self.began
        better = self.best < 0 or float(bits.mean()) < float(self.bits.mean())
        if better:
            self.best, self.bits, self.since = step, bits.double(), 0
            self.weights = {name: w.detach().clone() for name, w in weights.items()}
            return True
        self.since += step >= EARLY
        self.ended = 0 < self.patience <= self.since
        return False

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        kept = {"best": self.best, "bits": self.bits.tolist(), "since": self.since}
        return kept | {"began": self.began, "ended": self.ended}

    def restore(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, and the best weights."""
        self.best, self.since, self.ended = state["best"], state["since"], state["ended"]
        self.began = state["began"]
        self.bits = torch.tensor(state["bits"], dtype=torch.float64)
        self.weights, self._next = dict(weights), 0
