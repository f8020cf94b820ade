"""A run that goes on elsewhere is trained in what is fast there, and says so."""

import pytest
from torch import nn

from undiffuse.processes import ALONE
from undiffuse.runs.rounding import same_precision
from undiffuse.training import Precision, precision
from undiffuse.training.checkpoint import Checkpoint

NET = nn.Conv2d(1, 1, 3)


@pytest.fixture(params=[0.02, 2.0])
def gain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(precision, "_gain", lambda device, half: (request.param, "as measured"))
    return request.param


def saved(name: str) -> Checkpoint:
    return Checkpoint(1200, {}, {}, {}, {"precision": name})


def found(name: str, before: Checkpoint | None, exact: bool = False) -> tuple[Precision, list[str]]:
    return same_precision(name, NET, "cpu", before, ALONE, exact)


def test_a_new_run_has_nothing_to_say(gain: float):
    assert found("auto", None) == (Precision("bf16" if gain > 1 else "fp32", "as measured"), [])


def test_a_run_goes_on_in_what_is_fast_here(gain: float):
    fast, slow = ("bf16", "fp32") if gain > 1 else ("fp32", "bf16")
    assert found("auto", saved(fast))[1] == []
    now, (warning,) = found("auto", saved(slow))
    assert now.name == fast
    assert warning == f"from step 1,200 on in {fast}, before in {slow}: as measured"
    with pytest.raises(ValueError, match=f"--exact: from step 1,200 on in {fast}"):
        found("auto", saved(slow), exact=True)


def test_a_slow_one_by_name_is_warned_of(gain: float):
    now, warnings = found("bf16", saved("bf16"))
    assert now.name == "bf16"
    assert warnings == (
        []
        if gain > 1
        else ["precision bf16: by name; as measured; train.precision=auto measures, and chooses"]
    )
