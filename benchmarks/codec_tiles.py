"""Ten thousand random tiles there and back: of every method, kernel, shape, number of levels and content.

    python benchmarks/codec_tiles.py --tiles 10000

Prints how many of what were coded, and the bytes. Stops with an error at the first that is not the same.
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from undiffuse import codec
from undiffuse.model import Denoiser
from undiffuse.random import keyed
from undiffuse.schedules import grids

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

LEVELS = (2, 3, 4, 7, 16, 17, 100, 255, 256, 257, 1000, 4096, 5000, 65535, 65536)
CONTENTS = ("noise", "lowest", "highest", "constant", "ramp", "two values", "sparse")
STEPS = 8


def shape_of(dice: random.Random) -> tuple[int, ...]:
    """A vector, a sequence or an image, of up to 192 values."""
    kind = dice.randrange(3)
    if kind == 0:
        return (dice.randint(1, 64),)
    if kind == 1:
        return dice.randint(1, 4), dice.randint(1, 24)
    return dice.randint(1, 4), dice.randint(1, 8), dice.randint(1, 6)


def content(name: str, levels: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A tile of that kind."""
    noise = torch.randint(levels, shape, generator=generator)
    some = int(torch.randint(levels, (), generator=generator))
    return {
        "noise": noise,
        "lowest": torch.zeros_like(noise),
        "highest": torch.full_like(noise, levels - 1),
        "constant": torch.full_like(noise, some),
        "ramp": (torch.arange(noise.numel()).view(shape) * max(1, levels // noise.numel())) % levels,
        "two values": torch.where(noise % 2 == 0, 0, levels - 1),
        "sparse": torch.where(torch.rand(shape, generator=generator) < 0.05, noise, some),
    }[name]


def model_of(dice: random.Random) -> tuple[str, Denoiser, int]:
    """What is coded with: its name, the model and the number of levels or symbols."""
    from compressors import SYMBOLS, gaussian

    if dice.random() < 0.25:
        name = dice.choice(sorted(SYMBOLS))
        model = SYMBOLS[name]()
        assert model.kernel.symbols is not None
        return name, model, model.kernel.symbols
    levels, variance = dice.choice(LEVELS), dice.choice(["posterior", "forward", "interpolated"])
    return f"gaussian, {variance}", gaussian(levels, variance=variance), levels


def main() -> None:
    """Files of one to sixteen tiles, until there are enough."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, seen, done, size, start = random.Random(options.seed), Counter[str](), 0, 0, time.perf_counter()
    while done < options.tiles:
        name, model, levels = model_of(dice)
        method = dice.choice(sorted(codec.METHODS)) if model.kernel.symbols is None else "lossless"
        shape = (3,) if name == "uneven-bits" else shape_of(dice)  # it has a p0 for each of three
        count, kinds = dice.randint(1, 16), []
        for _ in range(count):
            kinds.append(dice.choice(CONTENTS))
        generator = keyed(options.seed, "tiles", done)
        x = torch.stack([content(kind, levels, shape, generator) for kind in kinds])
        grid, steps = grids.uniform(STEPS), dice.randint(1, 4)
        data = codec.compress(model, x, method=method, grid=grid, steps=steps)
        found = codec.decompress(model, data, grid=grid)
        if not torch.equal(found.long(), x):
            raise SystemExit(f"not the same: {method}, {name}, shape {shape}, {levels} levels, seed {done}")
        seen.update([method, name, f"{len(shape)} dimensions", *kinds])
        done, size = done + count, size + len(data)
    print(f"{done} tiles the same, {size:,} bytes, {time.perf_counter() - start:.0f} s")
    for name, count in sorted(seen.items()):
        print(f"  {name}: {count}")


if __name__ == "__main__":
    main()
