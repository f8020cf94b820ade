"""Resident memory of training on 0.2 GB and on 20 GB of mapped pictures: it should be the same.

    python benchmarks/big_data.py [--steps 200] [--fit]

Makes two sparse .npy files of 64x64 colour pictures in a temporary folder (20 GB there, almost nothing on the
disk), takes batches of 64 from each in a process of its own, and prints what that process has resident: at
its peak, above what it had before the data were opened, and how many bytes an example that is. With
--fit, the same for the statistics of 0.2 and 2 GB of float32 vectors, which are random and read whole.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TRAINED = {"0.2 GB": 2 * 10**8, "20 GB": 2 * 10**10}
FITTED = {"0.2 GB": 2 * 10**8, "2 GB": 2 * 10**9}
PICTURE = (3, 64, 64)
VECTOR = (4096,)
ROWS = 4096  # written at a time

CHILD = """
import resource, sys, time
import torch
import undiffuse.training
from undiffuse.data import Affine, Array
from undiffuse.training import Batches

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

path, steps, fit = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fit"
before, began = peak(), time.perf_counter()
splits = Array(path, memory=0).load()
if fit:
    Affine.fit(splits.train)
else:
    batches = Batches(splits.train, lambda x: x, 64, 0)
    batches(0)
    loaded, began = time.perf_counter() - began, time.perf_counter()
    for step in range(1, steps):
        batches(step)
seconds = time.perf_counter() - began
took = f"{seconds:.0f} s" if fit else f"first batch {loaded:.1f} s, then {1e3 * seconds / steps:.1f} ms each"
rows = len(splits.train) + len(splits.test)
print(f"{rows:,} examples, peak {peak():.0f} MiB, {peak() - before:.0f} MiB more than before; {took}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    shape, dtype = (VECTOR, "f4") if options.fit else (PICTURE, "u1")
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (FITTED if options.fit else TRAINED).items():
            path = Path(folder) / "data.npy"
            rows = size // (int(np.prod(shape)) * np.dtype(dtype).itemsize)
            array = np.lib.format.open_memmap(path, "w+", dtype, (rows, *shape))
            for begin in range(0, rows if options.fit else 0, ROWS):
                part = array[begin : begin + ROWS]
                part[:] = random.random(part.shape, part.dtype)
            array.flush()
            what = [str(options.steps), "fit" if options.fit else "train"]
            words = [sys.executable, "-c", CHILD, str(path), *what]
            found = subprocess.run(words, check=True, capture_output=True, text=True)
            print(f"{name:7s} {found.stdout.strip()}")


if __name__ == "__main__":
    main()
