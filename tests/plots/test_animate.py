import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from undiffuse.plots import save_film, save_scatter_film, tile

random = np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return random.integers(0, 200, shape, dtype=np.uint8)


def frames(path: Path) -> tuple[list[np.ndarray], list[int], int]:
    """Pictures, durations in ms and the number of loops (0: for ever)."""
    pictures, durations = [], []
    with Image.open(path) as film:
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(np.asarray(film.convert("RGB")))
            durations.append(film.info["duration"])
        return pictures, durations, film.info["loop"]


@pytest.mark.parametrize("size", [(5, 1, 4, 4), (5, 4, 4), (2, 3, 4, 4), (3, 2, 4, 4)])
def test_every_frame_is_its_sheet_and_the_last_is_held(tmp_path: Path, size: tuple[int]) -> None:
    batches = [images(*size) for _ in range(4)]
    save_film(batches, tmp_path / "a.gif", columns=2, duration=40, hold=900, scale=1)
    pictures, durations, loop = frames(tmp_path / "a.gif")
    assert durations == [40, 40, 40, 900] and loop == 0
    for picture, batch in zip(pictures, batches, strict=True):
        sheet = tile(batch, columns=2)
        assert (picture == (sheet if sheet.ndim == 3 else sheet[..., None])).all()


@pytest.mark.parametrize("ending", [".gif", ".png"])
def test_equal_neighbours_become_one_that_stays_as_long(tmp_path: Path, ending: str) -> None:
    batch = images(2, 4, 4)
    save_film([batch, *[images(2, 4, 4)] * 3, batch], tmp_path / f"a{ending}", scale=1)
    assert frames(tmp_path / f"a{ending}")[1] == [60, 180, 1500]


def test_equal_frames_that_stay_longer_than_a_gif_can_say_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="equal frames stay longer than 655,350 ms"):
        save_film([images(1, 4, 4)] * 4, tmp_path / "a.gif", duration=300_000, scale=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("levels", [1, 2, 3, 17, 256])
def test_greys_of_every_number_stay_as_they_are(tmp_path: Path, levels: int) -> None:
    few = np.linspace(0, 255, levels).astype(np.uint8)
    batches = [few[random.integers(0, levels, (1, 1, 40, 40))], images(1, 1, 40, 40)]
    save_film(batches, tmp_path / "a.gif", scale=1)
    for picture, batch in zip(frames(tmp_path / "a.gif")[0], batches, strict=True):
        assert (picture[..., 0] == batch[0, 0]).all()


def test_many_colours_become_near_ones(tmp_path: Path) -> None:
    batch = images(1, 3, 64, 64)
    save_film([batch], tmp_path / "a.gif", scale=1)
    error = frames(tmp_path / "a.gif")[0][0].astype(float) - batch[0].transpose(1, 2, 0)
    assert np.abs(error).mean() < 15


def test_one_frame_and_tensors_are_enough(tmp_path: Path) -> None:
    save_film([torch.zeros(3, 1, 28, 28, dtype=torch.uint8)], tmp_path / "a.gif")
    pictures, durations, _ = frames(tmp_path / "a.gif")
    assert durations == [1500] and pictures[0].shape[1] >= 560


def test_one_batch_is_alive_at_a_time(tmp_path: Path) -> None:
    class Batch(np.ndarray):
        pass

    alive: weakref.WeakSet[Batch] = weakref.WeakSet()
    most = []

    def make() -> Iterator[Batch]:
        for _ in range(6):
            most.append(len(alive))
            batch = Batch((2, 8, 8), np.uint8)  # owns its memory, so that any view keeps it alive
            batch[:] = images(2, 8, 8)
            alive.add(batch)
            yield batch
            del batch

    Batch.__hash__ = object.__hash__  # a weak set needs one, arrays have none
    save_film(make(), tmp_path / "a.gif")
    assert most == [0] * 6


def test_a_generator_that_fails_leaves_the_old_film(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    save_film([images(1, 4, 4)], path)
    before = path.read_bytes()

    def broken() -> Iterator[np.ndarray]:
        yield images(1, 4, 4)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        save_film(broken(), path)
    with pytest.raises(ValueError, match="frames is empty; give at least one"):
        save_film(iter([]), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([images(1, 4, 4), np.zeros((1, 4, 4))], {}, r"frames\[1\] is float64"),
        ([images(1, 4, 4), images(1, 4, 6)], {}, r"frames\[1\] is .* x .* pixels, those before"),
        ([images(1, 4, 4)], {"duration": 5}, "duration is 5 ms; give 20 to"),
        ([images(1, 4, 4)], {"hold": 10**6}, "hold is 1000000 ms"),
        ([images(1, 4, 4)], {"scale": 0}, "scale is 0"),
        ([images(1, 4, 4)], {"columns": -1}, "columns is -1"),
    ],
)
def test_bad_inputs_name_themselves(
    tmp_path: Path, batches: list[np.ndarray], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save_film(batches, tmp_path / "a.gif", **options)
    assert not list(tmp_path.iterdir())


def test_points_move_and_are_drawn_where_they_are(tmp_path: Path) -> None:
    moments = [(1.0, [[-0.5, 0.5]] * 50), (0.0, [[0.5, -0.5]] * 50)]
    save_scatter_film(iter(moments), tmp_path / "a.gif", extent=(-1, 1, -1, 1))
    pictures, durations, loop = frames(tmp_path / "a.gif")
    assert durations == [60, 1500] and loop == 0
    centres = []
    for picture in pictures:
        height, width = picture.shape[:2]
        rows, columns = np.nonzero(np.ptp(picture.astype(int), axis=-1) > 60)
        centres.append((rows.mean() / height, columns.mean() / width))
    (top, left), (bottom, right) = centres
    assert top < 0.4 and bottom > 0.6 and left < 0.4 and right > 0.6


def test_with_an_extent_points_are_consumed_one_at_a_time(tmp_path: Path) -> None:
    sizes = []

    def make() -> Iterator[tuple[float, np.ndarray]]:
        for t in (1.0, 0.5, 0.0):
            (temporary,) = tmp_path.glob(".*.tmp")
            sizes.append(temporary.exists())
            yield t, random.standard_normal((9, 2))

    save_scatter_film(make(), tmp_path / "a.gif", extent=(-1, 1, -1, 1))
    assert sizes == [True] * 3


def test_the_view_is_found_from_all_frames_and_tolerates_infinities(tmp_path: Path) -> None:
    x = random.standard_normal((100, 2))
    wild = np.where(np.arange(100)[:, None] < 3, np.nan, 50 * x)
    save_scatter_film([(1.0, x), (0.5, wild), (0.0, np.full((4, 2), np.inf))], tmp_path / "a.gif")
    pictures = np.stack(frames(tmp_path / "a.gif")[0]).astype(int)
    first, second, third = (np.ptp(pictures, axis=-1) > 60).any(1)
    assert np.ptp(np.nonzero(first)) * 10 < np.ptp(np.nonzero(second))  # both in the wider view
    assert not third.any()


def test_bad_points_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frames\[1\]\[1\] has shape \(5, 3\)"):
        save_scatter_film([(1.0, np.zeros((5, 2))), (0.0, np.zeros((5, 3)))], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="frames is empty"):
        save_scatter_film([], tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
