"""Nothing that is not finite passes."""

import pytest
import torch
from toy import new_state, same, steps, tensors

from undiffuse.objectives import Simple
from undiffuse.training import NonFiniteError
from undiffuse.training.gate import Gate

BAD = [torch.nan, torch.inf, -torch.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("size", [3, 2**16])
def test_one_bad_number_among_many_is_seen(value: float, size: int):
    many = [torch.ones(size), torch.ones(2, 3, 5, 5).to(memory_format=torch.channels_last), torch.ones(())]
    watch = Gate(many)
    assert watch.sum().isfinite()
    for t in many:
        before = t.view(-1)[-1].clone() if t.is_contiguous() else t[-1, -1, -1, -1].clone()
        t[(-1,) * t.ndim] = value
        assert not watch.sum().isfinite()
        t[(-1,) * t.ndim] = before
    assert watch.sum().isfinite()


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("group", ["weights", "average", "optimizer"])
def test_a_bad_state_stops_the_same_step_and_nothing_moves(group: str, value: float):
    state = new_state()
    steps(state, count=3)
    name, t = next((n, t) for n, t in state.groups()[group].items() if t.numel() > 1)
    with torch.no_grad():
        t.view(-1)[1] = value
    before = tensors(state)
    with pytest.raises(NonFiniteError, match=f"step 3: .*{group}: {name}") as error:
        steps(state)
    assert error.value.state
    after = tensors(state)
    assert all(torch.equal(before[name].nan_to_num(7), after[name].nan_to_num(7)) for name in before)


def poisoned(at: tuple[int, ...]):
    """The simple loss, NaN in some steps."""
    count = iter(range(99))
    return lambda *given: Simple()(*given) * (torch.nan if next(count) in at else 1.0)


def test_stop_is_the_rule():
    with pytest.raises(NonFiniteError, match=r"step 1: loss nan.*gradient: network.*train\.non_finite=skip"):
        steps(new_state(), poisoned((1,)))


def test_skipping_leaves_a_step_out():
    state, other = new_state(non_finite="skip"), new_state()
    reports = steps(state, poisoned((1,)), count=2)
    steps(other, count=1)
    assert [r.skipped is None for r in reports] == [True, False]
    assert same(tensors(state), tensors(other))
    assert (state.step, other.step) == (2, 1)


def test_skipping_ends_after_too_many_in_a_row():
    assert len(steps(new_state(non_finite="skip", skip_limit=2), poisoned((1, 2, 4, 5)))) == 6
    with pytest.raises(NonFiniteError, match="step 3"):
        steps(new_state(non_finite="skip", skip_limit=2), poisoned((1, 2, 3)))


def test_skips_in_a_row_are_counted_from_the_state():
    state = new_state(non_finite="skip", skip_limit=2)
    state.skips = 2
    with pytest.raises(NonFiniteError):
        steps(state, poisoned((0,)), count=1)
