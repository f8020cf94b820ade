"""Small models to compress with: exact ones, and networks with seeded weights."""

import torch
from torch import Tensor, nn

from oracles import GaussianDenoiser, f64
from undiffuse import networks
from undiffuse.conditions import Conditions
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian, Kernel, Universal
from undiffuse.model import Denoiser
from undiffuse.parameterizations import (
    X0,
    DiscretizedDecoder,
    Forward,
    Free,
    Interpolated,
    Posterior,
    V,
    Variance,
)
from undiffuse.schedules import ConstantFraction, Cosine, Learned, Linear

VARIANCES = {"posterior": Posterior, "forward": Forward, "interpolated": Interpolated, "free": Free}


class Local(nn.Module):
    """A network for any shape: every output depends on its own input, its neighbour and the time."""

    def __init__(self, outputs: int = 1, seed: int = 1) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.3 * torch.randn(outputs, 3, generator=g, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = t.view(-1, *[1] * (x.ndim - 1))
        parts = [torch.tanh(w[0] * x + w[1] * x.roll(1, -1) + w[2] * time) for w in self.weight.to(x)]
        return torch.cat(parts, 1)


class Wide(nn.Module):
    """Logits (B, K C, ...) from one-hot features of as many channels."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.5, 0.3]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.scale[0] * x + self.scale[1] * x.roll(1, -1)


def gaussian(
    levels: int = 256, variance: str = "forward", seed: int = 1, kernel: Kernel | None = None
) -> Denoiser:
    """A chain of any shape on levels."""
    width: Variance = VARIANCES[variance]()
    kernel = kernel or Gaussian(Linear(1e-3, 0.3, steps=20))
    network = Local(2 if width.learned else 1, seed)
    return Denoiser(network, kernel, V(), width, DiscretizedDecoder(levels))


def universal(levels: int = 256, variance: str = "free") -> Denoiser:
    """A model of universal steps."""
    return gaussian(levels, variance, kernel=Universal(Learned()))


def symbols(kernel: Kernel) -> Denoiser:
    """A chain of any shape on symbols."""
    return Denoiser(Wide(), kernel)


SYMBOLS = {
    "bits": lambda: symbols(Binomial(ConstantFraction(), 0.2)),
    "even-bits": lambda: symbols(Binomial(Cosine(20))),
    "uneven-bits": lambda: symbols(Binomial(ConstantFraction(), [0.1, 0.5, 0.9])),
    "categorical": lambda: symbols(Categorical(Cosine(20), 4)),
    "absorbing": lambda: symbols(Absorbing(ConstantFraction(), 3)),
}


def exact(levels: int = 64, var: float = 0.09, size: int = 8) -> Denoiser:
    """The exact denoiser of normal data, whose levels are then nearly exactly predicted."""
    kernel = Gaussian(Linear(1e-3, 0.2, steps=50))
    mean = torch.linspace(-0.3, 0.3, size, dtype=torch.float64)
    network = GaussianDenoiser(kernel, mean, f64(var).expand(size))
    return Denoiser(network, kernel, X0(), Forward(), DiscretizedDecoder(levels))


def pictures(*shape: int, levels: int = 256, seed: int = 0) -> Tensor:
    """Examples of any levels, uniform."""
    g = torch.Generator().manual_seed(seed)
    found = torch.randint(0, levels, shape, generator=g)
    return found.to(torch.uint8 if levels <= 256 else torch.int32)


def unet(conditions: Conditions | None = None) -> Denoiser:
    """A convolutional network with seeded weights, none of them zero."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = networks.UNet((1, 8, 8), channels=4, multipliers=(1, 2), conditions=conditions)
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.1)
    return Denoiser(network, Gaussian(Linear(1e-3, 0.3, steps=20)), V(), Forward(), DiscretizedDecoder(256))
