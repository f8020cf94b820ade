"""One step again, in memory, to see where a number stopped being finite."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.runs.experiment import Experiment
from undiffuse.training import NonFiniteError


@dataclass(frozen=True)
class Replayed:
    """A step (from 0) repeated from the checkpoint of `begin`; `bad` and `module` are None if all is
    finite.
    """

    begin: int
    loss: float
    norm: float
    bad: str | None
    module: str | None


def replay(folder: str | Path, step: int, device: torch.device | str = "cpu") -> Replayed:
    """Train from the newest checkpoint at or before the step, or from the start, to its end; saves nothing.

    Raises ValueError for a step that the run has not, BusyError for a run in training.
    """
    experiment = Experiment.open(folder, device, until=step)
    begin, steps = experiment.state.step, experiment.settings.steps
    if not 0 <= step < steps:
        raise ValueError(f"--replay {step}: the run has steps 0 to {steps - 1}")
    found: list[str] = []
    training = experiment.steps()
    for _ in range(begin, step):
        next(training)
    _listen(experiment.run.denoiser.network, found)
    try:
        progress = next(training)
    except NonFiniteError as error:
        return Replayed(begin, error.loss, error.norm, error.bad, _first(found))
    bad = progress.skipped.bad if progress.skipped else None
    return Replayed(begin, progress.loss, progress.grad_norm, bad, _first(found))


def _listen(network: nn.Module, found: list[str]) -> None:
    """Note every module whose output is not finite, innermost first."""

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not bool(output.isfinite().all()):
                found.append(name or "the network")

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(note(name))


def _first(found: list[str]) -> str | None:
    return found[0] if found else None
