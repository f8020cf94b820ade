"""`python -m tools.faults`: see the package."""

import argparse
import sys
import time

import torch

from tools.faults import damage, disks, kills, numbers, spikes, stops, work
from tools.faults.subject import Bench, Run, bench

CHECKS: dict[str, Run] = {
    check.__name__: check
    for check in (
        *(kills.kills, kills.points, kills.flushes, disks.failures, disks.sizes, disks.full),
        *(damage.flips, damage.cuts, damage.older, damage.clocks),
        *(stops.signals, stops.twice, stops.starts, stops.recipes, numbers.nonfinite, spikes.spikes),
        *(work.sampling, work.evaluating, work.data),
    )
}


def main() -> int:
    """Run the checks that were asked for; 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="tools.faults", description="Faults on purpose.")
    tier = parser.add_mutually_exclusive_group()
    tier.add_argument("--quick", action="store_true", help="sampled, about a minute (the default)")
    tier.add_argument("--full", action="store_true", help="in full, about an hour")
    tier.add_argument("--twins", action="store_true", help="deliberate bugs, each of which a check must find")
    parser.add_argument("--only", choices=CHECKS, nargs="+", help="these checks alone")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.twins:
        from tools.faults.twins import report

        return report(asked.seed)
    bad = 0
    for name in asked.only or CHECKS:
        with bench(asked.seed, asked.full) as here:
            bad += not _one(CHECKS[name], here, name, asked.seed)
    return int(bad > 0)


def _one(check: Run, here: Bench, name: str, seed: int) -> bool:
    """Run one, print what it found; whether it holds."""
    began = time.perf_counter()
    found = check(here)
    print(f"{found} [{time.perf_counter() - began:.0f} s]", flush=True)
    for failure in found.failures[:5]:
        print(f"    {' '.join(failure.split())}")
    if found.failures:
        tier = " --full" if here.full else ""
        print(f"    again: python -m tools.faults{tier} --only {name} --seed {seed}", flush=True)
    return not found.failures


if __name__ == "__main__":
    sys.exit(main())
