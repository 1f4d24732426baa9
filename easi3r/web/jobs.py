"""Runs of visitors: a thread computes and writes, the page reads what happens as events."""

import contextlib
import contextvars
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..comparison import Comparison
from ..errors import InputError
from ..export.scene import Scene
from ..reconstruction import Masked, Reconstruction
from . import files
from .sessions import Session

TICK = 0.4  # seconds; a run can be cancelled only when there is an event, so there is one at least so often
AT_ONCE = 2  # runs; more only slow each other down, and each takes its memory
CANCELLED = "Cancelled."
_SLOTS = threading.Semaphore(AT_ONCE)
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
class MasksReady:
    """What moves can be seen."""

    path: str  # of a video


@dataclass(frozen=True)
class SceneReady:
    """There is a scene to turn."""

    player: str  # path of its page
    info: dict  # of the `Reconstruction`
    coarse: bool  # a first look; the whole scene follows
    note: str  # for the visitor, Markdown


@dataclass(frozen=True)
class FilesReady:
    """All is done."""

    files: dict[str, str]  # name -> path
    archive: str  # path of the zip of all


@dataclass(frozen=True)
class Rendered:
    """The video of a camera move is done."""

    files: dict[str, str]  # of the result, it among them


@dataclass(frozen=True)
class Handed:
    """A program can have its result."""

    archive: dict  # gradio's FileData of the zip
    report: dict  # of the `Reconstruction`, in terms of JSON


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


Event = Tick | Progress | MasksReady | SceneReady | FilesReady | Rendered | Handed | Compared | Fetched | Failed
Report = Callable[[float, str], None]
# (progress) -> what is known so far and a note for the visitor; the last one is the result
Make = Callable[[Report], Iterator[tuple[Masked | Reconstruction, str]]]
Steps = Callable[[Report], Iterator[Event]]  # (progress) -> what there is to show, step by step
_LAST = FilesReady, Rendered, Handed, Compared, Fetched, Failed


class Cancelled(Exception):
    """The visitor left or pressed Cancel."""


def reconstruction(make: Make, session: Session, keep: Callable[[], None]) -> Steps:
    """Steps that run `make(progress)`, show what is known so far and then the result, and write its files into the
    session's folder. keep(): makes the session the visitor's, as soon as there is a result; without one it is closed.
    """

    def steps(report: Report) -> Iterator[Event]:
        kept = False
        try:
            for found, note in make(report):
                if isinstance(found, Masked):
                    yield MasksReady(files.write_masks(found, session.folder))
                elif found.coarse:
                    yield SceneReady(files.write_first_look(found, session.folder), found.info, True, note)
                else:
                    report(1, "Building the scene")
                    scene = Scene(found, player_mb=session.player_mb)
                    player = files.write_scene(scene, session.folder)
                    session.info, session.note = found.info, note
                    keep()
                    kept = True
                    yield SceneReady(player, found.info, False, note)
                    session.files, session.archive = files.write_files(
                        scene, session.folder, lambda share, text: report(1 + 0.1 * share, text)
                    )
                    yield FilesReady(session.files, session.archive)
        finally:
            if not kept:
                session.close()

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

    about: whatever its readers need to know of it; `name` is one of its own. No more than `AT_ONCE` work at a time.
    known: errors of others whose message is for the visitor, such as ZeroGPU's (no GPU free).
    """

    def __init__(self, steps: Steps, known: tuple[type[Exception], ...] = (), about: str = "") -> None:
        self._steps, self._known, self.about, self.name = steps, known, about, uuid.uuid4().hex
        self._changed = threading.Condition()
        self._done: list[Event] = []
        self._told: Progress | None = None
        self._stop = threading.Event()
        context = contextvars.copy_context()  # says who asks: ZeroGPU lends to a visitor, not to a thread
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    @property
    def masks(self) -> str | None:
        """Path of the video of what moves, while it is all there is."""
        paths = [event.path for event in self._done if isinstance(event, MasksReady)]
        return paths[-1] if paths else None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return not self._thread.is_alive()

    def events(self) -> Iterator[Event]:
        """What has happened and happens, up to what is done or `Failed`; of what replaces each other only the last.

        Any number of readers, from the beginning.
        """
        seen, told = 0, None
        while True:
            with self._changed:
                if len(self._done) == seen and not self._stop.is_set():
                    self._changed.wait(TICK)
                news, progress, seen = self._done[seen:], self._told, len(self._done)
            if self._stop.is_set() and not (news and isinstance(news[-1], _LAST)):  # not when it notices
                yield Failed(CANCELLED)
                return
            if progress is not told and progress is not None and not (news and isinstance(news[-1], _LAST)):
                told = progress
                yield progress
            elif not news:
                yield Tick()
            for k, event in enumerate(news):
                if not any(type(later) is type(event) for later in news[k + 1 :]):
                    yield event
                if isinstance(event, _LAST):
                    return

    @property
    def count(self) -> int:
        """Of what has happened so far."""
        return len(self._done)

    def happened(self, first: int, end: int) -> list[Event]:
        """What has happened, from number `first` to before `end`."""
        return self._done[first:end]

    def cancel(self) -> None:
        """Ask it to stop; it does at its next progress, its readers hear of it at once."""
        with self._changed:
            self._stop.set()
            self._changed.notify_all()

    def then(self, work: Callable[[], None]) -> None:
        """Do `work` when the thread has ended, without waiting for it here."""

        def wait():
            self._thread.join()
            work()

        threading.Thread(target=wait, daemon=True).start()

    def _progress(self, fraction, text):
        if self._stop.is_set():
            raise Cancelled
        self._told = Progress(0.9 * fraction, text)  # readers look now and then: telling all takes them half of a core

    @contextlib.contextmanager
    def _slot(self):
        while not _SLOTS.acquire(timeout=TICK):
            self._progress(0, "Waiting: other visitors' clips are being computed")
        try:
            yield
        finally:
            _SLOTS.release()

    def _put(self, event):
        with self._changed:
            self._done.append(event)
            self._changed.notify_all()

    def _work(self):
        try:
            with self._slot():
                self._progress(0, "Loading")
                for event in self._steps(self._progress):
                    self._put(event)
        except Cancelled:
            self._put(Failed(CANCELLED))
        except InputError as error:
            self._put(Failed(str(error)))
        except self._known as error:
            self._put(Failed(getattr(error, "message", str(error))))
        except Exception:  # noqa: BLE001 - a bug: the visitor gets a sentence, the server's log gets the trace
            _log.exception("A run for a visitor failed")
            self._put(Failed("Something went wrong on our side; please try another clip or fewer frames."))
