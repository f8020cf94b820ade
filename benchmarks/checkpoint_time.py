"""Seconds to save a checkpoint of 36 million parameters, beside safetensors and torch.save, flushed too.

    python benchmarks/checkpoint_time.py

Ours hashes every byte, flushes files and folders and renames; theirs write weights and averages by
safetensors.torch.save_file, and the optimizer by torch.save, each with one fsync.
"""

import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from undiffuse.training import checkpoint
from undiffuse.training.checkpoint import Checkpoint

PARAMETERS, LAYERS, ROUNDS = 36_000_000, 200, 3


def main() -> None:
    size = PARAMETERS // LAYERS
    weights, average, first, second = (
        {
            f"layer{i}": torch.randn(size, generator=torch.Generator().manual_seed(i + k))
            for i in range(LAYERS)
        }
        for k in range(4)
    )
    optimizer = {f"exp_avg/{k}": t for k, t in first.items()} | {
        f"exp_avg_sq/{k}": t for k, t in second.items()
    }
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    with TemporaryDirectory(dir=".") as folder:
        for number in range(ROUNDS):
            began = _clock()
            checkpoint.save(
                Path(folder) / "ours", Checkpoint(number, weights, average, optimizer, {}), keep=1
            )
            times["ours"].append(_since(began))
            began = _clock()
            plain(Path(folder), weights, average, optimizer)
            times["plain"].append(_since(began))
    print(f"{PARAMETERS / 1e6:.0f} M parameters, {16 * PARAMETERS / 1e6:.0f} MB, median of {ROUNDS}")
    for i, clock in enumerate(("elapsed", "of the processor")):
        ours, theirs = (statistics.median(each[i] for each in times[name]) for name in ("ours", "plain"))
        print(f"seconds {clock}: ours {ours:.2f}, plain {theirs:.2f}, ratio {ours / theirs:.2f}")


def _clock() -> tuple[float, float]:
    """Seconds elapsed, and seconds of this process on a processor, where a busy machine does not count."""
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    now = _clock()
    return now[0] - began[0], now[1] - began[1]


def plain(folder: Path, weights: dict, average: dict, optimizer: dict) -> None:
    """The same tensors without a hash, a manifest or a folder."""
    save_file(weights, folder / "weights.safetensors")
    save_file(average, folder / "average.safetensors")
    torch.save(optimizer, folder / "optimizer.pt")
    for name in ("weights.safetensors", "average.safetensors", "optimizer.pt"):
        handle = os.open(folder / name, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


if __name__ == "__main__":
    main()
