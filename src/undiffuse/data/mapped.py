"""An .npy file as examples, without reading more of it than is asked for.

The file is mapped anew for every batch and let go of with it: pages that were touched do not stay in the
process, nothing is held open, and each time the header must account for the bytes of the file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.npy import read_npy
from undiffuse.data.rows import Rows

NEAR = 8  # rows that are no further apart on average are read ahead by the system


@final
class Mapped(Rows):
    """Rows of the array in an .npy file.

    Args:
        path: the file.
        numbers: which rows of the array, int64 ``(N,)``.
        convert: makes examples of rows of the array.
    """

    def __init__(self, path: Path, numbers: Tensor, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        array = read_npy(path)
        like = torch.from_numpy(convert(np.array(array[:1])))
        super().__init__((len(numbers), *like.shape[1:]), like.dtype)
        self.path, self.numbers, self.convert, self.found = path, numbers, convert, array.shape

    def read(self, rows: Sequence[int]) -> Tensor:
        """These rows. Raises ValueError if the file is no longer what it was."""
        numbers = self.numbers[torch.as_tensor(rows)]
        span = int(numbers.max() - numbers.min()) if len(numbers) else 0
        array = read_npy(self.path, scattered=span > NEAR * len(numbers))
        if array.shape != self.found:
            raise ValueError(f"{self.path} was {self.found} when training began and is now {array.shape}")
        return torch.from_numpy(self.convert(array[numbers.numpy()]))

    def order(self) -> Tensor:
        """In the order of the file."""
        return self.numbers.argsort()
