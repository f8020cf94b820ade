"""Your own sharded images: tar files as webdataset writes them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from undiffuse.data.decoded import Pictures
from undiffuse.data.files import existing, files_below, plain_path
from undiffuse.data.images import in_folders, numbers_of
from undiffuse.data.loading import Loading
from undiffuse.data.source import Source, Splits, check_fraction
from undiffuse.data.tar import index_of, member_name

WHAT = "a .tar file of PNG or JPEG samples, or a folder of them"


class Shards(Source):
    """Images in uncompressed tar files, as webdataset's ``ShardWriter`` makes them.

    A sample is a ``KEY.png``, ``KEY.jpg`` or ``KEY.jpeg``, and a ``KEY.cls`` with its class as a number
    if there are classes; other members are ignored. If there are subfolders ``train`` and ``test``, the
    shards in them are the splits; otherwise the samples, in the order of the shards, are split by `test`.
    Every sample can be read alone, so training shuffles them all, not a buffer of them.

    Args:
        path: a .tar file, or a folder that is searched with its subfolders.
        size: side of the square, or (height, width), that images are centre-cropped and resized to.
            None keeps their size, which must then be the same for all.
        channels: 1 turns colour into grey, 3 grey into colour; None keeps them, if all have the same.
        test: share of samples kept for testing, if the folder is not split already.
        memory: up to so many GB of decoded images are kept in memory; more are decoded when needed.
        workers: processes that decode ahead while training; the batches are the same for any number.
        skip_bad: skip images that cannot be read: the next one of the class stands in the place of each.

    Raises:
        ValueError: if an argument is out of range.
    """

    source: ClassVar[str] = "your tar files, as webdataset writes them: data.path=FILE or FOLDER"
    licence: ClassVar[str] = "that of your images"
    about: ClassVar[str] = "images (1, H, W) or (3, H, W), 256 levels, classes if they have .cls"

    def __init__(
        self,
        path: str | Path,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        test: float = 0.1,
        memory: float = 1.0,
        workers: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self.path, self.test = plain_path(path), check_fraction(test)
        self.loading = Loading(size, channels, memory, workers, skip_bad)

    def load(self) -> Splits:
        """Read the headers of all shards, then of all images; decode, if all fit in memory."""
        shards, count = in_folders(existing(self.path, WHAT), find_shards)
        index = index_of(shards)
        first = None if count is None else int((index["shard"] < count).sum())
        train, test = numbers_of(len(index), first, self.test)
        labels = torch.from_numpy(index["label"].copy())
        pictures = Members(shards, index)
        return self.loading.splits(pictures, train, test, labels if bool((labels >= 0).all()) else None)

    def files(self) -> list[Path]:
        """The shards themselves."""
        return in_folders(existing(self.path, WHAT), find_shards)[0]


@final
class Members(Pictures):
    """Pictures in tar files, found by an index; no file is kept open."""

    def __init__(self, shards: Sequence[Path], index: NDArray[np.void]) -> None:
        self.shards, self.index = list(shards), index

    def __len__(self) -> int:
        return len(self.index)

    def name(self, number: int) -> str:
        """The shard and the member."""
        entry = self.index[number]
        return member_name(self.shards[entry["shard"]], int(entry["offset"]))

    def open(self, number: int) -> IO[bytes]:
        """The bytes of the member."""
        entry = self.index[number]
        with self.shards[entry["shard"]].open("rb") as file:
            file.seek(entry["offset"])
            return io.BytesIO(file.read(entry["size"]))


def find_shards(root: Path) -> list[Path]:
    """This .tar file, or those in this folder and below, in the order of their paths."""
    found = [path for path in files_below(root) if path.name.endswith(".tar")]
    if not found:
        raise ValueError(f"{root} holds no .tar file; set data.path to {WHAT}, uncompressed")
    return found
