"""What the examples of a data set are given: every source of it, row by row, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from undiffuse.conditions import Classes, Image, Series, Vector
from undiffuse.data import CONDITIONS, Array, Digits, Images, Photographs, RotatedDigits, Table, conditioned
from undiffuse.data.rotated_digits import turned

R = np.random.default_rng(0)


def given(splits, part, rows):
    """The values of these rows of a part."""
    return splits.given(part, rows, getattr(splits, part)[rows]).values


def made(name, source, **arguments):
    return conditioned(source.load(), {"it": CONDITIONS[name](**arguments)}, source)


@pytest.fixture
def numbered(tmp_path) -> Path:
    """40 examples whose values are their number, and conditions of all shapes that are it too."""
    row = np.arange(40)
    whole = {
        "x": np.repeat(row[:, None], 3, 1).astype("u1"),
        "kind": row,
        "size": row / 2,
        "pair": np.stack([row, -row], 1).astype("f4"),
        "tale": np.broadcast_to(row[:, None, None], (40, 4, 2)).astype("f4"),
        "small": np.broadcast_to(row[:, None, None, None], (40, 1, 2, 2)).astype("u1"),
    }
    np.savez(tmp_path / "a.npz", **whole)
    np.save(tmp_path / "pair.npy", whole["pair"])
    pd.DataFrame({"kind": [f"k{i % 3}" for i in row], "size": row / 2, "more": row}).to_csv(
        tmp_path / "t.csv", index=False
    )
    return tmp_path


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("where", "like", "kind", "value"),
    [
        ({"key": "kind"}, "auto", Classes, lambda i: i),
        ({"key": "size"}, "auto", Vector, lambda i: [i / 2]),
        ({"key": "pair"}, "auto", Vector, lambda i: [i, -i]),
        ({"key": "tale"}, "auto", Series, lambda i: [[i, i]] * 4),
        ({"key": "small"}, "auto", Image, lambda i: [[[i, i]] * 2]),
        ({"key": "kind"}, "vector", Vector, lambda i: [i]),
        ({"path": "pair.npy"}, "auto", Vector, lambda i: [i, -i]),
        ({"path": "t.csv", "key": "kind"}, "auto", Classes, lambda i: i % 3),
        ({"path": "t.csv", "key": "size"}, "auto", Vector, lambda i: [i / 2]),
        ({"path": "t.csv", "key": ["size", "more"]}, "auto", Vector, lambda i: [i / 2, i]),
    ],
)
def test_an_array_belongs_to_its_rows(numbered, where, like, kind, value, lazy):
    where = {**where, **({"path": str(numbered / where["path"])} if "path" in where else {})}
    path = numbered / "a.npz"
    if lazy:
        np.save(numbered / "x.npy", np.load(path)["x"])
        where = {"path": str(path)} | where
        path = numbered / "x.npy"
    source = Array(path, memory=0.0 if lazy else 1.0, **({} if lazy else {"key": "x"}))
    splits = made("array", source, like=like, **where)
    assert isinstance(splits.conditions["it"].kind, kind)
    for part in ("train", "test"):
        for rows in (slice(1, 4), torch.tensor([2, 0])):
            numbers = getattr(splits, part)[rows][:, 0].tolist()
            assert given(splits, part, rows)["it"].tolist() == [value(int(i)) for i in numbers]


def test_the_two_arrays_of_a_file_that_is_split(tmp_path):
    x = np.arange(12, dtype="u1")[:, None]
    np.savez(tmp_path / "a.npz", x_train=x[:9], x_test=x[9:], c_train=1.0 * x[:9], c_test=1.0 * x[9:])
    splits = made("array", Array(tmp_path / "a.npz"), key="c")
    assert given(splits, "test", slice(0, 3))["it"].tolist() == [[9.0], [10.0], [11.0]]
    np.savez(tmp_path / "whole.npz", c=x[::-1] * 1.0)
    splits = made("array", Array(tmp_path / "a.npz"), path=str(tmp_path / "whole.npz"))
    assert given(splits, "test", slice(0, 3))["it"].tolist() == [[2.0], [1.0], [0.0]]


def test_labels_of_every_sort(tmp_path):
    frame = pd.DataFrame({"a": R.normal(size=30), "kind": ["b", "a", "c"] * 10, "age": R.random(30)})
    frame.loc[4, "a"] = np.nan  # that row is left out, and its label with it
    frame.to_csv(tmp_path / "t.csv", index=False)
    for column, kind in (("kind", Classes), ("age", Vector)):
        source = Table(tmp_path / "t.csv", columns=["a"], labels=column)
        splits = made("labels", source)
        assert isinstance(splits.conditions["it"].kind, kind)
        for i, a in enumerate(splits.train[:, 0].tolist()):
            row = frame.index[frame["a"] == a][0]
            found = given(splits, "train", slice(i, i + 1))["it"]
            wanted = "abc".index(frame["kind"][row]) if column == "kind" else frame["age"][row]
            assert float(found) == pytest.approx(wanted, abs=1e-6)
    assert splits.train_labels.dtype == torch.float32
    assert made("labels", Digits()).conditions["it"].kind == Classes(10)
    named = made("labels", Table(tmp_path / "t.csv", columns=["a"], labels="kind"))
    assert named.conditions["it"].kind.names == ("a", "b", "c")


def test_a_folder_is_matched_by_name(tmp_path):
    for i in range(10):
        for folder, size in (("photos", 6), ("masks", 3)):
            file = tmp_path / folder / f"{i % 2}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(np.full((size, size), 10 * i, "u1")).save(file)
    source = Images(tmp_path / "photos", labels="folders")
    splits = made("folder", source, path=str(tmp_path / "masks"))
    assert splits.conditions["it"].kind.shape == (1, 3, 3)
    for part in ("train", "test"):
        rows = slice(0, len(getattr(splits, part)))
        assert torch.equal(
            given(splits, part, rows)["it"][:, 0, 0, 0].byte(), getattr(splits, part)[:, 0, 0, 0]
        )
    assert made("labels", source).conditions["it"].kind == Classes(2, ("0", "1"))
    (tmp_path / "masks" / "1" / "3.png").unlink()
    with pytest.raises(ValueError, match=r"condition.it: .*: no picture for 1/3.png$"):
        made("folder", source, path=str(tmp_path / "masks"))
    with pytest.raises(ValueError, match="matched by the names of pictures"):
        made("folder", Digits(), path=str(tmp_path / "masks"))


def test_what_is_worked_out_of_the_example():
    splits = made("smaller", Digits(), factor=2)
    raw = splits.test[:5]
    found = given(splits, "test", slice(0, 5))["it"]
    assert found.shape == (5, 1, 4, 4)
    assert float(found[2, 0, 1, 3]) == float(raw[2, 0, 2:4, 6:8].float().mean())
    kind = splits.conditions["it"].kind
    every = given(splits, "train", slice(None))["it"]
    assert kind.mean[0] == pytest.approx(float(every.mean()), rel=1e-3)
    with pytest.raises(ValueError, match=r"factor=3: does not divide examples of shape \(1, 8, 8\)"):
        made("smaller", Digits(), factor=3)
    with pytest.raises(ValueError, match="have no colours"):
        made("grey", Digits())
    with pytest.raises(ValueError, match="factor=1"):
        CONDITIONS["smaller"](factor=1)


def test_grey_of_photographs():
    source = Photographs(size=8, train=6, test=4)
    splits = made("grey", source)
    raw = splits.train[:].double()
    grey = 0.299 * raw[:, 0] + 0.587 * raw[:, 1] + 0.114 * raw[:, 2]
    torch.testing.assert_close(
        given(splits, "train", slice(None))["it"][:, 0].double(), grey, atol=1e-3, rtol=0
    )
    assert splits.shape == (3, 8, 8) and splits.levels == 256
    assert float((raw[:, 0] - raw[:, 2]).abs().mean()) > 5  # they have colours
    with pytest.raises(ValueError, match="names="):
        Photographs(names=("brick",))


def test_digits_are_turned_by_their_angles():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[..., 1, 6] = 16  # above, to the right
    quarter = turned(image, torch.tensor([90.0]))
    assert quarter[0, 0, 1, 1] == 16 and int(quarter.sum()) == 16  # anticlockwise: above, to the left
    assert torch.equal(turned(image, torch.tensor([0.0])), image)
    assert torch.equal(turned(image, torch.tensor([180.0])), image.flip(-1, -2))
    splits, plain = RotatedDigits(most=30.0).load(), Digits().load()
    assert torch.equal(splits.train, turned(plain.train, splits.train_labels[:, 0]))
    assert splits.train_labels.abs().max() <= 30 and splits.test_labels.std() == pytest.approx(17.3, rel=0.1)
    assert isinstance(made("labels", RotatedDigits()).conditions["it"].kind, Vector)
    with pytest.raises(ValueError, match="most=0"):
        RotatedDigits(most=0)


def test_what_the_data_have_not_is_refused(numbered):
    source = Array(numbered / "a.npz", key="x")
    for name, arguments, message in (
        ("labels", {}, "the data have no labels"),
        (
            "array",
            {"path": str(numbered / "none.npy")},
            "condition.it: nothing at .*condition.NAME.path=WHERE",
        ),
        ("array", {}, "has arrays .*choose one"),
        ("array", {"key": "pair", "like": "odd"}, "like='odd'"),
        ("array", {"path": str(numbered / "t.csv"), "key": "colour"}, "no column 'colour'"),
        ("array", {"key": "pair", "like": "class"}, "classes are whole numbers"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            made(name, source, **arguments)
    frame = pd.DataFrame(R.normal(size=(40, 2)), columns=["a", "b"])
    frame.assign(kind="k").to_csv(numbered / "own.csv", index=False)
    learned = Table(numbered / "own.csv", columns=["a", "b"])
    with pytest.raises(ValueError, match="key=b: that column is learned too"):
        made("array", learned, key="b")
    assert made("array", learned, key="kind").conditions["it"].kind == Classes(1, ("k",))
    np.save(numbered / "few.npy", np.ones((7, 2)))
    with pytest.raises(ValueError, match="7 rows, the data have 40"):
        made("array", source, path=str(numbered / "few.npy"))
    with pytest.raises(ValueError, match="no numbers to match"):
        made("array", Digits(), path=str(numbered / "pair.npy"))
