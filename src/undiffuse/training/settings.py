"""What a training run is told: the `train` part of a recipe."""

import math
from dataclasses import dataclass
from typing import Literal

from undiffuse.trackers import TRACKERS


@dataclass(frozen=True)
class Settings:
    """How long, how fast and how often. Raises ValueError naming the key that cannot be.

    Of 0 `steps` the model is saved as it begins. `batch` examples a step, in `accumulate` parts, twice as
    many whenever the memory does not suffice if `halve_on_oom`; `optimizer` adamw or muon at `lr`, warmed up
    over `warmup` steps, then constant or falling to zero by a cosine; gradients clipped at norm `clip` (0:
    not);
    weights averaged with `ema`; `flips` mirrors half of the images; what examples are given is left
    out with probability `condition_dropout`. Samples (on a chain thinned to `sample_steps`), evaluations (of
    `evaluate_examples` test examples at `evaluate_terms` steps each) and checkpoints come every so many
    steps (0: never; one checkpoint is always written at the end), and the newest `keep` checkpoints stay.
    `figures_every` is how often samples, inpaintings, denoisings, parameters, gradients and monitors are
    drawn (0: never). `precision` auto is bf16 where the device makes that faster, which is measured, else
    fp32. `shard` splits the network's weights over the processes, if there are several. A batch
    with a loss or gradient that is not finite ends the run, or is left out (`non_finite` stop or skip),
    `skip_limit` in a row at most. A loss that is `spike` times as far above the median of the last ones as
    the largest of them (0: not looked for) is recorded, or left out, or the run goes back to a checkpoint and
    leaves out all batches since (`on_spike` record, skip or rewind), at most `rewind_limit` times. A share
    `watch` of the training examples is set aside and looked at, at `evaluate_terms` steps each: the weights
    that do best on them are kept beside the last ones, and training ends after `patience` looks in a row
    without better (0: never). `tracker`
    (tensorboard, wandb or trackio) gets what metrics.jsonl gets, and
    pictures.
    """

    steps: int = 1000
    batch: int = 128
    accumulate: int = 1
    halve_on_oom: bool = False
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 2e-4
    decay: Literal["constant", "cosine"] = "constant"
    warmup: int = 100
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float = 1.0
    ema: float = 0.999
    flips: bool = False
    condition_dropout: float = 0.1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = False
    compile: bool = False
    shard: bool = False
    non_finite: Literal["stop", "skip"] = "stop"
    skip_limit: int = 10
    spike: float = 0.0
    on_spike: Literal["record", "skip", "rewind"] = "record"
    rewind_limit: int = 3
    log_every: int = 10
    sample_every: int = 0
    sample_steps: int = 50
    figures_every: int = 0
    evaluate_every: int = 0
    evaluate_examples: int = 256
    evaluate_terms: int = 10
    watch: float = 0.0
    patience: int = 6
    checkpoint_every: int = 1000
    keep: int = 2
    tracker: str | None = None

    def __post_init__(self) -> None:
        at_least = {
            "steps": 0,
            "batch": 1,
            "accumulate": 1,
            "log_every": 1,
            "keep": 1,
            "skip_limit": 1,
            "rewind_limit": 1,
        }
        at_least |= {"evaluate_examples": 2, "evaluate_terms": 1, "sample_steps": 1}
        at_least |= dict.fromkeys(
            (
                "warmup",
                "weight_decay",
                "clip",
                "sample_every",
                "figures_every",
                "evaluate_every",
                "checkpoint_every",
                "patience",
            ),
            0,
        )
        for name, least in at_least.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"train.{name}={getattr(self, name)}: must be at least {least}")
        if self.tracker is not None and self.tracker not in TRACKERS:
            raise ValueError(f"train.tracker={self.tracker}: no such name; there are: {', '.join(TRACKERS)}")
        for name in ("ema", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"train.{name}={getattr(self, name)}: must lie in [0, 1)")
        if not 0 <= self.condition_dropout <= 1:
            said = f"train.condition_dropout={self.condition_dropout}"
            raise ValueError(f"{said}: must be a share from 0 to 1")
        if not 0 <= self.watch < 1:
            raise ValueError(f"train.watch={self.watch}: a share of the training examples, below 1")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"train.lr={self.lr}: must be positive and finite")
        if self.spike and not 1 <= self.spike < math.inf:
            raise ValueError(f"train.spike={self.spike}: must be 0, for none, or finite and at least 1")
        if self.on_spike != "record" and not self.spike:
            raise ValueError(f"train.on_spike={self.on_spike}: needs a train.spike, such as 3")
        if self.on_spike == "rewind" and not self.checkpoint_every:
            raise ValueError("train.on_spike=rewind: needs a train.checkpoint_every to go back to")
        if self.weight_decay == math.inf:
            raise ValueError(f"train.weight_decay={self.weight_decay}: must be finite")
        if self.batch % self.accumulate:
            raise ValueError(f"train.accumulate={self.accumulate} does not divide train.batch={self.batch}")

    def check_processes(self, size: int) -> None:
        """Raise ValueError unless so many processes can share the work."""
        if self.batch < size * self.accumulate:
            raise ValueError(
                f"train.batch={self.batch}: {size} processes with train.accumulate={self.accumulate} need "
                f"{size * self.accumulate} examples at least"
            )
        if self.halve_on_oom and size > 1:
            raise ValueError(
                f"train.halve_on_oom=true: one of {size} processes cannot repeat a step without the others; "
                "set it to false, and raise train.accumulate"
            )
        if self.shard and size > 1 and self.channels_last:
            raise ValueError(
                "train.channels_last=true: weights that train.shard splits lie row by row; set one to false"
            )
        if self.shard and size > 1 and self.figures_every:
            raise ValueError(
                f"train.figures_every={self.figures_every}: figures need a whole network in one process, and "
                "train.shard=true leaves none; set one of them to 0 or false"
            )
