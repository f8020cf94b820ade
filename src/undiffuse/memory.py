"""Running out of memory, as Python and PyTorch say it."""

import os
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


def physical() -> int | None:
    """Bytes of memory that this machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
