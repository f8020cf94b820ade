"""The moving average of the weights."""

import pytest
import torch
from torch import nn
from toy import new_state, steps

from undiffuse.training import EMA


def follow(decay: float, values: list[float], first: int = 0) -> tuple[nn.Linear, EMA]:
    """A module whose one weight took these values, one a step, and its average from 0."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = EMA(module, decay)
    for step, value in enumerate(values, first):
        nn.init.constant_(module.weight, value)
        ema.update(step)
    return module, ema


def test_after_warm_up_it_is_a_geometric_average():
    values, decay = [1.0, -2.0, 5.0, 0.5], 0.75
    _, ema = follow(decay, values, first=100)
    expected = sum((1 - decay) * decay ** (3 - i) * v for i, v in enumerate(values))
    assert float(ema.average["weight"]) == pytest.approx(expected, rel=1e-6)


def test_warm_up_forgets_the_start():
    """d = (1 + step) / (10 + step): 1/10, 2/11, 3/12 ..."""
    _, ema = follow(0.999, [1.0, 2.0])
    assert float(ema.average["weight"]) == pytest.approx(0.9 * 2 / 11 + 2.0 * 9 / 11, rel=1e-6)


def test_the_average_starts_as_the_weights_and_is_a_copy():
    module = nn.Linear(2, 2)
    ema = EMA(module, 0.9)
    assert torch.equal(ema.average["weight"], module.weight)
    nn.init.zeros_(module.weight)
    assert ema.average["weight"].abs().sum() > 0


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_applied_swaps_and_puts_back(error: type[BaseException] | None):
    module, ema = follow(0.5, [4.0], first=100)
    try:
        with ema.applied():
            assert module.weight.item() == 2.0
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert module.weight.item() == 4.0
    assert float(ema.average["weight"]) == 2.0


def test_training_warms_the_average_up_from_its_first_step():
    """Step number n, from 0, moves it by 1 - (1 + n) / (10 + n) of the way until that is the decay."""
    state = new_state(steps=6, ema=0.25)
    expected = {name: p.detach().double().clone() for name, p in state.model.named_parameters()}
    for n, decay in enumerate((1 / 10, 2 / 11, 0.25, 0.25)):
        assert steps(state, count=1)[0].step == n + 1
        for name, p in state.model.named_parameters():
            expected[name] += (1 - decay) * (p.detach().double() - expected[name])
            torch.testing.assert_close(state.ema.average[name].double(), expected[name], rtol=1e-6, atol=1e-7)
