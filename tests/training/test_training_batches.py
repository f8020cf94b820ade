"""Batches by counting: every epoch a permutation, and nothing remembered."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from undiffuse.conditions import Classes, Image
from undiffuse.data import Values
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


def test_what_is_given_belongs_to_its_rows():
    """Values that are stored and those that are worked out; a share of them is left out."""
    n = 1000
    data = torch.arange(n).view(n, 1, 1, 1).expand(n, 1, 2, 2)
    values = {"stored": Values(Classes(n), {"train": torch.arange(n)})}
    batches = Batches(data, lambda x: x, 200, 0, conditions=values, dropout=0.25)
    told, left = [], 0
    for step in range(5):
        rows, given = batches(step)[:, 0, 0, 0], batches.given(step).values["stored"]
        kept = given >= 0
        assert torch.equal(given[kept], rows[kept])
        left += int((~kept).sum())
        told.append(given)
    assert abs(left / 1000 - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5
    assert torch.equal(batches.given(3).values["stored"], told[3])  # asked for again, and alone
    none = Batches(data, lambda x: x, 8, 0)
    assert none.given(0) is None


def test_of_several_conditions_each_is_left_out_alone_too():
    n = 4000
    values = {name: Values(Classes(2), {"train": torch.ones(n).long()}) for name in ("a", "b")}
    batches = Batches(torch.zeros(n, 1), lambda x: x, n, 0, conditions=values, dropout=0.2)
    a, b = (batches.given(0).values[name] < 0 for name in "ab")
    for found, wanted in ((a & b, 0.2 + 0.8 * 0.04), (a & ~b, 0.8 * 0.16), (~a & ~b, 0.8 * 0.64)):
        assert abs(float(found.float().mean()) - wanted) < 4 * (wanted * (1 - wanted) / n) ** 0.5


def test_images_that_are_given_are_mirrored_with_theirs():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    data = image.expand(50, 1, 2, 3)
    values = {
        "same": Values(Image((1, 2, 3), (0.0,), (1.0,)), {"train": data}),
        "made": Values(Image((1, 2, 3), (0.0,), (1.0,)), function=lambda raw: 2 * raw),
    }
    batches = Batches(data, lambda x: x, 50, 0, flips=True, conditions=values)
    rows, given = batches(0), batches.given(0).values
    assert torch.equal(given["same"], rows) and torch.equal(given["made"], 2 * rows)
    assert 10 < int((rows == image).flatten(1).all(1).sum()) < 40
