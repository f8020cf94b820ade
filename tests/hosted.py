"""What goes between the host and a device, counted without one: tensors on "meta" are the device's.

A read (`.item()`, `bool(tensor)`, `.cpu()`) makes the host wait until the device is done, and so does a copy
there that is not asked not to: both are waits. Other copies there are writes. What is read is 0.
"""

import traceback
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")
INDEXED = ("index", "index_put", "index_put_")
SHAPED = ("nonzero", "masked_select", "unique", "unique2", "_unique2", "equal", "is_nonzero")


class Hosted(TorchDispatchMode):
    """Inside, counts by the line of the package: `waits`, `writes`, and what is `wide` there, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.wide: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, function.name().removeprefix("aten::").partition(".")[0]
        given = [each for each in args if isinstance(each, Tensor)]
        if name == "_local_scalar_dense" and given[0].device == META:
            self.waits[_line()] += 1
            return 0.0 if given[0].is_floating_point() else 0
        if name in SHAPED and any(each.device == META for each in given):
            raise AssertionError(f"{name}: a shape, or a branch, that depends on values ({_line()})")
        if name in INDEXED and given[0].device == META and any(map(_hosted, args[1])):
            self.waits[_line()] += 1  # the index is copied there
        if name in ("_to_copy", "copy_"):
            source = given[0] if name == "_to_copy" else given[1]
            target = kwargs.get("device") if name == "_to_copy" else given[0].device
            if target is not None and torch.device(target).type != source.device.type:
                if source.device == META:
                    self.waits[_line()] += 1
                    return torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype)
                patient = not kwargs.get("non_blocking", len(args) > 2 and args[2])
                (self.waits if patient else self.writes)[_line()] += 1
        found = function(*args, **kwargs)
        for each in found if isinstance(found, tuple | list) else [found]:
            if isinstance(each, Tensor) and each.device == META and each.dtype == torch.float64:
                self.wide[_line()] += 1
        return found

    @property
    def waited(self) -> int:
        """How often the host waited."""
        return self.waits.total()


def _hosted(index: Tensor | None) -> bool:
    return index is not None and index.device != META and index.ndim > 0


def _line() -> str:
    found = [each for each in traceback.extract_stack() if "/undiffuse/" in each.filename]
    return f"{found[-1].filename.rpartition('undiffuse/')[2]}:{found[-1].lineno}" if found else "?"
