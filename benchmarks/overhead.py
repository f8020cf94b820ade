"""What sampling and training cost beyond the bare network, as ratios measured in one run.

    python benchmarks/overhead.py

Both sides run in turn, several rounds; the median ratio of the rounds is printed with its range.
"""

import statistics
import time
from collections.abc import Callable

import torch

from undiffuse import Denoiser
from undiffuse.bounds import nelbo
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.networks import MLP, SigmoidMLP, UNet
from undiffuse.objectives import Simple
from undiffuse.parameterizations import Eps, V
from undiffuse.random import Streams
from undiffuse.samplers import Ancestral, Sampler, UniPC, reverse, start
from undiffuse.schedules import ConstantFraction, LogLinear, grids
from undiffuse.training import Settings, State, train

ROUNDS = 5


def sampling(
    model: Denoiser, shape: tuple[int, ...], steps: int, sampler: Sampler | None = None
) -> tuple[Callable, Callable]:
    """`steps` steps, ancestral unless told, noise streams included; and as many bare forward passes."""
    x, t = torch.zeros(shape), torch.full((1,), 0.5).expand(shape[0])
    grid, sampler = grids.uniform(steps), sampler or Ancestral()

    def ours() -> None:
        streams = Streams(0, "benchmark", rows=range(len(x)))
        for _ in reverse(model, start(model, x, streams), sampler=sampler, grid=grid, generator=streams):
            pass

    @torch.no_grad()
    def bare() -> None:
        for _ in range(steps):
            model.network(x, t)

    return ours, bare


def bounding(model: Denoiser, x_0: torch.Tensor, steps: int) -> tuple[Callable, Callable]:
    """The bound with all its steps, noise streams included; and as many bare forward passes."""
    t, grid = torch.full((1,), 0.5).expand(len(x_0)), grids.uniform(steps)

    def ours() -> None:
        nelbo(model, x_0, grid=grid, generator=Streams(0, "benchmark", rows=range(len(x_0))))

    @torch.no_grad()
    def bare() -> None:
        for _ in range(steps):
            model.network(x_0, t)

    return ours, bare


def training(model: Denoiser, shape: tuple[int, ...], steps: int) -> tuple[Callable, Callable]:
    """`steps` steps of our loop (noise, target, clipping and EMA included); and the bare network's."""
    x, t = torch.randn(shape), torch.rand(shape[0])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def ours() -> None:
        state = State(model, Settings(batch=len(x), steps=steps))
        for _ in train(state, lambda step: x, Simple(grid=grids.uniform(1000)), seed=0):
            pass

    def bare() -> None:
        for _ in range(steps):
            (model.network(x, t) - x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    return ours, bare


def compare(name: str, ours: Callable, bare: Callable, target: float) -> None:
    seconds(ours), seconds(bare)
    pairs = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"{name:52s} {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), "
        f"target {target:.2f}; bare {min(b for _, b in pairs) * 1e3:.0f} ms"
    )


def seconds(run: Callable) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    torch.manual_seed(0)
    kernel = Gaussian(LogLinear())
    mlp = Denoiser(MLP((2,)), kernel, Eps())
    unet = Denoiser(UNet((1, 28, 28), channels=24, multipliers=(1, 2, 4)), kernel, V())
    images = (64, 1, 28, 28)
    compare("sampling, MLP, (1024, 2), 1000 steps", *sampling(mlp, (1024, 2), 1000), 1.10)
    compare("sampling, U-Net, (64, 1, 28, 28), 10 steps", *sampling(unet, images, 10), 1.02)
    compare("sampling, UniPC 3, MLP, (1024, 2), 50 steps", *sampling(mlp, (1024, 2), 50, UniPC(3)), 1.10)
    compare(
        "sampling, UniPC 3, U-Net, (64, 1, 28, 28), 10 steps", *sampling(unet, images, 10, UniPC(3)), 1.02
    )
    compare("training, MLP, (1024, 2), 50 steps", *training(mlp, (1024, 2), 50), 1.05)
    compare("training, U-Net, (64, 1, 28, 28), 4 steps", *training(unet, images, 4), 1.05)
    bits, chain = torch.randint(2, (1024, 20)).float(), Binomial(ConstantFraction(), 0.2)
    for network in (MLP((20,), layers=3), SigmoidMLP((20,), 2000)):
        model, name = Denoiser(network, chain), type(network).__name__
        compare(f"sampling bits, {name}, (1024, 20), 2000 steps", *sampling(model, (1024, 20), 2000), 1.2)
        compare(f"bound of bits, {name}, (1024, 20), 2000 steps", *bounding(model, bits, 2000), 1.2)


if __name__ == "__main__":
    main()
