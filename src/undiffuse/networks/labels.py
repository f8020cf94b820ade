"""Labels of classes as features, with one place for "no label", which label dropout trains."""

import torch
from torch import Tensor, nn

from undiffuse.conditions import NONE


class Labels(nn.Module):
    """int64 (B,) in {-1, 0, ..., classes - 1}, -1 for none -> (B, width), to be added to time's features."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes={classes}: at least one class")
        self.classes = classes
        self.table = nn.Embedding(classes + 1, width)

    def forward(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """The features of these labels, or of "none" for every row of `like`."""
        if labels is None:
            labels = torch.full((len(like),), NONE, device=like.device)
        out: Tensor = self.table(labels + 1)
        return out
