"""How many threads PyTorch computes with, and how they wait; decided before it is loaded.

Threads that share one operation meet at its end, and by default spin for a long time until all are there.
Where another program has one of the cores, that one is late every time: two threads beside one busy core are
slower than one thread alone, and the spinning takes the time of others. To sleep at once is no way out, since
waking costs more than most operations. So threads spin for a moment, and where cores are busy, or a
container has only a part of them, there are as many as there are free ones. Whatever the environment says
already stays.
"""

import os
import sys
from collections.abc import Sequence

from undiffuse.processors import Moment, available, busy

THREADS, WAITING, SPINS = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
MOMENT = 20_000  # looks: tens of microseconds, about what waking a thread costs
HELP = {"-h", "--help", "--version", "-V"}
_ours: list[int] = []  # the number that was set here, if it was


def prepare(begun: Moment, arguments: Sequence[str]) -> None:
    """Set what the environment leaves open, for this process and those that it starts.

    `begun` is when the command began; one that asks for help alone needs no threads.
    """
    if "torch" in sys.modules or not arguments or HELP & set(arguments):  # too late, or needless
        return
    if WAITING not in os.environ:
        os.environ.setdefault(SPINS, str(MOMENT))
    cores, taken = available(), round(busy(begun))
    if THREADS not in os.environ and (taken or cores < (os.cpu_count() or 1)):
        _ours[:] = [max(1, cores - taken)]
        os.environ[THREADS] = str(_ours[0])


def divide(count: int) -> None:
    """Let each of so many processes have its part of the threads, unless the environment says how many."""
    if _ours or THREADS not in os.environ:
        os.environ[THREADS] = str(max(1, (_ours or [available()])[0] // count))
