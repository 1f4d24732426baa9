"""Writers of a `Reconstruction`: each is a function write_xxx(result, path), `save` writes them all."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from ..errors import InputError
from .archive import ARCHIVE, load_reconstruction, write_archive, write_report
from .glb import GlbInfo, write_glb
from .trajectory import write_cameras, write_poses
from .videos import write_depth, write_masks

_FILES = {
    "scene.glb": write_glb,
    "poses.txt": write_poses,
    "cameras.json": write_cameras,
    "masks.mp4": write_masks,
    "depth.mp4": write_depth,
    ARCHIVE: write_archive,
    "report.json": write_report,
}


def save(result, folder):
    """Write every file of `_FILES` into `folder`, which is made if missing; files of these names there are replaced.

    Returns a dict name -> path (str). All or nothing: if one file fails, none is left behind. Raises `InputError` if
    the folder cannot be made or written to.
    """
    folder = Path(folder)
    made = []
    try:
        made = _make_folder(folder)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as unfinished:
            for name, write in _FILES.items():
                write(result, Path(unfinished, name))
            for name in _FILES:
                os.replace(Path(unfinished, name), folder / name)
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError):
            raise InputError(f"The results cannot be written to {folder} ({error.strerror or error}); "
                             "choose another folder.") from error
        raise
    return {name: str(folder / name) for name in _FILES}


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
