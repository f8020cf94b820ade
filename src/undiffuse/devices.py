"""Devices: how numbers come there from the host and back, and how wide they can be.

A device works on what it was given while the host goes on; reading from it makes the host wait, sending to it
need not. Apple's devices have no float64.
"""

import torch
from torch import Tensor
from torch.nn import Module

NARROW = {"mps"}  # devices without float64


def sent(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """x on the device, in this dtype, without waiting until that is done with what it was given before."""
    dtype = dtype or x.dtype
    x = x.to(widest(device) if dtype == torch.float64 else dtype)
    return x.to(device, non_blocking=device.type != "mps")  # whose copies may read what has changed by then


def onto(t: Tensor, x: Tensor) -> Tensor:
    """t where x is, and in x's dtype."""
    return sent(t, x.device, x.dtype)


def fetched(x: Tensor) -> Tensor:
    """x on the host, in float64."""
    return x.cpu().double()  # in this order


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has none."""
    return torch.float32 if device.type in NARROW else torch.float64


def wide(x: Tensor) -> Tensor:
    """x in the widest floating point that its device has."""
    return x.to(widest(x.device))


def moved(module: Module, device: torch.device) -> Module:
    """The module itself, on the device; what it has in float64 is rounded where that has none."""
    return (module if widest(device) == torch.float64 else module.float()).to(device)
