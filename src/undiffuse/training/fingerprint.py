"""What decides how this machine rounds, and a canary that sings differently when any of it changes.

Training repeats bit for bit only where every operation rounds alike: the same library, processor
instructions and number of threads. The canary is one small forward and backward pass, large enough to be
split over threads; its hash is compared when a run goes on.
"""

import hashlib
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from undiffuse.random import keyed, normal


def fingerprint(device: torch.device | str = "cpu", processes: int = 1) -> dict[str, Any]:
    """Versions, threads, instruction set, flags and the canary's hash, as they go into a checkpoint."""
    place = torch.device(device)
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": bool(torch.backends.mkldnn.enabled),
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "canary": canary(place),
    }


def canary(device: torch.device | str = "cpu") -> str:
    """SHA-256 of a fixed pass through convolution, normalisation, attention-like products and sums."""
    flags = (torch.backends.mkldnn.enabled, torch.are_deterministic_algorithms_enabled())
    return _sing(str(device), torch.get_num_threads(), flags)


@cache
def _sing(device: str, threads: int, flags: tuple[bool, ...]) -> str:
    """Once for everything that a process can change."""
    x, first, last = (
        normal(shape, keyed("canary", name), torch.float32, device).requires_grad_()
        for name, shape in (("x", (8, 16, 32, 32)), ("first", (16, 16, 3, 3)), ("last", (1024, 96)))
    )
    h = nn.functional.silu(nn.functional.conv2d(x, first, padding=1))
    h = nn.functional.group_norm(h, 4) @ h.transpose(2, 3)
    out = (h.flatten(2) @ last / 1024).log_softmax(-1).square().mean() + x.exp().sum() / x.numel()
    grads = torch.autograd.grad(out, (x, first, last))
    return _hash([out, *grads, x.sum()])


def _hash(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for t in tensors:
        assert bool(t.isfinite().all())  # NaN would sing the same everywhere
        digest.update(t.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
