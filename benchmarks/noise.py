"""The time of a draw of noise, beside another commit's, a torch generator's, and the generator's parts.

    python benchmarks/noise.py                     # half a minute
    python benchmarks/noise.py --before COMMIT

Milliseconds of a draw in float32 for a sampler (`Streams`) and a training step (`Batch`), on one thread; the
two commits in turn, the fastest of fifteen rounds each.
"""

import argparse
import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

from undiffuse import random

ROOT = Path(__file__).parents[1]
CASES = (
    ("normal", (128, 3, 32, 32)),
    ("normal", (128, 1, 28, 28)),
    ("normal", (4096, 2)),
    ("normal", (16, 1, 28, 28)),
    ("normal", (64, 1, 8, 8)),
    ("uniform", (256, 10)),
    ("uniform", (128, 1, 28, 28)),
)
ROUNDS = 15


def main() -> None:
    """Print a row for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", help="a commit of this repository")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    modules = {"now": random} | ({"before": _of(asked.before)} if asked.before else {})
    names = [f"{kind}, {name}" for kind in ("sampler", "training") for name in modules] + [
        "torch.randn, 64 bits"
    ]
    print(f"{'':26}", *(f"{name:>20}" for name in names))
    for kind, shape in CASES:
        found = _measured(kind, shape, modules)
        print(f"{kind + ' ' + str(shape):26}", *(f"{found[name]:20.3f}" for name in names), flush=True)


def _of(commit: str) -> ModuleType:
    """Its module of randomness."""
    text = subprocess.run(
        ["git", "show", f"{commit}:src/undiffuse/random.py"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random_before.py"
        path.write_bytes(text)
        spec = importlib.util.spec_from_file_location("random_before", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def _measured(kind: str, shape: tuple[int, ...], modules: dict[str, ModuleType]) -> dict[str, float]:
    """Milliseconds of a draw, by name."""
    count = 4 if torch.Size(shape).numel() > 50_000 else 256
    times: dict[str, list[float]] = {}
    for round_ in range(ROUNDS):
        for name, module in modules.items():
            sampler, training = _draws(kind, shape, module, round_ * count)
            times.setdefault(f"sampler, {name}", []).append(_seconds(sampler, count))
            times.setdefault(f"training, {name}", []).append(_seconds(training, count))
        fill = torch.randn if kind == "normal" else torch.rand
        plain = _seconds(lambda _, fill=fill: fill(shape, dtype=torch.float64).float(), count)
        times.setdefault("torch.randn, 64 bits", []).append(plain)
    return {name: 1e3 * min(seconds) for name, seconds in times.items()}


def _draws(
    kind: str, shape: tuple[int, ...], module: ModuleType, first: int
) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """What draws noise for a step of a sampler, and of training."""
    rows, draw = range(shape[0]), getattr(module, kind)
    streams, batch = module.Streams(0, first, rows=rows), module.Batch(0, "train", rows=rows, size=len(rows))

    def at(step: int) -> object:  # one was made for every step, until one was for all
        if hasattr(batch, "at"):
            return batch.at(step)
        return module.Batch(0, "train", step, rows=rows, size=len(rows))

    return (
        lambda _: draw(shape, streams, torch.float32),
        lambda i: draw(shape, at(first + i), torch.float32),
    )


def _seconds(draw: Callable[[int], object], count: int) -> float:
    begin = time.perf_counter()
    for i in range(count):
        draw(i)
    return (time.perf_counter() - begin) / count


if __name__ == "__main__":
    main()
