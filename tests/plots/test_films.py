"""Films in the other formats: the same frames and times as the GIF."""

import builtins
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from undiffuse.plots import check_film, save_film, save_scatter_film, tile

random = np.random.default_rng(0)
ENDINGS = pytest.mark.parametrize("ending", [".gif", ".png", ".mp4"])


@pytest.fixture(autouse=True)
def encoder(request: pytest.FixtureRequest) -> None:
    """An .mp4 is only tried where the extra is."""
    if "mp4" in request.node.name:
        pytest.importorskip("imageio_ffmpeg")


def images(*shape: int) -> np.ndarray:
    return random.integers(0, 200, shape, dtype=np.uint8)


def decoded(path: Path, width: int, height: int) -> np.ndarray:
    """Frames of an .mp4, (N, H, W, 3)."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo"]
    out = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(out, np.uint8).reshape(-1, height, width, 3)


def facts(path: Path) -> bytes:
    """What ffmpeg says of a film."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path]
    return subprocess.run(command, capture_output=True, check=False).stderr


def test_a_png_keeps_every_colour_and_the_times(tmp_path: Path) -> None:
    batches = [images(3, 3, 20, 20) for _ in range(4)]
    save_film(batches, tmp_path / "a.png", columns=2, duration=40, hold=900, scale=1)
    with Image.open(tmp_path / "a.png") as film:
        assert (film.format, film.n_frames, film.info["loop"]) == ("PNG", 4, 0)
        for number, batch in enumerate(batches):
            film.seek(number)
            assert film.info["duration"] == (900 if number == 3 else 40)
            assert (np.asarray(film.convert("RGB")) == tile(batch, columns=2)).all()


@pytest.mark.parametrize("shape", [(2, 1, 21, 16), (2, 3, 16, 21)])
def test_an_mp4_has_the_frames_and_holds_the_last(tmp_path: Path, shape: tuple[int, ...]) -> None:
    smooth = np.linspace(0, 200, shape[-1], dtype=np.uint8)
    batches = [np.broadcast_to(smooth // (k + 1), shape) for k in range(3)]
    save_film(batches, tmp_path / "a.mp4", columns=2, duration=50, hold=200, scale=1)
    sheets = [tile(batch, columns=2) for batch in batches]
    height, width = sheets[0].shape[:2]
    frames = decoded(tmp_path / "a.mp4", width + width % 2, height + height % 2)
    assert len(frames) == 2 + 4  # the last for 200 ms
    assert b" 20 fps" in facts(tmp_path / "a.mp4")
    for frame, sheet in zip(frames, [*sheets, *[sheets[-1]] * 3], strict=True):
        sheet = sheet if sheet.ndim == 3 else sheet[..., None]
        assert np.abs(frame[:height, :width].astype(float) - sheet).mean() < 6
        assert (frame[height:] > 200).all()  # a line of the page


@ENDINGS
def test_points_move(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    save_scatter_film([(1.0, images(9, 2)), (0.0, images(9, 2))], path)
    assert path.stat().st_size > 1000


@ENDINGS
@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([images(1, 4, 4), images(1, 4, 6)], {}, r"frames\[1\] is .* x .* pixels, those before"),
        ([], {}, "frames is empty"),
        ([images(1, 4, 4)], {"duration": 5}, "duration is 5 ms; give 20 to"),
        ([images(1, 4, 4)], {"hold": 10**6}, "hold is 1000000 ms"),
    ],
)
def test_bad_frames_leave_no_film(tmp_path: Path, ending: str, batches, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_film(batches, tmp_path / f"a{ending}", **options)
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused(tmp_path: Path) -> None:
    for write in (check_film, lambda path: save_film([images(1, 4, 4)], path)):
        with pytest.raises(ValueError, match=r"end it in \.gif or \.png or \.mp4"):
            write(tmp_path / "a.avi")


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    for write in (check_film, lambda path: save_film([images(1, 4, 4)], path)):
        with pytest.raises(ImportError, match=r"pip install 'imageio-ffmpeg>=0\.6', or write a .gif or .png"):
            write(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
