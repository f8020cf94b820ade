"""Progress on standard error: a bar at a terminal, plain lines from time to time elsewhere."""

import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

SOON, LATER = 10.0, 60.0  # seconds between two lines, at first and after ten minutes
MEMORY = 600.0  # seconds that the speed of a bar is estimated over: a step may take one


def bar_of(*columns: str, quiet: bool = False) -> Progress:
    """A bar, or lines, with the given extra fields, elapsed time and the time left."""
    console = Console(stderr=True, quiet=quiet)
    if not console.is_interactive:
        return Lines(*columns, console=console, quiet=quiet)
    extra = [TextColumn("{task.fields[" + name + "]}") for name in columns]
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        Done(),
        *extra,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet,
        speed_estimate_period=MEMORY,
    )


class Done(ProgressColumn):
    """Steps done, of how many; of work that knows its share only, percent."""

    def render(self, task: Task) -> Text:
        """For a bar."""
        return Text(_count(task))


class Lines(Progress):
    """Where nobody sees a bar move: a line every ten seconds, later every minute, and one at the end.

    They come from a thread of their own, so they come during a slow step too.
    """

    def __init__(self, *columns: str, console: Console, quiet: bool = False) -> None:
        super().__init__(console=console, disable=quiet)
        self._columns = columns
        self._begun: dict[TaskID, float] = {}  # where a task was when it began
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def add_task(self, *arguments: Any, **fields: Any) -> TaskID:
        """As that of a bar."""
        task = super().add_task(*arguments, **fields)
        self._begun[task] = self._tasks[task].completed
        return task

    def start(self) -> None:
        """Begin to write lines."""
        if not self.disable:
            self._thread = threading.Thread(target=self._write, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write the last line of every task that has come anywhere."""
        if self._thread is None:
            return
        self._done.set()
        self._thread.join()
        for task in self.tasks:
            if task.completed > self._begun[task.id]:
                self._say(task)

    def _write(self) -> None:
        began = time.monotonic()
        while not self._done.wait(min(max(SOON, (time.monotonic() - began) / 10), LATER)):
            for task in self.tasks:
                if not task.finished:
                    self._say(task)

    def _say(self, task: Task) -> None:
        said = [task.fields.get(name) for name in self._columns]
        words = [_count(task), *filter(None, said), *_times(task, self._begun[task.id])]
        line = f"{task.description}: {', '.join(words)}"
        self.console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _count(task: Task) -> str:
    if task.fields.get("percent"):
        return f"{task.completed:4.0%}"
    total = "" if task.total is None else f" of {task.total:,.0f}"
    return f"{task.completed:,.0f}{total}"


def _times(task: Task, begun: float) -> list[str]:
    """What it has taken, and what is left at that pace."""
    gone, done = task.elapsed or 0.0, task.completed - begun
    if not task.total or task.finished or not done:
        return [_clock(gone)]
    return [_clock(gone), f"{_clock(gone * (task.total - task.completed) / done)} left"]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
