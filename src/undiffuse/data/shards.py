"""Your own sharded images: tar files as webdataset writes them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from undiffuse.data.decoded import Pictures
from undiffuse.data.files import existing, files_below
from undiffuse.data.own import Own, in_folders, numbers_of
from undiffuse.data.source import Splits
from undiffuse.data.tar import index_of, member_name

WHAT = "a .tar file of PNG or JPEG samples, or a folder of them"


class Shards(Own):
    """Images in uncompressed tar files, as webdataset's ``ShardWriter`` makes them.

    A sample is a ``KEY.png``, ``KEY.jpg`` or ``KEY.jpeg``, and a ``KEY.cls`` with its class as a number
    if there are classes; other members are ignored. If there are subfolders ``train`` and ``test``, the
    shards in them are the splits; otherwise the samples, in the order of the shards, are split by `test`.
    Every sample can be read alone, so training shuffles them all, not a buffer of them.
    """

    source: ClassVar[str] = "your tar files, as webdataset writes them: data.path=FILE or FOLDER"
    about: ClassVar[str] = "images (1, H, W) or (3, H, W), 256 levels, classes if they have .cls"

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
