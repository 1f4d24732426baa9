"""Writers of a `Reconstruction`: each is a function write_xxx(scene, path), `save` hands one `Scene` to them all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..backbones.base import Progress
from ..errors import InputError, shown
from ..paths import check_name, quoted, try_writing
from ..reconstruction import Reconstruction
from ..threads import in_order
from .archive import ARCHIVE, is_archive, load_reconstruction, write_arrays, write_report
from .blender import write_camera
from .clean_plate import clean_plate, write_background, write_background_images
from .dataset import write_dataset
from .glb import write_scene
from .guide import write_guide
from .images import write_depth_images, write_mask_images
from .inside import write_confidence, write_inside
from .masks import write_masks
from .orbit import write_orbit
from .player import write_player
from .plot import write_path_plot
from .ply import write_moving, write_static
from .scene import PLAYER_MB, Scene
from .trajectory import write_cameras, write_poses
from .videos import write_depth

__all__ = [
    "Scene",
    "check_folder",
    "check_place",
    "chosen_files",
    "clean_plate",
    "load_reconstruction",
    "refuse_taken",
    "replacing",
    "save",
    "write_into",
    "written_names",
]

_UNFINISHED, _LOCK = ".unfinished-", "lock"  # the system's own lock, which ends with the process that holds it
_FILES = {  # files and folders; a writer that has nothing to show writes nothing
    "README.txt": write_guide,
    "player.html": write_player,
    "orbit.mp4": write_orbit,
    "scene.glb": write_scene,
    "camera.gltf": write_camera,
    "static.ply": write_static,
    "moving": write_moving,
    "poses.txt": write_poses,
    "path.png": write_path_plot,
    "cameras.json": write_cameras,
    "dataset": write_dataset,
    "masks.mp4": write_masks,
    "masks": write_mask_images,
    "background.mp4": write_background,
    "background": write_background_images,
    "depth.mp4": write_depth,
    "depth": write_depth_images,
    "confidence.mp4": write_confidence,
    "inside.mp4": write_inside,
    ARCHIVE: write_arrays,
    "report.json": write_report,
}


def written_names(folder: str | Path) -> set[str]:
    """Names in `folder` that a run has written and the next one replaces: none unless it holds an archive of ours."""
    return set(_FILES) if is_archive(Path(folder, ARCHIVE)) else set()


def check_folder(folder: str | Path, files: Iterable[str] | None = None) -> Path:
    """`folder` as a Path, if `save` can write these files there; makes nothing. Else `InputError`."""
    names, folder = chosen_files(files), check_place(folder)
    taken = [name for name in names if os.path.lexists(folder / name)]
    if files is not None:  # named one by one: a file is replaced as by any program; a folder may hold more than ours
        taken = [name for name in taken if (folder / name).is_dir()]
    refuse_taken(folder, taken, ARCHIVE)
    return folder


def refuse_taken(folder: Path, taken: list[str], sign: str) -> None:
    """`InputError` if the folder holds these names and not the file `sign`, with which we mark what is ours."""
    if taken and not (folder / sign).exists():
        raise InputError(
            f"The folder {quoted(folder)} already holds {', '.join(taken)}, which would be replaced; choose another."
        )


def check_place(folder: str | Path) -> Path:
    """`folder` as a Path, if it is or can become a folder to write into; leaves nothing there. Else `InputError`."""
    folder = Path(check_name(folder))
    try:
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
        os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError):  # judged by what it lies in
        pass
    except OSError as error:
        raise _unwritable(folder, error) from None
    if not place.is_dir():
        raise InputError(
            f"The results cannot be written to {quoted(folder)}: {quoted(place.name)} is not a folder; choose another."
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"The results cannot be written to {quoted(folder)}: you may not write there; choose another.")
    try:
        try_writing(place)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def save(
    result: Reconstruction,
    folder: str | Path,
    dataset_source: Any = None,
    files: Iterable[str] | None = None,
    player_mb: float = PLAYER_MB,
) -> dict[str, str]:
    """Write the files and folders of `_FILES` into `folder`, which is made if missing.

    What has one of these names there is replaced, folders as a whole: nothing of an older result stays behind.
    dataset_source: the clip, to have the folder dataset at its size, see `write_dataset`.
    files: only these names, such as ["scene.glb", "masks"]; what has other names stays as it is. None: all.
    player_mb: how large player.html and scene.glb may be each, 1 to 200 MB; they are thinned to it.
    Returns a dict name -> path (str) of what was written: no static.ply if nothing stands still, no folder moving if
    nothing moves. All or nothing: if one fails, the folder is left as it was. Raises `InputError` if a name is not
    among `_FILES`, `player_mb` is out of range, the folder cannot be made or written to, or it holds files of these
    names that no earlier result with its arrays.npz has left; a single file that is named in `files` is replaced all
    the same.
    """
    names, scene = chosen_files(files), Scene(result, player_mb=player_mb)
    folder = check_folder(folder, files and names)
    writers: dict[str, Callable[[Scene, Path], None]] = {name: _FILES[name] for name in names}
    if dataset_source is not None and "dataset" in names:  # first, as it is what may fail
        writers = {"dataset": partial(write_dataset, source=dataset_source)} | {
            name: write for name, write in writers.items() if name != "dataset"
        }
    with replacing(folder, names) as new:
        _write_all(scene, new, writers)
        written = [name for name in names if (new / name).exists()]
    return {name: str(folder / name) for name in written}


def write_into(scene: Scene, folder: Path, names: Iterable[str], progress: Progress | None = None) -> None:
    """Write those files and folders of `_FILES` into an empty folder; progress(fraction, text) may raise to stop."""
    _write_all(scene, folder, {name: _FILES[name] for name in names}, progress)


def _write_all(scene, folder, writers, progress=None):
    """Side by side: much of the time goes into coding videos, which is done without holding up others."""

    def write(name):
        writers[name](scene, folder / name)
        return name

    for done, name in enumerate(in_order(write, writers), 1):
        if progress:
            progress(done / len(writers), f"Written: {name}")
    for name in writers:  # one time for what belongs together: an older player is that of another result
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder / name)


@contextlib.contextmanager
def replacing(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Gives a new folder to write into; what is there at the end takes the place of these names in `folder`.

    All or nothing: if anything fails, `folder` is left as it was. What a run that was killed has left there goes.
    `InputError` if it cannot be written to.
    """
    made = []
    try:
        made = _make_folder(folder)
        for other in folder.glob(f"{_UNFINISHED}*"):
            if _is_left(other):
                shutil.rmtree(other, ignore_errors=True)
        with _unfinished(folder) as (new, old):
            yield new
            _exchange(folder, old, new, names)
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise


@contextlib.contextmanager
def _unfinished(folder):
    """Gives two new folders, within one in `folder` that is locked, for as long as the `with` block lasts."""
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as made:
        new, old, lock = Path(made, "new"), Path(made, "old"), FileLock(Path(made, _LOCK))
        with contextlib.suppress(OSError, RuntimeError):  # some file systems have no locks
            lock.acquire(timeout=0)
        try:
            old.mkdir()
            new.mkdir()  # once it is locked: to `_is_left`, nothing is before
            yield new, old
        finally:
            for path in (old, new):  # while it is locked
                shutil.rmtree(path, ignore_errors=True)
            lock.release()


def _is_left(unfinished):
    """Whether `_unfinished` made this folder for a run that was killed, and nothing in it is wanted: where that was
    while old files were exchanged for new ones, it has the only copy of the old.
    """
    lock = unfinished / _LOCK
    if not lock.is_file() or not (unfinished / "new").is_dir():  # it is not yet locked, or no longer
        return False
    try:
        with FileLock(lock, timeout=0):
            return not (any(unfinished.glob("new/*")) and any(unfinished.glob("old/*")))
    except (OSError, RuntimeError):  # somebody holds it
        return False


def chosen_files(files: Iterable[str] | None) -> list[str]:
    """The names among `_FILES` that `files` asks for, in their order; `InputError` if it names others."""
    if files is None:
        return list(_FILES)
    try:
        files = [files] if isinstance(files, str) else list(files)
    except TypeError:
        raise InputError(f"files is {shown(files)}; it must be a list of names.") from None
    unknown = [shown(name) for name in files if not isinstance(name, str) or name not in _FILES]
    if unknown or not files:
        wrong = f"files names {', '.join(unknown)}" if unknown else "files is empty"
        raise InputError(f"{wrong}; it can name {', '.join(_FILES)}.")
    return [name for name in _FILES if name in files]


def _unwritable(folder, error):
    return InputError(
        f"The results cannot be written to {quoted(folder)} ({error.strerror or error}); choose another folder."
    )


def _exchange(folder, old, new, names):
    """Move what has these names from `folder` to `old`, then everything in `new` to `folder`; undone if that fails."""
    moves = [(folder / name, old / name) for name in names if os.path.lexists(folder / name)]
    moves += [(path, folder / path.name) for path in new.iterdir()]
    done = []
    try:
        for source, target in moves:
            os.rename(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            os.rename(target, source)
        raise


def _make_folder(folder):
    """Make `folder` and what it lies in. Returns the folders that did not exist before, innermost first."""
    folder = folder.absolute()
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _remove(made):
    """Take back `_make_folder`; outer folders stay if another run has put something there."""
    if made:
        shutil.rmtree(made[0], ignore_errors=True)
    for path in made[1:]:
        with contextlib.suppress(OSError):
            path.rmdir()
