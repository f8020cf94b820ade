import numpy as np
import pytest
import torch

from undiffuse.data.cifar10 import CIFAR10, FOLDER, TEST, TRAIN

RNG = np.random.default_rng(0)
COUNTS = dict(zip((*TRAIN, *TEST), (3, 1, 2, 1, 4, 5), strict=True))
IMAGES = RNG.integers(0, 256, (16, 3, 32, 32), dtype=np.uint8)
LABELS = np.array([0, 9, *RNG.integers(0, 10, 14)], np.uint8)


def fill(folder, files=COUNTS):
    folder.mkdir(exist_ok=True)
    records = np.concatenate([LABELS[:, None], IMAGES.reshape(16, -1)], 1)
    for name, count in files.items():
        (folder / name).write_bytes(records[:count].tobytes())
        records = records[count:]
    return folder


def check(splits):
    assert splits.shape == (3, 32, 32) and splits.levels == 256
    assert splits.train.dtype == torch.uint8 and splits.train_labels.dtype == torch.int64
    assert torch.equal(splits.train, torch.from_numpy(IMAGES[:11]))
    assert torch.equal(splits.test, torch.from_numpy(IMAGES[11:]))
    assert splits.train_labels.tolist() == LABELS[:11].tolist()
    assert splits.test_labels.tolist() == LABELS[11:].tolist()


def test_the_folder_or_the_one_that_holds_it(tmp_path):
    folder = fill(tmp_path / FOLDER)
    check(CIFAR10(folder).load())
    check(CIFAR10(str(tmp_path)).load())


def test_planes_are_red_green_blue_and_rows_come_first(tmp_path):
    red = np.zeros((3, 32, 32), np.uint8)
    red[0, 0, 5] = 255  # the sixth value of the first plane
    for name in COUNTS:
        (tmp_path / name).write_bytes(b"\3" + bytes(5) + b"\xff" + bytes(3 * 1024 - 6))
    splits = CIFAR10(tmp_path).load()
    assert torch.equal(splits.test[0], torch.from_numpy(red)) and splits.test_labels.tolist() == [3]


@pytest.mark.parametrize("name", [TRAIN[4], TEST[0]])
def test_missing_files(tmp_path, name):
    fill(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}.*data\.path.*cifar-10-binary\.tar\.gz"):
        CIFAR10(tmp_path).load()


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*data\.path.*cifar-10-binary\.tar\.gz"):
        CIFAR10(tmp_path / "nowhere").load()


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 5 * 3073 - 1])
def test_cut_short(tmp_path, size):
    path = fill(tmp_path) / TEST[0]
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError, match=rf"{TEST[0]} is {size:,} bytes.*unpack the archive again"):
        CIFAR10(tmp_path).load()


def test_all_sizes_are_checked_before_anything_is_read(tmp_path, monkeypatch):
    fill(tmp_path)
    (tmp_path / TEST[0]).write_bytes(b"\0")
    monkeypatch.setattr("undiffuse.data.cifar10.read_exactly", None)
    with pytest.raises(ValueError, match="not a multiple"):
        CIFAR10(tmp_path).load()


@pytest.mark.parametrize("label", [10, 255])
@pytest.mark.parametrize("name", [TRAIN[0], TEST[0]])
def test_classes_out_of_range(tmp_path, name, label):
    path = fill(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[3073] = label
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name} has class {label}.*0\.\.9"):
        CIFAR10(tmp_path).load()
