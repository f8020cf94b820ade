"""How evenly steps follow each other; said once if they do not.

Steps of one network take about as long each. Where other programs want the same cores, threads wait for the
one that has none, and some steps take many times as long as others.
"""

import torch

WINDOW, LEAST = 50, 20  # steps looked back at; fewer than LEAST say nothing yet
UNEVEN = 5.0


class Pace:
    """The seconds of the last steps."""

    def __init__(self) -> None:
        self.recent: list[float] = []
        self.said = False

    def add(self, seconds: float) -> str | None:
        """Count a step in; what there is to say, once, if one in ten takes over five times as long as others.

        "Others" are the fastest tenth: a single slow step, or a slow start, says nothing.
        """
        self.recent = [*self.recent, seconds][-WINDOW:]
        if self.said or len(self.recent) < LEAST:
            return None
        ordered, tenth = sorted(self.recent), len(self.recent) // 10
        fast, slow = ordered[tenth], ordered[-1 - tenth]
        if slow <= UNEVEN * fast:
            return None
        self.said, threads = True, torch.get_num_threads()
        remedy = f"; OMP_NUM_THREADS={threads - 1} may be faster than {threads}" if threads > 1 else ""
        return f"steps take from {fast:.2g} to {slow:.2g} s: other programs seem to want these cores{remedy}"
