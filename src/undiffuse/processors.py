"""How many processor cores this process may use, and how many of them others keep busy.

A container may have fewer than the machine: by a mask of processors, or by a quota of processor time (the
`cpu.max` of control groups, as Docker, Kubernetes and SLURM set it). What others use is read from the
kernel's counts of busy time, between two moments. Elsewhere than on Linux only the number is known.
"""

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

STAT, OWN = Path("/proc/stat"), Path("/proc/self/cgroup")
GROUPS, TOPOLOGY = Path("/sys/fs/cgroup"), Path("/sys/devices/system/cpu")
LOOK = 0.1  # seconds, at least, between the two moments: the kernel counts in hundredths
BUSY = (1, 2, 3, 6, 7, 8)  # user, nice, system, irq, softirq, steal: the columns that are not idle


def available() -> int:
    """Cores that this process may use, at least 1; two threads of one core count once."""
    cores = len({_siblings(number) for number in _mask()}) or os.cpu_count() or 1
    quota = _quota()
    return cores if quota >= cores else max(1, math.ceil(quota))


def _mask() -> set[int]:
    """The processors that this process may run on; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _siblings(number: int) -> str:
    """The processors that are threads of the same core, in the kernel's words."""
    try:
        return (TOPOLOGY / f"cpu{number}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _quota() -> float:
    """Processors' worth of time that the control groups around this process grant; infinite without any."""
    try:
        own = [line.split(":", 2)[2].lstrip("/") for line in OWN.read_text().splitlines()]
    except (OSError, IndexError):
        return math.inf
    groups = {group for path in own for group in (GROUPS / path, *(GROUPS / path).parents)}
    return min(_old_limit(GROUPS / "cpu"), *map(_limit, groups))


def _limit(group: Path) -> float:
    """Of one group: microseconds in a period of so many, as `50000 100000` or `max 100000`."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf


def _old_limit(group: Path) -> float:
    """The same of version 1, where -1 is no limit."""
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


@dataclass(frozen=True)
class Moment:
    """What had been used up at some time, in seconds of a processor: by everybody, and by this process."""

    at: float = field(default_factory=time.monotonic)
    everybody: float | None = field(default_factory=lambda: _busy())
    own: float = field(default_factory=time.process_time)


def busy(since: Moment) -> float:
    """How many of the processors others have kept busy since then, on average; 0 where that is not known."""
    time.sleep(max(0.0, since.at + LOOK - time.monotonic()))
    now = Moment()
    if since.everybody is None or now.everybody is None:
        return 0.0
    used = now.everybody - since.everybody - (now.own - since.own)
    return max(0.0, used / (now.at - since.at))


def _busy() -> float | None:
    """Seconds that the processors of the mask have worked since the machine started; None elsewhere than on
    Linux.
    """
    mine = {f"cpu{number}" for number in _mask()}
    try:
        rows = [line.split() for line in STAT.read_text().splitlines()]
        return sum(int(row[i]) for row in rows if row[0] in mine for i in BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return None
