"""TensorBoard: event files in the run's folder; ``tensorboard --logdir RUN/tensorboard``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from PIL import Image

from undiffuse.files import reading
from undiffuse.trackers.base import Tracker


@final
class TensorBoard(Tracker):
    """Event files below RUN/tensorboard, through PyTorch's writer."""

    extra: ClassVar[str] = "tensorboard"

    @classmethod
    def module(cls, folder: Path) -> Any:
        """PyTorch's writer, which needs the package."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter

    def begin(self, module: Any, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        """Open an event file; it hides what an earlier one holds of steps after `step`."""
        self.writer = module(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve a name."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, name: str, step: int, path: Path) -> None:
        """One image a name, with a slider over the steps."""
        with reading(path) as file, Image.open(file, formats=["PNG"]) as image:
            self.writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        self.writer.close()
