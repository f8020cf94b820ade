"""The data in blocks of a fixed size, each with its own noise stream.

What is found of example i depends on the seed and on i alone. Memory grows neither with the chain nor with
the data.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from undiffuse.blocks import block_of
from undiffuse.model import ReverseProcess
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Streams


class Block(NamedTuple):
    """Some rows: their model, x_0, how many of them count, and their noise."""

    model: ReverseProcess
    x_0: Tensor
    kept: int
    streams: Streams


class Streamed(Sequence[Block]):
    """The data (N, *shape) in blocks of one size, each encoded, with its model, and with its noise.

    The first `done` rows are left out.
    """

    def __init__(
        self,
        model: ReverseProcess,
        data: Tensor,
        seed: int,
        name: str,
        encode: Callable[[Tensor], Tensor],
        block: int | None,
        grid: Tensor,
        done: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        model.check_count(len(data))
        self.model, self.data, self.encode = model, data, encode
        self.key, self.done = (seed, name), done
        each = -(-(len(data) - done) // processes.size)  # of them
        self.size = block or processes.share(block_of(model, tuple(data.shape[1:]), grid, each))
        self.device = next(model.parameters(), torch.zeros(())).device

    def __len__(self) -> int:
        return -(-(len(self.data) - self.done) // self.size)

    def __getitem__(self, number: Any) -> Any:
        """Block number `number`, computed anew each time."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        begin = self.done + number * self.size
        rows = torch.arange(begin, begin + self.size)
        last = rows.clamp(max=len(self.data) - 1)  # the last block repeats its last row
        streams = Streams(*self.key, rows=range(begin, begin + self.size))
        x_0 = self.encode(self.data[last]).to(self.device)
        return Block(self.model.rows(last), x_0, self.counted(number), streams)

    def counted(self, number: int) -> int:
        """How many rows of a block are no repeats."""
        return min(self.size, len(self.data) - self.done - number * self.size)
