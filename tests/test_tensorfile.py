"""Tensors in files: the bytes that safetensors reads, and hostile files refused before anything
is allocated.
"""

import hashlib
import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from undiffuse import tensorfile
from undiffuse.files import WriteError


def test_safetensors_reads_what_is_written(tmp_path: Path):
    many = {f"t.{dtype}": torch.arange(7).to(dtype) for dtype in tensorfile.CODES}
    many |= {"turned": torch.arange(6.0).view(2, 3).T, "one": torch.tensor(-0.0), "none": torch.zeros(0, 3)}
    sha256 = tensorfile.write(tmp_path / "a", many)
    assert sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
    for read in (load_file, tensorfile.read):
        found = read(tmp_path / "a")
        assert found.keys() == many.keys()
        assert all(torch.equal(found[k], many[k]) and found[k].dtype == many[k].dtype for k in many)
    assert torch.signbit(found["one"])


def test_what_safetensors_writes_is_read(tmp_path: Path):
    save_file({"a": torch.eye(3), "b": torch.ones(2, dtype=torch.uint8)}, tmp_path / "a", metadata={"k": "v"})
    assert torch.equal(tensorfile.read(tmp_path / "a")["a"], torch.eye(3))


def test_it_does_not_write_over_a_file(tmp_path: Path):
    tensorfile.write(tmp_path / "a", {})
    with pytest.raises(WriteError, match=r"a: File exists: [\d,]+ bytes were needed, [\d,]+ are free"):
        tensorfile.write(tmp_path / "a", {})


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


FOUR = b"\0" * 4
TWO = entry(), entry(offsets=(4, 8))
HOSTILE = {
    "empty": b"",
    "short": b"\1\0\0",
    "a pickle": b"\x80\x04\x95" + b"cos\nsystem\n" * 9,
    "a zip": b"PK\3\4" + b"\0" * 40,
    "header of 2^63 bytes": raw({}, length=2**63),
    "header longer than the file": raw({}, length=1000),
    "header above the limit": raw(b"{}" + b" " * 2**20),
    "header of nothing": raw(b""),
    "no JSON": raw(b"{'a': 1}"),
    "not UTF-8": raw(b'{"\xff": 1}'),
    "a list": raw([]),
    "deep": raw(b"[" * 100_000),
    "a name twice": raw(b'{"a":%b,"a":%b}' % tuple(json.dumps(e).encode() for e in TWO), FOUR * 2),
    "another type": raw({"a": entry(dtype="C64", offsets=[0, 8])}, FOUR * 2),
    "no entry": raw({"a": 3}, FOUR),
    "no dtype": raw({"a": {"shape": [1], "data_offsets": [0, 4]}}, FOUR),
    "code for a dtype": raw({"a": entry(dtype="__import__('os')")}, FOUR),
    "a dtype that is a list": raw({"a": entry(dtype=["F32"])}, FOUR),
    "negative": raw({"a": entry(shape=[-1])}, FOUR),
    "two negatives": raw({"a": entry(shape=[-1, -1])}, FOUR),
    "a fraction": raw({"a": entry(shape=[1.0])}, FOUR),
    "a truth": raw({"a": entry(shape=[True])}, FOUR),
    "a text": raw({"a": entry(shape="1")}, FOUR),
    "huge": raw({"a": entry(shape=[2**40, 2**40], offsets=[0, 4])}, FOUR),
    "32 GiB in 8 bytes": raw({"a": entry(shape=[2**33], offsets=[0, 2**35])}, FOUR),
    "overflow": raw({"a": entry(shape=[2**62, 4], offsets=[0, 0])}),
    "many dimensions": raw({"a": entry(shape=[1] * 99)}, FOUR),
    "too few bytes": raw({"a": entry(shape=[2])}, FOUR),
    "beyond the end": raw({"a": entry(shape=[2], offsets=[0, 8])}, FOUR),
    "overlap": raw({"a": entry(), "b": entry()}, FOUR),
    "a hole": raw({"a": entry(), "b": entry(offsets=[8, 12])}, FOUR * 3),
    "not from the start": raw({"a": entry(offsets=[4, 8])}, FOUR * 2),
    "backwards": raw({"a": entry(shape=[0], offsets=[4, 0])}, FOUR),
    "bytes left over": raw({"a": entry()}, FOUR * 2),
    "three offsets": raw({"a": entry(offsets=[0, 4, 4])}, FOUR),
    "too many tensors": raw({str(i): entry(shape=[0], offsets=[0, 0]) for i in range(4097)}),
    "code in the metadata's place": raw({"__metadata__": {}, "_target_": "os.system"}, FOUR),
    "a reduce": raw({"__reduce__": ["os.system", ["true"]]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str):
    file = tmp_path / "a.safetensors"
    file.write_bytes(HOSTILE[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"a\.safetensors: not a safetensors file"):
        tensorfile.read(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kB


def test_damaged_files_never_do_worse_than_be_refused(tmp_path: Path):
    file, good = tmp_path / "a", tmp_path / "good"
    tensorfile.write(good, {"a": torch.arange(5.0), "b.c": torch.ones(2, 2)})
    data, generator = good.read_bytes(), torch.Generator().manual_seed(0)
    for _ in range(500):
        mutant = bytearray(data)
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            place = int(
                torch.randint(len(data) - 60, (), generator=generator)
            )  # the header, most of the time
            mutant[place] = int(torch.randint(256, (), generator=generator))
        file.write_bytes(mutant)
        try:
            found = tensorfile.read(file)
        except ValueError:
            continue
        assert sum(t.numel() for t in found.values()) <= len(data)
