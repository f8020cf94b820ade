"""Golden files: what each is of. Every later version must decode all that were ever made.

python tests/golden/models.py    writes those of this version that are not there yet
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compressors import SYMBOLS, gaussian, pictures
from undiffuse import codec
from undiffuse.bases import ColumnsBase, Frequencies
from undiffuse.kernels import Gaussian, Mixed
from undiffuse.marginals import Column, Marginals
from undiffuse.mixed import MixedDenoiser
from undiffuse.model import Denoiser
from undiffuse.networks import MLP, UNet
from undiffuse.parameterizations import DiscretizedDecoder, Forward, V
from undiffuse.random import keyed
from undiffuse.schedules import Linear, LogLinear, grids

FOLDER, GRID, PLAN = (
    Path(__file__).parent / "v1",
    grids.uniform(6),
    codec.Plan(6, (1, 3, 5), ((200, 220, 215, 190), (60, 80, 95, 70), (70, 40, 90, 50))),
)


class Golden(NamedTuple):
    """Model, examples and how they were compressed."""

    model: Callable[[], Denoiser]
    x: Tensor
    method: str = "lossless"
    plan: codec.Plan = PLAN


def seeded(network: nn.Module) -> nn.Module:
    """Weights that depend on their names alone."""
    for name, weight in network.named_parameters():
        drawn = torch.randn(weight.shape, dtype=torch.float64, generator=keyed("golden", name))
        weight.data = (0.1 * drawn).float()  # draws of float32 depend on the instruction set
    return network


def unet() -> Denoiser:
    """A small convolutional network on grey pictures."""
    network = seeded(UNet((1, 8, 8), channels=4, multipliers=(1, 2)))
    return Denoiser(network, Gaussian(Linear(1e-3, 0.3, steps=20)), V(), Forward(), DiscretizedDecoder(256))


def mlp() -> Denoiser:
    """Vectors of 5,000 levels."""
    network = seeded(MLP((4,), hidden=8, layers=1))
    return Denoiser(network, Gaussian(Linear(1e-3, 0.3, steps=20)), V(), Forward(), DiscretizedDecoder(5000))


def table() -> Denoiser:
    """Two columns of levels, a bit and one of three symbols; nothing of it is worked out."""
    ramp = torch.arange(-8, 9).double()
    maps = Marginals(
        [Column(4 * ramp, ramp / 4, 0.5, -32.0, ramp[:0]), Column(ramp, ramp / 4, 1.0, 0.0, ramp[:0])]
    )
    corr = torch.eye(5, dtype=torch.float64)
    corr[0, 1] = corr[1, 0] = 0.5
    tables = Frequencies(torch.tensor([[0.75, 0.25, 1e-9], [0.5, 0.25, 0.25]]).double())
    tables.log_probs = (2**20 * tables.log_probs).round() / 2**20
    base = ColumnsBase(torch.tensor([0, 2, 3, 0]), corr, torch.zeros(2).double(), maps, [tables])
    kernel = Mixed(LogLinear(5, -6), [0, 2, 3, 0])
    network = seeded(MLP(kernel.feature_shape((4,)), hidden=8, layers=1, outputs=2))
    return MixedDenoiser(network, kernel, base)


def rows(n: int) -> Tensor:
    """Of that table, with holes."""
    at = torch.arange(n)
    found = torch.stack([(37 * at + 5) % 101, at % 2, at % 3, (5 * at) % 9 - 4], 1).double()
    found[::5, 0], found[3::7, 2] = torch.nan, torch.nan
    return found


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two are, their holes too."""
    return a.dtype == b.dtype and torch.equal(a.nan_to_num(-1e9), b.nan_to_num(-1e9))


OWN = codec.Plan(6, (0, 2, 5))  # the model's own variances
GOLDEN = {
    "lossless-unet": Golden(unet, pictures(8, 1, 8, 8, seed=1)),
    "universal-unet": Golden(unet, pictures(8, 1, 8, 8, seed=2), "universal"),
    "channel-unet": Golden(unet, pictures(2, 1, 8, 8, seed=2), "channel"),
    "lossless-levels": Golden(mlp, pictures(20, 4, levels=5000)),
    "lossless-learned": Golden(lambda: gaussian(17, "free"), pictures(9, 2, 3, levels=17), plan=OWN),
    "bits": Golden(SYMBOLS["bits"], pictures(30, 3, levels=2), plan=OWN),
    "categorical": Golden(SYMBOLS["categorical"], pictures(12, 3, levels=4), plan=OWN),
    "table": Golden(table, rows(24), plan=OWN),
    "absorbing": Golden(SYMBOLS["absorbing"], pictures(12, 3, levels=3), plan=OWN),
}


def encode(name: str) -> bytes:
    """The file of this version."""
    model, x, method, plan = GOLDEN[name]
    return codec.compress(model(), x, method=method, grid=GRID, plan=plan)


def main() -> None:
    """Write what is missing."""
    for name in GOLDEN:
        path = FOLDER / f"{name}.und"
        if not path.exists():
            path.write_bytes(encode(name))
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
