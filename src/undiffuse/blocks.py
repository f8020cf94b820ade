"""How many rows are computed together: as many as suit the device, and no more than are wanted.

    CPU    a power of two, from `LEAST`, about 4096 values of data: what its caches hold; of large pictures 8
    GPU    a power of two, half of the memory that is free, by what a call of the model was seen to take

Floating-point results may depend on how many rows there are, and sample i is to be the same tensor however
many are drawn with it. So a smaller block than the device's is taken only if the model gives the same bits in
it, which is looked at once: two steps from rows of the prior in the one and in the other. On CPUs it does as
a rule, from `LEAST` rows on; where it does not, the block of the device is filled up, as if all were wanted.
On a GPU that other programs use too, other memory that is free may mean other last bits.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from undiffuse.model import ReverseProcess
from undiffuse.random import Streams
from undiffuse.schedules.grids import check_grid
from undiffuse.tensors import cpu_block, dims

LEAST = 16  # rows of the smallest block: below, matrix products are computed otherwise
CACHED = 2**14  # values of an example, of which so many rows are still no more than a CPU's caches hold
LARGEST = 4096  # rows of a block on a GPU
TRIED = 8  # rows of the call that is measured there

Made = Callable[[int], ReverseProcess]
_known: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()


def block_of(
    model: ReverseProcess, shape: tuple[int, ...], grid: Tensor, rows: int, made: Made | None = None
) -> int:
    """Rows of examples of this shape that are computed together, of so many that are wanted.

    `grid` is the chain that is walked. `made(n)` is what walks it in blocks of n rows, if that is another
    model, such as a product. Raises ValueError for what is no grid.
    """
    grid = check_grid(grid)
    size = _largest(model, shape, grid)
    few = max(LEAST, 1 << max(rows - 1, 0).bit_length())
    if few >= size or getattr(_network(model), "_compiled_call_impl", None) is not None:
        return size  # a network that is compiled is so for one size
    return few if _alike(model, made or model.rows_alike, shape, grid, few, size) else size


def _largest(model: ReverseProcess, shape: tuple[int, ...], grid: Tensor) -> int:
    """That of the device."""
    device = _like(model, (0,)).device
    if device.type != "cuda":
        return max(LEAST, cpu_block(shape)) if dims(shape) <= CACHED else cpu_block(shape)
    known, key = _known.setdefault(_network(model), {}), ("size", shape, device)
    if key not in known:
        known[key] = _fitting(model, shape, grid, device)
    found: int = known[key]
    return found


def _alike(
    model: ReverseProcess, made: Made, shape: tuple[int, ...], grid: Tensor, few: int, size: int
) -> bool:
    """Whether steps have the same bits in the smaller block and in the larger one."""
    one = made(few)
    how = type(one), type(getattr(one, "factor", None)), len(grid) > 1, torch.get_num_threads()
    known, key = _known.setdefault(_network(model), {}), ("alike", shape, few, size, *how)
    if key not in known:
        looks = zip(_looks(one, shape, grid, few), _looks(made(size), shape, grid, size), strict=True)
        known[key] = all(torch.equal(a, b[:few]) for a, b in looks)
    found: bool = known[key]
    return found


def _network(model: ReverseProcess) -> nn.Module:
    """What the arithmetic is of, whatever the model around it is made for."""
    found: nn.Module = model
    while not hasattr(found, "network") and isinstance(getattr(found, "model", None), nn.Module):
        found = found.model  # type: ignore[assignment]
    inner = getattr(found, "network", found)
    return inner if isinstance(inner, nn.Module) else found


def _looks(model: ReverseProcess, shape: tuple[int, ...], grid: Tensor, rows: int) -> tuple[Tensor, ...]:
    """A draw of the decoder, and of the first step, from rows of the prior."""
    with torch.no_grad():
        x = model.prior(_like(model, (rows, *shape))).sample(Streams("block", rows=range(rows)))
        laws = [model.decode(x, grid[0])]
        laws += [model.step(x, grid[-1], grid[-2])] if len(grid) > 1 else []
        return tuple(law.sample(Streams("block", rows=range(rows))) for law in laws)


def _like(model: ReverseProcess, shape: tuple[int, ...]) -> Tensor:
    weights = next(model.parameters(), torch.zeros(()))
    return torch.zeros(shape, dtype=weights.dtype, device=weights.device)


def _fitting(model: ReverseProcess, shape: tuple[int, ...], grid: Tensor, device: torch.device) -> int:
    """As many rows as half of the free memory holds."""
    alike = model.rows_alike(TRIED)
    _looks(alike, shape, grid, TRIED)  # what is allocated once is there
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    _looks(alike, shape, grid, TRIED)
    each = max(1, (torch.cuda.max_memory_allocated(device) - before) // TRIED)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - before
    return int(min(LARGEST, max(TRIED, 1 << (max(1, free // (2 * each)).bit_length() - 1))))
