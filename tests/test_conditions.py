"""What a condition is: its shape, its values, what is not told, what is refused."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from undiffuse.conditions import (
    Classes,
    Given,
    Image,
    Series,
    Vector,
    check_name,
    condition_from,
    given_of,
    none,
)

KIND = Classes(3, ("cat", "dog", "eel"))
PAIR = Vector((2,), (1.0, -2.0), (0.5, 4.0))
ANGLE = Vector((1,), (0.0,), (1.0,))
GREY = Image((1, 2, 3), (7.0,), (2.0,))
TALE = Series((4, 2), (0.0, 1.0), (1.0, 2.0))
ALL = {"kind": KIND, "pair": PAIR, "small": GREY, "tale": TALE}


@pytest.mark.parametrize("name", ALL)
def test_there_and_back_as_json(name):
    assert condition_from(json.loads(json.dumps(ALL[name].state()))) == ALL[name]


@pytest.mark.parametrize(
    "state", [{"kind": "odd"}, {"kind": "class"}, {}, None, {"kind": "class", "count": "a"}]
)
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match=r"none of class, vector|classes="):
        condition_from(state)


@pytest.mark.parametrize(
    ("condition", "value", "shape"),
    [
        (KIND, 2, (1,)),
        (KIND, "dog", (1,)),
        (KIND, ["eel", "cat", "-1"], (3,)),
        (KIND, np.array([0, 1, -1], np.int8), (3,)),
        (KIND, pd.Series([0, 1]), (2,)),
        (KIND, pd.Series(["eel", "cat"]), (2,)),
        (KIND, np.array(["dog"]), (1,)),
        (ANGLE, 3.5, (1, 1)),
        (ANGLE, [1.0, 2.0, 3.0], (3, 1)),
        (ANGLE, torch.ones(1), (1, 1)),
        (PAIR, [1, 2], (1, 2)),
        (PAIR, pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), (2, 2)),
        (GREY, np.ones((2, 3), np.uint8), (1, 1, 2, 3)),
        (GREY, torch.ones(5, 2, 3), (5, 1, 2, 3)),
        (GREY, torch.ones(5, 1, 2, 3), (5, 1, 2, 3)),
        (TALE, torch.ones(4, 2), (1, 4, 2)),
        (TALE, torch.ones(6, 3, 2), (6, 4, 2)),
    ],
)
def test_shapes_that_are_taken(condition, value, shape):
    found = condition.check(value, "it")
    assert tuple(found.shape) == shape
    assert found.dtype == (torch.int64 if condition is KIND else torch.float32)


def test_values_stay_what_they_are():
    assert KIND.check(["eel", "cat", "1", "-1"], "it").tolist() == [2, 0, 1, -1]
    assert ANGLE.check([1.0, 2.0], "it").tolist() == [[1.0], [2.0]]
    short = TALE.check(torch.tensor([[5.0, 6.0]]), "it")
    assert short[0, 0].tolist() == [5.0, 6.0] and bool(short[0, 1:].isnan().all())


@pytest.mark.parametrize(
    ("condition", "value", "message"),
    [
        (KIND, 3, r"it: class 3; this model knows 0 cat, 1 dog, 2 eel \(and -1 for none\)"),
        (KIND, [0, -2], "it: class -2"),
        (KIND, "cow", "it: class 'cow'; this model knows 0 cat"),
        (KIND, 1.0, "it: torch.float32 of shape"),
        (KIND, [[0]], r"of shape \(1, 1\); give a class"),
        (KIND, object(), "it: object is no condition"),
        (PAIR, [1.0, 2.0, 3.0], r"shape \(3,\); this model takes numbers \(D,\) of shape \(2,\), .*\(B, 2\)"),
        (PAIR, [1.0, math.inf], "finite numbers, or NaN"),
        (PAIR, torch.ones(2, dtype=torch.complex64), "finite numbers"),
        (PAIR, [1.0, 1e300], "finite numbers"),
        (KIND, torch.ones(2, dtype=torch.complex64), "it: torch.complex64"),
        (PAIR, torch.ones(0, 2), r"shape \(0, 2\)"),
        (GREY, torch.ones(3, 2), r"takes an image \(C, H, W\) of shape \(1, 2, 3\)"),
        (TALE, torch.ones(5, 2), r"takes a sequence \(L, D\) of shape \(4, 2\)"),
        (TALE, torch.ones(4, 3), r"takes a sequence"),
    ],
)
def test_what_is_no_condition_is_refused(condition, value, message):
    with pytest.raises(ValueError, match=message):
        condition.check(value, "it")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Classes(0),
        lambda: Classes(2, ("a",)),
        lambda: Vector((), (), ()),
        lambda: Vector((2,), (0.0,), (1.0,)),
        lambda: Vector((1,), (0.0,), (0.0,)),
        lambda: Image((1, 2), (0.0,), (1.0,)),
        lambda: Series((3, 0), (), ()),
        lambda: check_name("a.b"),
        lambda: check_name(""),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(ValueError, match=r"class|condition"):
        make()


def test_statistics_are_those_of_what_is_told():
    x = torch.randn(2000, 2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    x = x * torch.tensor([2.0, 5.0]).view(2, 1, 1) + torch.tensor([-1.0, 3.0]).view(2, 1, 1)
    x[::2, 0] = math.nan
    found = Image.of(x)
    assert found.shape == (2, 5, 3)
    assert found.mean == pytest.approx((-1, 3), abs=0.1) and found.std == pytest.approx((2, 5), rel=0.05)
    mean, std = found.moments()
    standard = (x.float() - mean) / std
    told = standard[1::2]
    assert told.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=0.03)
    assert told.std((0, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.03)
    assert bool(standard[::2, 0].isnan().all()) and not bool(standard[::2, 1].isnan().any())
    constant = Vector.of(torch.full((5, 1), 3.0))
    assert constant.mean == (3.0,) and constant.std == (1.0,)
    tokens = Series.of(torch.tensor([[[1.0, 10.0], [3.0, 30.0]]]))
    assert tokens.mean == (2.0, 20.0) and tokens.std == (1.0, 10.0)


@pytest.mark.parametrize("name", ALL)
def test_hidden_rows_say_nothing(name):
    condition = ALL[name]
    value = condition.check({"kind": [0, 1, 2]}.get(name, torch.ones(3, *condition.shape)), name)
    found = condition.hidden(value, torch.tensor([True, False, True]))
    for row, hidden in enumerate((True, False, True)):
        wanted = none(condition)[0] if hidden else value[row]
        torch.testing.assert_close(found[row], wanted, equal_nan=True)


def test_one_condition_or_several_by_name():
    assert given_of(ALL, None) is None
    assert given_of({"kind": KIND}, "dog").values["kind"].tolist() == [1]
    some = given_of(ALL, {"pair": torch.zeros(4, 2), "kind": 1})
    assert some.count == 4 and some.values.keys() == ALL.keys()
    assert some.values["kind"].tolist() == [1] and bool(some.values["small"].isnan().all())
    assert given_of(ALL, 2).values["kind"].tolist() == [2]  # the only one that is a class
    for value, message in (
        ({"colour": 1}, r"condition 'colour': this model takes kind \(0 cat, 1 dog, 2 eel\), pair \(vector"),
        (torch.zeros(2), "give them by name"),
        ({"kind": [0, 1], "pair": torch.zeros(3, 2)}, r"different numbers of examples \(.*kind: 2"),
    ):
        with pytest.raises(ValueError, match=message):
            given_of(ALL, value)


def test_rows_and_batches():
    given = Given({"a": torch.arange(6).view(3, 2).double(), "b": torch.tensor([5])})
    assert given.rows(torch.tensor([2, 0])).values["a"].tolist() == [[4, 5], [0, 1]]
    batch = given.batch(torch.zeros(3, 1, dtype=torch.float16))
    assert batch["a"].dtype == torch.float16 and batch["b"].tolist() == [5, 5, 5]
    alone = Given({"b": torch.tensor([5])})
    assert alone.rows(torch.tensor([9])) is alone and alone.batch(torch.zeros(2, 4)).tolist() == [5, 5]
    with pytest.raises(ValueError, match="conditions of 3 examples: none for number 3"):
        given.rows(torch.tensor([3]))
    again = Given(dict(reversed(given.values.items())))
    assert given.digest() == again.digest() != given.rows(torch.tensor([0, 2, 1])).digest()
