"""Checkpoints that files need: a compressed file is read with the weights it was made with and no others.

run/pinned/step-N/      what was the newest checkpoint when a file was made; training prunes it no more
"""

from pathlib import Path

import torch

from undiffuse import codec
from undiffuse.runs.loading import load
from undiffuse.runs.run import Run
from undiffuse.training import checkpoint

PINNED = "pinned"


def pin(run: Run) -> Path:
    """Keep the run's checkpoint, where it is then. Raises as `checkpoint.pin` does."""
    return checkpoint.pin(checkpoint.path_of(run.folder / "checkpoints", run.step), run.folder / PINNED)


def maker(run: Run, header: codec.Header, device: torch.device | str) -> Run:
    """The run with the weights that made a file: its own, or those of a checkpoint that is still there.

    Raises ValueError, in one line, if none of them are.
    """
    if codec.made_by(run.model, header):
        return run
    saved = [path for name in (PINNED, "checkpoints") for path in checkpoint.steps(run.folder / name)]
    for path in reversed(saved):
        try:
            found = load(run.folder, device, saved=path).told(run.denoiser.condition)
        except ValueError:
            continue  # damaged: another may be the one
        if codec.made_by(found.model, header):
            return found
    codec.check_model(run.model, header, run.shape)
    return run
