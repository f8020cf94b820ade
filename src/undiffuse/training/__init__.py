"""Training: a loop that yields, averages beside it, checkpoints on disk. No god State."""

from undiffuse.training import checkpoint
from undiffuse.training.batches import Batches, LabelBatches
from undiffuse.training.ema import EMA
from undiffuse.training.loop import Progress, State, train
from undiffuse.training.optimizer import restore, state_of
from undiffuse.training.settings import Settings

__all__ = [
    "EMA",
    "Batches",
    "LabelBatches",
    "Progress",
    "Settings",
    "State",
    "checkpoint",
    "restore",
    "state_of",
    "train",
]
