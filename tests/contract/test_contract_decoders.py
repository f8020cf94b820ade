"""Laws of the last step, and of what is predicted of symbols."""

import math

import pytest
import torch
from examples import AROUND, each
from torch import Tensor

from oracles import Constant, f64, normals
from undiffuse.bounds import evaluate
from undiffuse.distributions import Discretized, Normal
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian
from undiffuse.model import Denoiser
from undiffuse.parameterizations import DiscretizedDecoder, NormalDecoder
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, Linear, grids

KERNEL = Gaussian(Linear())


def test_a_certain_bit_leaves_something_to_the_other():
    """Logits of float32 networks are decoded in float64, cut at 30."""
    for logit, cost in ((25.0, 25.0), (-25.0, 0.0), (900.0, 30.0)):
        model = Denoiser(Constant(torch.full((2,), logit)), Binomial(ConstantFraction()))
        x = torch.zeros(3, 2)
        found = -model.decode(x, f64(0.1)).log_prob(x)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, torch.full((3, 2), cost).double(), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("decoder", [NormalDecoder, DiscretizedDecoder])
def test_a_latent_without_signal_gives_no_width(decoder):
    kernel, one = Gaussian(ConstantFraction()), f64(1.0)
    with pytest.raises(ValueError, match=r"decoder\.std"):
        decoder()(normals(4, 3), normals(4, 3), one, kernel)
    wide = decoder(std=0.1)(normals(4, 3), normals(4, 3), one, kernel)
    assert wide.log_prob(normals(4, 3)).isfinite().all()


@pytest.mark.parametrize("decoder", **each(AROUND))
def test_decoders_lie_around_the_prediction(decoder):
    t, x = f64(0.001), 0.9 * torch.tanh(normals(4, 3))
    p = decoder(x, x + 9, t, KERNEL)
    keep = KERNEL.schedule.keep(t)
    std = decoder.std or ((1 - keep) / keep).sqrt().item()
    assert torch.equal(p.loc, x)
    if isinstance(p, Normal):
        assert p.var.item() == pytest.approx(std**2)
        assert p.log_prob(x)[0, 0].item() == pytest.approx(-math.log(std * (2 * math.pi) ** 0.5))
    else:
        assert isinstance(p, Discretized) and p.std.item() == pytest.approx(std)
        assert p.levels == decoder.levels
        assert (p.log_prob(x) > p.log_prob(x + 0.3)).all()
    rows = decoder(x, x, t.expand(4), KERNEL)
    torch.testing.assert_close(rows.log_prob(x), p.log_prob(x))


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan])
def test_a_decoder_has_a_width(std):
    with pytest.raises(ValueError, match="std"):
        NormalDecoder(std)


@pytest.mark.parametrize("kernel", [Binomial(Linear(), 0.2), Categorical(Linear(), 3)])
def test_symbols_are_predicted_stepped_and_decoded(kernel):
    """A network of zeros: even odds, a step that mixes the bridges, probabilities that sum to one."""
    model = Denoiser(Constant(torch.zeros(2 * kernel.channels).double()), kernel)
    x = torch.arange(6).view(3, 2).double() % kernel.symbols
    share = 1 / kernel.symbols
    soft = model.predict(x, f64(0.5))
    torch.testing.assert_close(soft, torch.full_like(soft, share))
    decoded = model.decode(x, f64(0.1))
    for k in range(kernel.symbols):
        torch.testing.assert_close(decoded.log_prob(torch.full_like(x, k)).exp(), torch.full_like(x, share))
    check_step(model, soft, x)


def test_what_has_survived_of_an_absorbing_chain_is_certain():
    """And a mask says nothing: even odds, of a network of zeros, for the symbols alone."""
    kernel = Absorbing(ConstantFraction(), 3)
    model = Denoiser(Constant(torch.zeros(2 * kernel.channels).double()), kernel)
    x = torch.tensor([[0, 3], [1, 3], [3, 2]]).double()
    soft, decoded = model.predict(x, f64(0.5)), model.decode(x, f64(0.1))
    for k in range(kernel.symbols):
        chance = torch.where(x < 3, (x == k).double(), 1 / 3)
        torch.testing.assert_close(soft[..., k], chance)
        torch.testing.assert_close(decoded.log_prob(torch.full_like(x, k)).exp(), chance)
    check_step(model, soft, x)


def test_masks_cost_what_their_symbols_are_worth():
    """Six even symbols of four are twelve bits, however long the chain: what survived is paid for once."""
    kernel, x = Absorbing(ConstantFraction(), 4), torch.randint(0, 4, (2000, 6), generator=keyed("masks"))
    model = Denoiser(Constant(torch.zeros(6 * kernel.channels)), kernel)
    for steps in (2, 50):
        found = evaluate(model, x.float(), grid=grids.uniform(steps)).total * 6
        assert abs(found.mean - 12) < 4 * found.se


def check_step(model: Denoiser, soft: Tensor, x: Tensor) -> None:
    """It is the bridge to the prediction; the network sees each state of every symbol."""
    kernel, s, t = model.kernel, f64(0.4), f64(0.5)
    torch.testing.assert_close(model.step(x, t, s).mean, kernel.bridge(soft, x, s, t).mean)
    assert kernel.features(x).shape == (3, 2 * kernel.channels)
