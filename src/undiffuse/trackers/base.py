"""What every tracker is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from undiffuse.enclosure import check_links
from undiffuse.extras import install


class Tracker(ABC):
    """A dashboard that a run reports to.

    Args:
        folder: of the run; the tracker's files go below it.
        step: steps done when the run starts or goes on; what was reported after it belongs to a lost future.
        recipe: of the run, as plain values.

    Raises:
        ImportError: if its package is not installed; the message has the command.
        LinkError: if a link in its part of the folder, which has its name, leads out of the folder.
    """

    extra: ClassVar[str]  # of this package: what installs it, and its name in a recipe and a run's folder

    def __init__(self, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        check_links(folder, self.extra)
        self.begin(self.ready(folder), folder, step, recipe)

    @classmethod
    def ready(cls, folder: Path) -> Any:
        """Its package, imported for a run in this folder. Raises ImportError if it is not installed."""
        try:
            return cls.module(folder)
        except ImportError as error:
            raise ImportError(f"train.tracker={cls.extra} needs: {install(cls.extra)}") from error

    @classmethod
    @abstractmethod
    def module(cls, folder: Path) -> Any:
        """Import the package."""

    @abstractmethod
    def begin(self, module: Any, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        """Start to report, with the package."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Report numbers by name after a step."""

    @abstractmethod
    def picture(self, name: str, step: int, path: Path) -> None:
        """Report a .png file."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left, and end."""


class Logged(Tracker):
    """A package with wandb's calls, which others have taken over; `begin` sets both."""

    package: Any
    run: Any

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One chart a name."""
        self.run.log(dict(values), step=step)

    def picture(self, name: str, step: int, path: Path) -> None:
        """One panel a name."""
        self.run.log({name: self.package.Image(str(path))}, step=step)

    def close(self) -> None:
        """End the run."""
        self.run.finish()
