"""DataFrames as columns of numbers and symbols, and back."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from undiffuse.data import Cell, CellSpace
from undiffuse.data.frame import (
    column_of,
    filled_into,
    frame_of,
    read_frame,
    rows_in,
    rows_of,
    step_of,
    unknown_in,
)

R = np.random.default_rng(0)
N = 200
FRAME = pd.DataFrame(
    {
        "price": R.integers(100, 900, N) / 4,
        "count": R.integers(0, 9, N),
        "seen": R.random(N) < 0.3,
        "word": R.choice(["x", "y", "zed"], N),
        "grade": pd.Categorical(
            R.choice(["lo", "mid", "hi"], N), categories=["lo", "mid", "hi"], ordered=True
        ),
        "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(R.integers(0, 900, N), unit="D"),
        "width": R.normal(size=N),
        "rain": np.where(R.random(N) < 0.5, 0.0, R.exponential(size=N)),
    }
)


def test_columns_are_what_they_look_like():
    found = {column.name: column for column in read_frame(FRAME).columns}
    assert found["price"].step == 0.25 and found["count"].step == 1 and found["width"].step == 0
    assert found["day"].step == 1 and found["day"].kind == "dates"
    assert found["seen"].categories == (False, True) and found["word"].categories == ("x", "y", "zed")
    assert found["grade"].categories == ("lo", "mid", "hi")  # in their own order
    assert found["rain"].rounded and 0 < found["rain"].step < 1e-6  # repeats at 0, and nowhere else
    assert found["count"].kind == "numbers in steps of 1" and found["width"].kind == "continuous numbers"


def test_rows_come_back_in_their_types_and_spellings():
    holes = FRAME.copy()
    for i, name in enumerate(("price", "word", "grade", "day", "width")):
        holes.loc[i::17, name] = None
    for frame in (FRAME, holes):
        read = read_frame(frame)
        space = CellSpace.fit(read.raw, read.columns)
        again = frame_of(space.decode(space.encode(read.raw)), read.columns, frame.index)
        exact = again.drop(columns=["width", "rain"])
        pd.testing.assert_frame_equal(
            exact, frame.drop(columns=["width", "rain"]), check_exact=False, rtol=1e-12
        )
        assert np.allclose(again[["width", "rain"]], frame[["width", "rain"]], atol=1e-5, equal_nan=True)


def test_a_space_is_the_same_again():
    read = read_frame(FRAME)
    space = CellSpace.fit(read.raw, read.columns)
    again = CellSpace(**{name: value for name, value in space.state().items() if name != "kind"})
    assert torch.equal(again.encode(read.raw), space.encode(read.raw))
    assert again.columns == space.columns and again.counts == [0, 0, 2, 3, 3, 0, 0, 0]


def test_whole_numbers_with_holes_stay_whole():
    columns = (Cell("n", "int64", step=1.0), Cell("b", "bool", (False, True)))
    found = frame_of(torch.tensor([[1.0, 1.0], [math.nan, math.nan]]), columns)
    assert str(found["n"].dtype) == "Int64" and found["n"][0] == 1 and found["n"].isna()[1]
    assert found["b"].tolist() == [True, None]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.0] * 4, "never varies"),
        ([None] * 4, "empty"),
        ([0.0, math.inf, 1.0, 2.0], "infinite"),
        ([f"name {i}" for i in range(200)], "like names"),
        ([f"{i},5" for i in range(30)], "decimal commas"),
    ],
)
def test_what_cannot_be_learned_is_left_out_and_said(values, why):
    frame = pd.DataFrame({"odd": values, "ok": np.arange(len(values))})
    read = read_frame(frame)
    assert [column.name for column in read.columns] == ["ok"] and why in read.left["odd"]
    with pytest.raises(ValueError, match=why):
        column_of(frame["odd"], "odd")
    with pytest.raises(ValueError, match="no column can be learned"):
        read_frame(frame[["odd"]])


def test_dates_in_words_are_dates_and_come_back_as_words():
    days = FRAME["day"].dt.strftime("%Y-%m-%d").where(R.random(N) < 0.8)
    read = read_frame(pd.DataFrame({"day": days, "n": FRAME["count"]}))
    assert read.columns[0].kind == "dates" and read.columns[0].step == 1
    assert frame_of(read.raw, read.columns)["day"].fillna("").tolist() == days.fillna("").tolist()
    assert rows_of({"day": "2020-01-03"}, read.columns)[0, 0] == 18264
    with pytest.raises(ValueError, match="column 'day': dates, and not"):
        rows_in(pd.DataFrame({"day": ["tomorrow"]}), read.columns)


def test_names_are_there_once():
    with pytest.raises(ValueError, match="'a' is there twice"):
        read_frame(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))


def test_unknown_categories_are_counted_and_holes():
    read = read_frame(FRAME)
    rows, unknown = rows_in(FRAME.assign(word=["x", "new"] * (N // 2)), read.columns)
    assert unknown == {"word": {"new": N // 2}} and int(rows[:, 3].isnan().sum()) == N // 2
    assert "column 'word': unknown to this model, taken for missing: new (100 rows)" in unknown_in(unknown)
    rows, _ = rows_in(
        FRAME[["word", "count"]], read.columns
    )  # a column that is missing is a hole in every row
    assert bool(rows[:, 0].isnan().all()) and not bool(rows[:, 1].isnan().any())
    with pytest.raises(ValueError, match="none of the columns"):
        rows_in(pd.DataFrame({"other": [1]}), read.columns)


def test_given_cells_come_as_one_row_or_many():
    columns = read_frame(FRAME).columns
    one = rows_of({"word": "y", "count": 3}, columns)
    assert one.shape == (1, 8) and one[0, 3] == 1 and one[0, 1] == 3 and int(one.isnan().sum()) == 6
    many = rows_of({"word": ["y", "x"], "count": [3, 4]}, columns)
    assert many[:, 3].tolist() == [1, 0]
    with pytest.raises(ValueError, match="no column 'wrod'"):
        rows_of({"wrod": "y"}, columns)
    with pytest.raises(ValueError, match=r"column 'word': no 'w'; there are x, y, zed"):
        rows_of({"word": "w"}, columns)


def test_values_between_steps_are_refused():
    read = read_frame(FRAME)
    space = CellSpace.fit(read.raw, read.columns)
    row = read.raw[:1].clone()
    row[0, 1] = 2.5
    with pytest.raises(ValueError, match=r"column 'count': 2.5, where values go in steps of 1"):
        space.encode(row)
    row[0, 1], row[0, 3] = 2, 7
    with pytest.raises(ValueError, match="column 'word': symbols are numbered from 0 to 2"):
        space.encode(row)
    row[0, 3], row[0, 6] = 1, math.inf
    with pytest.raises(ValueError, match="column 'width': holds infinite"):
        space.encode(row)


def test_steps_are_the_largest_that_fit():
    assert step_of(np.arange(0, 1000, 5.0)) == 5
    assert step_of(np.array([0.1, 0.25])) == 0.01  # few values: a digit, by chance no more
    assert step_of(R.normal(size=50)) == 0


def test_only_holes_are_filled():
    frame = pd.DataFrame({"a": [1.0, None], "name": ["p", "q"], "b": ["x", None]}, index=[5, 7])
    found = filled_into(frame, pd.DataFrame({"a": [9.0, 2.0], "b": ["y", "z"]}))
    assert found["a"].tolist() == [1.0, 2.0] and found["b"].tolist() == ["x", "z"]
    assert found["name"].tolist() == ["p", "q"] and list(found.index) == [5, 7] and frame["a"].isna()[7]


@pytest.mark.parametrize(
    "wrong", [{"categories": ("a",)}, {"categories": ("a", "b"), "step": 1.0}, {"step": -1.0}]
)
def test_columns_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="column 'c'"):
        Cell("c", "float64", **wrong)


def test_steps_that_begin_between_whole_numbers_come_back():
    """0.5, 1.5, .. and 2.5, 5.0, ..: what is rounded is what arithmetic left, no more."""
    n = np.arange(120)
    frame = pd.DataFrame({"a": n % 7 + 0.5, "b": (n % 11) * 2.5, "c": [0.1, 0.3] * 60})
    found = read_frame(frame)
    assert [column.step for column in found.columns[:2]] == [1.0, 2.5]
    space = CellSpace.fit(found.raw, found.columns)
    back = space.decode(space.encode(found.raw))
    pd.testing.assert_frame_equal(frame_of(back, found.columns), frame)
    assert torch.equal(space.unnumbered(space.numbered(found.raw)), found.raw)
