"""reconstruct_all(): every clip with every system into folders of one table."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, count
from pathlib import Path

from filelock import FileLock, Timeout

from ..backbones.base import Progress, check_progress
from ..errors import InputError, shown
from ..export import check_place
from ..options import Options, check_options
from ..paths import check_name, quoted
from ..system.registry import check_distinct, row_of
from .find import find_clips
from .places import inside, is_remote, name_of, normal
from .runner import Failure, run
from .table import Row, earlier, write
from .work import Job, Reconstructor, finished

_LOCK = ".batch.lock"  # the system's own lock, which ends with the process that holds it


def reconstruct_all(
    clips: str | Path | Sequence[str | Path],
    out: str | Path,
    systems: Sequence[str] = ("auto",),
    options: Options | None = None,
    address: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> list[Row]:
    """Reconstruct many clips; each goes into OUT/CLIP/SYSTEM/ as `Reconstruction.save` writes it, and OUT/batch.csv,
    made anew after each, has what became of them. Returns its rows, clip by clip.

    clips: a folder of clips or a list of them, see `find.find_clips`, or their paths. These and out may be URLs that
    fsspec knows ("s3://..."). address: None = one after another in this process, else a Ray cluster, see `runner.run`.
    progress(fraction of all, text) may raise to end it; what is done stays. What has been done before, by the same
    version with the same system and options from the same file, is skipped. resume: rows of an earlier table that are
    not of this run stay in it. A clip that fails is a row. Raises `InputError` if there is no clip, a system is
    unknown, `out` cannot be written to or is another run's, or the cluster cannot be reached.
    """
    options, report = check_options(options), check_progress(progress)
    if isinstance(systems, str) or not isinstance(systems, Iterable):
        raise InputError(f"systems is {shown(systems)}; it must be a list, such as ['preview', 'da3'].")
    names = check_distinct(list(systems))
    weights = [name == "auto" or row_of(name).card.weights for name in names]
    out = normal(check_name(out))
    found = find_clips(clips, out)[0] if isinstance(clips, (str, Path)) else _listed(clips)
    if not found or not names:
        raise InputError("There is nothing to do; give at least one clip and one system.")
    folders = _folders(found)
    # system by system, as a worker holds one at a time
    jobs = {(clip, name): Job(clip, name, inside(out, folders[clip], name)) for name in names for clip in found}
    with _held(out):
        before = {key: finished(job, options) for key, job in jobs.items()}
        rows = {key: _row(jobs[key], before[key], folders) for key in ((c, n) for c in found for n in names)}
        others = [row for row in earlier(out) if (row.clip, row.system) not in rows] if resume else []
        write([*rows.values(), *others], out)
        to_do = {f"{folders[clip]} ({name})": (clip, name) for (clip, name), done in before.items() if not done}
        items = {label: jobs[key] for label, key in to_do.items()}
        make = partial(Reconstructor, options)
        for label, outcome in run(items, make, report, address, any(weights)) if items else ():
            key = to_do[label]
            told = {"failure": outcome.reason} if isinstance(outcome, Failure) else vars(outcome)
            rows[key] = replace(rows[key], state="failed" if "failure" in told else "done", **told)
            write([*rows.values(), *others], out)
    return list(rows.values())


def _listed(clips):
    """Places of the clips of a list, each once; `InputError` if it is no list of paths."""
    try:
        return list(dict.fromkeys(map(normal, clips)))
    except TypeError:
        raise InputError(f"clips is {shown(clips)}; it must be a folder of clips, or a list of their paths.") from None


def _row(job, done, folders):
    row = Row(job.clip, job.system, "waiting", f"{folders[job.clip]}/{job.system}")
    return replace(row, state="skipped", **vars(done)) if done else row


def _folders(clips):
    """Clip -> name of its folder: that of the file, without its ending unless clips share it; else with a number."""
    stems = Counter(Path(name_of(clip)).stem.lower() for clip in clips)  # some file systems take a and A for the same
    names: dict[str, str] = {}
    taken: set[str] = set()
    for clip in clips:
        stem = Path(name_of(clip)).stem
        first = stem if stems[stem.lower()] == 1 else name_of(clip)
        name = next(name for name in chain([first], (f"{first}-{k}" for k in count(2))) if name.lower() not in taken)
        taken.add(name.lower())
        names[clip] = name
    return names


@contextmanager
def _held(out: str) -> Iterator[None]:
    """Holds the folder, made if missing, against other runs; on a server nothing does. Raises `InputError`."""
    if is_remote(out):
        yield
        return
    check_place(out)
    lock = FileLock(inside(out, _LOCK))
    try:
        os.makedirs(out, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Another run is writing to {quoted(out)}; wait for its end, or give another --out.") from None
    except (OSError, NotImplementedError) as error:
        raise InputError(f"The results cannot be written to {quoted(out)} ({error}); choose another folder.") from None
    try:
        yield
    finally:
        lock.release()
