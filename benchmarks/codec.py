"""Real bytes against the bound of the same chain, and where the time goes.

python benchmarks/codec.py runs/fashion --test 1000 --steps 12
python benchmarks/codec.py runs/fashion --test 1000 --knots 1    # one variance a step, whatever the context
"""

import argparse
import lzma
import math
import time

import torch

import undiffuse
from undiffuse import bounds, codec
from undiffuse.recipes.recipe import load_data


class Clock(torch.nn.Module):
    """A network, and the seconds that it and all copies of it take."""

    seconds = 0.0

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The network's output, timed."""
        began = time.perf_counter()
        out = self.network(*inputs)
        Clock.seconds += time.perf_counter() - began
        return out


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("run")
    words.add_argument("--test", type=int, default=1000)
    words.add_argument("--steps", type=int)
    words.add_argument("--knots", type=int, help="of variances by context")
    words.add_argument("--method", default="lossless")
    words.add_argument("--bound", type=int, help="examples whose bound is evaluated; default: all")
    given = words.parse_args()
    run = undiffuse.load(given.run)
    splits = load_data(run.recipe)
    raw = splits.test[: given.test]
    trade = codec.choose(
        run.model,
        splits.train,
        new=splits.test,
        method=given.method,
        grid=run.grid,
        steps=given.steps,
        knots=None if given.knots is None else [given.knots],
    )
    plan, wanted = trade.best(len(raw), given.steps).plan, (1, 2, 4, 6, 8, 12, 16, 24, 32, 64)
    shown = {k: round(trade.best(len(raw), k).bits, 3) for k in wanted if k in trade.lengths}
    print(f"expected bits/dim by steps: {shown}; {len(plan.places)} steps")

    chain = plan.grid(run.grid)
    model = codec.planned(codec.prepared(run.model, given.method), chain, plan)
    began = time.perf_counter()
    parts = bounds.blocks(model, raw[: given.bound], grid=chain, encode=run.space.encode)
    bits = torch.cat([part.total for _, part in parts]) / (raw[0].numel() * math.log(2))
    each = (time.perf_counter() - began) / (len(bits) * len(chain))
    bound, se = float(bits.mean()), float(bits.std()) / len(bits) ** 0.5
    told = f"{bound:.4f} +- {se:.4f} bits/dim; {1000 * each:.2f} ms an example and step"
    print(f"bound of {len(bits)} examples: {told}")

    run.denoiser.network = Clock(run.denoiser.network)
    for name in ("encode", "decode"):
        began, Clock.seconds = time.perf_counter(), 0.0
        if name == "encode":
            data = codec.compress(run.model, raw, method=given.method, grid=run.grid, plan=plan)
        else:
            assert bool((codec.decompress(run.model, data, grid=run.grid) == raw).all())
        seconds = time.perf_counter() - began
        each = seconds / (len(raw) * len(chain))
        outside = 1 - Clock.seconds / seconds
        print(f"{name}: {1000 * each:.2f} ms an example and step, {outside:.1%} of it outside the network")
    account = codec.account(data)
    for name in ("data", "start", "calls", "header", "total"):
        value = getattr(account, name)
        print(f"{name:7}{value / 8:12,.0f} bytes {account.share(value):9.4f} bits/dim")
    print(f"{len(raw)} examples: {account.share(account.total) * raw[0].numel():.4f} bits each")
    whole = bound * account.values
    print(f"file over bound: {account.total / whole:.4f}, over bound and 256 bytes: ", end="")
    print(f"{account.total / (whole + 2048):.4f}")
    print(f"xz: {8 * len(lzma.compress(raw.numpy().tobytes(), preset=9)) / raw.numel():.4f} bits/dim")


if __name__ == "__main__":
    main()
