"""Damaged and hostile .und files, in numbers.

    python benchmarks/codec_damage.py --files 100000 --hostile 20000

Prints how they end. Stops with an error at the first that is silently wrong, takes a second or fails
otherwise than by ValueError; the hostile ones are decoded with 64 MiB more memory than the process has at
first.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))


def main() -> None:
    """Damaged files here, hostile ones in a process of their own."""
    import damage

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--hostile", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    print("damaged:", dict(damage.try_damaged(options.files, options.seed)), flush=True)
    print(f"{time.perf_counter() - start:.0f} s", flush=True)
    program = [
        sys.executable,
        "-W",
        "ignore",
        str(TESTS / "damage.py"),
        str(options.hostile),
        str(options.seed),
    ]
    print("hostile:", flush=True)
    subprocess.run(program, check=True)


if __name__ == "__main__":
    main()
