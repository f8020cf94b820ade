"""What a compressed file is to be weighed against: the bound on its chain, and general codecs."""

import io
import lzma
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from undiffuse import bounds, codec
from undiffuse.data import CellSpace
from undiffuse.data.frame import frame_of
from undiffuse.estimate import Moments
from undiffuse.runs.packing import pack
from undiffuse.runs.run import Run
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

EXAMPLES = 64  # whose bound is evaluated


def chain_bound(
    run: Run, plan: codec.Plan, raw: Tensor, method: str, track: Track = SILENT
) -> tuple[float, float]:
    """The bound of the chain that a file is coded on, with its standard error, in bits per dimension.

    It is that of up to `EXAMPLES` of the examples, evenly spread; of one there is no error, NaN.
    """
    grid = plan.grid(run.grid)
    model = codec.planned(codec.prepared(run.model, method), grid, plan)
    parts = bounds.blocks(model, _few(raw), grid=grid, encode=run.space.encode, track=track)
    found, scale = Moments(), 1 / (dims(run.shape) * math.log(2))
    for _, part in parts:
        found.add(part.total * scale)
    return float(found.mean), float(found.se)


def others(run: Run, raw: Tensor) -> dict[str, int]:
    """Bytes of the same examples by PNG and lossless WebP, one picture a file, and by xz all together.

    Of a table as .csv, and that by xz.
    """
    if isinstance(run.space, CellSpace):
        text = frame_of(raw, run.space.columns).to_csv(index=False).encode()
        return {".csv": len(text), ".csv by xz": len(lzma.compress(text, preset=9))}
    sizes = {}
    if is_picture(run):
        pictures = [Image.fromarray(_pixels(each)) for each in raw.numpy()]
        for name, options in (("PNG", {"optimize": True}), ("WebP", {"lossless": True, "quality": 100})):
            sizes[f"{name}, lossless"] = sum(picture_bytes(each, name, **options) for each in pictures)
    sizes["xz"] = len(lzma.compress(raw.contiguous().numpy().tobytes(), preset=9))
    return sizes


def is_picture(run: Run) -> bool:
    """Whether general codecs for pictures can hold the examples."""
    return len(run.shape) == 3 and run.shape[0] in (1, 3) and run.levels == 256


def picture_bytes(picture: Image.Image, kind: str, **options: object) -> int:
    """What a picture weighs in a format of Pillow's."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return len(out.getvalue())


def _pixels(image: np.ndarray) -> np.ndarray:
    """(C, H, W) as Pillow has it."""
    return image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))


def _few(raw: Tensor) -> Tensor:
    return raw[torch.linspace(0, len(raw) - 1, min(EXAMPLES, len(raw))).round().long()]


Curve = list[tuple[float, float]]  # bits per dimension, root mean square error on [0, 255]


def curves(
    run: Run, raw: Tensor, methods: Sequence[str], steps: int | None, track: Track = SILENT
) -> dict[str, Curve]:
    """What bytes are worth, by name: of a progressive file, by its bound, of pictures by JPEG and WebP."""
    packed = pack(run, raw, methods, steps, verify=False, track=track)
    method, plan = packed.chosen.method, packed.chosen.option.plan
    found = {
        f"{method}, real bytes": real_curve(run, raw, packed.data, track.stage("decompress")),
        "its bound": bound_curve(run, plan, raw, method, track.stage("bound")),
    }
    if is_picture(run):
        found |= {kind: lossy_curve(run, raw, kind) for kind in ("JPEG", "WebP")}
    return found


def real_curve(run: Run, raw: Tensor, data: bytes, track: Track = SILENT) -> Curve:
    """A progressive file, read chunk by chunk: the bytes that have come, its header's too, and the error."""
    _, chunks = codec.unpack(data)
    ends = np.cumsum([0, *(len(chunk) for chunk in chunks)]) + len(data) - sum(map(len, chunks))
    points = []
    for end in track.each(ends.tolist()):
        found = codec.decompress(run.model, data[:end], grid=run.grid)
        points.append((8 * end / raw.numel(), _rmse(run, raw, found)))
    return points


def bound_curve(
    run: Run, plan: codec.Plan, raw: Tensor, method: str = "universal", track: Track = SILENT
) -> Curve:
    """What the bound says of the same chain: bits that have come, and the error of E[x_0 | x_t]."""
    grid = plan.grid(run.grid)
    model = codec.planned(codec.prepared(run.model, method), grid, plan)
    half = 255 / 2
    found = bounds.progressive(
        model, raw, grid=grid, encode=run.space.encode, view=lambda x: x.clamp(-1, 1) * half, track=track
    )
    points = list(zip(found.rate.tolist(), found.distortion.tolist(), strict=True))
    return [*points, (points[-1][0] + found.decode.mean, 0.0)]


def lossy_curve(run: Run, raw: Tensor, kind: str) -> Curve:
    """JPEG or WebP, one picture a file, at several qualities."""
    points = []
    for quality in (1, 5, 10, 20, 35, 50, 70, 85, 95):
        size, found = 0, []
        for each in raw.numpy():
            out = io.BytesIO()
            Image.fromarray(_pixels(each)).save(out, kind, quality=quality)
            size += len(out.getvalue())
            back = np.array(Image.open(out, formats=[kind]).convert("L" if len(each) == 1 else "RGB"))
            found.append(back[None] if back.ndim == 2 else back.transpose(2, 0, 1))
        points.append((8 * size / raw.numel(), _rmse(run, raw, torch.from_numpy(np.stack(found)))))
    return points


def _rmse(run: Run, a: Tensor, b: Tensor) -> float:
    scale = 255 / ((run.levels or 256) - 1)
    return float((a.double() - b.double()).square().mean().sqrt()) * scale
