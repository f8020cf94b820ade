"""What may be switched on around a call, and must not change its numbers.

torch.autocast             is off inside what is `unaided`: training has a precision of its own, and bounds,
                           samples and files are of the model in the precision of its weights
torch.set_default_dtype    has no part in it: what a recipe builds is built in `single` precision
"""

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch

DEVICES = ("cpu", "cuda", "mps")
P = ParamSpec("P")
T = TypeVar("T")


def unaided(function: Callable[P, T]) -> Callable[P, T]:
    """The function, computed without autocast; a generator function is so between its results."""
    if inspect.isgeneratorfunction(function):
        return cast(Callable[P, T], _resumed(function))

    @wraps(function)
    def alone(*arguments: P.args, **named: P.kwargs) -> T:
        with _alone():
            return function(*arguments, **named)

    return alone


def _resumed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function whose reader's autocast is its own again at every yield."""

    @wraps(function)
    def resumed(*arguments: Any, **named: Any) -> Generator[Any, None, Any]:
        inner = function(*arguments, **named)
        try:
            while True:
                with _alone():
                    try:
                        found = next(inner)
                    except StopIteration as end:
                        return end.value
                yield found
        finally:
            inner.close()

    return resumed


@contextmanager
def _alone() -> Iterator[None]:
    with ExitStack() as stack:
        for device in filter(torch.is_autocast_enabled, DEVICES):
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def single() -> Iterator[None]:
    """Inside, torch makes float32 where no dtype is named."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
