"""One clip with one system: what a worker does, and how a result is known to be done."""

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from .. import __version__, memory
from ..backbones.base import Progress
from ..errors import InputError
from ..options import Options
from ..paths import UNFINISHED
from ..pipeline import reconstruct
from ..system import System, load_system
from .places import REPORT, fetched, identity, inside, is_remote, read, writing

_RUNS = 0.9  # of the time of a clip; the rest is writing


@dataclass(frozen=True)
class Job:
    """A clip, the name of a system, and the folder for the result: paths or URLs, as `places.normal` gives them."""

    clip: str
    system: str
    folder: str


@dataclass(frozen=True)
class Done:
    """What the table says of a result."""

    seconds: float  # of the reconstruction, without fetching and writing
    frames: int
    warning: str  # the first one


class Reconstructor:
    """Works on jobs; keeps the system of the last one."""

    def __init__(self, options: Options) -> None:
        self._options, self._name = options, ""
        self._system: System | InputError | None = None  # an error is not waited for again for each clip

    def __call__(self, job: Job, progress: Progress) -> Done:
        """The result of a job is written as a whole, or not at all. Raises what `reconstruct` and `save` do."""
        system = self._load(job.system, progress)
        source = identity(job.clip)
        with fetched(job.clip) as clip, writing(job.folder) as folder:
            began = time.perf_counter()
            unfinished = None if is_remote(job.folder) else folder / UNFINISHED  # parts of a long clip that are done
            told = lambda fraction, text: progress(_RUNS * fraction, text)
            result = reconstruct(clip, system, self._options, progress=told, resume=unfinished)
            about = {"system": job.system, "clip": source, "seconds": round(time.perf_counter() - began, 3)}
            progress(_RUNS, "Writing the results")
            replace(result, info={**result.info, "batch": about}).save(folder)
            if unfinished:
                shutil.rmtree(unfinished, ignore_errors=True)
        return _done({**result.info, "batch": about})

    def _load(self, name, progress):
        if self._name != name:
            self._name, self._system = name, None  # frees the one before
            memory.release()
            try:
                self._system = load_system(name, progress=lambda f, text: progress(0, text))
            except InputError as error:
                self._system = error
        if isinstance(self._system, InputError):
            raise self._system
        return self._system


def finished(job: Job, options: Options) -> Done | None:
    """What has been done already, with the same system, options and version, of the same file; None: it is to be done.

    A clip that cannot be reached is.
    """
    try:
        source, text = identity(job.clip), read(inside(job.folder, REPORT))
        report: dict[str, Any] = json.loads(text or "{}")
        made = report["batch"]
        same = made["system"] == job.system and made["clip"] == source and report["options"] == asdict(options)
        return _done(report) if same and report["versions"]["easi3r"] == __version__ else None
    except (InputError, ValueError, LookupError, TypeError):
        return None


def _done(info):
    return Done(info["batch"]["seconds"], info["frames"], next(iter(info["warnings"]), ""))
