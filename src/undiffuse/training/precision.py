"""Which floating-point type a network is trained in: what this device does fast, which is measured.

Half precision (bfloat16) is up to twice as fast as single where the processor has instructions for it, and
twenty to a hundred times as slow where it has not, as most CPUs. So `auto` times a matrix product and a
convolution in both, 50 ms in all, and takes bfloat16 where equal shares of the two take at most 1 / `GAIN`
of the time: casts and normalisations, which stay in float32, eat up a smaller gain. On a CPU one thread is
timed: that tells as much of its instructions, and two would wait for each other where cores are busy.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.random import keyed, normal

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GAIN = 1.3
SECONDS = 0.006  # for each of two operations in each of two types, beside a first call
WORK = {"cpu": (192, 64, 16), "cuda": (4096, 256, 64)}  # rows of the product; channels and width of pictures


@dataclass(frozen=True)
class Speed:
    """Floating-point operations a second, in units of 10^9: of a matrix product and of a convolution."""

    product: float
    convolution: float

    @property
    def time(self) -> float:
        """Of as many operations of both kinds, in some unit."""
        return 1 / self.product + 1 / self.convolution


@dataclass(frozen=True)
class Precision:
    """The type that is trained in, by name, and why, in words; `slow` if it was named and is slower here."""

    name: str
    why: str
    slow: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Inside, the network is computed in it."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.name])

    def __str__(self) -> str:
        return f"precision {self.name}: {self.why}"


def precision_of(
    name: str, network: nn.Module, device: torch.device | str = "cpu", before: str | None = None
) -> Precision:
    """The precision that `train.precision` names, or, if that is `auto`, the one to train this network in.

    Networks without convolutions keep float32: they are small, and their data, densities of vectors, need
    the digits. `before` is what a run was trained in until now: it goes on so, for the same bits, unless this
    device makes the other clearly faster.
    """
    if name == "fp32":
        return Precision(name, "by name")
    if name == "auto" and not any(isinstance(module, CONVOLUTIONS) for module in network.modules()):
        return Precision("fp32", "a network without convolutions")
    gain, found = _gain(str(device), "fp16" if name == "fp16" else "bf16")
    if name != "auto":
        return Precision(name, f"by name; {found}", slow=gain < 1)
    enough = {None: GAIN, "bf16": 1.0, "fp32": GAIN**2}[before]
    return Precision("bf16" if gain >= enough else "fp32", found)


@cache
def _gain(device: str, half: str) -> tuple[float, str]:
    """How many times as fast as float32 a half precision is, and in words."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, other = (_speed(torch.device(device), DTYPES[name]) for name in ("fp32", half))
    finally:
        torch.set_num_threads(threads)
    gain = single.time / other.time
    factor = f"{gain:.1f} times as fast" if gain >= 1 else f"{1 / gain:.1f} times as slow"
    return gain, (
        f"{half} is {factor} as fp32 here (product {other.product:.3g} against {single.product:.3g} GFLOP/s, "
        f"convolution {other.convolution:.3g} against {single.convolution:.3g})"
    )


@torch.no_grad()
def _speed(device: torch.device, dtype: torch.dtype) -> Speed:
    rows, channels, width = WORK.get(device.type, WORK["cuda"])
    draw = keyed("precision")
    a, x, w = (
        normal(shape, draw, torch.float32, device).to(dtype)
        for shape in ((rows, rows), (2, channels, width, width), (channels, channels, 3, 3))
    )
    product = _seconds(lambda: a @ a, device)
    convolution = _seconds(lambda: nn.functional.conv2d(x, w, padding=1), device)
    return Speed(2e-9 * rows**3 / product, 2e-9 * 9 * channels * x.numel() / convolution)


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """Of the fastest call; the first, which may have to prepare itself, counts only if it is that slow."""
    waits: dict[str, Callable[[], Any]] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
    wait = waits.get(device.type, lambda: None)
    times: list[float] = []
    while sum(times) < (SECONDS if len(times) > 1 else 4 * SECONDS):
        begin = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - begin)
    return min(times)
