"""Shards as webdataset writes them, read by number; and tar files that are none."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lazy import BAD, encoded, picture

from undiffuse.data import Rows, Shards
from undiffuse.data.source import split


def pack(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def packed(root: Path, count: int, shards: int = 3, first: int = 0) -> list[np.ndarray]:
    """`count` samples with classes in some shards; returns the pictures."""
    arrays = [picture(5, 4, 3) for _ in range(count)]
    for shard in range(shards):
        members = []
        for i in range(shard * count // shards, (shard + 1) * count // shards):
            members += [(f"{first + i:04d}.cls", str(i % 3).encode()), (f"{first + i:04d}.json", b"{}")]
            members += [(f"{first + i:04d}.png", encoded(arrays[i]))]
        pack(root / f"{shard:03d}.tar", members)
    return arrays


def stacked(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("memory", [0, 1])
def test_samples_are_found_by_their_number(tmp_path, memory):
    expected = stacked(packed(tmp_path, 20))
    splits = Shards(tmp_path, memory=memory).load()
    train, test = split(20, 0.1)
    assert isinstance(splits.train, Rows) == (memory == 0)
    assert torch.equal(splits.train[:], expected[train]) and torch.equal(splits.test[:], expected[test])
    assert splits.train_labels.tolist() == [int(i) % 3 for i in train] and splits.classes == 3


def test_train_and_test_folders(tmp_path):
    train, test = packed(tmp_path / "train", 7, 2), packed(tmp_path / "test", 3, 1)
    splits = Shards(tmp_path).load()
    assert torch.equal(splits.train, stacked(train)) and torch.equal(splits.test, stacked(test))
    assert splits.train_labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_what_webdataset_writes_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    arrays = [picture(5, 4, 3) for _ in range(12)]
    with webdataset.ShardWriter(str(tmp_path / "%03d.tar"), maxcount=5, verbose=0) as out:
        for i, array in enumerate(arrays):
            out.write({"__key__": f"a/{i:04d}", "png": array.astype(np.float32) / 255, "cls": i})
    splits = Shards(tmp_path, test=0.5).load()
    train, test = split(12, 0.5)
    assert torch.equal(splits.train, stacked(arrays)[train])
    assert splits.test_labels.tolist() == test.tolist()


def test_one_file_without_classes(tmp_path):
    members = [(f"./x/{i}.jpg", encoded(picture(8, 8), "JPEG")) for i in range(5)]
    path = pack(tmp_path / "all.tar", [("./x/._0.jpg", b"hidden"), *members, ("README", b"no dot")])
    splits = Shards(path, channels=3).load()
    assert len(splits.train) == 4 and splits.shape == (3, 8, 8) and splits.train_labels is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.json", b"{}"), ("b.png", b"")], "sample '/a' has 0 pictures"),
        ([("a.png", b""), ("a.jpg", b"")], "sample '/a' has 2 pictures"),
        ([("a.png", b""), ("a.PNG", b"")], "two members .png"),
        ([("a.png", b""), ("b.png", b""), ("b.cls", b"1")], "some have none"),
        ([("a.png", b""), ("a.cls", b"cat")], "label of sample '/a' is b'cat'"),
        ([("a.png", b""), ("a.cls", b"-1")], "not a number from 0"),
        ([("a.png", b""), ("a.cls", b"1" * 30)], "not a number from 0"),
    ],
)
def test_bad_samples_are_named(tmp_path, members, message):
    pack(tmp_path / "a.tar", members)
    with pytest.raises(ValueError, match=message) as caught:
        Shards(tmp_path).load()
    assert "a.tar" in str(caught.value)


@pytest.mark.parametrize("end", [600, 1200, 5000])
def test_a_shard_that_is_cut_short_is_refused(tmp_path, end):
    path = pack(tmp_path / "a.tar", [(f"{i}.png", encoded(picture(20, 20, 3))) for i in range(4)])
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"a\.tar"):
        Shards(path, test=0.5).load()


def test_files_that_are_no_shards(tmp_path):
    with pytest.raises(ValueError, match=r"no \.tar"):
        Shards(tmp_path).load()
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        Shards(tmp_path / "nowhere").load()
    (tmp_path / "a.tar").write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ValueError, match=r"a\.tar cannot be read"):
        Shards(tmp_path).load()
    pack(tmp_path / "a.tar", [("a.png", b"")], "w:gz")
    with pytest.raises(ValueError, match=r"uncompressed"):
        Shards(tmp_path).load()


def test_links_and_devices_are_no_samples(tmp_path):
    path = pack(tmp_path / "a.tar", [(f"{i}.png", encoded(picture(4, 4))) for i in range(2)])
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("z.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert len(Shards(path).load().train) == 1


def test_bad_samples_are_named_or_skipped_within_their_class(tmp_path):
    members = [(f"{i:02d}.png", encoded(np.full((4, 4), i, np.uint8))) for i in range(30)]
    members[9], members[10] = ("09.png", BAD["png-cut"]), ("10.png", BAD["empty"])
    both = [m for i, member in enumerate(members) for m in (member, (f"{i:02d}.cls", str(i % 2).encode()))]
    pack(tmp_path / "train" / "a.tar", both)
    pack(tmp_path / "test" / "a.tar", both[:4])
    with pytest.raises(ValueError, match=r"train/a\.tar: (09|10)\.png"):
        Shards(tmp_path, memory=0).load().train[:]
    splits = Shards(tmp_path, memory=0, skip_bad=True).load()
    values = splits.train[:][:, 0, 0, 0].tolist()
    assert values == [*range(9), 11, 12, *range(11, 30)]  # of the same class, so the labels stay
    assert sorted(name[-6:] for name in splits.skipped) == ["09.png", "10.png"]
