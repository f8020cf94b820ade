"""Settings that cannot be are refused by name."""

import math

import pytest

from undiffuse.training import Settings

WRONG = {
    "steps": [-1],
    "batch": [0],
    "accumulate": [0, 3],
    "lr": [0.0, -1e-3, math.nan, math.inf],
    "warmup": [-1],
    "weight_decay": [-0.1, math.nan, math.inf],
    "beta2": [1.0, -0.1, math.nan],
    "clip": [-1.0, math.nan],
    "ema": [1.0, -0.1, math.nan],
    "log_every": [0],
    "sample_every": [-1],
    "sample_steps": [0],
    "figures_every": [-1],
    "evaluate_every": [-1],
    "evaluate_examples": [1],
    "evaluate_terms": [0],
    "checkpoint_every": [-1],
    "keep": [0],
    "spike": [-1.0, 0.5, math.nan, math.inf],
    "rewind_limit": [0],
}
PAIRS = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), PAIRS)
def test_out_of_range(name: str, value: float):
    with pytest.raises(ValueError, match=rf"train\.{name}={value}"):
        Settings(**{name: value})


def test_the_least_that_can_be():
    least = {"steps": 0, "batch": 1, "accumulate": 1, "warmup": 0, "weight_decay": 0.0, "clip": 0.0}
    least |= {"ema": 0.0, "beta2": 0.0, "log_every": 1, "evaluate_examples": 2, "checkpoint_every": 0}
    assert Settings(**least).steps == 0


@pytest.mark.parametrize("rule", ["skip", "rewind"])
def test_a_rule_for_spikes_needs_spikes(rule: str):
    with pytest.raises(ValueError, match=rf"train\.on_spike={rule}: needs a train\.spike"):
        Settings(on_spike=rule)


def test_to_go_back_there_must_be_checkpoints():
    with pytest.raises(ValueError, match=r"on_spike=rewind: needs a train\.checkpoint_every"):
        Settings(spike=3.0, on_spike="rewind", checkpoint_every=0)
