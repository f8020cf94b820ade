import contextlib
import io
import resource
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from undiffuse.data import read_npy, read_npz
from undiffuse.data.npy import DTYPES, npz_names

RNG = np.random.default_rng(0)


def npy(header, data=b"", version=(1, 0)):
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header.encode("latin-1") + data


def plain(shape="(3,)", descr="'|u1'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("end", "<>")
@pytest.mark.parametrize("order", "CF")
def test_reads_what_numpy_writes(tmp_path, code, end, order):
    array = np.asarray(RNG.integers(0, 2, (4, 3, 2)), np.dtype(end + code), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", a=array)
    np.savez_compressed(tmp_path / "b.npz", a=array)
    for read in (
        read_npy(tmp_path / "a.npy"),
        read_npz(tmp_path / "a.npz", "a"),
        read_npz(tmp_path / "b.npz", "a"),
    ):
        assert read.dtype == array.dtype and read.shape == array.shape
        assert (read == array).all()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("shape", [(5,), (1, 1), (2, 3, 4, 5)])
def test_every_version(tmp_path, version, shape):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version)
    assert (read_npy(tmp_path / "a.npy") == array).all()


def test_other_writers(tmp_path):
    path = tmp_path / "a.npy"
    for header in (
        "{'shape':(3,),'fortran_order':False,'descr':'u1'}",
        "{'descr': '=u1', 'fortran_order': True, 'shape': ( 1 , 3 )}",
    ):
        path.write_bytes(npy(header, b"\1\2\3"))
        assert read_npy(path).ravel().tolist() == [1, 2, 3]


PICKLED = io.BytesIO()
np.save(PICKLED, np.array([{"a": 1}], dtype=object), allow_pickle=True)
STRUCTURED = io.BytesIO()
np.save(STRUCTURED, np.zeros(3, [("a", "f4"), ("b", "O")]), allow_pickle=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PICKLED.getvalue(), "never unpickled"),
        (STRUCTURED.getvalue(), "fields arrays of their own"),
        (b"", "not an .npy file"),
        (b"PK\3\4", "not an .npy file"),
        (npy(plain(), b"123", (4, 0)), "not 1 or 2"),
        (npy(plain("(34359738368,)")).ljust(128), "damaged or cut short"),  # 32 GiB in 128 bytes
        (npy(plain("(1073741824, 1073741824, 1073741824, 16)")), "damaged or cut short"),
        (npy(plain(), b"12"), "damaged or cut short"),
        (npy(plain(), b"1234"), "damaged or cut short"),
        (npy(plain("()"), b"1"), "1 to 8 dimensions"),
        (npy(plain("(0,)")), "none of them empty"),
        (npy(plain("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), b"1"), "1 to 8 dimensions"),
        (npy(plain("(-3,)"), b"123"), "none of them empty"),
        (npy(plain("(-1, -3)"), b"123"), "none of them empty"),
        (npy(plain("(1 3,)"), b"123"), "not an .npy file"),
        (npy(plain("(9999999999999999999999,)"), b"123"), "damaged or cut short"),
        (npy(plain("(True,)"), b"123"), "damaged or cut short"),
        (npy(plain("(__import__('os'),)"), b"123"), "not an .npy file"),
        (npy(plain(order="0"), b"123"), "not an .npy file"),
        (npy(plain(order="'True'"), b"123"), "not an .npy file"),
        (npy("{'descr': '|u1', 'descr': '|u1', 'shape': (3,)}", b"123"), "not an .npy file"),
        (npy("{'descr': '|u1', 'shape': (3,)}", b"123"), "not an .npy file"),
        (npy(plain() + "x", b"123"), "not an .npy file"),
        (npy("-" * 9000, b"123"), "not an .npy file"),
        (npy("(" * 9000, b"123"), "not an .npy file"),
        (npy(" " * 20_000, b"123"), "not an .npy file"),
        (npy(plain(), b"", (2, 0))[:30], "not an .npy file"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "not an .npy file"),
        (npy(plain(descr="'<U3'"), b"0" * 36), "numbers must be"),
        (npy(plain(descr="'<M8'"), b"0" * 24), "numbers must be"),
        (npy(plain(descr="'<c8'"), b"0" * 24), "numbers must be"),
        (npy(plain(descr="'|V1'"), b"123"), "numbers must be"),
        (npy(plain(descr="'|\xe91'"), b"123"), "not an .npy file"),
        (npy(plain(descr="'<<f4'"), b"0" * 12), "not an .npy file"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, data, message):
    path = tmp_path / "bad.npy"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_npy(path)
    assert "bad.npy" in str(caught.value) and "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(ValueError, match=message) as caught:
        read_npz(tmp_path / "bad.npz", "x")
    assert "bad.npz" in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "{" + "'shape': (" + " " * 9900,
        "{'descr': '|u1'" + " " * 9800,
        "{'shape': (" + "1," * 4900,
        "{" + "'descr':'|u1'," * 700,
    ],
)
def test_a_hostile_header_cannot_stall(tmp_path, header):
    path = tmp_path / "slow.npy"
    path.write_bytes(npy(header))
    start = time.perf_counter()
    with pytest.raises(ValueError):
        read_npy(path)
    assert time.perf_counter() - start < 0.5


def test_zip_bombs_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "bomb.npz"
    zeros = npy(plain("(100000000,)"), bytes(100_000_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", zeros)
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match="decompression bomb"):
        read_npz(path, "x")
    with pytest.raises(ValueError, match="decompression bomb"):
        npz_names(path)


def test_small_files_of_zeros_are_no_bombs(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((50_000, 100), np.uint8))
    assert read_npz(tmp_path / "a.npz", "a").shape == (50_000, 100)


def member(size=None, data=b"\1\2\3", **kwargs):
    """An npz of one array, whose recorded size may lie."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kwargs) as archive:
        archive.writestr("x.npy", npy(plain(), data))
    raw = bytearray(buffer.getvalue())
    if size is not None:
        central = raw.rindex(b"PK\1\2")
        raw[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(raw)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\5\6" + bytes(18),
        member()[:-5],
        member(size=60),
        member(size=2**26, compression=zipfile.ZIP_DEFLATED),
        member().replace(b"\1\2\3", b"\1\2\4"),
        member(compression=zipfile.ZIP_BZIP2),
        member(compression=zipfile.ZIP_LZMA),
    ],
)
def test_damaged_archives_are_refused(tmp_path, data):
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"bad\.npz"):
        read_npz(path, "x")


def test_mutants_are_read_or_refused(tmp_path):
    """Any damage ends in an array or in a ValueError, never in another exception."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=RNG.integers(0, 99, (5, 4)), y=np.zeros(3))
    good, path = buffer.getvalue(), tmp_path / "mutant.npz"
    for _ in range(400):
        bad = bytearray(good)
        for at in RNG.integers(0, len(bad), RNG.integers(1, 4)):
            bad[at] = RNG.integers(0, 256)
        path.write_bytes(bad[: RNG.integers(1, len(bad) + 1)] if RNG.random() < 0.2 else bad)
        with contextlib.suppress(ValueError):
            assert read_npz(path, "x").shape


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        read_npy(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=np.ones(3), b=np.ones(3))
    with pytest.raises(ValueError, match=r"'c'.*\('a', 'b'\)"):
        read_npz(tmp_path / "a.npz", "c")


@pytest.mark.slow
def test_little_memory_is_enough_to_refuse(tmp_path):
    """The same bombs with 64 MiB to spare above what the imports take."""
    (tmp_path / "huge.npy").write_bytes(npy(plain("(34359738368,)")).ljust(128))
    code = f"""
import resource, sys
from pathlib import Path
from undiffuse.data import read_npy
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
try:
    read_npy({str(tmp_path / "huge.npy")!r})
except ValueError:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
