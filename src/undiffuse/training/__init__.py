"""Training: a loop that yields, averages beside it, checkpoints on disk. No god State."""

from undiffuse.signals import Left, Signals, Stopped
from undiffuse.training import checkpoint
from undiffuse.training.batches import Batches
from undiffuse.training.ema import EMA
from undiffuse.training.fingerprint import canary, fingerprint
from undiffuse.training.gate import NonFiniteError
from undiffuse.training.lock import BusyError, Lock
from undiffuse.training.loop import Progress, State, train
from undiffuse.training.optimizer import restore, state_of
from undiffuse.training.pace import Pace
from undiffuse.training.parallel import check_shard, placed, shard, whole
from undiffuse.training.precision import Precision, precision_of
from undiffuse.training.scan import recover, recover_together
from undiffuse.training.settings import Settings
from undiffuse.training.spikes import SpikeError
from undiffuse.training.watch import Watch

__all__ = [
    "EMA",
    "Batches",
    "BusyError",
    "Left",
    "Lock",
    "NonFiniteError",
    "Pace",
    "Precision",
    "Progress",
    "Settings",
    "Signals",
    "SpikeError",
    "State",
    "Stopped",
    "Watch",
    "canary",
    "check_shard",
    "checkpoint",
    "fingerprint",
    "placed",
    "precision_of",
    "recover",
    "recover_together",
    "restore",
    "shard",
    "state_of",
    "train",
    "whole",
]
