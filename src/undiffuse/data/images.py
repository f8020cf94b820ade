"""Your own images: a folder of PNG and JPEG files."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, ClassVar, final

import torch
from torch import Tensor

from undiffuse.data.decoded import Pictures
from undiffuse.data.files import existing
from undiffuse.data.own import Own, in_folders, numbers_of
from undiffuse.data.pictures import open_picture
from undiffuse.data.source import Splits

SUFFIXES = {".png", ".jpg", ".jpeg"}
FOLDERS = "folders"


class Images(Own):
    """A folder of PNG and JPEG files, searched with its subfolders.

    Other and hidden files are ignored. If there are subfolders ``train`` and ``test``, those are
    the splits; otherwise the files, sorted by path, are split by `test`. Images are turned upright
    as their EXIF says. Grey images keep one channel, colour images three.

    Args:
        path: the folder.
        labels: "folders", if the folders in it (or in ``train`` and ``test``) are the classes 0, 1, .. of
            the images in them, in the order of their names.
        rest: as of all pictures.
    """

    source: ClassVar[str] = "your folder of PNG and JPEG files: data.path=FOLDER"
    about: ClassVar[str] = "images (1, H, W) or (3, H, W), 256 levels"

    def __init__(
        self,
        path: str | Path,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        test: float = 0.1,
        memory: float = 1.0,
        workers: int = 0,
        skip_bad: bool = False,
        labels: str | None = None,
    ) -> None:
        super().__init__(path, size, channels, test, memory, workers, skip_bad)
        if labels not in (None, FOLDERS):
            raise ValueError(f"labels={labels}: of pictures they are {FOLDERS}, their classes, or none")
        self.labels = labels

    def load(self) -> Splits:
        """Look at every header first, to find at once what does not fit; decode, if all fit in memory."""
        root = existing(self.path, "a folder of PNG and JPEG files")
        files, count = in_folders(root, find_images)
        train, test = numbers_of(len(files), count, self.test)
        names, labels = ((), None) if self.labels is None else classes_of(root, files, count is not None)
        splits = self.loading.splits(Files(root, files), train, test, labels)
        known = tuple(file.relative_to(root).as_posix() for file in files)
        return replace(splits, rows=(train, test), files=known, class_names=tuple(names))

    def files(self) -> list[Path]:
        """The images themselves."""
        return find_images(self.path)


@final
class Files(Pictures):
    """Pictures in a folder, of which only the names are kept, relative to it."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root, self.names = str(root), [os.path.relpath(file, root) for file in files]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        """The path."""
        return os.path.join(self.root, self.names[number])  # noqa: PTH118 (a path object costs a kilobyte)

    def open(self, number: int) -> IO[bytes]:
        """The file."""
        return open_picture(self.name(number))


def find_images(root: Path) -> list[Path]:
    """The images below a folder, in the order of their paths."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; for one .npy or .npz file use data.kind=array")
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if _is_image(path, root)}
    if not found:
        raise ValueError(f"{root} holds no .png, .jpg or .jpeg file; set data.path to a folder that does")
    return [found[name] for name in sorted(found)]


def classes_of(root: Path, files: Sequence[Path], divided: bool = False) -> tuple[list[str], Tensor]:
    """Names of the classes, and of every file the number of its own: that of the folder in `root` it is in.

    If the folder is `divided` into ``train`` and ``test``, of the folder in these. Raises ValueError for a
    file that is in none.
    """
    place, found = int(divided), []
    for file in files:
        *folders, _ = file.relative_to(root).parts
        if len(folders) <= place:
            raise ValueError(f"{file}: is in no folder of a class; move it, or leave out data.labels=folders")
        found.append(folders[place])
    names = sorted(set(found))
    number = {name: i for i, name in enumerate(names)}
    return names, torch.tensor([number[name] for name in found])


def _is_image(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()
