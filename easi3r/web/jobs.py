"""Runs of visitors: a thread computes and writes, the page reads what happens as events."""

import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
class Failed:
    """It has ended without a result."""

    sentence: str


Event = Tick | Progress | SceneReady | FilesReady | Failed
Make = Callable[[Callable[[float, str], None]], tuple[Reconstruction, str]]  # (progress) -> (result, note)


class Cancelled(Exception):
    """The visitor left or pressed Cancel."""


class Job:
    """Runs `make(progress)`, shows the result with these settings and writes its files into the session's folder.

    known: errors of others whose message is for the visitor, such as ZeroGPU's (no GPU free).
    """

    def __init__(
        self, make: Make, session: Session, cut: float, style: str, known: tuple[type[Exception], ...] = ()
    ) -> None:
        self._make, self._session, self._cut, self._style, self._known = make, session, cut, style, known
        self._news: queue.Queue[Event] = queue.Queue()
        self._stop = threading.Event()
        context = contextvars.copy_context()  # says who asks: ZeroGPU lends to a visitor, not to a thread
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def events(self) -> Iterator[Event]:
        """What happens, up to `FilesReady` or `Failed`; of progress that piled up only the last."""
        while True:
            try:
                event = self._news.get(timeout=TICK)
            except queue.Empty:
                yield Tick()
                continue
            while isinstance(event, Progress) and not self._news.empty() and isinstance(self._news.queue[0], Progress):
                event = self._news.get()
            yield event
            if isinstance(event, FilesReady | Failed):
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
            result, note = self._make(self._progress)
            self._progress(1, "Building the scene")
            self._news.put(SceneReady(*files.write_scene(result, self._session.folder, self._cut, self._style), note))
            self._progress(1.05, "Making the player, the videos and the downloads")
            self._news.put(FilesReady(*files.write_files(result, self._session.folder)))
        except Cancelled:
            self._news.put(Failed("Cancelled."))
        except InputError as error:
            self._news.put(Failed(str(error)))
        except self._known as error:
            self._news.put(Failed(getattr(error, "message", str(error))))
        except Exception:  # noqa: BLE001 - a bug: the visitor gets a sentence, the server's log gets the trace
            _log.exception("A run for a visitor failed")
            self._news.put(Failed("Something went wrong on our side; please try another clip or fewer frames."))
