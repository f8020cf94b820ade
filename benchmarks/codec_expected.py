"""What a file is expected to take against what it takes, for few and many held-out examples of a run.

python benchmarks/codec_expected.py runs/digits --test 4 32 300
"""

import argparse
import lzma

import torch

import undiffuse
from undiffuse import codec
from undiffuse.recipes import load_data
from undiffuse.runs import Chosen, Planner, Run


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("run")
    words.add_argument("--test", type=int, nargs="+", default=[4, 32, 300])
    words.add_argument("--methods", nargs="+", default=["lossless", "universal", "channel"])
    words.add_argument("--most", type=int, default=32, help="Examples that are coded by channel.")
    given = words.parse_args()
    run = undiffuse.load(given.run)
    test = load_data(run.recipe).test
    print("examples method    steps knots  expected bits/dim    coded   expected bytes   the file    xz")
    for count in given.test:
        for chosen in Planner(run, test[:count], given.methods, None).choose():
            if chosen.method != "channel" or count <= given.most:
                _print(run, chosen, test[:count])


def _print(run: Run, chosen: Chosen, raw: torch.Tensor) -> None:
    plan = chosen.option.plan
    data = codec.compress(run.model, raw, method=chosen.method, grid=run.grid, plan=plan)
    account, packed = codec.account(data), len(lzma.compress(raw.numpy().tobytes(), preset=9))
    bits = f"{chosen.option.bits:.3f} +- {chosen.option.se:.3f}"
    print(
        f"{len(raw):8} {chosen.method:9} {chosen.option.steps:5} {len(plan.codes[0]):5}  {bits:>17} "
        f"{account.share(account.data):8.3f} {chosen.size:16,.0f} {len(data):10,} {packed:5,}",
        flush=True,
    )


if __name__ == "__main__":
    main()
