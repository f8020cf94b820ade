"""The learning rate, AdamW's first step, and its state put away and back."""

import math

import pytest
import torch
from torch import nn
from toy import settings

from undiffuse.training import Precision, restore, state_of
from undiffuse.training.muon import Muon
from undiffuse.training.newton_schulz import STEPS, A, B, C, orthogonal
from undiffuse.training.optimizer import Optimizer, adamw, learning_rate, optimizer_of

PRECISION = Precision("fp32", "a test")


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_warm_up_is_linear(decay: str):
    told = settings(steps=10**9, lr=0.5, warmup=4, decay=decay)
    rates = [learning_rate(step, told) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


def test_without_warm_up_the_first_step_is_whole():
    assert learning_rate(0, settings(lr=0.5, warmup=0)) == 0.5


def test_the_cosine_falls_to_zero():
    told = settings(steps=100, lr=2.0, warmup=0, decay="cosine")
    rates = [learning_rate(step, told) for step in range(101)]
    assert rates[0] == 2.0
    assert rates[50] == pytest.approx(1.0)
    assert rates[25] == pytest.approx(1 + math.cos(math.pi / 4))
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


def test_the_first_step_has_the_length_of_the_rate():
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    optimizer = adamw(layer, settings(lr=0.1, weight_decay=0.5))
    layer.weight.grad = torch.tensor([[-3.0]])
    optimizer.step()
    assert layer.weight.item() == pytest.approx(before * (1 - 0.1 * 0.5) + 0.1)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert adamw(layer, settings(beta2=0.95)).param_groups[0]["betas"] == (0.9, 0.95)


def test_adamw_is_pytorchs():
    """Bit for bit, decay and all; a weight without a gradient stays, and keeps nothing."""
    one, two = layers()[1:], layers()[1:]
    ours = adamw(one, settings(lr=0.01, weight_decay=0.1, beta2=0.99))
    theirs = torch.optim.AdamW(two.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    draw, still = torch.Generator().manual_seed(1), two[2].bias
    for _ in range(3):
        for p, q in zip(one.parameters(), two.parameters(), strict=True):
            q.grad = None if q is still else torch.randn(q.shape, generator=draw)
            p.grad = None if q is still else q.grad.clone()
        ours.step(), theirs.step()
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(p, q) and ours.state[p].keys() == theirs.state[q].keys()
        assert all(torch.equal(value, theirs.state[q][key]) for key, value in ours.state[p].items())
    ours.zero_grad()
    assert all(p.grad is None for p in one.parameters())


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        (layout, kind)
        for layout in (torch.contiguous_format, torch.channels_last)
        for kind in ("adamw", "muon")
    ],
)
def test_the_state_goes_on_where_it_stopped(layout: torch.memory_format, kind: str):
    """Also for weights that do not lie in memory as they are saved."""

    def fresh() -> nn.Conv2d:
        torch.manual_seed(0)
        return nn.Conv2d(2, 16, 3).to(memory_format=layout)

    def step(layer: nn.Conv2d, optimizer: Optimizer) -> None:
        optimizer.zero_grad()
        layer(torch.arange(50.0).view(1, 2, 5, 5).sin()).square().sum().backward()
        optimizer.step()

    with torch.random.fork_rng([]):
        one, two = fresh(), fresh()
    first, second = (optimizer_of(layer, settings(optimizer=kind), PRECISION) for layer in (one, two))
    step(one, first)
    assert all(t.any() for t in state_of(first, one).values())
    restore(second, two, {name: t.clone().contiguous() for name, t in state_of(first, one).items()})
    two.load_state_dict(one.state_dict())
    step(one, first)
    step(two, second)
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)


def test_the_state_of_another_module_is_refused():
    layer = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="other"):
        restore(adamw(layer, settings()), layer, {"exp_avg/other": torch.zeros(1)})


def layers() -> nn.Sequential:
    """A table, an inner matrix, inner filters, and a narrow end."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 32), nn.Conv1d(32, 16, 3), nn.Linear(16, 2))


@pytest.mark.parametrize(("until", "inner"), [(2, "1.weight"), (4, "2.weight")])
def test_muon_moves_every_direction_of_a_matrix_alike(until: int, inner: str):
    """One step is orthogonal, as long as AdamW's; what is no inner matrix moves as AdamW moves it.

    Where there are filters they alone are inner matrices.
    """
    module, other = layers()[:until], layers()[:until]
    told = {"lr": 0.01, "weight_decay": 0.0}
    ours, plain = Muon(module, settings(**told)), adamw(other, settings(**told))
    draw = torch.Generator().manual_seed(1)
    for p, q in zip(module.parameters(), other.parameters(), strict=True):
        p.grad = torch.randn(p.shape, generator=draw)
        q.grad = p.grad.clone()
    before = [p.detach().clone() for p in module.parameters()]
    ours.step(), plain.step()
    for (name, p), q, old in zip(module.named_parameters(), other.parameters(), before, strict=True):
        if name != inner:
            assert torch.equal(p, q), name
            continue
        moved = (p - old).flatten(1)
        stretch = torch.linalg.svdvals(moved)
        assert stretch.max() < 2 * stretch.min(), name  # Newton-Schulz is no more exact than that
        assert 0.001 < moved.square().mean().sqrt() < 0.003, name  # a fifth of AdamW's first step of 0.01
    assert len(ours.param_groups) == 2 and set(ours.state) == set(module.parameters())
    ours.zero_grad()
    assert all(p.grad is None for p in module.parameters())


def test_narrow_ends_alone_are_left_to_adamw():
    assert len(Muon(nn.Linear(2, 2), settings()).param_groups) == 1


def test_muon_is_pytorchs_on_matrices():
    """Several steps, with decay; PyTorch's rounds to bfloat16 within."""
    one, two = (layers()[1] for _ in range(2))
    two.bias = None
    ours = Muon(one, settings(lr=0.01, weight_decay=0.1))
    theirs = torch.optim.Muon(
        two.parameters(), lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    draw, before = torch.Generator().manual_seed(1), one.weight.detach().clone()
    for _ in range(4):
        one.weight.grad = torch.randn(one.weight.shape, generator=draw)
        two.weight.grad = one.weight.grad.clone()
        ours.step(), theirs.step()
    assert (one.weight - two.weight).norm() < 0.02 * (one.weight - before).norm()


@pytest.mark.parametrize("half", [False, True])
def test_singular_values_go_through_the_polynomial(half: bool):
    """Five times s <- A s + B s^3 + C s^5, for those down to a millionth of the norm; vectors stay."""
    draw, given, expected = torch.Generator().manual_seed(2), [], []
    for shape in ((24, 24), (16, 100), (100, 16), (16, 40), (32, 40), (24, 24)):
        u, _, v = torch.linalg.svd(torch.randn(shape, generator=draw).double(), full_matrices=False)
        s = torch.logspace(0, -6, u.shape[1], dtype=torch.float64)
        s = s / s.norm()
        given.append((3 * u * s @ v).float())
        for _ in range(STEPS):
            s = A * s + B * s**3 + C * s**5
        expected.append(u * s @ v)
    found = orthogonal(given, torch.bfloat16 if half else torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < (0.35 if half else 1e-3) * other.norm()


def test_a_gradient_of_zeros_moves_nothing():
    assert not orthogonal([torch.zeros(16, 40)])[0].any()
