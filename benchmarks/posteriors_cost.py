"""What a factor adds to a step of a model, without Jacobians: ratios measured in one run.

    python benchmarks/posteriors_cost.py

`look` is all that a sampler asks of a product for one step; it is timed in turn with the bare `model.step` on
64 images of 28 x 28, with the U-Net of the recipe fashion-mnist, by the process's own time. The median of the
paired ratios is printed with its quartiles; then what a product adds, timed with a network that is free.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from undiffuse import Denoiser
from undiffuse.kernels import Gaussian
from undiffuse.networks import UNet
from undiffuse.posteriors import Annealed, Constant, Flat, Known, Linear, Matched, Noisy, Product, Replaced
from undiffuse.posteriors.operators import Downsample
from undiffuse.schedules import LogLinear

SHAPE, ROUNDS, TARGET = (64, 1, 28, 28), 9, 1.05


class Nothing(nn.Module):
    """A network that costs nothing."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What it is given."""
        return x_t


def products(model: Denoiser, x: Tensor) -> dict[str, Product]:
    """Every rule without a Jacobian, by name."""
    mask = torch.rand(SHAPE) < 0.5
    known, noisy = Known(x, mask), Noisy(x, 0.3)
    small = Linear(Downsample(4), Downsample(4)(x), 0.1)
    return {
        "Constant, Known": Constant(model, known),
        "Constant, Noisy": Constant(model, noisy),
        "Annealed, Noisy": Annealed(model, noisy),
        "Replaced, Known": Replaced(model, known),
        "Matched Flat, Known": Matched(model, known, Flat()),
        "Matched Flat, Noisy": Matched(model, noisy, Flat()),
        "Matched Flat, downsample:4": Matched(model, small, Flat()),
    }


def seconds(run: Callable[[], object]) -> float:
    """Of this process, whatever else the machine does."""
    began = time.process_time()
    run()
    return time.process_time() - began


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    kernel, x = Gaussian(LogLinear(12.0, -7.0)), torch.randn(SHAPE).clamp(-1, 1)
    unet = UNet(SHAPE[1:], channels=64, multipliers=(1, 2), attention=(1,), patch=2)
    model, free = Denoiser(unet, kernel), Denoiser(Nothing(), kernel)
    t, s = torch.tensor(0.5).double(), torch.tensor(0.48).double()
    cheap = products(free, x)
    for name, product in products(model, x).items():
        pairs = [
            (seconds(lambda p=product: p.look(x, t, s)), seconds(lambda: model.step(x, t, s)))
            for _ in range(ROUNDS + 1)
        ][1:]
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        alone = [
            seconds(lambda p=cheap[name]: p.look(x, t, s)) - seconds(lambda: free.step(x, t, s))
            for _ in range(41)
        ]
        print(
            f"{name:28s} {middle:.3f} ({low:.3f} to {high:.3f}), target {TARGET:.2f}; "
            f"adds {statistics.median(alone) * 1e3:.2f} ms "
            f"to {statistics.median(b for _, b in pairs) * 1e3:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
