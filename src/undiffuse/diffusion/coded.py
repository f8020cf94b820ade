"""Raw examples as a file of about as many bits as the bound says, and back, bit for bit.

data = model.compress(raw)                     # lossless; lossy=True: progressive, coarser from a part of it
model.decompress(data)
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from undiffuse import codec
from undiffuse.data import CellSpace
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

LOSSLESS, LOSSY = ("lossless", "universal"), ("channel", "universal")  # methods, the usual first


def compress(
    run: "Diffusion",
    raw: Tensor,
    *,
    lossy: bool = False,
    method: str | None = None,
    steps: int | None = None,
    verify: bool = True,
    track: Track = SILENT,
) -> bytes:
    """A file of raw examples (N, *shape), on as few steps of the chain as make it small, or on so many.

    Steps are chosen for these examples. With `verify` it is decompressed again. Raises ValueError for data or
    a model without levels, ImportError without the entropy coder.
    """
    usual, *_ = LOSSY if lossy else LOSSLESS
    return coded(run, raw, method or usual, None, steps=steps, verify=verify, track=track)


def coded(
    run: "Diffusion",
    raw: Tensor,
    method: str,
    plan: codec.Plan | None,
    *,
    steps: int | None = None,
    extra: bytes = b"",
    verify: bool = True,
    track: Track = SILENT,
) -> bytes:
    """A file on this plan, or on the best for these examples. Raises RuntimeError if it is not exact."""
    codec.ready()
    run.check(raw)
    raw = run.space.numbered(raw) if isinstance(run.space, CellSpace) else raw
    data = codec.compress(
        run.model,
        raw,
        method=method,
        grid=run.grid,
        plan=plan,
        steps=steps,
        extra=extra,
        track=track.stage("compress"),
    )
    if verify:
        again = _numbers(run, data, values=raw.numel(), track=track.stage("verify"))
        if not torch.equal(again.nan_to_num(-1.0), raw.nan_to_num(-1.0).to(again)):
            raise RuntimeError("the file does not give back what was compressed; it is not written")
    return data


def decompress(
    run: "Diffusion",
    data: bytes,
    *,
    bits: float | None = None,
    values: int = codec.VALUES,
    track: Track = SILENT,
) -> Tensor:
    """The raw examples of a file, or what `bits` per dimension say of them (`codec.decompress`)."""
    found = _numbers(run, data, bits=bits, values=values, track=track)
    return run.space.unnumbered(found) if isinstance(run.space, CellSpace) else found


def _numbers(
    run: "Diffusion", data: bytes, *, values: int, track: Track, bits: float | None = None
) -> Tensor:
    return codec.decompress(
        run.model, data, bits=bits, grid=run.grid, shape=run.shape, values=values, track=track
    )
