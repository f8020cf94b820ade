"""What a training step of a U-Net costs on this machine's CPU, and what its residual blocks reach.

    OMP_NUM_THREADS=1 python benchmarks/unet_speed.py

Batches of 64 images of 28x28, in what is fast here: forward, backward and fused AdamW; the best of four.
GFLOP/s count the convolutions of a block, forward and backward.
"""

import time
from functools import partial

import torch
from torch import nn

from undiffuse.networks import UNet
from undiffuse.networks.blocks import ResNet
from undiffuse.networks.layers import group_norm
from undiffuse.training import precision_of

BATCH = 64
PATCHES = {"multipliers": (1, 2), "blocks": 2, "attention": (1,), "patch": 2}
NETS = {"24 channels, [1, 2, 2]": {"channels": 24}} | {
    f"patches of 2, {channels} channels": {"channels": channels, **PATCHES} for channels in (48, 64, 96)
}


def best(run: partial, rounds: int = 4) -> float:
    """Seconds of the fastest round, after one to warm up."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def adamw(module: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), fused=True)


def step(network: nn.Module, optimizer: torch.optim.AdamW, *inputs: torch.Tensor, bf16: bool) -> None:
    """One step towards zero."""
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = network(*inputs).square().mean()
    loss.backward()
    optimizer.step()


def main() -> None:
    torch.manual_seed(0)
    x, t = torch.randn(BATCH, 1, 28, 28), torch.rand(BATCH)
    for name, keys in NETS.items():
        network = UNet((1, 28, 28), **keys)
        bf16 = precision_of("auto", network).name == "bf16"
        seconds = best(partial(step, network, adamw(network), x, t, bf16=bf16))
        size = sum(p.numel() for p in network.parameters()) / 1e6
        print(f"{name:28s} {size:5.2f} M {1e3 * seconds:7.0f} ms a step")
    for channels, side in ((32, 28), (64, 14), (96, 14), (128, 7), (256, 7)):
        block = ResNet()(channels, channels, 64, 0.0, group_norm)
        inputs = torch.randn(BATCH, channels, side, side), torch.randn(BATCH, 64)
        flops = 6 * BATCH * side**2 * 2 * 9 * channels**2
        for bf16 in (False, True):
            speed = flops / best(partial(step, block, adamw(block), *inputs, bf16=bf16)) / 1e9
            print(f"block, {channels} channels at {side}x{side}, bf16={bf16}: {speed:5.0f} GFLOP/s")


if __name__ == "__main__":
    main()
