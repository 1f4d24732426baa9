"""Who is on the page. A reload is a new page of the same visitor: their result and their run wait for them."""

import threading
import time
from collections.abc import Callable

from .jobs import Job

KEEP = 3600.0  # seconds that what a visitor has stays after their last page has gone
PATIENCE = 600.0  # of these, seconds that their run goes on


class Visitors:
    """Pages of visitors, and the run of each.

    A page is known by gradio's name for it (its session hash). A visitor is known by a name that their browser tab
    keeps when it is loaded again; before it has told that name, the page's stands for it.
    forget(visitor): deletes what there is of one, an hour after they have gone.
    """

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._lock = threading.RLock()
        self._of: dict[str, str] = {}  # page -> visitor
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[str, list[threading.Timer]] = {}  # of visitors who have gone

    def came(self, page: str, visitor: str) -> None:
        """A page says whose it is."""
        with self._lock:
            self._of[page] = visitor
            for timer in self._waiting.pop(visitor, []):
                timer.cancel()

    def of(self, page: str) -> str:
        """Whose page it is."""
        with self._lock:
            return self._of.get(page, page)

    def left(self, page: str) -> None:
        """A page is gone; if it was the last one of its visitor, what they have is kept for a while."""
        with self._lock:
            visitor = self._of.pop(page, page)
            if visitor in self._of.values() or visitor in self._waiting:
                return
            self._waiting[visitor] = [
                _later(PATIENCE, lambda: self.cancel(visitor)),
                _later(KEEP, lambda: self._expire(visitor)),
            ]

    def _expire(self, visitor):
        with self._lock:
            self._waiting.pop(visitor, None)
            job = self._jobs.pop(visitor, None)
        if job:
            job.cancel()
        self._forget(visitor)

    def start(self, visitor: str, job: Job) -> None:
        """Make `job` the visitor's run."""
        with self._lock:
            self._jobs[visitor] = job

    def going_on(self, visitor: str) -> Job | None:
        """The visitor's run, if it has not ended."""
        with self._lock:
            job = self._jobs.get(visitor)
        return job if job and not job.ended else None

    def last(self, visitor: str) -> Job | None:
        """The visitor's run, also if it has ended."""
        with self._lock:
            return self._jobs.get(visitor)

    def wait_until_idle(self) -> None:
        """Wait while a visitor's run goes on: what is only prepared has time."""
        while any(not job.ended for job in list(self._jobs.values())):
            time.sleep(1)

    def cancel(self, visitor: str) -> None:
        """Stop the visitor's run."""
        with self._lock:
            job = self._jobs.pop(visitor, None)
        if job:
            job.cancel()


def _later(seconds: float, work: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer
