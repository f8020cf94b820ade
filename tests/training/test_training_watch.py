"""Held-out examples decide which weights are kept, and when training ends."""

from itertools import pairwise

import pytest
import torch

from undiffuse.conditions import Classes
from undiffuse.data import Splits, Values, set_aside
from undiffuse.data.rows import Rows
from undiffuse.training import Watch


def bits(mean: float) -> torch.Tensor:
    return torch.tensor([mean - 0.1, mean + 0.1]).double()


def test_looks_come_at_growing_intervals():
    watch = Watch(3)
    looks = [step for step in range(2001) if watch.due(step)]
    assert looks[:4] == [0, 50, 100, 150]
    gaps = [b - a for a, b in pairwise(looks)]
    assert gaps == sorted(gaps) and gaps[-1] > 200


@pytest.mark.parametrize("first", range(0, 700, 61))
def test_looks_do_not_depend_on_where_a_run_goes_on(first):
    whole, later = Watch(3), Watch(3)
    assert [s for s in range(2001) if whole.due(s)][-5:] == [s for s in range(first, 2001) if later.due(s)][
        -5:
    ]


def test_the_best_weights_are_kept_and_later_ones_do_not_change_them():
    watch, weights = Watch(2), {"w": torch.tensor([1.0])}
    assert watch.look(600, bits(2.0), weights)
    weights["w"].fill_(9.0)
    assert not watch.look(700, bits(2.5), weights)
    assert watch.best == 600 and watch.weights["w"].item() == 1.0 and not watch.ended
    assert watch.look(800, bits(1.9), weights) and watch.weights["w"].item() == 9.0
    for step in (900, 1000):
        watch.look(step, bits(2.0), weights)
    assert watch.ended and watch.best == 800


def test_weights_that_may_only_seem_better_are_not_kept_but_training_goes_on():
    watch, noisy = Watch(2), torch.tensor([0.4, -0.5] * 8).double()
    assert watch.look(600, torch.zeros(16), {"w": torch.zeros(1)})
    for step in (700, 800, 900):  # fewer each time, by less than the difference's error
        assert not watch.look(step, noisy - 1e-5 * step, {"w": torch.ones(1)})
    assert not watch.ended and watch.fewest == pytest.approx(-0.059)
    assert watch.look(1000, noisy - 9, {"w": torch.ones(1)})


def test_early_looks_and_no_patience_end_nothing():
    early, never = Watch(1), Watch(0)
    for step in range(0, 500, 50):
        early.look(step, bits(1.0 + step), {})
        never.look(step + 5000, bits(1.0 + step), {})
    assert not early.ended and not never.ended


def test_a_watch_goes_on_from_its_state():
    watch = Watch(2)
    watch.look(600, bits(2.0), {"w": torch.ones(1)})
    watch.look(700, bits(3.0), {})
    again = Watch(2)
    again.restore(watch.state(), watch.weights)
    again.look(800, bits(3.0), {})
    assert again.began == pytest.approx(2.0)
    assert again.ended and again.best == 600 and torch.equal(again.weights["w"], torch.ones(1))


class Numbered(Rows):
    """Rows that hold their own numbers, read last to first."""

    def read(self, rows):
        return torch.tensor(list(rows)).view(-1, 1)

    def order(self):
        return torch.arange(len(self)).flip(0)


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_set_aside_is_not_trained_on(lazy):
    train = Numbered((200, 1), torch.int64) if lazy else torch.arange(200).view(-1, 1)
    parts = {"train": torch.arange(200), "test": torch.arange(9)}
    conditions = {"same": Values(Classes(200), parts), "made": Values(Classes(9), function=lambda x: -x)}
    splits = set_aside(
        Splits(
            train,
            torch.arange(9).view(-1, 1),
            256,
            torch.arange(200),
            torch.arange(9),
            conditions=conditions,
        ),
        0.1,
    )
    seen, watched = splits.train[:].flatten().tolist(), splits.watched.flatten().tolist()
    assert len(watched) == 20 and sorted(seen + watched) == list(range(200))
    assert splits.train_labels.tolist() == seen
    for part, numbers in (("watched", watched), ("train", seen), ("test", list(range(9)))):
        given = splits.given(part, slice(2, 5), getattr(splits, part)[2:5]).values
        assert given["same"].tolist() == numbers[2:5]
        assert given["made"].flatten().tolist() == [-each for each in numbers[2:5]]
    if lazy:
        order = splits.train.order()
        assert sorted(order.tolist()) == list(range(180))
        assert splits.train[order].flatten().tolist() == sorted(seen, reverse=True)


def test_too_few_examples_are_not_watched_and_it_says_so():
    assert len(set_aside(Splits(torch.zeros(30, 1), torch.zeros(9, 1), None), 0.1).watched) == 10
    few = set_aside(Splits(torch.zeros(19, 1), torch.zeros(9, 1), None), 0.1)
    assert few.watched is None and len(few.train) == 19
    assert few.advice[0].startswith("19 training examples are too few to set 10 aside")
