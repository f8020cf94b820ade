"""The moving average of the weights."""

import pytest
import torch
from torch import nn

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
