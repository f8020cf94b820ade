"""A class, as a classifier of clean examples sees it."""

from collections.abc import Callable

import torch
from torch import Tensor

from undiffuse.devices import sent, wide
from undiffuse.kernels import Kernel
from undiffuse.posteriors.observation import Observation


class Classifier(Observation):
    """r(x_0) = c(label | x_0)^scale: `log_probs(x_0)` gives log-probabilities or logits (B, classes).

    `label` is one for all or int64 (B,). Raises ValueError for a scale that is not positive and finite, or a
    label that the classifier has not.
    """

    def __init__(
        self, log_probs: Callable[[Tensor], Tensor], label: Tensor | int, scale: float = 1.0
    ) -> None:
        check_scale(scale)
        self.log_probs, self.label, self.scale = log_probs, torch.as_tensor(label), scale

    def check(self, kernel: Kernel) -> None:
        """For any kernel: symbols too have means, of which the classifier is then asked."""

    def log(self, x: Tensor) -> Tensor:
        """scale log c(label | x)."""
        return self.scale * log_of(self.log_probs(x), self.label)


def check_scale(scale: float) -> None:
    """Raise ValueError for a strength that is none."""
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale={scale}: a positive, finite strength; 1 is Bayes' rule")


def log_of(logits: Tensor, label: Tensor) -> Tensor:
    """The log-probability of the label, (B,), float64. Raises ValueError for one that is not there."""
    label = sent(label, logits.device).expand(len(logits))
    if not bool(((label >= 0) & (label < logits.shape[1])).all()):
        raise ValueError(
            f"label {sorted(set(label.tolist()))}: this classifier knows 0 to {logits.shape[1] - 1}"
        )
    return wide(logits).log_softmax(1).gather(1, label[:, None]).squeeze(1)
