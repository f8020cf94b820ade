"""What blocks of as many rows as are wanted save, and whether the results are the same, bit for bit.

    python benchmarks/blocks.py [--threads N]

First the bare network in blocks of several sizes: milliseconds a row, and whether its rows have the bits of
the largest block (=). Then samples of the shipped run: in the block that is chosen, and in the largest.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from undiffuse.networks import MLP, UNet
from undiffuse.runs import load
from undiffuse.runs.shipped import shipped_run
from undiffuse.tensors import cpu_block

ROUNDS = 5
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "digits": (lambda: UNet((1, 8, 8), channels=32, multipliers=(1, 2)), (1, 8, 8)),
    "fashion-mnist": (
        lambda: UNet((1, 28, 28), channels=64, multipliers=(1, 2), blocks=2, attention=(1,), patch=2),
        (1, 28, 28),
    ),
    "colour 16x16": (lambda: UNet((3, 16, 16), channels=32, multipliers=(1, 2)), (3, 16, 16)),
    "heartbeat": (lambda: MLP((20,), hidden=128), (20,)),
    "swiss-roll": (lambda: MLP((2,), hidden=128), (2,)),
}


def awake(network: nn.Module) -> nn.Module:
    """With every zero-initialised weight replaced."""
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return network.eval()


def seconds(work: Callable[[], object]) -> float:
    """The least of a few rounds."""
    work()
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return min(found)


@torch.no_grad()
def network(name: str) -> None:
    """Milliseconds a row, and whether bits are those of the largest block, by block."""
    torch.manual_seed(0)
    made, shape = NETWORKS[name]
    net, largest = awake(made()), max(64, cpu_block(shape))
    x, t = torch.randn(largest, *shape), torch.full((largest,), 0.37)
    whole, cells = net(x, t), []
    for size in (1, 4, 8, 16, 32, 64, 256, 1024):
        if size <= largest:
            rows = torch.cat([net(x[i : i + size], t[i : i + size]) for i in range(0, largest, size)])
            each = 1000 * seconds(lambda size=size: net(x[:size], t[:size])) / size
            cells.append(f"{size}: {each:.3f}{' =' if torch.equal(rows, whole) else ''}")
    print(f"{name:14} ({cpu_block(shape):4} at most)  {'   '.join(cells)}")


def samples() -> None:
    """Seconds that a few samples take, chosen and fixed blocks in turn."""
    run = load(shipped_run())
    for n in (1, 16, 64, 100):
        chosen, fixed = (
            seconds(lambda block=block, n=n: run.sample(n, steps=20, block=block)) for block in (None, 64)
        )
        print(f"{n:4} samples, 20 steps: {chosen:.3f} s, in blocks of 64 {fixed:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; ms a row by block")
    for name in NETWORKS:
        network(name)
    samples()


if __name__ == "__main__":
    main()
