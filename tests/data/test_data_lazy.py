"""Examples that are read when asked for are those that a read of everything gives."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lazy import BAD, encoded, folder_of, picture

from undiffuse.data import Affine, Array, Images, Rows, chunks, dequantized, ends

HERE = {"memory": 0}  # GB: nothing is kept


def array_of(tmp_path: Path, array: np.ndarray, **options) -> tuple:
    np.save(tmp_path / "a.npy", array)
    return Array(tmp_path / "a.npy", **HERE, **options).load(), Array(tmp_path / "a.npy", **options).load()


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize(
    ("dtype", "shape", "options"),
    [
        ("u1", (30, 3, 4, 5), {}),
        ("u1", (30, 8, 8, 3), {"channels_last": True}),
        ("u1", (30, 4, 5), {}),
        ("u2", (30, 7), {}),
        ("b1", (30, 7), {}),
        ("i8", (30, 7), {"levels": 3}),
        ("<f4", (30, 2, 6), {}),
        (">f8", (30, 6), {}),
        ("<f4", (30, 2, 6), {"channels_last": True}),
    ],
)
def test_a_mapped_array_is_the_same_as_one_in_memory(tmp_path, dtype, shape, options, order):
    r = np.random.default_rng(0)
    values = r.normal(size=shape) if "f" in dtype else r.integers(0, 2, shape)
    lazy, held = array_of(tmp_path, np.asarray(values.astype(dtype), order=order), **options)
    assert isinstance(lazy.train, Rows) and isinstance(lazy.test, Rows)
    assert isinstance(held.train, torch.Tensor) and lazy.levels == held.levels and lazy.shape == held.shape
    for one, other in ((lazy.train, held.train), (lazy.test, held.test)):
        rows = torch.tensor([1, 0, 1])
        assert one.dtype == other.dtype and tuple(one.shape) == other.shape
        assert torch.equal(one[:], other) and torch.equal(one[rows], other[rows])
        assert torch.equal(one[1:], other[1:]) and one[2:5].is_contiguous()


def test_memory_decides_whether_it_is_kept(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((1000, 1000), "f4"))  # 4 MB
    for memory, kept in ((0.0039, False), (0.0041, True)):
        assert isinstance(Array(tmp_path / "a.npy", memory=memory).load().train, torch.Tensor) == kept
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match=r"data\.memory=1"):
            Array(tmp_path / "a.npy", memory=bad)


def test_a_mapped_file_that_changes_its_size_is_noticed(tmp_path):
    lazy, _ = array_of(tmp_path, np.random.default_rng(0).random((30, 4), "f4"))
    np.save(tmp_path / "a.npy", np.zeros((31, 4), "f4"))
    with pytest.raises(ValueError, match=r"a\.npy was \(30, 4\).*now \(31, 4\)"):
        lazy.train[:2]
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short"):
        lazy.train[:2]


def test_every_value_is_looked_at_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("undiffuse.data.checks.CHUNK", 8)
    x = np.zeros((9, 4))
    x[3, 1], x[7, 2] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"2 value\(s\) are not finite.*first nan at index \(3, 1\)"):
        array_of(tmp_path, x)


@pytest.mark.parametrize("shape", [(700, 3), (90, 2, 5)])
def test_statistics_are_streamed(tmp_path, monkeypatch, shape):
    monkeypatch.setattr("undiffuse.data.rows.CHUNK", 50)
    x = np.random.default_rng(2).normal(size=shape).astype("f4") * 3 + 1e2
    lazy, held = array_of(tmp_path, x)
    assert len(list(chunks(lazy.train))) > 10
    one = Affine.fit(lazy.train)
    monkeypatch.undo()
    other = Affine.fit(held.train)
    assert torch.allclose(one.mean, other.mean, rtol=1e-13) and torch.allclose(one.std, other.std, rtol=1e-10)
    assert ends(lazy.train) == (float(held.train.min()), float(held.train.max()))


def test_pictures_are_decoded_when_asked_for(tmp_path):
    folder_of(tmp_path, 20)
    lazy, held = Images(tmp_path, **HERE).load(), Images(tmp_path).load()
    assert isinstance(lazy.train, Rows) and isinstance(held.train, torch.Tensor)
    assert torch.equal(lazy.train[:], held.train) and torch.equal(lazy.test[:], held.test)
    fitted = Images(tmp_path, size=3, channels=1, **HERE).load(), Images(tmp_path, size=3, channels=1).load()
    assert torch.equal(fitted[0].train[5:9], fitted[1].train[5:9])


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_stops_and_is_named(tmp_path, kind):
    folder_of(tmp_path, 4)
    (tmp_path / f"zz-{kind}.png").write_bytes(BAD[kind])
    with pytest.raises(ValueError, match=rf"zz-{kind}\.png") as caught:
        splits = Images(tmp_path, size=4, channels=3, **HERE).load()
        splits.train[:], splits.test[:]
    assert "\n" not in str(caught.value)


def test_there_are_twenty_kinds_and_more():
    assert len(BAD) >= 20


def damaged(tmp_path: Path, bad: dict[int, bytes]) -> tuple[torch.Tensor, torch.Tensor, dict[str, str]]:
    """What a folder of 40 held, what skipping finds after these were damaged, and what was skipped."""
    folder_of(tmp_path, 40)
    whole = Images(tmp_path).load()
    for number, data in bad.items():
        (tmp_path / f"{number:03d}.png").write_bytes(data)
    lazy = Images(tmp_path, skip_bad=True, **HERE).load()
    return whole.train, lazy.train[:], lazy.skipped


def test_bad_pictures_are_skipped_and_all_others_stay_where_they_were(tmp_path):
    bad = dict(enumerate(BAD.values(), 5))
    before, after, skipped = damaged(tmp_path, bad)
    same = (before == after).flatten(1).all(1)
    names = {f"{tmp_path}/{number:03d}.png" for number in bad}
    assert set(skipped) <= names and all(reason.startswith(name) for name, reason in skipped.items())
    assert int((~same).sum()) == len(skipped) >= 20
    good = before[same].flatten(1)
    for stand_in in after[~same].flatten(1):
        assert (good == stand_in).all(1).any()


def test_the_next_good_one_stands_in(tmp_path):
    folder_of(tmp_path, 40)
    numbers = Images(tmp_path, **HERE).load().train.numbers.tolist()
    for row in (3, 4, 35):  # the last row's stand-in is the first
        (tmp_path / f"{numbers[row]:03d}.png").write_bytes(b"")
    train = Images(tmp_path, skip_bad=True, **HERE).load().train
    alone = train[torch.tensor([3, 4, 35])]
    assert torch.equal(alone, train[torch.tensor([5, 5, 0])])
    assert len(train.skipped) == 3


def test_a_folder_without_a_good_picture_is_refused(tmp_path):
    for i in range(130):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        Images(tmp_path, skip_bad=True).load()
    (tmp_path / "0.png").write_bytes(encoded(picture(4, 4)))
    with pytest.raises(ValueError, match="100 pictures before"):
        Images(tmp_path, skip_bad=True, test=0.01).load()


def test_a_picture_that_vanishes_is_named(tmp_path):
    folder_of(tmp_path, 20)
    splits = Images(tmp_path, **HERE).load()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(OSError, match=r"\d+\.png"):
        splits.train[:3]


def test_one_of_another_size_is_named(tmp_path):
    folder_of(tmp_path, 20)
    splits = Images(tmp_path, **HERE).load()
    for path in tmp_path.iterdir():
        path.write_bytes(encoded(picture(9, 9, 3)))
    with pytest.raises(ValueError, match=r"png is \(3, 9, 9\) once decoded, not \(3, 5, 4\)"):
        splits.train[:3]


def test_dequantized_rows_have_noise_of_their_own(tmp_path):
    lazy, held = array_of(tmp_path, np.random.default_rng(0).integers(0, 256, (200, 50)).astype("u1"))
    noisy = dequantized(lazy).train
    assert isinstance(noisy, Rows) and noisy.dtype == torch.float32
    assert torch.equal(noisy[:].floor(), held.train.float())
    assert torch.equal(noisy[torch.tensor([7, 2])], noisy[:][[7, 2]])
    u = noisy[:] - held.train
    assert abs(float(u.mean()) - 0.5) < 0.01 and len(u.unique(dim=0)) == len(u)


@pytest.mark.parametrize(("key", "value"), [("memory", -1), ("workers", -1), ("workers", 1000)])
def test_bad_arguments(tmp_path, key, value):
    with pytest.raises(ValueError, match=re.escape(f"{key}={value}")):
        Images(tmp_path, **{key: value})
