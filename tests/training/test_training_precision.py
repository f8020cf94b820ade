"""Which precision is chosen, by what was measured; the measure itself, and on a processor without bf16."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from toy import new_state

from undiffuse.recipes import read
from undiffuse.recipes.recipe import Recipe
from undiffuse.training import precision_of
from undiffuse.training.optimizer import optimizer_of
from undiffuse.training.precision import DTYPES, Speed, _gain

NET = nn.Sequential(nn.Conv2d(16, 16, 3))
ORDINARY = {  # a newer processor then behaves like one without half precision
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine on which half precision is so many times as fast."""

    def measured(gain: float) -> None:
        _gain.cache_clear()
        speeds = {name: Speed(100, 50) if name == "fp32" else Speed(100 * gain, 50 * gain) for name in DTYPES}
        by = {DTYPES[name]: speed for name, speed in speeds.items()}
        monkeypatch.setattr("undiffuse.training.precision._speed", lambda device, dtype: by[dtype])

    yield measured
    _gain.cache_clear()


@pytest.mark.parametrize(
    ("gain", "before", "name"),
    [
        *[(0.02, None, "fp32"), (1.1, None, "fp32"), (1.4, None, "bf16"), (12.0, None, "bf16")],
        # a run goes on as it was, unless that is clearly the slower way
        *[(1.1, "bf16", "bf16"), (0.5, "bf16", "fp32"), (1.4, "fp32", "fp32"), (2.0, "fp32", "bf16")],
    ],
)
def test_auto_takes_what_is_fast(machine, gain: float, before: str | None, name: str):
    machine(gain)
    found = precision_of("auto", NET, before=before)
    assert (found.name, found.slow) == (name, False)
    factor = f"{gain:.1f} times as fast" if gain >= 1 else f"{1 / gain:.1f} times as slow"
    assert f"bf16 is {factor} as fp32 here (product {100 * gain:.3g} against 100 GFLOP/s" in str(found)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_name_is_obeyed_and_told_off_where_it_is_slow(machine, name: str):
    machine(0.02)
    found = precision_of(name, NET)
    assert (found.name, found.slow) == (name, True)
    assert f"by name; {name} is 50.0 times as slow as fp32 here" in found.why
    machine(2.0)
    assert not precision_of(name, NET).slow
    assert not precision_of("fp32", NET).slow


def test_vectors_keep_their_digits(machine):
    machine(10.0)
    assert precision_of("auto", nn.Linear(2, 2)).name == "fp32"
    assert new_state().precision.name == "fp32"


@pytest.mark.parametrize(("gain", "dtype"), [(0.02, torch.float32), (2.0, torch.bfloat16)])
def test_muon_works_in_what_is_fast(machine, gain: float, dtype: torch.dtype, monkeypatch):
    machine(gain)
    seen = []
    monkeypatch.setattr("undiffuse.training.muon.orthogonal", lambda gs, dtype: seen.append(dtype) or gs)
    state = new_state(optimizer="muon", precision="bf16")
    optimizer = optimizer_of(NET, state.settings, state.precision)
    NET[0].weight.grad = torch.ones_like(NET[0].weight)
    optimizer.step()
    assert seen == [dtype]


def test_what_is_measured_is_a_speed_and_leaves_the_threads_alone():
    _gain.cache_clear()
    threads = torch.get_num_threads()
    gain, words = _gain("cpu", "bf16")
    assert 1e-4 < gain < 1e3 and "GFLOP/s" in words
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("recipe", ["digits", "fashion-mnist", "images", "cifar10", "swiss-roll"])
def test_recipes_leave_it_to_the_machine(recipe: str):
    assert Recipe(read(recipe))["train"].build().precision == "auto"


def test_a_processor_without_bf16_takes_fp32():
    code = (
        "from torch import nn; from undiffuse.training import precision_of\n"
        "print(precision_of('auto', nn.Conv2d(1, 1, 3)).name, precision_of('bf16', nn.Conv2d(1, 1, 3)).slow)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | ORDINARY, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["fp32", "True"]
