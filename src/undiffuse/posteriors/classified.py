"""A class, as somebody else's classifier sees it (Dhariwal & Nichol 2021, algorithm 1).

    r_s(x_s) = c(y | x_s, s)^scale,    p~(x_s | x_t) prop. to p(x_s | x_t) exp(g x_s)

with g = scale * the gradient of log c(y | x, s) at the mean of p(x_s | x_t): the factor is taken to be
log-linear across one step, exact as steps get short. The classifier is trained on noisy x_s.
"""

import torch
from torch import Tensor, nn

from undiffuse.distributions import Distribution
from undiffuse.model import Factor


class Classified(Factor):
    """`classifier(x_s, s)` gives logits (B, classes) for x_s (B, *shape) and s (B,); for any kernel.

    `label` is one for all or int64 (B,). Raises ValueError for a scale that is not positive and finite, or a
    label that the classifier has not.
    """

    def __init__(self, classifier: nn.Module, label: Tensor | int, scale: float = 1.0) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale={scale}: a positive, finite strength; 1 is Bayes' rule")
        self.classifier, self.label, self.scale = classifier, torch.as_tensor(label), scale

    def __call__(self, p: Distribution, s: Tensor) -> Distribution:
        """p, tilted towards the label."""
        return p.tilt(self.scale * self._slope(p.mean.detach(), s))

    @torch.enable_grad()
    def _slope(self, x: Tensor, s: Tensor) -> Tensor:
        """The gradient of log c(label | x, s), of x's shape."""
        x = x.requires_grad_()
        logits = self.classifier(x, s.to(x.device, x.dtype).expand(len(x)))
        label = self.label.to(x.device).expand(len(x))
        if not bool(((label >= 0) & (label < logits.shape[1])).all()):
            raise ValueError(f"label {self.label.tolist()}: this classifier knows 0 to {logits.shape[1] - 1}")
        found = logits.log_softmax(1).gather(1, label[:, None]).sum()
        return torch.autograd.grad(found, x)[0]
