import inspect
import typing
from pathlib import Path

import pytest
import torch

from undiffuse.data import SOURCES, Source, Splits
from undiffuse.data.source import split

PLAIN = {str, Path, int, float, bool, list[float], list[str], type(None)}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_describes_itself_in_one_line(name):
    kind = SOURCES[name]
    assert issubclass(kind, Source)
    for line in (kind.source, kind.licence, kind.about):
        assert line.strip() == line and line and "\n" not in line
    assert kind.__doc__


@pytest.mark.parametrize("name", SOURCES)
def test_constructors_are_schemas(name):
    """Only plain types, which a recipe can hold."""
    hints = typing.get_type_hints(SOURCES[name].__init__)
    for parameter in list(inspect.signature(SOURCES[name]).parameters):
        kinds = set(typing.get_args(hints[parameter])) or {hints[parameter]}
        assert kinds - {tuple[int, int], Ellipsis} <= PLAIN, parameter


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_split_is_a_partition_with_something_on_both_sides(n, fraction):
    train, test = split(n, fraction)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(n))
    assert len(test) == min(max(round(n * fraction), 1), n - 1)


def test_split_depends_on_nothing_else():
    torch.manual_seed(1)
    first = split(100, 0.2)
    torch.manual_seed(2)
    again = split(100, 0.2)
    assert all(map(torch.equal, first, again))
    assert split(10, 0.3)[1].tolist() == [
        4,
        1,
        7,
    ]  # a change here would mix training and test data of old runs


def test_split_bad_input():
    with pytest.raises(ValueError, match="cannot be split"):
        split(1, 0.5)
    for fraction in (0, 1, -0.1, 2, float("nan")):
        with pytest.raises(ValueError, match=r"data\.test=0\.1"):
            split(10, fraction)


def test_splits_must_agree():
    x = torch.zeros(3, 2)
    assert Splits(x, x, None).shape == (2,)
    with pytest.raises(ValueError, match="must agree"):
        Splits(x, torch.zeros(3, 4), None)
    with pytest.raises(ValueError, match="must agree"):
        Splits(x, x.int(), None)
    with pytest.raises(ValueError, match="each split needs one"):
        Splits(x, x[:0], None)
    with pytest.raises(ValueError, match="training examples have labels"):
        Splits(x, x, None, train_labels=torch.zeros(2, dtype=torch.int64))
    for wrong in (-1, 10**7):
        with pytest.raises(ValueError, match=f"test labels go from .*{wrong}.*number the classes from 0"):
            Splits(x, x, None, test_labels=torch.tensor([0, wrong] * len(x))[: len(x)])
