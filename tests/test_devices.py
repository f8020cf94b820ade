"""Which device is taken, and what goes there; those that this machine has not are acted."""

import pytest
import torch
from torch import nn

from undiffuse import devices
from undiffuse.cli.console import device_of
from undiffuse.cli.processes import _numbered
from undiffuse.devices import fetched, moved, onto, sent, wide
from undiffuse.tensors import total


@pytest.mark.parametrize(
    ("there", "taken"), [({"cuda", "mps"}, "cuda"), ({"mps"}, "mps"), (set(), "cpu"), ({"cuda"}, "cuda")]
)
def test_auto_takes_a_gpu_if_there_is_one(monkeypatch, there, taken):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    assert device_of("auto") == torch.device(taken)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(ValueError, match=f"--device {name}: this machine has no .* use --device cpu"):
        device_of(name)


def test_several_processes_do_not_share_a_gpu(monkeypatch):
    for name in ("mps", "cuda:0"):
        with pytest.raises(ValueError, match=f"--device {name}: "):
            _numbered(name)
    assert _numbered("auto") == _numbered("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert _numbered("auto") == _numbered("cuda") == "cuda:3"


@pytest.mark.parametrize("narrow", [True, False])
def test_float64_is_rounded_where_a_device_has_none(monkeypatch, narrow):
    monkeypatch.setattr(devices, "NARROW", {"meta"} if narrow else set())
    meta, most = torch.device("meta"), torch.float32 if narrow else torch.float64
    module = nn.Linear(2, 3).double()
    module.register_buffer("count", torch.zeros(2, dtype=torch.long))
    assert moved(module, meta) is module and module.weight.dtype == most and module.count.dtype == torch.long
    x = torch.zeros(4, 2)
    assert sent(x.double(), meta).dtype == wide(sent(x, meta)).dtype == total(sent(x, meta)).dtype == most
    assert sent(x, meta, torch.float64).dtype == most and sent(x.long(), meta).dtype == torch.long
    assert onto(x.double(), sent(x, meta)).dtype == torch.float32
    assert wide(x).dtype == total(x).dtype == fetched(x).dtype == torch.float64
