"""The walk over a tar file's headers: the standard library's on good files, and an end on all others."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from undiffuse.data import Shards
from undiffuse.data.headers import headers_of
from undiffuse.data.tar import member_name

BLOCK = 512


def member(name: str, data: bytes = b"", **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def raw(name: str, says: int, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **pax: str) -> bytes:
    """A member of which its header says that it has so many bytes; records go into an extended header."""
    records = b"".join(record(keyword, value) for keyword, value in pax.items())
    extended = raw("pax", len(records), records, tarfile.XHDTYPE) if pax else b""
    head = member(name, size=says, type=kind).tobuf(tarfile.GNU_FORMAT)
    return extended + head + data + bytes(-len(data) % BLOCK)


def record(keyword: str, value: str) -> bytes:
    body = f" {keyword}={value}\n".encode()
    length = len(body) + len(str(len(body) + 3))
    return str(length).encode() + body


def written(path: Path, *parts: bytes, end: bytes = bytes(2 * BLOCK)) -> Path:
    path.write_bytes(b"".join(parts) + end)
    return path


def names(path: Path) -> list[str]:
    return [header.name for header in headers_of(path)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_good_files_are_read_as_the_standard_library_reads_them(tmp_path, form):
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "a.tar", "w", format=form, pax_headers={"comment": "for all"}) as archive:
        for i in range(40):
            data = rng.bytes(int(rng.integers(0, 1500)))
            deep = f"{'d' * 90}/{'e' * 90}/" if form == tarfile.USTAR_FORMAT else "d" * 300 + "/"
            name = f"{['', deep][i % 2]}{'ä' if i % 3 else 'n'}{i:03d}.png"
            archive.addfile(member(name, data), io.BytesIO(data))
            archive.addfile(member(f"{i}", type=[tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE][i % 3]))
    with tarfile.open(tmp_path / "a.tar") as archive:
        expected = [(m.name, m.offset_data, m.size, m.isreg()) for m in archive.getmembers()]
    found = [(h.name, h.offset, h.size, h.plain) for h in headers_of(tmp_path / "a.tar")]
    assert found == expected and len(found) == 80


@pytest.mark.parametrize(
    "bad",
    [
        raw("b.png", -1024),
        raw("b.png", -1024) + raw("c.png", 0),
        raw("b.png", 0, size="-1024"),
        raw("b.png", 0, size="1e3"),
        raw("b.png", 0, size="9" * 5000),
        raw("b.png", 10**15),
        raw("b.png", 0, size=str(10**15)),
        raw("b.png", -512, kind=tarfile.XHDTYPE) + raw("b.png", 0),
        raw("b.png", -512, kind=tarfile.GNUTYPE_LONGNAME) + raw("b.png", 0),
        raw("b.png", 2**40, kind=tarfile.XHDTYPE) + raw("b.png", 0),
        raw("b.png", 9, b"0 a=b\n\n\n\n", tarfile.XHDTYPE) + raw("b.png", 0),
        raw("b.png", 9, b"rubbish\n\n", tarfile.XHDTYPE) + raw("b.png", 0),
        raw("b.png", 9, b"99 a=bcd\n", tarfile.XHDTYPE) + raw("b.png", 0),
        raw("b.png", 2**19, b"1" * 2**19, tarfile.XHDTYPE) + raw("b.png", 0),  # quadratic elsewhere
        raw("b.png", 9, b"8 a=b c\n\n", tarfile.XHDTYPE),
        b"x" * BLOCK,
        bytes(BLOCK) + raw("b.png", 0),
        bytes(2 * BLOCK) + raw("b.png", 0),
    ],
)
def test_no_damage_is_passed_in_silence_or_for_ever(tmp_path, bad):
    good = raw("a.png", 3, b"abc")
    path = written(tmp_path / "a.tar", good, bad, raw("z.png", 0))
    with pytest.raises(
        ValueError, match=rf"a\.tar is damaged at byte {len(good):,}, after a\.png: "
    ) as caught:
        names(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="damaged"):
        Shards(path).load()


def test_ten_thousand_extended_headers_before_a_member(tmp_path):
    path = written(tmp_path / "a.tar", raw("x", 0, kind=tarfile.XHDTYPE) * 10_000, raw("a.png", 0))
    assert names(path) == ["a.png"]


@pytest.mark.parametrize("end", [b"", bytes(BLOCK), bytes(BLOCK - 1), bytes(2 * BLOCK - 1)])
def test_the_end_blocks_are_required(tmp_path, end):
    with pytest.raises(ValueError, match=r"after b\.png: .*cut short"):
        names(written(tmp_path / "a.tar", raw("a.png", 0), raw("b.png", 3, b"abc"), end=end))


def test_padding_after_the_end_is_none_of_our_business_but_more_members_are(tmp_path):
    assert names(written(tmp_path / "a.tar", raw("a.png", 0), end=bytes(20 * BLOCK))) == ["a.png"]
    one = (tmp_path / "a.tar").read_bytes()
    with pytest.raises(ValueError, match="several were joined"):
        names(written(tmp_path / "b.tar", one, one))


def test_every_damaged_byte_is_noticed_or_does_not_matter(tmp_path):
    whole = b"".join(raw(f"{i}.png", 5, b"12345") for i in range(3)) + bytes(2 * BLOCK)
    expected = names(written(tmp_path / "a.tar", whole, end=b""))
    noticed = 0
    for place in range(0, len(whole), 7):
        path = written(
            tmp_path / "b.tar", whole[:place], bytes([whole[place] ^ 0x41]), whole[place + 1 :], end=b""
        )
        try:
            assert names(path) == expected
        except ValueError:
            noticed += 1
    assert noticed > len(whole) / 7 / 2  # all headers and end blocks, and no data


def test_sparse_pictures_are_refused_and_others_stepped_over(tmp_path):
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.json"}
    other = raw("GNUSparseFile.0/a.json", 3, b"abc", **records)
    path = written(tmp_path / "a.tar", raw("a.cls", 1, b"1"), other, raw("a.png", 3, b"abc"))
    assert [(h.name, h.sparse) for h in headers_of(path)] == [
        ("a.cls", False),
        ("a.json", True),
        ("a.png", False),
    ]
    path = written(tmp_path / "a.tar", raw("a.png", 0), raw("b.png", 3, b"abc", **{"GNU.sparse.major": "1"}))
    with pytest.raises(ValueError, match=r"b\.png is stored as a sparse file"):
        Shards(path).load()
    old = bytearray(raw("c.bin", 3, kind=tarfile.GNUTYPE_SPARSE))
    old[482], old[148:156] = 1, b" " * 8
    old[148:156] = f"{sum(old):06o}\0 ".encode()
    path = written(tmp_path / "a.tar", bytes(old), bytes(BLOCK), b"abc" + bytes(509), raw("d.png", 0))
    assert [(h.name, h.offset) for h in headers_of(path)] == [("c.bin", 1024), ("d.png", 2048)]


def test_a_shard_that_is_changed_after_its_headers_were_read_is_named(tmp_path):
    path = written(tmp_path / "a.tar", raw("a.png", 3, b"abc"), raw("b.png", 3, b"abc"))
    assert member_name(path, BLOCK).endswith("a.tar: a.png")
    path.write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"a\.tar was changed"):
        member_name(path, BLOCK)
