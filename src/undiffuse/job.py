"""Work in the background, as an object: how far it is, what came of it, and a way to cancel it.

    job = Job(lambda track: run.sample(64, track=track))
    job.stage, job.share                        # at any time
    job.cancel()                                # at its next report
    job.result()                                # or what it raised

It is cancelled from inside, by an exception where it reports how far it is: what it had open is closed, and
files that were to be written whole are not there.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from typing import Generic, TypeVar

from undiffuse.track import Track

T = TypeVar("T")


class Cancelled(Exception):
    """The work was ended before it was done."""


class Job(Generic[T]):
    """Work that has begun, in a thread of its own. `stage` and `share` of it say how far it is."""

    def __init__(self, work: Callable[[Track], T]) -> None:
        self.stage, self.share = "", 0.0
        self._future: Future[T] = Future()
        self._cancelled = Event()
        Thread(target=self._work, args=(work,), name="job", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether it has a result, or was ended."""
        return self._future.done()

    def cancel(self) -> None:
        """End it where it next reports how far it is; `result` raises Cancelled then."""
        self._cancelled.set()

    def result(self, seconds: float | None = None) -> T:
        """What the work returned, when it is done. Raises what it raised; TimeoutError if it takes longer."""
        return self._future.result(seconds)

    def _show(self, stage: str, share: float) -> None:
        self.stage, self.share = stage, share
        if self._cancelled.is_set():
            raise Cancelled("cancelled")

    def _work(self, work: Callable[[Track], T]) -> None:
        try:
            self._future.set_result(work(Track(self._show)))
        except BaseException as error:  # whoever asks for the result has to know
            self._future.set_exception(error)
