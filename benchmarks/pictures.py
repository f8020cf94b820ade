"""Small folders of photographs: held-out bits beside PNG, lossless WebP, JPEG XL and one normal density.

pip install scikit-image pillow-jxl-plugin
python benchmarks/pictures.py FOLDER [--sets grey24-100 ...] [--steps 2000]

Squares of 24 and 32 pixels a side, cut side by side from scikit-image's astronaut, cat, coffee, motorcycle
and rocket, in a shuffle of seed 0: the first 200 are for testing, the next 100 or 1,000 for training, with
the recipe `images` as it ships. A codec's bits are those of its files, one a picture, header and all, as
small as its options make them; ours a bound, at 20 steps of the chain a picture. Bits a value.
"""

import argparse
from importlib import import_module
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from image_codecs import CODECS, bits, size
from trained import steps_of, trained_on
from undiffuse.diffusion import evaluate
from undiffuse.recipes import load_data

Pixels = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
ALL_CODECS = CODECS | {"JPEG XL": {"format": "JXL", "lossless": True, "effort": 9}}
TESTS = 200


def squares(mode: str, side: int) -> Pixels:
    """All of them, shuffled."""
    found = []
    for name in PHOTOGRAPHS:
        x = np.asarray(Image.open(Path(skimage.__file__).parent / "data" / name).convert(mode))
        rows, columns = (length // side for length in x.shape[:2])
        x = x[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
        found.append(x.swapaxes(1, 2).reshape(rows * columns, side, side, -1))
    pixels = np.concatenate(found)
    return pixels[np.random.default_rng(0).permutation(len(pixels))]


def save(folder: Path, pixels: Pixels) -> None:
    """One PNG each, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, x in enumerate(pixels):
        if not (folder / f"{number:04}.png").exists():
            Image.fromarray(x.squeeze()).save(folder / f"{number:04}.png")


def main() -> None:
    import_module("pillow_jxl")  # Pillow writes JPEG XL from here on
    sets = {
        f"{mode}{side}-{count}": (mode, side, count)
        for mode in ("grey", "rgb")
        for side in (24, 32)
        for count in (100, 1000)
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=sets, default=list(sets))
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    print(
        f"{'set':12}", *(f"{name:>8}" for name in ALL_CODECS), f"{'normal':>8}{'ours':>9}  minutes  best step"
    )
    for name in arguments.sets:
        mode, side, count = sets[name]
        folder, pixels = arguments.folder / name, squares({"grey": "L", "rgb": "RGB"}[mode], side)
        save(folder / "pictures" / "test", pixels[:TESTS])
        save(folder / "pictures" / "train", pixels[TESTS : TESTS + count])
        run, minutes = trained_on("images", folder, folder / "pictures", f"train.steps={arguments.steps}")
        found = evaluate(run, load_data(run.recipe).test, terms=20)
        tests = pixels[:TESTS].squeeze()
        codecs = [bits(sum(size(x, options) for x in tests), tests) for options in ALL_CODECS.values()]
        print(
            f"{name:12}",
            *(f"{each:8.3f}" for each in (*codecs, found.beside["normal"][0].mean)),
            f"  {found.bits} {minutes:6.1f}  {steps_of(run)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
