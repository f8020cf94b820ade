"""Nothing that is not finite passes."""

import signal

import pytest
import torch
from toy import new_state, same, steps, tensors

from undiffuse.objectives import Simple
from undiffuse.training import NonFiniteError, Signals
from undiffuse.training.gate import Watch

BAD = [torch.nan, torch.inf, -torch.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("size", [3, 2**16])
def test_one_bad_number_among_many_is_seen(value: float, size: int):
    many = [torch.ones(size), torch.ones(2, 3, 5, 5).to(memory_format=torch.channels_last), torch.ones(())]
    watch = Watch(many)
    assert watch.finite()
    for t in many:
        before = t.view(-1)[-1].clone() if t.is_contiguous() else t[-1, -1, -1, -1].clone()
        t[(-1,) * t.ndim] = value
        assert not watch.finite()
        t[(-1,) * t.ndim] = before
    assert watch.finite()


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


@pytest.fixture
def foreground():
    """SIGINT as at a terminal: jobs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signals_set_flags_and_are_given_back(foreground: None):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    with Signals() as signals:
        assert (signals.stop, signals.save) == (None, False)
        signal.raise_signal(signal.SIGUSR1)
        assert (signals.stop, signals.save) == (None, False)  # until the next step
        signals.agree()
        assert (signals.stop, signals.save) == (None, True)
        signals.agree()
        assert (signals.stop, signals.save) == (None, False)  # once
        signal.raise_signal(signal.SIGTERM)
        signals.agree()
        assert signals.stop == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert before == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


def test_what_another_process_heard_counts():
    signals = Signals()
    signals.agree(lambda own: max(own, 2 * signal.SIGTERM + 1))
    assert (signals.stop, signals.save) == (signal.SIGTERM, True)
    signals.agree()
    assert (signals.stop, signals.save) == (None, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_comes_while_they_agree_is_not_lost(number: int):
    def meanwhile(own: int) -> int:
        signal.raise_signal(number)
        return own

    with Signals() as signals:
        signals.agree(meanwhile)
        assert (signals.stop, signals.save) == (None, False)
        signals.agree()
    asked = (signal.SIGTERM, False) if number == signal.SIGTERM else (None, True)
    assert (signals.stop, signals.save) == asked


def test_one_signal_sent_twice(monkeypatch: pytest.MonkeyPatch):
    """With patience, a second one soon after is the first; later, it ends the process."""
    now = [100.0]
    monkeypatch.setattr("undiffuse.training.signals.time.monotonic", lambda: now[0])
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Signals(patience=5) as signals:
        signal.raise_signal(signal.SIGTERM)
        now[0] = 104.0
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signals._leave
        now[0] = 106.0
        raised = []
        monkeypatch.setattr("undiffuse.training.signals.signal.raise_signal", raised.append)
        signals._leave(signal.SIGTERM, None)
        assert raised == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)
