"""The learning rate, AdamW's first step, and its state put away and back."""

import math

import pytest
import torch
from torch import nn
from toy import settings

from undiffuse.training import restore, state_of
from undiffuse.training.optimizer import adamw, learning_rate


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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_state_goes_on_where_it_stopped(layout: torch.memory_format):
    """Also for weights that do not lie in memory as they are saved."""

    def fresh() -> nn.Conv2d:
        torch.manual_seed(0)
        return nn.Conv2d(2, 3, 3).to(memory_format=layout)

    def step(layer: nn.Conv2d, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        layer(torch.arange(50.0).view(1, 2, 5, 5).sin()).square().sum().backward()
        optimizer.step()

    with torch.random.fork_rng([]):
        one, two = fresh(), fresh()
    first, second = adamw(one, settings()), adamw(two, settings())
    step(one, first)
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
