"""Stop signals: answered at once, obeyed where nothing is lost, waiting while processes start."""

import os
import signal
import subprocess
import sys
import time

import pytest

from undiffuse.signals import LEAVE, Left, Signals, deferred

SLOW = """
import hashlib, sys
from undiffuse.signals import Signals
with Signals() as signals:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 400_000_000)  # minutes in C, in which no handler is called
"""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes of a process that should have ended at once."""
    codes: list[int] = []
    monkeypatch.setattr("undiffuse.signals.os._exit", codes.append)
    return codes


@pytest.mark.parametrize("number", LEAVE)
def test_a_slow_step_answers_at_once_and_ends_at_the_second(number: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05)
            began = time.monotonic()
            process.send_signal(number)
            line = process.stderr.readline()
            assert line == f"{number.name}: saving, then stopping; once more to end at once\n"
            process.send_signal(number)
            assert process.wait(10) == 128 + number
            assert time.monotonic() - began < 5  # 0.002 s, but for a busy machine
        finally:
            process.kill()


def test_signals_set_flags_and_are_given_back():
    numbers = (*LEAVE, signal.SIGUSR1)
    before, said = [signal.getsignal(n) for n in numbers], []
    with Signals(say=said.append) as signals:
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
    assert before == [signal.getsignal(n) for n in numbers]
    assert said == ["SIGTERM: saving, then stopping; once more to end at once"]
    assert signal.set_wakeup_fd(-1) == -1


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals() as signals, deferred(), signals.leaving():
        signal.raise_signal(signal.SIGHUP)
        signals.agree()
        assert signals.stop is None
    signal.signal(signal.SIGHUP, before)


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


def test_one_signal_sent_twice(monkeypatch: pytest.MonkeyPatch, ended: list[int]):
    """With patience, a second one soon after is the first; later, it ends the process."""
    now = [100.0]
    monkeypatch.setattr("undiffuse.signals.time.monotonic", lambda: now[0])
    said: list[str] = []
    with Signals(5, said.append):
        for now[0], codes in ((100.0, []), (104.0, []), (106.0, [143])):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.05)  # for the thread
            assert ended == codes
    assert len(said) == 1


def test_leaving_where_nothing_is_lost(ended: list[int]):
    with Signals() as signals:
        with pytest.raises(Left), signals.leaving():
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("it went on")
        with pytest.raises(Left), signals.leaving():  # heard before
            raise AssertionError("it went on")
        signals.agree()
        assert signals.stop == signal.SIGTERM
    assert ended == []


@pytest.mark.parametrize("patience", [0, 5])
def test_elsewhere_and_of_several_nobody_leaves(patience: float):
    with Signals(patience) as signals:
        with signals.leaving():
            signal.raise_signal(signal.SIGUSR1)
        if patience:
            with signals.leaving():
                signal.raise_signal(signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)
        signals.agree()
        assert (signals.stop, signals.save) == (signal.SIGTERM, True)


def test_signals_wait_while_a_process_starts(ended: list[int]):
    """Then they are what they would have been, once; the process has them blocked."""
    seen = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Signals() as signals:
        with pytest.raises(Left), signals.leaving():
            with deferred():
                os.kill(os.getpid(), signal.SIGTERM)
                found = subprocess.run([sys.executable, "-c", seen], stdout=subprocess.PIPE, text=True)
                went_on = True
            raise AssertionError("it went on")
        signals.agree()
    assert went_on and signals.stop == signal.SIGTERM and ended == []
    names = [f"<Signals.{n.name}: {int(n)}>" for n in sorted((*LEAVE, signal.SIGUSR1))]
    assert found.stdout.strip() == f"[{', '.join(names)}]"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
