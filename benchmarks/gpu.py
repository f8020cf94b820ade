"""What a GPU makes of the shipped networks: speed, memory, share of its peak, agreement with the CPU.

    python benchmarks/gpu.py                       # at most four minutes on one GPU
    python benchmarks/gpu.py digits --device cpu --precisions fp32 --seconds 2 --batch 16

Each recipe's network is trained on random levels, `--seconds` long, in each precision: steps a second,
memory, and operations (counted forward and backward, of convolutions and products) as a share of what a
product of large matrices reaches here in the same precision. What it then makes of a seed is held against
the same weights on the CPU: samples of 10 steps, and the terms of the bound on as many. Both are computed in
float32, of products in tf32 where that is asked for, and their noise is the same bits.
"""

import argparse
import math
import time
from copy import deepcopy
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from undiffuse.bounds import nelbo
from undiffuse.cli.console import device_of
from undiffuse.devices import moved
from undiffuse.model import Denoiser
from undiffuse.random import Streams, keyed
from undiffuse.recipes import Recipe, read
from undiffuse.samplers import sample
from undiffuse.schedules import grids
from undiffuse.training import Precision, Settings, State, train

SHAPES = {"digits": ((1, 8, 8), 17), "fashion-mnist": ((1, 28, 28), 256), "cifar10": ((3, 32, 32), 256)}
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
GRID, ROWS, PEAK = grids.uniform(10), 4, 8192


@dataclass
class Row:
    """What is printed of one network in one precision; `samples` and `bits` are differences to the CPU."""

    network: str
    precision: str
    batch: int
    steps_a_second: float
    gflops: float
    share: float
    gib: float
    samples: float
    bits: float


def main(arguments: list[str] | None = None) -> list[Row]:
    """Print a row for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", default=list(TYPES), choices=list(TYPES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=12.0, help="of training, each")
    parser.add_argument("--batch", type=int, help="examples a step; default: the recipe's")
    asked = parser.parse_args(arguments)
    device, rows = device_of(asked.device), []
    print(f"{_name(device)}, PyTorch {torch.__version__}")
    print(*(f"{name:>14}" for name in Row.__dataclass_fields__))
    for precision in asked.precisions:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        peak = _peak(device, TYPES[precision])
        for network in asked.networks:
            rows.append(_measured(network, precision, device, peak, asked.seconds, asked.batch))
            values = asdict(rows[-1]).values()
            print(*(f"{v:>14.4g}" if isinstance(v, float) else f"{v:>14}" for v in values), flush=True)
    return rows


def _measured(
    network: str, precision: str, device: torch.device, peak: float, seconds: float, batch: int | None
) -> Row:
    recipe, (shape, levels) = Recipe(read(network)), SHAPES[network]
    torch.manual_seed(0)
    model = recipe.denoiser(shape, levels)
    settings = Settings(steps=10**9, batch=batch or recipe["train"].batch, lr=1e-4, warmup=1)
    x_0 = 2 * torch.randint(levels, (settings.batch, *shape), generator=keyed("levels")) / (levels - 1) - 1
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    state = State(
        moved(model, device), settings, Precision("bf16" if precision == "bf16" else "fp32", "by name")
    )
    there = x_0.to(device)
    steps = train(state, lambda step: there, recipe.objective(model.kernel), seed=0)
    for _ in range(3):  # what is compiled, chosen or allocated once
        next(steps)
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:  # a step has read its loss, so it is done
        next(steps)
        done += 1
    speed = done / (time.perf_counter() - begin)
    with FlopCounterMode(display=False) as counted:
        next(steps)
    gflops = 1e-9 * counted.get_total_flops()
    gib = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
    apart = _apart(model.eval(), x_0[:ROWS])
    return Row(network, precision, settings.batch, speed, gflops, 1e9 * gflops * speed / peak, gib, *apart)


@torch.no_grad()
def _apart(model: Denoiser, x_0: Tensor) -> tuple[float, float]:
    """The largest difference of a sample's value, and of an example's bits a dimension, to the CPU's."""
    found = []
    for each in (model, moved(deepcopy(model), torch.device("cpu"))):
        x = sample(each, tuple(x_0.shape), generator=keyed("samples"), grid=GRID)
        there = x_0.to(next(each.parameters()).device)
        nats = nelbo(each, there, grid=GRID, generator=Streams(0, rows=range(len(x_0)))).total
        found.append((x.cpu(), nats / (x_0[0].numel() * math.log(2))))
    (x, bits), (y, other) = found
    return float((x - y).abs().max()), float((bits - other).abs().max())


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of large matrices."""
    n = PEAK if device.type == "cuda" else PEAK // 16
    a = torch.randn(n, n, generator=keyed("peak")).to(device, dtype)
    best = float("inf")
    for _ in range(8):
        begin = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - begin)
    return 2 * n**3 / best


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


if __name__ == "__main__":
    main()
