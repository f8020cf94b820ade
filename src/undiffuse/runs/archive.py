"""Files of a run's examples, compressed: from pictures, arrays and tables to a .und file and back.

Pictures of another size than the run's are cut into tiles, the last ones filled up with their own edge; the
file keeps names and sizes, and gives back the same pictures.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from undiffuse import codec
from undiffuse.data import Cell, CellSpace, read_image, read_npy
from undiffuse.data.frame import check_whole, frame_of, rows_of
from undiffuse.data.table import SUFFIXES, read_table
from undiffuse.files import folder
from undiffuse.recipes.recipe import load_data
from undiffuse.runs.example import PICTURES
from undiffuse.runs.run import Run
from undiffuse.runs.tiles import counts, joined, tiles

NAME = 50  # characters of a picture's name that are kept: at most 200 bytes
SIDE = 2**24  # of a picture

Sizes = list[tuple[str, int, int]]  # name, height and width of every picture


@dataclass(frozen=True, eq=False)
class Gathered:
    """Raw examples (N, *shape) of some files, and what gives the pictures back; an array has no `sizes`."""

    raw: Tensor
    sizes: Sizes

    @property
    def extra(self) -> bytes:
        """What the file keeps of the sizes."""
        return json.dumps(self.sizes, separators=(",", ":")).encode() if self.sizes else b""


def gather(run: Run, paths: Sequence[str]) -> Gathered:
    """The examples in one .npy file or table, or in pictures of any size with the run's channels.

    Raises FileNotFoundError or ValueError, naming the file, for what is no data of the run.
    """
    if not paths:
        raise ValueError("there is nothing to compress: name pictures, an .npy file, or a table")
    if isinstance(run.space, CellSpace):
        return Gathered(_rows(run.space, paths), [])
    if len(paths) == 1 and paths[0].endswith(".npy"):
        return Gathered(_array(run, Path(paths[0])), [])
    pictures = [(Path(path), _picture(run, Path(path))) for path in paths]
    sizes = [(path.stem[:NAME], *image.shape[1:]) for path, image in pictures]
    return Gathered(torch.cat([tiles(image, run.shape) for _, image in pictures]), sizes)


def test_examples(run: Run, count: int) -> Gathered:
    """The first `count` of the run's test data."""
    test = load_data(run.recipe).test
    if not 1 <= count <= len(test):
        raise ValueError(f"--test {count}: the run has 1 to {len(test)} test examples")
    return Gathered(test[:count], [])


def restore(run: Run, header: codec.Header, raw: Tensor) -> "list[tuple[str, Tensor]]":
    """(name, picture (C, H, W)) of every picture, or one array (N, *shape) named data.

    Raises ValueError as `sizes_of` does.
    """
    sizes = sizes_of(run, header)
    if not sizes:
        return [("data", raw)]
    names, place, found = dict[str, int](), 0, []
    for name, height, width in sizes:
        down, across = counts(height, width, header.shape)
        each = raw[place : place + down * across]
        place += down * across
        found.append((_free(name, names), joined(each, down, across)[:, :height, :width]))
    return found


def check_target(path: str) -> Path:
    """The folder to write. Raises FileExistsError if there is one."""
    return _new(path, "folder")


def check_file(path: str) -> Path:
    """The file to write. Raises FileExistsError if there is one: nothing of the user's is overwritten."""
    return _new(path, "file")


def write(run: Run, found: "list[tuple[str, Tensor]]", target: Path) -> list[Path]:
    """A new folder of pictures as .png, of one array as .npy, a table as .csv; complete or not at all."""
    cells = run.space.columns if isinstance(run.space, CellSpace) else ()
    with folder(target) as temporary:
        names = [_save(raw, temporary / name, cells) for name, raw in found]
    return [target / name for name in names]


def read_file(path: str) -> bytes:
    """The bytes of a .und file. Raises FileNotFoundError if there is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path).read_bytes()


@contextmanager
def naming(path: str) -> Iterator[None]:
    """What is wrong with a file's bytes, said with the file's name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _rows(space: CellSpace, paths: Sequence[str]) -> Tensor:
    """The rows of one table, whole: what the file could not give back is refused."""
    path = Path(paths[0])
    if len(paths) > 1 or path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: this run compresses one table, .csv or .parquet")
    frame = read_table(path)
    with naming(paths[0]):
        check_whole(frame, space.names)
        return rows_of(frame, space.columns)


def _array(run: Run, path: Path) -> Tensor:
    array = np.array(read_npy(path))
    if array.shape == run.shape:
        array = array[None]
    if array.shape[1:] != run.shape or not len(array):
        raise ValueError(f"{path}: shape {array.shape}, this run compresses examples of shape {run.shape}")
    if run.levels is None or not np.isfinite(array).all() or (array != np.floor(array)).any():
        raise ValueError(f"{path}: values that are no whole numbers: only levels and symbols are compressed")
    if array.min() < 0 or array.max() >= run.levels:
        raise ValueError(
            f"{path}: values {array.min():g} to {array.max():g}, this run has 0 to {run.levels - 1}"
        )
    return torch.from_numpy(array.astype(np.uint8 if run.levels <= 256 else np.int32))


def _picture(run: Run, path: Path) -> Tensor:
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{path}: compressed are .png and .jpg pictures, or one .npy file")
    if len(run.shape) != 3 or run.levels != 256:
        levels = "continuous values" if run.levels is None else f"{run.levels} levels"
        raise ValueError(
            f"{path}: a picture has 256 levels, this run examples {run.shape} of {levels}: give an .npy file"
        )
    image = torch.from_numpy(read_image(path))
    if len(image) != run.shape[0]:
        raise ValueError(f"{path}: {len(image)} channels, this run has {run.shape[0]}; convert it first")
    return image


def _new(path: str, what: str) -> Path:
    target = Path(path)
    if target.exists():
        raise FileExistsError(f"{target}: exists already; choose a new {what}")
    return target


def sizes_of(run: Run, header: codec.Header) -> Sizes:
    """Names and sizes of a file's pictures; none for an array or a table.

    Raises ValueError for sizes that are not those of its examples.
    """
    if not header.extra or isinstance(run.space, CellSpace):
        return []
    sizes = _listed(header)
    if sum(math.prod(counts(h, w, header.shape)) for _, h, w in sizes) != header.count:
        raise ValueError("the file's pictures are not those of its examples")
    return sizes


def _listed(header: codec.Header) -> Sizes:
    try:
        sizes = [(str(name)[:NAME], int(h), int(w)) for name, h, w in json.loads(header.extra)]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("the file's list of pictures cannot be read") from error
    if len(header.shape) != 3 or any(not 1 <= side <= SIDE for _, *sides in sizes for side in sides):
        raise ValueError("the file's list of pictures is not of pictures")
    return sizes


def _free(name: str, taken: dict[str, int]) -> str:
    """A name for a file of this folder and no other, whatever the archive says; each once."""
    safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "picture"
    number, found = taken.get(safe.lower(), 1), safe
    while found.lower() in taken:
        number += 1
        found = f"{safe}-{number}"
    taken |= {safe.lower(): number, found.lower(): 1}
    return found


def _save(raw: Tensor, stem: Path, cells: Sequence[Cell]) -> str:
    """A picture (C, H, W) as .png, rows of such cells as .csv, else an array as .npy; its name."""
    if cells:
        path = stem.with_name(f"{stem.name}.csv")
        frame_of(raw, cells).to_csv(path, index=False)
        return path.name
    if raw.ndim != 3:
        path = stem.with_name(f"{stem.name}.npy")
        np.save(path, raw.numpy(), allow_pickle=False)
        return path.name
    path, pixels = stem.with_name(f"{stem.name}.png"), raw.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)
    return path.name
