"""Who is on the page. A reload is a new page of the same visitor: their clip, result and run wait for them."""

import threading
import time
from collections.abc import Callable

from .clips import Chosen
from .jobs import Job

KEEP = 3600.0  # seconds that what a visitor has stays after their last page has gone
PATIENCE = 600.0  # of these, seconds that their run goes on


class Visitors:
    """Pages of visitors, and the clip and the run of each.

    A page is known by gradio's name for it (its session hash). A visitor is known by a name that their browser tab
    keeps when it is loaded again; before it has told that name, the page's stands for it.
    forget(visitor): deletes what there is of one, an hour after they have gone.
    """

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._lock = threading.RLock()
        self._of: dict[str, str] = {}  # page -> visitor; also of pages that seem to have gone, they may be offline
        self._here: set[str] = set()  # pages
        self._jobs: dict[str, Job] = {}
        self._clips: dict[str, Chosen] = {}
        self._waiting: dict[str, list[threading.Timer]] = {}  # of visitors who have gone

    def came(self, page: str, visitor: str) -> str:
        """A page says whose it is; returns whose it is: its own if it was used before it could say so."""
        with self._lock:
            visitor = self._of.setdefault(page, visitor)
            self._here.add(page)
            for timer in self._waiting.pop(visitor, []):
                timer.cancel()
        return visitor

    def of(self, page: str) -> str:
        """Whose page it is."""
        with self._lock:
            return self._of.setdefault(page, page)

    def left(self, page: str) -> None:
        """A page is gone; if it was the last one of its visitor, what they have is kept for a while."""
        with self._lock:
            visitor = self._of.setdefault(page, page)
            self._here.discard(page)
            if visitor in self._waiting or any(self._of[other] == visitor for other in self._here):
                return
            self._waiting[visitor] = [
                _later(PATIENCE, lambda: self.cancel(visitor)),
                _later(KEEP, lambda: self._expire(visitor)),
            ]

    def _expire(self, visitor):
        with self._lock:
            self._waiting.pop(visitor, None)
            self._of = {page: whose for page, whose in self._of.items() if whose != visitor}
            self._clips.pop(visitor, None)
            job = self._jobs.pop(visitor, None)
        if job:
            job.cancel()
        self._forget(visitor)

    def chose(self, visitor: str, clip: Chosen) -> None:
        """Make `clip` the visitor's."""
        with self._lock:
            self._clips[visitor] = clip

    def clip(self, visitor: str) -> Chosen | None:
        """What the visitor chose last, if its files are still there."""
        with self._lock:
            clip = self._clips.get(visitor)
        return clip if clip and clip.there else None

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
