"""Batches by counting: every epoch a permutation, and nothing remembered."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from undiffuse.training import Batches


def rows_of(n: int, size: int, seed: int = 0) -> Batches:
    """Batches of the numbers 0..n-1."""
    return Batches(torch.arange(n), lambda x: x, size, seed)


@given(n=st.integers(1, 30), size=st.integers(1, 70))
def test_every_epoch_holds_each_row_once(n: int, size: int):
    batches = rows_of(n, size)
    stream = torch.cat([batches(step) for step in range(-(-3 * n // size))])[: 3 * n]
    for epoch in stream.view(3, n):
        assert epoch.sort().values.tolist() == list(range(n))


def test_a_batch_larger_than_a_thousand_epochs():
    assert rows_of(2, 5000)(0).sum() == 2500


def test_epochs_and_seeds_have_orders_of_their_own():
    one, two = rows_of(50, 50, seed=0), rows_of(50, 50, seed=1)
    orders = {tuple(one(epoch).tolist()) for epoch in range(100)}
    assert len(orders) == 100
    assert not torch.equal(one(0), two(0))


@given(steps=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(steps: list[int]):
    used = rows_of(13, 5)
    for step in steps:
        assert torch.equal(used(step), rows_of(13, 5)(step))


def test_rows_are_encoded():
    batches = Batches(torch.arange(4), lambda x: 10 * x, 4, 0)
    assert sorted(batches(0).tolist()) == [0, 10, 20, 30]


def test_about_half_of_the_images_are_mirrored():
    image = torch.arange(6).view(1, 1, 2, 3)
    batches = Batches(image.expand(500, 1, 2, 3), lambda x: x, 500, 0, flips=True)
    batch = batches(0)
    mirrored = (batch == image.flip(-1)).flatten(1).all(1)
    assert (mirrored | (batch == image).flatten(1).all(1)).all()
    assert 200 < mirrored.sum() < 300
    assert torch.equal(batch, batches(0))
    assert not torch.equal(batch, batches(1))


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_only_images_can_be_mirrored(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"train\.flips=true"):
        Batches(torch.zeros(5, *shape), lambda x: x, 2, 0, flips=True)
