"""Examples of the training data that are set aside, to be watched while the rest is trained on."""

from dataclasses import replace

import torch

from undiffuse.data.rows import chosen_rows
from undiffuse.data.source import Splits
from undiffuse.random import keyed

MOST, LEAST = 1000, 10  # examples that are set aside


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
        train=chosen_rows(splits.train, train),
        watched=chosen_rows(splits.train, watched)[:],
        train_labels=None if labels is None else labels[train],
        conditions={
            name: each.divided(chosen_rows, watched=watched, train=train)
            for name, each in splits.conditions.items()
        },
    )
