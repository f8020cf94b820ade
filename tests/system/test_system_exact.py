"""evaluate --exact, log_prob, encode and decode: what is printed, written and computed is one number."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from shell import good, refused, tree

import undiffuse as library
from oracles import GaussianReverse
from undiffuse.kernels import Gaussian
from undiffuse.recipes import load_data
from undiffuse.schedules import LogLinear


def read(run: Path, name: str) -> dict:
    return json.loads((run / f"likelihood-{name}.json").read_text())


@pytest.mark.parametrize("kind", ["points", "digits", "vectors"])
def test_printed_written_and_computed_agree(copy: Callable[[str], Path], kind: str):
    run = copy(kind)
    before = tree(run)
    out = good("evaluate", run, "--examples", 5, "--exact", "--calls", 11, "--terms", 2)
    name = "test-5-examples-2-terms-11-calls"
    assert f"likelihood-{name}.json" in tree(run) - before
    found, loaded = read(run, name), library.load(run)
    data = load_data(loaded.recipe).test[:5]
    again = loaded.likelihood(data, calls=11, beside=True, terms=2)
    assert json.loads(json.dumps(again.summary())) == found and str(again.less) in str(again)
    for word, each in (("-log2", again.bits), ("the bound, less that", again.less)):
        assert re.search(rf"{word}.* \+?{each.mean:.4f} +{each.se:.4f}", out)
    assert f"{again.grid_error:.4f}" in out and "11 calls an example" in out
    assert ("the density of the data with noise" in out) == (kind != "digits") and found["calls"] == 11
    nats = loaded.log_prob(data, calls=11)
    scale = math.prod(loaded.shape) * math.log(2)
    assert found["bits"]["mean"] == pytest.approx(float(-nats.mean()) / scale, rel=1e-6)
    less = float(loaded.bits(data, terms=2).mean()) - found["bits"]["mean"]
    assert found["less"]["mean"] == pytest.approx(less, abs=1e-5)


def test_arrays_and_frames_go_in_and_out(runs: Path):
    loaded = library.load(runs / "vectors")
    data = load_data(loaded.recipe).test[:4].numpy()
    frame = pd.DataFrame(data, index=[9, 8, 7, 6])
    found = loaded.log_prob(frame, calls=11)
    assert list(found.index) == [9, 8, 7, 6]
    assert np.array_equal(loaded.log_prob(data, calls=11), found.to_numpy())
    latents = loaded.encode(data, calls=20)
    assert isinstance(latents, np.ndarray) and latents.shape == data.shape
    assert np.abs(loaded.decode(latents, calls=20) - data).max() < 0.3 * data.std()


def test_a_gradient_in_raw_units(runs: Path):
    loaded = library.load(runs / "vectors")
    raw = load_data(loaded.recipe).test[:3].clone().requires_grad_()
    found = loaded.log_prob(raw, calls=11)
    (slope,) = torch.autograd.grad(found.sum(), raw)
    step = 1e-2 * slope / slope.norm()
    moved = loaded.log_prob((raw + step).detach(), calls=11) - loaded.log_prob(
        (raw - step).detach(), calls=11
    )
    assert float(moved.sum()) == pytest.approx(2 * float((slope * step).sum()), rel=0.05)


def test_levels_come_back_from_their_latents(runs: Path):
    loaded = library.load(runs / "digits")
    raw = load_data(loaded.recipe).test[:3]
    back = loaded.decode(loaded.encode(raw, calls=30), calls=30)
    assert back.dtype == raw.dtype and (back.int() - raw.int()).abs().float().mean() < 1


def test_raw_units():
    """A model of standard normal x_0 does not move it: what is left is the map to raw values and back."""
    g = torch.Generator().manual_seed(0)
    raw = torch.tensor([5.0, -2.0]) + torch.tensor([3.0, 0.1]) * torch.randn(400, 2, generator=g)
    kernel = Gaussian(LogLinear(1, -8))
    of = library.Diffusion(GaussianReverse(kernel, torch.zeros(2), torch.ones(2)), raw)
    alpha = float(kernel.alpha_sigma(of.grid[0])[0])
    assert alpha < 0.9
    latents = of.encode(raw[:5], calls=60)
    torch.testing.assert_close(latents, alpha * of.space.encode(raw[:5]), rtol=0, atol=2e-3)
    torch.testing.assert_close(of.decode(latents, calls=60), raw[:5], rtol=0, atol=2e-3)
    z = of.space.encode(raw).double()  # as wide as data with so much noise
    log_p = torch.distributions.Normal(0.0, 1 / alpha).log_prob(z).sum(1) + of.space.log_det((2,))
    assert abs(of.space.log_det((2,))) > 0.5
    torch.testing.assert_close(of.log_prob(raw, calls=50), log_p, rtol=0, atol=5e-3)


def test_what_has_no_flow_is_refused(runs: Path, bits: Path):
    before = tree(bits)
    said = "a Binomial kernel is of symbols, between which nothing flows: use the bound (bits)"
    assert said in refused("evaluate", bits, "--exact") and tree(bits) == before
    assert "calls=3: at least 8" in refused("evaluate", runs / "points", "--exact", "--calls", 3)
    assert "--json prints the bound alone" in refused("evaluate", runs / "points", "--exact", "--json")
    loaded = library.load(runs / "digits")
    raw = load_data(loaded.recipe).test[:3]
    with pytest.raises(ValueError, match="calls=2: a walk along the flow takes three"):
        loaded.encode(raw, calls=2)
    with pytest.raises(TypeError, match="nothing"):
        loaded.log_prob(raw, nothing=1)
    with pytest.raises(ValueError, match="dequantize='none': one of truncated, uniform"):
        loaded.log_prob(raw, dequantize="none")
    with pytest.raises(TypeError, match=r"signs=1\.5: give a whole number"):
        loaded.log_prob(raw, signs=1.5)
    with pytest.raises(ValueError, match="a standard error needs at least two"):
        loaded.likelihood(raw[:1])


def test_what_has_no_flow_or_no_rows_is_refused(runs: Path):
    loaded = library.load(runs / "digits")
    raw = load_data(loaded.recipe).test[:3]
    for ask in (loaded.log_prob, loaded.encode, loaded.bits):
        with pytest.raises(ValueError, match="no examples"):
            ask(raw[:0])
    with pytest.raises(ValueError, match="latents: some are not finite"):
        loaded.decode(torch.full((2, *loaded.shape), torch.nan))
    for ask in (loaded.stopped(1).log_prob, loaded.stopped(1).encode):
        with pytest.raises(ValueError, match="stop=1: no time is left in which anything flows"):
            ask(raw)
    with pytest.raises(ValueError, match="a chain of one time leaves none to choose"):
        loaded.stopped(1).tuned(4)
