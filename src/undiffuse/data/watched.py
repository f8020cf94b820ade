"""Examples of the training data that are set aside, to be watched while the rest is trained on."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from undiffuse.data.rows import Examples, Rows
from undiffuse.data.source import Splits
from undiffuse.random import keyed

MOST, LEAST = 1000, 10  # examples that are set aside


class Chosen(Rows):
    """Some rows of others, by their numbers `index` (M,), read when asked for."""

    def __init__(self, rows: Rows, index: Tensor) -> None:
        super().__init__((len(index), *rows.shape[1:]), rows.dtype, rows.workers, rows.skipped)
        self.rows, self.index = rows, index

    def read(self, rows: Sequence[int]) -> Tensor:
        """Those of the others."""
        return self.rows[self.index[torch.as_tensor(list(rows), dtype=torch.long)]]

    def order(self) -> Tensor:
        """In the order in which the others are read fastest."""
        rank = torch.empty(len(self.rows), dtype=torch.long)
        rank[self.rows.order()] = torch.arange(len(self.rows))
        return rank[self.index].argsort()


def set_aside(splits: Splits, share: float) -> Splits:
    """The same with this share of the training examples, `LEAST` to `MOST` of them, in `watched`.

    Which they are depends on how many there are alone. Of fewer than two times `LEAST` none are set aside,
    which the `advice` says.
    """
    count = len(splits.train)
    if count < 2 * LEAST:
        text = f"{count} training examples are too few to set {LEAST} aside: training is not watched"
        return replace(splits, advice=(*splits.advice, f"{text}, and learns by heart unseen"))
    held = min(max(round(share * count), LEAST), MOST, count - LEAST)
    order = torch.randperm(count, generator=keyed("watch", count))
    watched, train = order[:held].sort().values, order[held:].sort().values
    labels = splits.train_labels
    return replace(
        splits,
        train=_chosen(splits.train, train),
        watched=_chosen(splits.train, watched)[:],
        train_labels=None if labels is None else labels[train],
        conditions={
            name: each.divided(_chosen, watched=watched, train=train)
            for name, each in splits.conditions.items()
        },
    )


def _chosen(examples: Examples, index: Tensor) -> Examples:
    return Chosen(examples, index) if isinstance(examples, Rows) else examples[index]
