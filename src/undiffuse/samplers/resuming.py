"""The walk back from states that are there already, in blocks like those of `sample`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from undiffuse.blocks import block_of
from undiffuse.model import ReverseProcess
from undiffuse.random import Streams
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.loop import last, reverse
from undiffuse.track import SILENT, Track


def sample_from(
    model: ReverseProcess,
    x_t: Tensor,
    t: float,
    *,
    key: tuple[str | int, ...],
    rows: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    block: int | None = None,
    track: Track = SILENT,
) -> Tensor:
    """x_0 of states x_t (N, *shape) at the time t of the grid; state i meets the noise of number rows[i].

    States of one number meet the same noise. Blocks are filled up to one size (by default `blocks.block_of`),
    so that no state's x_0 depends on how many others there are.
    """
    size, done = block or block_of(model, tuple(x_t.shape[1:]), grid, len(x_t)), []
    for begin, inner in track.over(range(0, len(x_t), size)):
        part, numbers = x_t[begin : begin + size], list(rows[begin : begin + size])
        missing = size - len(part)
        filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])
        streams = Streams(*key, rows=numbers + numbers[-1:] * missing)
        walk = reverse(model, filled, sampler=sampler, grid=grid, generator=streams, t=t, track=inner)
        done.append(last(walk)[0][: len(part)])
    return torch.cat(done) if done else x_t
