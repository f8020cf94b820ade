"""Files that were compressed under one set of CPU instructions, decompressed under another.

    python benchmarks/codec_portable.py

Every pair of settings below, all files of tests/golden; prints a line for each pair.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
SETTINGS = {
    "as it is": {},
    "aten default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "mkl compatible": {"MKL_CBWR": "COMPATIBLE"},
    "two threads": {"OMP_NUM_THREADS": "2"},
}
WRITE = """
import sys
from golden import models
for name in models.GOLDEN:
    open(f"{sys.argv[1]}/{name}.und", "wb").write(models.encode(name))
"""
READ = """
import sys
import torch
from golden import models
from undiffuse import codec
for name, case in models.GOLDEN.items():
    for folder in sys.argv[1:]:
        data = open(f"{folder}/{name}.und", "rb").read()
        assert torch.equal(codec.decompress(case.model(), data, grid=models.GRID), case.x), (name, folder)
"""


def run(program: str, settings: dict[str, str], *words: str) -> None:
    """A Python program under these settings."""
    paths = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    surroundings = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": paths} | settings
    subprocess.run([sys.executable, "-c", program, *words], env=surroundings, check=True)


def main() -> None:
    """Write under every setting, read under every setting."""
    with tempfile.TemporaryDirectory() as root:
        for name, settings in SETTINGS.items():
            (Path(root) / name).mkdir()
            run(WRITE, settings, f"{root}/{name}")
        for name, settings in SETTINGS.items():
            run(READ, settings, *(f"{root}/{other}" for other in SETTINGS))
            for other in SETTINGS:
                print(f"written {other}, read {name}: exact", flush=True)


if __name__ == "__main__":
    main()
