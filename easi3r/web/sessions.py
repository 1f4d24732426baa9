"""Results of visitors: what the page keeps for each."""

import atexit
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np

from .. import load_reconstruction
from ..export.archive import ARCHIVE
from ..export.scene import PLAYER_MB, Scene
from ..reconstruction import Reconstruction

PREFIX = "easi3r-"  # of the folders


class Session:
    """A result and its files. Deleted as a whole, from memory too."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        self.files: dict[str, str] = {}  # name -> path, as of `Reconstruction.save`
        self.number = self.folder.name  # of the result; one that changes another keeps its number
        self.archive = ""  # path of the zip of all of them
        self.info: dict = {}  # of the result
        self.note = ""  # on it, for the visitor
        self.player_mb = PLAYER_MB  # most that its player and scene.glb have each
        self._lock = threading.Lock()
        self._result: Reconstruction | None = None
        self._movers: np.ndarray | None = None

    def result(self) -> Reconstruction | None:
        """The stored result, kept for the next view of it; None before it is written and after the session's end."""
        with self._lock:
            path = self.folder / ARCHIVE
            if self._result is None and path.exists():
                self._result = load_reconstruction(path)
            return self._result

    def movers(self) -> np.ndarray:
        """Which mover each pixel of the stored result belongs to, as of `Scene`; there must be one."""
        result = self.result()
        with self._lock:
            if self._movers is None:
                assert result is not None  # as promised
                self._movers = Scene(result).movers
            return self._movers

    def close(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._result = self._movers = None
            self.files = {}
            shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """The session of each visitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, Session] = {}
        atexit.register(self.close)

    def get(self, visitor: str) -> Session | None:
        """The visitor's session, if they have one."""
        with self._lock:
            return self._of.get(visitor)

    def keep(self, visitor: str, session: Session | None) -> None:
        """Make `session` (or nothing) the visitor's; what they had before is deleted."""
        with self._lock:
            old = self._of.pop(visitor, None)
            if session is not None:
                self._of[visitor] = session
        if old is not None and old is not session:
            old.close()

    def drop(self, visitor: str, session: Session) -> None:
        """Delete the session of a run that was not finished; what the visitor may have had since stays."""
        with self._lock:
            if self._of.get(visitor) is session:
                del self._of[visitor]
        session.close()

    def prune(self) -> None:
        """Forget those whose folder is gone."""
        with self._lock:
            self._of = {visitor: session for visitor, session in self._of.items() if session.folder.exists()}

    def close(self) -> None:
        """Delete all of them."""
        with self._lock:
            sessions, self._of = list(self._of.values()), {}
        for session in sessions:
            session.close()
