"""Trackers: dashboards that a run reports to, beside metrics.jsonl, which is always written.

Each is an extra, writes below the run's folder, and is imported only by a run that asks for it. To add one,
write one file with one `Tracker` and put its name in `TRACKERS`: ``train.tracker`` finds it there.
"""

from undiffuse.trackers.base import Tracker
from undiffuse.trackers.tensorboard import TensorBoard
from undiffuse.trackers.trackio import Trackio
from undiffuse.trackers.wandb import WandB

TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}

__all__ = ["TRACKERS", "TensorBoard", "Tracker", "Trackio", "WandB"]
