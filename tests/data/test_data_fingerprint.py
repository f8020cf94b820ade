"""What is noticed of a change in the files of a data set, and what it is called."""

from pathlib import Path

import numpy as np
import pytest

from undiffuse.data import SOURCES, Images, changes, fingerprint_of, summary
from undiffuse.data.fingerprint import BLOCK, BLOCKS, SAMPLED, _offsets


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "data" / name for name in ("a.bin", "sub/b.bin", "c.bin")]
    for i, file in enumerate(made):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([i]) * 300_000)
    return made


def test_the_same_files_are_the_same_wherever_they_are(files, tmp_path):
    before = fingerprint_of(files, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / file.relative_to(tmp_path / "data") for file in files]
    assert fingerprint_of(moved[::-1], tmp_path / "moved") == before
    assert set(before) == {"a.bin", "sub/b.bin", "c.bin"}
    assert fingerprint_of([]) == {}


def test_added_removed_and_changed_files_are_named(files, tmp_path):
    root = tmp_path / "data"
    before = fingerprint_of(files, root)
    (root / "new.bin").write_bytes(b"x")
    assert changes(before, fingerprint_of([*files, root / "new.bin"], root)) == ["new.bin was added"]
    assert changes(before, fingerprint_of(files[1:], root)) == ["a.bin was removed"]
    for data in (bytes(299_999), bytes(300_001), b"\1" + bytes(299_999), bytes(299_999) + b"\1"):
        files[0].write_bytes(data)
        assert changes(before, fingerprint_of(files, root)) == ["a.bin was changed"]


@pytest.mark.parametrize("size", [1, BLOCK, BLOCK * BLOCKS])
def test_every_byte_of_a_small_file_counts(tmp_path, size):
    path, data = tmp_path / "a", bytearray(size)
    path.write_bytes(data)
    before = fingerprint_of([path])
    for at in {0, size // 2, size - 1}:
        data[at] ^= 1
        path.write_bytes(data)
        assert changes(before, fingerprint_of([path])) == ["a was changed"]
        data[at] ^= 1


@pytest.mark.parametrize("size", [0, 1, BLOCK + 1, 70_000, 10**8, 2 * 10**10])
def test_blocks_reach_from_the_first_byte_to_the_last(size):
    offsets = list(_offsets(size))
    assert offsets == sorted(set(offsets)) and len(offsets) <= BLOCKS + size // 2**26
    if size:
        assert offsets[0] == 0 and offsets[-1] + BLOCK >= size > offsets[-1]


def test_of_many_files_the_sampled_ones_stay_the_same_when_one_is_added(tmp_path):
    for i in range(SAMPLED + 50):
        (tmp_path / str(i)).write_bytes(b"1")
    paths = sorted(tmp_path.iterdir())
    before = fingerprint_of(paths[1:])
    assert sum(" " in entry for entry in before.values()) == SAMPLED
    assert changes(before, fingerprint_of(paths)) == [f"{paths[0].name} was added"]


def test_a_name_that_is_no_utf_8(tmp_path):
    path = Path(f"{tmp_path}/\udcff.png")
    path.write_bytes(b"1")
    assert len(fingerprint_of([path])) == 1


def test_a_summary_is_short():
    assert summary(["a", "b"]) == "a, b"
    assert summary(list("abcdefgh")) == "a, b, c and 5 more"


def test_sources_know_their_files(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2)))
    assert SOURCES["array"](tmp_path / "a.npy").files() == [tmp_path / "a.npy"]
    (tmp_path / "b.png").write_bytes(b"")
    assert Images(tmp_path).files() == [tmp_path / "b.png"]
    assert SOURCES["patches"](tmp_path).files() == [tmp_path / "a.npy", tmp_path / "b.png"]
    assert list(SOURCES["digits"]().files()) == [] == list(SOURCES["mnist"]().files())
