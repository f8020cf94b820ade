"""Running out of memory, as Python and PyTorch say it."""

import re

ASKED = re.compile(r"allocate ([\d.]+ ?\w*)")


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what the error means; PyTorch has a class for it on a GPU, and a message on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and bool(ASKED.search(str(error)))


def asked(error: BaseException) -> str:
    """How much could not be had, such as `2.00 GiB`; empty if the error does not say."""
    found = ASKED.search(str(error))
    return found[1] if found else ""
