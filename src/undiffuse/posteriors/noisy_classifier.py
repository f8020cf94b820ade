"""A class, as a classifier of noisy states sees it (Dhariwal & Nichol 2021, algorithm 1).

    r_s(x_s) = c(y | x_s, s)^scale,    p~(x_s | x_t) prop. to p(x_s | x_t) exp(g x_s)

with g = scale * the gradient of log c(y | x, s) at the mean of p(x_s | x_t): the factor is taken to be
log-linear across one step, exact as steps get short. The classifier was trained on noisy x_s, so that this
r_t needs no expectation; of one for clean x_0 see `Classifier`.
"""

import torch
from torch import Tensor, nn

from undiffuse.devices import onto
from undiffuse.kernels import Kernel
from undiffuse.model import Multiplier, ReverseProcess
from undiffuse.posteriors.classifier import check_scale, log_of
from undiffuse.posteriors.constant import Constant
from undiffuse.product import Factor, Product
from undiffuse.tensors import ZERO


class NoisyClassifier(Multiplier):
    """`classifier(x_s, s)` gives logits (B, classes) for x_s (B, *shape) and s (B,); for any kernel.

    `label` is one for all or int64 (B,). Raises ValueError for a scale that is not positive and finite, or a
    label that the classifier has not.
    """

    def __init__(self, classifier: nn.Module, label: Tensor | int, scale: float = 1.0) -> None:
        check_scale(scale)
        self.classifier, self.label, self.scale = classifier, torch.as_tensor(label), scale

    def on(self, model: ReverseProcess) -> "Classified":
        """The model, tilted towards the label."""
        return Classified(model, self)

    def at(self, s: Tensor) -> "At":
        """The factor of x_s."""
        return At(self, s)


class At(Factor):
    """r_s, at one time."""

    masks = True  # it was trained on x_s, masked or not

    def __init__(self, of: NoisyClassifier, s: Tensor) -> None:
        self.of, self.s = of, s

    def check(self, kernel: Kernel) -> None:
        """For any kernel."""

    def on(self, model: ReverseProcess) -> Product:
        """Of one time there is no product of a whole model."""
        return self.of.on(model)

    def log(self, x: Tensor) -> Tensor:
        """scale log c(label | x, s)."""
        logits = self.of.classifier(x, onto(self.s, x).expand(len(x)))
        return self.of.scale * log_of(logits, self.of.label)


class Classified(Constant):
    """A model times a classifier of noisy states."""

    def __init__(self, model: ReverseProcess, classifier: NoisyClassifier) -> None:
        super().__init__(model, classifier.at(ZERO))
        self.classifier = classifier

    def of(self, model: ReverseProcess, factor: Factor) -> "Classified":
        """With the same classifier."""
        return Classified(model, self.classifier)

    def at(self, t: Tensor) -> Factor:
        """What the classifier says at t."""
        return self.classifier.at(t)
