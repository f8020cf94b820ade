"""Images from the Hugging Face hub, through the ``hub`` extra."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, final

import torch

from undiffuse.data.decoded import Pictures
from undiffuse.data.loading import Loading
from undiffuse.data.own import numbers_of
from undiffuse.data.source import Source, Splits, check_fraction
from undiffuse.extras import install


class Hub(Source):
    """A data set of images on the hub, as ``datasets`` keeps it: in files of its cache that are mapped.

    It is fetched when it is not in the cache; nothing else here goes to the network. Its splits ``train``
    and ``test`` are ours; without a ``test``, ``train`` is split by `test`. The bytes of the images are
    decoded here, as those of your own files are.

    Args:
        name: what it is called there, such as ylecun/mnist; or a folder that ``datasets`` can load.
        revision: commit of the hub's repository, so that it stays the same; None takes the newest.
        column: the column with the images.
        label: the column with their classes, as numbers from 0; None leaves them out.
        size: side of the square, or (height, width), that images are centre-cropped and resized to.
            None keeps their size, which must then be the same for all.
        channels: 1 turns colour into grey, 3 grey into colour; None keeps them, if all have the same.
        test: share of images kept for testing, if there is no split ``test``.
        memory: up to so many GB of decoded images are kept in memory; more are decoded when needed.
        workers: processes that decode ahead while training; the batches are the same for any number.
        skip_bad: skip images that cannot be read: the next one of the class stands in the place of each.

    Raises:
        ValueError: if an argument is out of range.
    """

    source: ClassVar[str] = "any data set of images on the Hugging Face hub: data.name=OWNER/NAME"
    licence: ClassVar[str] = "that of the data set"
    about: ClassVar[str] = "images (1, H, W) or (3, H, W), 256 levels, classes by data.label=COLUMN"

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        column: str = "image",
        label: str | None = None,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        test: float = 0.1,
        memory: float = 1.0,
        workers: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self.name, self.revision, self.column, self.label = name, revision, column, label
        self.test = check_fraction(test)
        self.loading = Loading(size, channels, memory, workers, skip_bad)

    def load(self) -> Splits:
        """Fetch it if it is not here, and look at every header.

        Raises:
            ImportError: if the extra is not installed.
            ValueError: if there is no such split or column.
        """
        tables = self._tables()
        first = len(tables[0]) if len(tables) > 1 else None
        train, test = numbers_of(sum(map(len, tables)), first, self.test)
        labels = None
        if self.label is not None:
            labels = torch.tensor([label for table in tables for label in table[self.label]])
        return self.loading.splits(Column(self.name, tables, self.column), train, test, labels)

    def files(self) -> list[Path]:
        """The files of the cache."""
        return [Path(file["filename"]) for table in self._tables() for file in table.cache_files]

    def _tables(self) -> list[Any]:
        found = load_hub(self.name, self.revision)
        if "train" not in found:
            raise ValueError(
                f"{self.name} has splits {sorted(found)}, and no 'train'; choose another data.name"
            )
        tables = [found[part] for part in ("train", "test") if part in found]
        for column in filter(None, (self.column, self.label)):
            if column not in tables[0].column_names:
                known = ", ".join(tables[0].column_names)
                raise ValueError(f"{self.name} has columns {known}, not {column}; set data.column or .label")
        return tables


@final
class Column(Pictures):
    """The images of one column of some tables, one table after the other."""

    def __init__(self, title: str, tables: Sequence[Any], column: str) -> None:
        from datasets import Image  # here only if it loaded the tables

        self.title, self.column = title, column
        self.tables = [
            table.select_columns([column]).cast_column(column, Image(decode=False)) for table in tables
        ]

    def __len__(self) -> int:
        return sum(map(len, self.tables))

    def name(self, number: int) -> str:
        """The data set and the image's number."""
        return f"{self.title}: image {number}"

    def open(self, number: int) -> IO[bytes]:
        """The bytes of the image."""
        table, row = 0, number
        while row >= len(self.tables[table]):
            row -= len(self.tables[table])
            table += 1
        found = self.tables[table][row][self.column]
        if found["bytes"] is None:
            return Path(found["path"]).open("rb")
        return io.BytesIO(found["bytes"])


def load_hub(name: str, revision: str | None = None) -> Any:
    """The splits of a data set on the hub, by name. Raises ImportError without the extra."""
    try:
        from datasets import load_dataset  # heavy, and an extra: imported only by who asks for it
    except ImportError as error:
        raise ImportError(f"data from the hub needs: {install('hub')}") from error
    return load_dataset(name, **({} if revision is None else {"revision": revision}))
