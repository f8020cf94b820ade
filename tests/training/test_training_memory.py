"""A batch that does not fit: the same step in more parts, or the error."""

import pytest
import torch
from toy import new_state, same, steps, tensors

from undiffuse.memory import asked, out_of_memory
from undiffuse.objectives import Simple
from undiffuse.objectives.times import Importance, Independent
from undiffuse.training import State

CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes. Error code 12"
GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"
ERRORS = [torch.OutOfMemoryError(GPU), RuntimeError(CPU), MemoryError()]


@pytest.mark.parametrize(("error", "amount"), [*zip(ERRORS, ["2.00 GiB", "800 bytes", ""], strict=True)])
def test_what_runs_out_says_so(error: Exception, amount: str):
    assert out_of_memory(error)
    assert asked(error) == amount


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("allocate 3 bytes"), KeyError()])
def test_other_errors_are_others(error: Exception):
    assert not out_of_memory(error)


def limited(state: State, rows: int, error: Exception = ERRORS[0]) -> State:
    """Its network has memory for so many rows."""

    def look(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > rows:
            raise error

    state.model.network.register_forward_pre_hook(look)
    return state


class Plain:
    """An objective without randomness."""

    times = Independent()

    def __call__(self, model, x_0, generator):
        return (model.network(x_0, torch.full((len(x_0),), 0.5)) - x_0).square().mean(1)


@pytest.mark.parametrize("error", ERRORS)
def test_the_halved_step_is_the_whole_one_to_rounding(error: Exception):
    whole, halved = new_state(), limited(new_state(halve_on_oom=True), 3, error)
    reports, others = steps(halved, Plain()), steps(whole, Plain())
    assert [r.parts for r in reports] == [4, None, None, None, None, None]
    assert [r.loss for r in reports] == pytest.approx([r.loss for r in others], rel=1e-5)
    for name, t in tensors(whole).items():
        torch.testing.assert_close(tensors(halved)[name], t, rtol=1e-4, atol=1e-6)


def test_what_is_drawn_is_drawn_for_the_rows():
    """Six rows in four parts, some of two rows and some of one: the times and noise of the whole batch."""
    whole, halved = new_state(batch=6), limited(new_state(batch=6, halve_on_oom=True), 2)
    reports, others = steps(halved), steps(whole)
    assert [r.parts for r in reports] == [4, None, None, None, None, None]
    assert [r.loss for r in reports] == pytest.approx([r.loss for r in others], rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_it_is_that_of_accumulated_parts_to_the_bit(dropout: float):
    """Random numbers, dropout, and what the times learned of the attempts that failed."""
    objectives = [Simple(times=Importance(bins=2)) for _ in range(2)]
    parts = new_state(dropout, accumulate=4)
    halved = limited(new_state(dropout, halve_on_oom=True), 2)
    assert steps(parts, objectives[0])[-1].loss == steps(halved, objectives[1])[-1].loss
    assert same(tensors(parts), tensors(halved))
    assert objectives[0].times.state() == objectives[1].times.state()


def test_nothing_of_a_failed_attempt_is_left():
    """The second of two parts fails, once, after the first has given its gradient and taught the times."""
    count = iter(range(99))

    def look(*_: object) -> None:
        if next(count) == 5:
            raise torch.OutOfMemoryError(GPU)

    objectives = [Simple(times=Importance(bins=2)) for _ in range(2)]
    failing, other = new_state(0.5, accumulate=2, halve_on_oom=True), new_state(0.5, accumulate=2)
    failing.model.network.register_forward_pre_hook(look)
    assert [r.parts for r in steps(failing, objectives[0])] == [None, None, 4, None, None, None]
    steps(other, objectives[1], count=2)
    other.parts = 4
    steps(other, objectives[1])
    assert same(tensors(failing), tensors(other))
    assert objectives[0].times.state() == objectives[1].times.state()


CANNOT = [({}, 7), ({"halve_on_oom": True}, 0)]


@pytest.mark.parametrize(("changes", "rows"), CANNOT)
def test_what_cannot_be_halved_is_an_error(changes: dict, rows: int):
    """Not asked for; not even one row fits."""
    state = limited(new_state(**changes), rows)
    before = tensors(state)
    with pytest.raises(torch.OutOfMemoryError):
        steps(state, Simple())
    assert same(before, tensors(state)) and state.step == 0


def test_other_errors_are_not_met_with_halves():
    state = limited(new_state(halve_on_oom=True), 4, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        steps(state)
    assert state.parts == 1
