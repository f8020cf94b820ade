import gzip
import struct
from functools import partial

import numpy as np
import pytest
import torch

from undiffuse.data import IDX, read_idx

RNG = np.random.default_rng(0)


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(path, array):
    data = idx(array)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a-idx", "a.gz"])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (7, 5, 4), (7, 3, 5, 4)])
def test_reads_what_was_written(tmp_path, name, shape):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    read = read_idx(write(tmp_path / name, array))
    assert read.dtype == np.uint8 and (read == array).all()


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_folder(tmp_path, end, dot):
    train, test = RNG.integers(0, 256, (6, 5, 4)), RNG.integers(0, 256, (3, 5, 4))
    write(tmp_path / f"train-images{dot}idx3-ubyte{end}", train)
    write(tmp_path / f"t10k-images{dot}idx3-ubyte{end}", test)
    splits = IDX(tmp_path).load()
    assert splits.shape == (1, 5, 4) and splits.levels == 256 and splits.train_labels is None
    assert torch.equal(splits.test[:, 0].long(), torch.from_numpy(test))
    write(tmp_path / f"train-labels{dot}idx1-ubyte{end}", np.arange(6))
    assert IDX(tmp_path).load().train_labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_one_file_is_split(tmp_path):
    path = write(tmp_path / "images", RNG.integers(0, 256, (10, 5, 4)))
    splits = IDX(path, test=0.3).load()
    assert splits.train.shape == (7, 1, 5, 4) and splits.test.shape == (3, 1, 5, 4)
    colour = write(tmp_path / "colour", RNG.integers(0, 256, (10, 3, 5, 4)))
    assert IDX(colour).load().shape == (3, 5, 4)


GOOD = idx(np.zeros((4, 3, 2)))
HUGE = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**20, 2**5, 2**5)  # says 1 GiB
BEYOND = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
zipped = partial(gzip.compress, mtime=0)  # without the time, which would be in the names of tests


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x93NUMPY", "not an IDX file"),
        (b"\1" + GOOD[1:], "not an IDX file"),
        (b"\0\0\x0d" + GOOD[3:], "only unsigned bytes"),
        (b"\0\0\x08\0", "0 dimensions"),
        (b"\0\0\x08\5" + b"\0\0\0\1" * 5 + b"\0", "5 dimensions"),
        (GOOD[:9], "within its header"),
        (GOOD[:-1], "cut short|ends after"),
        (GOOD + b"\0", "longer than its sizes"),
        (struct.pack(">BBBB2I", 0, 0, 8, 2, 0, 2**31), "holds no values"),
        (HUGE, "bomb"),
        (BEYOND, "limit"),
        (zipped(GOOD)[:-9], "gzip"),
        (zipped(GOOD)[:-8] + b"\0" * 8, "gzip"),
        (zipped(GOOD) + b"rubbish", "gzip"),
        (zipped(GOOD + b"\0" * 50_000_000), "longer than its sizes"),
        (zipped(HUGE), "bomb"),
        (zipped(GOOD[:-1]), "ends after"),
    ],
)
def test_bad_files_are_refused(tmp_path, data, message):
    path = tmp_path / "bad"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_gzip_bomb_costs_no_memory(tmp_path):
    """A gigabyte of zeros in a megabyte, with a truthful header: refused before it is read."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(HUGE + b"\0" * 2**20, compresslevel=9))
    with pytest.raises(ValueError, match="decompression bomb"):
        read_idx(path)


def test_missing_and_misplaced(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        IDX(tmp_path / "nowhere").load()
    with pytest.raises(FileNotFoundError, match="train-images"):
        IDX(tmp_path).load()
    with pytest.raises(ValueError, match="folder"):
        read_idx(tmp_path)
    with pytest.raises(ValueError, match="labels"):
        IDX(write(tmp_path / "labels", np.arange(5))).load()
    with pytest.raises(ValueError, match="cannot be split"):
        IDX(write(tmp_path / "one", np.zeros((1, 2, 2)))).load()
    with pytest.raises(ValueError, match=r"data\.test"):
        IDX(tmp_path, test=1.0)
