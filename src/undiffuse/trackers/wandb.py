"""Weights & Biases: offline unless WANDB_MODE is set; ``wandb sync RUN/wandb/offline-run-*`` uploads."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, final

from undiffuse.trackers.base import Logged


@final
class WandB(Logged):
    """A run of project `undiffuse`, in files below RUN/wandb.

    Nothing leaves the machine unless the environment has ``WANDB_MODE=online``. A resumed run is a new one
    there, in the same group.
    """

    extra: ClassVar[str] = "wandb"

    @classmethod
    def module(cls, folder: Path) -> Any:
        """The package."""
        import wandb

        return wandb

    def begin(self, module: Any, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        """Start a run, without its console, code and git state."""
        self.package = module
        mode = os.environ.get("WANDB_MODE", "offline")
        module.setup(module.Settings(mode=mode))  # or the package reports its use, whatever init is told
        self.run = module.init(
            project="undiffuse",
            name=f"{folder.name} from step {step}" if step else folder.name,
            group=folder.name,
            dir=str(folder),
            config=dict(recipe),
            mode=mode,
            settings=module.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
