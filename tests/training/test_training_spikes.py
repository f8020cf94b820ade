"""Loss spikes: what is one, and what the loop does about it."""

import numpy as np
import pytest
from toy import batches, new_state, same, steps, tensors

from undiffuse.objectives import Simple
from undiffuse.training import SpikeError
from undiffuse.training.spikes import LEAST, WINDOW, Spikes


def share(losses: np.ndarray, factor: float) -> tuple[int, int]:
    """How many of the losses after the first window are spikes, all of them counted in, and of how many."""
    spikes, found = Spikes(factor), 0
    for step, loss in enumerate(losses.tolist()):
        found += step >= WINDOW and spikes.find(step, loss) is not None
        spikes.add(loss)
    return found, len(losses) - WINDOW


@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy"])
def test_with_factor_one_a_spike_is_a_record(law: str):
    """Any of 101 exchangeable losses is the largest as often as another."""
    found, count = share(getattr(np.random.default_rng(0), law)(size=30_000), 1.0)
    expected = count / (WINDOW + 1)
    assert abs(found - expected) < 4 * expected**0.5


def test_exponential_losses_have_few_spikes():
    """P(loss > m + 2 (M - m)) = e^m E[e^(-2 M)] = 2 * 2! 100! / 102!, with the median at log 2."""
    found, count = share(np.random.default_rng(0).exponential(size=40_000), 2.0)
    expected = count * 4 / (101 * 102)
    assert abs(found - expected) < 4 * expected**0.5


@pytest.mark.parametrize("level", [1.0, 0.0, -1000.0])
def test_a_hundred_times_the_spread_is_found_at_once(level: float):
    spikes = Spikes(3.0)
    for step, loss in enumerate(level + np.random.default_rng(0).normal(size=500)):
        assert spikes.find(step, float(loss)) is None
        spikes.add(float(loss))
    found = spikes.find(500, level + 100)
    assert found is not None and (found.step, found.loss) == (500, level + 100)
    assert level + 5 < found.limit < level + 12
    assert spikes.find(500, level - 100) is None


def test_the_first_losses_say_nothing():
    spikes = Spikes(1.0)
    for step in range(LEAST):
        assert spikes.find(step, 1e9) is None
        spikes.add(step / LEAST)
    assert spikes.find(LEAST, 1e9) is not None


def test_without_a_factor_nothing_is_kept():
    spikes = Spikes(0.0)
    for loss in [1.0] * 50:
        spikes.add(loss)
    assert spikes.recent == []
    assert spikes.find(50, 1e9) is None


def spiky(*at: int):
    """The simple objective, a thousand times as large in the batches of these numbers."""
    return lambda model, x_0, noise: Simple()(model, x_0, noise) * (1000.0 if noise.step in at else 1.0)


def test_to_record_one_changes_nothing():
    state, other = new_state(steps=40, spike=3.0), new_state(steps=40)
    reports = steps(state, spiky(30, 33))
    steps(other, spiky(30, 33))
    assert [r.step for r in reports if r.spike] == [31]  # the second goes no further than the first
    assert all(r.taken for r in reports)
    assert same(tensors(state), tensors(other))


def test_a_spike_is_left_out():
    state = new_state(steps=40, spike=3.0, on_spike="skip")
    reports = steps(state, spiky(30, 33), count=34)
    assert [r.step for r in reports if r.spike] == [r.step for r in reports if not r.taken] == [31, 34]
    assert state.skips == 1 and len(state.spikes.recent) == 32
    before = tensors(state)
    steps(state, spiky(34), count=1)
    assert state.skips == 2 and same(before, tensors(state))


def test_what_is_left_out_moves_nothing_else():
    """The steps around a spike are those of a run that never met it."""
    state, other = new_state(steps=40, spike=3.0, on_spike="skip"), new_state(steps=40)
    steps(state, spiky(30))
    steps(other, count=30)
    other.step = 31
    steps(other)
    assert same(tensors(state), tensors(other))


def test_too_many_in_a_row_end_the_run():
    state = new_state(steps=40, spike=3.0, on_spike="skip", skip_limit=2)
    with pytest.raises(SpikeError, match=r"step 32: loss .*2 steps in a row.*skip_limit.*train\.lr"):
        steps(state, spiky(30, 31, 32))
    assert len(steps(new_state(steps=40, spike=3.0, on_spike="skip", skip_limit=2), spiky(30, 31, 33))) == 40


def test_a_detour_keys_the_batch_and_the_noise():
    """Steps 0 and 1 after a detour of 3 see what steps 3 and 4 would, at the rates of 0 and 1."""
    seen, rows = [], []

    def watched(model, x_0, noise):
        seen.append((noise.key, noise.step))
        rows.append(x_0)
        return Simple()(model, x_0, noise)

    state = new_state(steps=2)
    state.detour = 3
    rates = [progress.lr for progress in steps(state, watched)]
    assert seen == [((5, "train"), number) for number in (3, 4)]
    assert all(bool((row == batches()(number)).all()) for row, number in zip(rows, (3, 4), strict=True))
    assert rates == [r.lr for r in steps(new_state(steps=2))]
