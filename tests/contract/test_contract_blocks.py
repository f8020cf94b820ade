"""How many rows are computed together: the same bits in any block that is chosen, no more work than asked."""

import pytest
import torch
from torch import nn

from oracles import normals
from undiffuse import blocks, bounds
from undiffuse.blocks import LARGEST, LEAST, block_of
from undiffuse.conditions import Classes
from undiffuse.diffusion.posterior import Way, draw
from undiffuse.kernels import Absorbing, Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.networks import MLP, UNet
from undiffuse.posteriors import Known
from undiffuse.random import keyed
from undiffuse.samplers import Ancestral, sample, sample_from
from undiffuse.schedules import ConstantFraction, Linear, grids
from undiffuse.tensors import cpu_block

GRID = grids.uniform(3)


def awake(network: nn.Module) -> nn.Module:
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return network.eval()


def unet(shape=(1, 8, 8), **options) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(awake(UNet(shape, channels=8, multipliers=(1, 2), **options)), Gaussian(Linear()))


class Crowded(nn.Module):
    """A network whose output depends on how many rows there are, as rounding may."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.zeros(1)), []

    def forward(self, x_t, t):
        self.calls.append(len(x_t))
        return 0.3 * x_t + 1e-6 * len(x_t) + self.weight


class Counting(Crowded):
    """One that does not."""

    def forward(self, x_t, t):
        self.calls.append(len(x_t))
        return 0.3 * x_t + self.weight


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 40, 64, 65, 1000])
def test_a_block_holds_what_is_wanted_and_no_more_than_suits(rows):
    size = block_of(Denoiser(Counting(), Gaussian(Linear())), (1, 8, 8), GRID, rows)
    assert size & (size - 1) == 0 and LEAST <= size <= 64
    assert size >= min(rows, 64) and (size < 2 * rows or size == LEAST)


def test_a_smaller_block_is_looked_at_once_and_needs_the_same_bits():
    honest, crowded = Denoiser(Counting(), Gaussian(Linear())), Denoiser(Crowded(), Gaussian(Linear()))
    for model, size in ((honest, 16), (crowded, 64)):
        assert block_of(model, (1, 8, 8), GRID, 5) == size
        assert block_of(model.told(None), (1, 8, 8), GRID, 6) == size
        assert model.network.calls == [16, 16, 64, 64]
    drawn = sample(crowded, (3, 1, 8, 8), generator=keyed(0), grid=GRID)
    assert torch.equal(drawn, sample(crowded, (64, 1, 8, 8), generator=keyed(0), grid=GRID)[:3])


def test_a_compiled_network_keeps_its_one_size():
    model = Denoiser(Counting(), Gaussian(Linear()))
    assert block_of(model, (1, 8, 8), GRID, 3) == 16
    model.network.compile(backend="eager")
    assert block_of(model, (1, 8, 8), GRID, 3) == 64


MODELS = {
    "unet": (unet(), (1, 8, 8)),
    "large": (unet((1, 20, 20)), (1, 20, 20)),
    "mlp": (Denoiser(awake(MLP((2,), hidden=32)), Gaussian(Linear())), (2,)),
    "bits": (Denoiser(awake(MLP((20,), hidden=32)), Binomial(ConstantFraction())), (20,)),
    "masks": (Denoiser(awake(MLP((4 * 5,), hidden=32)), Absorbing(ConstantFraction(), 3)), (5,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_samples_and_bounds_are_the_same_in_any_number(name):
    model, shape = MODELS[name]
    many, few = (sample(model, (n, *shape), generator=keyed(0), grid=GRID) for n in (70, 3))
    assert torch.equal(many[:3], few)
    assert torch.equal(sample(model, (2, *shape), generator=keyed(0), grid=GRID, first=40), many[40:42])
    bits = [torch.cat([b.total for _, b in bounds.blocks(model, x, grid=GRID)]) for x in (many, few)]
    assert torch.equal(bits[0][:3], bits[1])
    if model.kernel.symbols is None:
        x_t = normals(70, *shape).float()
        how = {"key": ("back",), "sampler": Ancestral(), "grid": GRID}
        many, few = (sample_from(model, x_t[:n], 1.0, rows=range(n), **how) for n in (70, 5))
        assert torch.equal(many[:5], few)


def test_draws_of_a_posterior_are_the_same_in_any_number():
    model = unet()
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True

    def drawn(n):
        factors = lambda examples, size: Known(torch.zeros(1, 8, 8), mask)  # noqa: E731
        return draw(model, factors, 1, n, (1, 8, 8), seed=0, grid=GRID, way=Way("matched")).x_0

    assert torch.equal(drawn(40)[:, :3], drawn(3))


def test_conditions_that_are_for_each_row_are_looked_at_as_one():
    model = unet(conditions={"kind": Classes(3)}).given(torch.tensor([0, 1, 2]))
    drawn = sample(model, (3, 1, 8, 8), generator=keyed(0), grid=GRID)
    for label in range(3):
        alone = sample(model.given(label), (3, 1, 8, 8), generator=keyed(0), grid=GRID)
        assert torch.equal(alone[label], drawn[label])


@pytest.mark.parametrize(
    ("free", "each", "rows"),
    [(139 * 2**30, 2**20, LARGEST), (2**30, 2**20, 512), (2**30, 3 * 2**20, 128), (2**20, 2**20, 8)],
)
def test_a_gpu_takes_what_half_of_its_free_memory_holds(monkeypatch, free, each, rows):
    """By what a call of eight rows takes; here with numbers in the place of a GPU."""
    model = Denoiser(Counting(), Gaussian(Linear()))
    numbers = {
        "reset_peak_memory_stats": lambda device: None,
        "memory_allocated": lambda device: 5 * 2**20,
        "memory_reserved": lambda device: 5 * 2**20,
        "max_memory_allocated": lambda device: 5 * 2**20 + 8 * each,
        "mem_get_info": lambda device: (free, 2 * free),
    }
    for name, function in numbers.items():
        monkeypatch.setattr(torch.cuda, name, function)
    assert blocks._fitting(model, (1, 8, 8), GRID, torch.device("cpu")) == rows


def test_cpu_blocks_are_of_a_few_thousand_values():
    assert [cpu_block(s) for s in ((2,), (20,), (1, 8, 8), (1, 28, 28), (3, 32, 32))] == [1024, 128, 64, 8, 8]
