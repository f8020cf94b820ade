"""trackio: an SQLite file in the run's folder; ``TRACKIO_DIR=RUN/trackio trackio show``."""

import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, final

from undiffuse.trackers.base import Logged


@final
class Trackio(Logged):
    """A run of project `undiffuse`, below RUN/trackio, or TRACKIO_DIR if that is set.

    trackio reads that variable once, when it is imported: all runs of one process share the first's folder.
    """

    extra: ClassVar[str] = "trackio"

    @classmethod
    def module(cls, folder: Path) -> Any:
        """The package, told where to write."""
        os.environ.setdefault("TRACKIO_DIR", str(folder.absolute() / "trackio"))
        import trackio

        return trackio

    def begin(self, module: Any, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        """Start a run, or go on with it, without its greetings and its measurements of the machine."""
        self.package = module
        with redirect_stdout(StringIO()):
            self.run = module.init(
                project="undiffuse",
                name=folder.name,
                config=dict(recipe),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def close(self) -> None:
        """Write what is left, and end the run."""
        with redirect_stdout(StringIO()):
            self.package.finish()  # the run's own would be called once more, aloud, when Python ends
