"""What a condition is worth where that is known: nothing, or exactly the bits that it determines."""

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import undiffuse as ud
from undiffuse import bounds
from undiffuse.conditions import Classes, Vector
from undiffuse.diffusion import evaluate
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0
from undiffuse.random import keyed
from undiffuse.samplers import sample
from undiffuse.schedules import ConstantFraction, Linear, LogLinear, grids

HALF = Vector((4,), (0.5,) * 4, (0.5,) * 4)
CERTAIN = 1e6  # logits


class Knows(nn.Module):
    """The exact posterior of 8 fair bits, of which the first four may be told."""

    conditions: ClassVar = {"half": HALF}

    def __init__(self, kernel) -> None:
        super().__init__()
        self.kernel, self.weight = kernel, nn.Parameter(torch.zeros(1).double())

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        bits = x_t[:, :8]
        keep = torch.sigmoid(self.kernel.schedule.logsnr(t.cpu())).view(-1, 1).clamp(1e-12, 1 - 1e-12)
        # log-odds of a bit after what is seen of it: kept, or drawn anew from a fair coin
        logits = (2 * bits - 1) * (torch.log1p(keep) - torch.log1p(-keep))
        if condition is None:
            return logits
        told = CERTAIN * (2 * condition - 1)
        return torch.cat([torch.where(condition.isnan(), logits[:, :4], told), logits[:, 4:]], 1)


def bits(n: int = 2000) -> Tensor:
    return torch.randint(2, (n, 8), generator=keyed("bits")).double()


@pytest.mark.parametrize("steps", [1, 20])
def test_half_of_the_bits_are_worth_half_of_the_bits(steps):
    """Fair bits cost 1 each; four of eight are known, so that the condition is worth 0.5 bits/dim."""
    kernel, x = Binomial(ConstantFraction()), bits()
    model, grid = Denoiser(Knows(kernel), kernel), grids.uniform(steps)
    told = model.given(x[:, :4])
    report = bounds.evaluate(told, x, grid=grid, untold=told.told(None))
    for found, wanted in ((report.untold, 1), (report.total, 0.5), (report.worth, 0.5)):
        assert abs(found.mean - wanted) < 4 * found.se + 1e-6
    assert report.worth.se < 0.02
    again = bounds.evaluate(told.told(None), x, grid=grid)
    assert again.total == report.untold
    wrong = bounds.evaluate(model.given(x[:, 4:]), x, grid=grid)
    assert wrong.total.mean > 5  # another half is no help


def test_samples_have_what_they_were_given():
    kernel = Binomial(ConstantFraction())
    model, half = Denoiser(Knows(kernel), kernel), bits(40)[:, :4]
    grid = grids.uniform(20)
    found = sample(model.given(half), (40, 8), generator=keyed(1), grid=grid)
    assert torch.equal(found[:, :4], half)
    assert 0.3 < found[:, 4:].mean() < 0.7
    one = sample(model.given(half[3]), (9, 8), generator=keyed(1), grid=grid)
    assert torch.equal(one[:, :4], half[3].expand(9, 4))
    later = sample(model.given(half), (3, 8), generator=keyed(1), grid=grid, first=17)
    assert torch.equal(later, found[17:20])
    with pytest.raises(ValueError, match="conditions of 40 examples: none for number 40"):
        sample(model.given(half), (41, 8), generator=keyed(1), grid=grid)


class Lazy(Knows):
    """One that has learned little of examples whose class is not told."""

    conditions: ClassVar = {"kind": Classes(2)}

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        logits = super().forward(x_t, t)
        return logits if condition is not None else logits + 1


def test_a_class_that_is_worth_more_bits_than_it_can_tell_is_doubted():
    kernel, x = Binomial(ConstantFraction()), bits(300)
    run = ud.Diffusion(Lazy(kernel), x.byte(), levels=2, kernel=kernel, grid=grids.uniform(4))
    found = evaluate(run.given(torch.zeros(300, dtype=torch.long)), x.byte(), worth=True)
    (doubt,) = (text for text in found.warnings if "tells" in text)
    assert doubt.startswith("a class tells at most 1.00 bits") and found.report.worth.mean * 8 > 1
    honest = evaluate(run.given(1), x.byte(), worth=False)
    assert not any("tells" in text for text in honest.warnings)


class Deaf(nn.Module):
    """A network that takes a condition and does not listen."""

    conditions: ClassVar = {"half": HALF}

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.weight, self.outputs = nn.Parameter(torch.ones(1).double()), outputs

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.cat([self.weight * x_t] * self.outputs, 1)


@pytest.mark.parametrize(
    "model",
    [
        Denoiser(Deaf(), Gaussian(Linear())),
        Denoiser(Deaf(), Binomial(ConstantFraction())),
        Denoiser(Deaf(), Gaussian(LogLinear()), X0()),
    ],
    ids=["v", "bits", "x0"],
)
def test_what_says_nothing_is_worth_nothing(model):
    x = bits(50)
    told = model.given(torch.rand(50, 4, generator=keyed("c")))
    report = bounds.evaluate(told, x, grid=grids.uniform(6), untold=model)
    assert report.worth.mean == 0 and report.worth.se == 0 and report.untold == report.total


@pytest.mark.slow
@pytest.mark.parametrize("informs", [True, False])
def test_a_trained_network_finds_what_a_condition_is_worth(informs, tmp_path):
    """Bits of which half are given, or a condition that is independent of them."""
    x = torch.randint(2, (1500, 6), generator=keyed("train")).byte()
    other = torch.randint(2, (1500, 3), generator=keyed("other"))
    c = (x[:, :3] if informs else other).float()
    settings = {"network.hidden": 64, "train.watch": 0, "grid.steps": 20}
    model = ud.fit(x[:1200], condition=c[:1200], steps=300, settings=settings, quiet=True, seed=1)
    report = model.given(c[1200:]).evaluate(x[1200:], worth=True)
    wanted = 0.5 if informs else 0.0
    assert abs(report.worth.mean - wanted) < 4 * report.worth.se + 0.02
    assert math.isclose(report.untold.mean - report.worth.mean, report.total.mean, abs_tol=1e-9)
    assert report.worth.se < 0.02
