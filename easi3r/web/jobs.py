"""Runs of visitors: a thread computes and writes, the page reads what happens as events."""

import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..comparison import Comparison
from ..errors import InputError
from ..export.glb import GlbInfo
from ..reconstruction import Reconstruction
from . import files
from .sessions import Session

TICK = 0.4  # seconds; a run can be cancelled only when there is an event, so there is one at least so often
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tick:
    """Nothing has happened."""


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    fraction: float
    text: str


@dataclass(frozen=True)
class SceneReady:
    """There is something to see."""

    info: dict  # of the `Reconstruction`
    n_frames: int
    view: GlbInfo
    note: str  # for the visitor, Markdown


@dataclass(frozen=True)
class FilesReady:
    """All is done."""

    files: dict[str, str]  # name -> path
    archive: str  # path of the zip of all


@dataclass(frozen=True)
class Compared:
    """A comparison is done."""

    table: str  # Markdown
    files: dict[str, str]  # name -> path, as of `Comparison.save`
    archive: str  # path of the zip of all


@dataclass(frozen=True)
class Fetched:
    """Weights are there."""


@dataclass(frozen=True)
class Failed:
    """It has ended without a result."""

    sentence: str


Event = Tick | Progress | SceneReady | FilesReady | Compared | Fetched | Failed
Report = Callable[[float, str], None]
Make = Callable[[Report], tuple[Reconstruction, str]]  # (progress) -> (result, note)
Steps = Callable[[Report], Iterator[Event]]  # (progress) -> what there is to show, step by step
_LAST = FilesReady, Compared, Fetched, Failed


class Cancelled(Exception):
    """The visitor left or pressed Cancel."""


def reconstruction(make: Make, session: Session, cut: float, style: str) -> Steps:
    """Steps that run `make(progress)`, show the result with these settings and write its files into the session's
    folder.
    """

    def steps(report: Report) -> Iterator[Event]:
        result, note = make(report)
        report(1, "Building the scene")
        yield SceneReady(*files.write_scene(result, session.folder, cut, style), note)
        report(1.05, "Making the player, the videos and the downloads")
        yield FilesReady(*files.write_files(result, session.folder))

    return steps


def comparison(make: Callable[[Report], Comparison], session: Session) -> Steps:
    """Steps that run `make(progress)` and write its files into the session's folder."""

    def steps(report: Report) -> Iterator[Event]:
        found = make(report)
        yield Compared(
            found.markdown(), *files.write_comparison(found, session.folder, lambda _, text: report(1, text))
        )

    return steps


class Job:
    """Runs `steps(progress)` in a thread; what they yield are its events.

    known: errors of others whose message is for the visitor, such as ZeroGPU's (no GPU free).
    """

    def __init__(self, steps: Steps, known: tuple[type[Exception], ...] = ()) -> None:
        self._steps, self._known = steps, known
        self._news: queue.Queue[Event] = queue.Queue()
        self._stop = threading.Event()
        context = contextvars.copy_context()  # says who asks: ZeroGPU lends to a visitor, not to a thread
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def events(self) -> Iterator[Event]:
        """What happens, up to what is done or `Failed`; of progress that piled up only the last."""
        while True:
            try:
                event = self._news.get(timeout=TICK)
            except queue.Empty:
                yield Tick()
                continue
            while isinstance(event, Progress) and not self._news.empty() and isinstance(self._news.queue[0], Progress):
                event = self._news.get()
            yield event
            if isinstance(event, _LAST):
                return

    def cancel(self) -> None:
        """Ask it to stop; it does at its next progress."""
        self._stop.set()

    def then(self, work: Callable[[], None]) -> None:
        """Do `work` when the thread has ended, without waiting for it here."""

        def wait():
            self._thread.join()
            work()

        threading.Thread(target=wait, daemon=True).start()

    def _progress(self, fraction, text):
        if self._stop.is_set():
            raise Cancelled
        self._news.put(Progress(0.9 * fraction, text))

    def _work(self):
        try:
            self._progress(0, "Loading")
            for event in self._steps(self._progress):
                self._news.put(event)
        except Cancelled:
            self._news.put(Failed("Cancelled."))
        except InputError as error:
            self._news.put(Failed(str(error)))
        except self._known as error:
            self._news.put(Failed(getattr(error, "message", str(error))))
        except Exception:  # noqa: BLE001 - a bug: the visitor gets a sentence, the server's log gets the trace
            _log.exception("A run for a visitor failed")
            self._news.put(Failed("Something went wrong on our side; please try another clip or fewer frames."))
