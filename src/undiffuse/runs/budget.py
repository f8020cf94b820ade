"""How many steps fit into a time: measured on the first steps of a training that is thrown away.

Beside its steps a training looks at the examples that are watched, at growing intervals, and draws and saves
at its end: a look is measured too, the rest has a tenth of the time.
"""

import math
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from undiffuse.runs.experiment import Experiment
from undiffuse.training.watch import FIRST, GROWTH

FEWEST, MOST = 100, 100_000  # steps
WARM, TIMED, SECONDS = 2, 20, 4.0  # steps before the clock runs, steps timed at most, and for how long
ENOUGH = 300  # steps, below which a smaller network learns more
OPEN = {"unet": "channels", "mlp": "hidden"}  # what a recipe may leave to the data
SIZES = {"channels": (16, 8), "hidden": (128, 64)}
SHARE = 0.9  # of the time that steps and looks may take


@dataclass(frozen=True)
class Pace:
    """Seconds that a step takes, and a look at the examples that are watched (0: there are none)."""

    step: float
    look: float
    parameters: int

    def seconds(self, steps: int) -> float:
        """What a training of so many steps takes, about."""
        return (steps * self.step + looks(steps) * self.look) / SHARE

    def steps(self, minutes: float) -> int:
        """How many steps fit into so many minutes, to two digits."""
        low, high = FEWEST, MOST
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle) <= 60 * minutes else (low, middle)
        unit: int = 10 ** max(0, math.floor(math.log10(low)) - 1)
        return low // unit * unit


def looks(steps: int) -> int:
    """How often a training of so many steps looks at the examples that are watched."""
    count, step = 1, 0
    while step < steps:
        step += max(FIRST, step // GROWTH)
        count += 1
    return count


def measure(node: dict[str, Any], device: torch.device | str, network: nn.Module | None = None) -> Pace:
    """The pace of this recipe here. A network of the user's own is copied, and stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment.create(Path(folder) / "run", node, device, network=deepcopy(network))
        try:
            steps, times = experiment.steps(), list[float]()
            while len(times) < WARM + TIMED and sum(times[WARM:]) < SECONDS:
                begin = time.perf_counter()
                next(steps)
                times.append(time.perf_counter() - begin)
            begin, watched = time.perf_counter(), experiment.splits.watched
            if watched is not None:
                experiment.watched_bits(watched)
            look = 0.0 if watched is None else time.perf_counter() - begin
        finally:
            experiment.close()
        timed = sorted(times[WARM:])
        size = sum(p.numel() for p in experiment.run.model.parameters())
        return Pace(timed[len(timed) // 2], look, size)


def fitted(
    node: dict[str, Any], minutes: float, device: torch.device | str, network: nn.Module | None = None
) -> tuple[dict[str, Any], str]:
    """The recipe with as many steps as fit into so many minutes, and what was measured.

    A network whose size is left open is made smaller if that is few. Raises ValueError for a time in which
    not even a few steps do.
    """
    if not 0 < minutes < math.inf:
        raise ValueError(f"minutes={minutes:g}: a positive number of minutes")
    pace, size = measure(node, device, network), ""
    for smaller in _smaller(node):
        if pace.steps(minutes) >= ENOUGH:
            break
        node = node | {"network": node["network"] | smaller}
        pace = measure(node, device, network)
        size = ", ".join(f"network.{name}={value}" for name, value in smaller.items()) + ", "
    steps = pace.steps(minutes)
    if steps <= FEWEST and pace.seconds(FEWEST) > 120 * minutes:
        need = pace.seconds(FEWEST) / 60
        raise ValueError(
            f"minutes={minutes:g}: {FEWEST} steps of this network take {need:.1f} minutes here; give more, "
            "or a smaller network or pictures (data.size)"
        )
    warmup = min(node["train"].get("warmup", 100), steps // 10)
    train = node["train"] | {"steps": steps, "warmup": warmup}
    train |= {"sample_every": min(node["train"].get("sample_every", 0), steps)}
    reason = f"{size}train.steps={steps}: {pace.step:.3g} s a step here, {minutes:g} minutes"
    return node | {"train": train}, reason


def _smaller(node: dict[str, Any]) -> list[dict[str, int]]:
    """Sizes to try in turn, of a network whose size is left to the data."""
    network = node["network"]
    name = OPEN.get(network["kind"], "")
    return [{name: size} for size in SIZES[name]] if name in network and network[name] is None else []
