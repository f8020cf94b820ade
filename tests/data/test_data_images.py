import contextlib
import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from undiffuse.data import Images, pictures, read_image
from undiffuse.data.source import split

RNG = np.random.default_rng(0)


def picture(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path, array, mode=None, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **kwargs)
    return path


@pytest.mark.parametrize("tail", [(), (3,)])
def test_folder(tmp_path, tail):
    arrays = {f"{i % 2}/{i}.png": picture(5, 4, *tail) for i in range(10)}
    for name, array in arrays.items():
        save(tmp_path / name, array)
    (tmp_path / "notes.txt").write_text("ignored")
    (tmp_path / "._0.png").write_text("ignored too")
    splits = Images(tmp_path, test=0.3).load()
    stacked = np.stack([arrays[name] for name in sorted(arrays)])
    expected = torch.from_numpy(stacked).reshape(10, 5, 4, -1).permute(0, 3, 1, 2)
    train, test = split(10, 0.3)
    assert splits.levels == 256 and splits.shape == (3 if tail else 1, 5, 4)
    assert torch.equal(splits.train, expected[train]) and torch.equal(splits.test, expected[test])


def test_train_and_test_folders(tmp_path):
    for i in range(4):
        save(tmp_path / "train" / f"{i}.png", picture(3, 3))
    test = picture(3, 3)
    save(tmp_path / "test" / "sub" / "a.PNG", test)
    splits = Images(tmp_path).load()
    assert len(splits.train) == 4
    assert torch.equal(splits.test[0, 0], torch.from_numpy(test))


@pytest.mark.parametrize("divided", [False, True])
def test_folders_are_classes(tmp_path, divided):
    for part in ("train", "test") if divided else ("",):
        for i, name in enumerate(("cat", "dog/old", "emu")):
            for j in range(6):
                save(tmp_path / part / name / f"{j}.png", np.full((2, 2), 10 * i, np.uint8))
    splits = Images(tmp_path, labels="folders").load()
    for examples, labels in ((splits.train, splits.train_labels), (splits.test, splits.test_labels)):
        assert torch.equal(labels, examples[:][:, 0, 0, 0].long() // 10)
    assert splits.classes == 3
    assert Images(tmp_path).load().train_labels is None
    save(tmp_path / ("test" if divided else "") / "a.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: is in no folder of a class"):
        Images(tmp_path, labels="folders").load()
    with pytest.raises(ValueError, match="labels=kind"):
        Images(tmp_path, labels="kind")


def test_jpeg_is_read(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    image = read_image(save(tmp_path / "a.jpg", flat, quality=95))
    assert image.shape == (3, 16, 16) and image.dtype == np.uint8
    assert abs(image.astype(int) - flat.transpose(2, 0, 1)).max() < 5


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("RGB", 3), ("P", 3)])
def test_modes(tmp_path, mode, channels):
    path = save(tmp_path / "a.png", picture(6, 6, 3), mode)
    assert read_image(path).shape == (channels, 6, 6)
    assert read_image(path, channels=1).shape == (1, 6, 6)
    assert read_image(path, channels=3).shape == (3, 6, 6)
    assert set(np.unique(read_image(save(tmp_path / "b.png", picture(6, 6), "1")))) <= {0, 255}


def test_size_is_height_and_width(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(20 + i, 30))
    assert Images(tmp_path, size=8).load().shape == (1, 8, 8)
    assert Images(tmp_path, size=(6, 9)).load().shape == (1, 6, 9)


def test_the_centre_is_kept(tmp_path):
    array = np.zeros((10, 30), np.uint8)
    array[:, 10:20] = 255
    path = save(tmp_path / "a.png", array)
    assert (read_image(path, (5, 5))[0, :, 1:-1] > 230).all()
    tall = save(tmp_path / "b.png", np.ascontiguousarray(array.T))
    assert (read_image(tall, (5, 5))[0, 1:-1] > 230).all()


def test_every_size_is_cut_from_every_size():
    """No rounding takes the box beyond the picture; it has the aspect that was asked for, in the middle."""
    sides = (1, 2, 3, 15, 25, 28, 29, 41, 47, 97, 107, 111, 113, 227, 299)
    for whole, high in itertools.product(sides, sides):
        image = Image.new("L", (whole, high))
        for width, height in ((28, 28), (30, 60), (50, 101), (100, 7), (224, 112), (449, 224), (1, 999)):
            assert pictures._fitted(image, height, width).size == (width, height)
            left, upper, right, lower = pictures._box((whole, high), (width, height))
            assert (right - left) * height == pytest.approx((lower - upper) * width, rel=1e-9)
            assert (left + right, upper + lower) == pytest.approx((whole, high))
            assert min(left, upper) == 0
            assert right - left == whole or lower - upper == high


def test_the_right_size_is_left_alone(tmp_path):
    array = picture(7, 9, 3)
    path = save(tmp_path / "a.png", array)
    assert (read_image(path, (7, 9)) == array.transpose(2, 0, 1)).all()


def test_resizing_averages(tmp_path):
    """A fine checkerboard becomes grey: no aliasing."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = read_image(save(tmp_path / "a.png", board), (8, 8))
    assert abs(small.astype(int) - 127).max() <= 3


def test_exif_orientation(tmp_path):
    array = picture(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6
    for end in ("png", "jpg"):
        path = save(tmp_path / end / f"a.{end}", array, exif=exif)
        save(tmp_path / end / f"b.{end}", array, exif=exif)
        assert read_image(path).shape == (1, 6, 4)
        assert Images(tmp_path / end, test=0.5).load().shape == (1, 6, 4)
    assert (read_image(tmp_path / "png" / "a.png")[0] == np.rot90(array, -1)).all()


def test_different_sizes(tmp_path):
    save(tmp_path / "a.png", picture(5, 4))
    save(tmp_path / "b.png", picture(4, 5))
    with pytest.raises(ValueError, match=r"5 high and 4 wide.*4 high and 5 wide.*data\.size=64") as e:
        Images(tmp_path, test=0.5).load()
    assert "a.png" in str(e.value) and "b.png" in str(e.value)


def test_grey_and_colour(tmp_path):
    save(tmp_path / "a.png", picture(5, 4, 3))
    save(tmp_path / "b.png", picture(5, 4))
    with pytest.raises(ValueError, match=r"b\.png is grey but .*a\.png is colour.*data\.channels=1"):
        Images(tmp_path, test=0.5).load()
    assert Images(tmp_path, channels=1).load().shape == (1, 5, 4)
    assert Images(tmp_path, channels=3).load().shape == (3, 5, 4)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, data, depth=8, colour=0, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


ROWS = zlib.compress(b"\0\1\2\3" * 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read"),
        (b"GIF89a", "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "cannot be read"),
        (png(3, 3, ROWS)[:-30], "cannot be read"),
        (png(3, 3, b"rubbish"), "cannot be read"),
        (png(8000, 8000, ROWS), "64000000|8000x8000"),
        (png(50_000, 50_000, ROWS), "cannot be read"),  # Pillow's own limit
        (png(3, 3, ROWS, extra=chunk(b"tRNS", b"\0\1")), "transparency"),
        (png(3, 1, zlib.compress(bytes(7)), depth=16), "16 bits"),
        (png(1, 1, zlib.compress(bytes(7)), depth=16, colour=2), "16 bits"),
    ],
)
def test_bad_files_are_refused(tmp_path, data, message):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_image(path)
    assert "bad.png" in str(caught.value)
    save(tmp_path / "good.png", picture(3, 3))
    with pytest.raises(ValueError, match=r"bad\.png"):
        Images(tmp_path, size=3, channels=1, test=0.5).load()


def test_a_truncated_jpeg_is_refused(tmp_path):
    path = save(tmp_path / "a.jpg", picture(64, 64))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_refused(tmp_path, mode):
    path = save(tmp_path / "a.png", picture(4, 4, 4), mode)
    with pytest.raises(ValueError, match="flatten"):
        read_image(path, channels=3)


def test_other_kinds_are_refused(tmp_path):
    cmyk = save(tmp_path / "a.jpg", picture(4, 4, 3), "CMYK")
    with pytest.raises(ValueError, match="CMYK"):
        read_image(cmyk)
    deep = save(tmp_path / "b.png", RNG.integers(0, 65536, (4, 4), dtype=np.uint16))
    with pytest.raises(ValueError, match=r"16 bits.*\.npy"):
        read_image(deep)
    gif = save(tmp_path / "c.png", picture(4, 4), format="GIF")  # a wrong ending
    with pytest.raises(ValueError, match="PNG or JPEG"):
        read_image(gif)


def test_only_the_first_frame(tmp_path):
    frames = [Image.fromarray(picture(4, 4)) for _ in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.png")[0] == np.asarray(frames[0])).all()


def test_mutants_are_read_or_refused(tmp_path, recwarn):
    for end in ("png", "jpg"):
        good = save(tmp_path / f"good.{end}", picture(9, 9, 3)).read_bytes()
        path = tmp_path / f"mutant.{end}"
        for _ in range(200):
            bad = bytearray(good)
            for at in RNG.integers(0, len(bad), RNG.integers(1, 4)):
                bad[at] = RNG.integers(0, 256)
            path.write_bytes(bad)
            with contextlib.suppress(ValueError):
                assert read_image(path).ndim == 3


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        Images(tmp_path / "nowhere").load()
    with pytest.raises(ValueError, match=r"no \.png"):
        Images(tmp_path).load()
    path = save(tmp_path / "a.png", picture(3, 3))
    with pytest.raises(ValueError, match="not a folder"):
        Images(path).load()
    with pytest.raises(ValueError, match="cannot be split"):
        Images(tmp_path).load()
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"train holds no"):
        Images(tmp_path).load()


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 0},
        {"size": (4, -1)},
        {"size": 10**6},
        {"channels": 2},
        {"channels": 4},
        {"test": 1},
    ],
)
def test_bad_arguments(tmp_path, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Images(tmp_path, **bad)
