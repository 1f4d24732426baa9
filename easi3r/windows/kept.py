"""Windows that are solved, as files: a run that was stopped goes on from them."""

import contextlib
import hashlib
import json
import os
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import InputError
from ..motion import Motion
from ..options import Options
from ..own_masks import OwnMasks
from ..paths import quoted
from ..system.base import Estimate, System

_MAP = "map/"  # before the name of a map of `Motion.maps`
ANEW = "What an earlier run had kept was made with another clip, system, version or options; all of it was made anew."
DAMAGED = "Some of what an earlier run had kept is damaged; that was made anew."


class Kept:
    """A folder with a file per window. folder: None keeps nothing.

    A file says what it was made of: frames, masks, system, options, our version; what was made of something else is
    made anew. A size in metres comes after all windows, and is no part of it.
    """

    def __init__(self, folder: Path | None, system: System) -> None:
        self._folder = folder
        info = json.dumps(getattr(system.network, "info", None), sort_keys=True, default=str)
        self._made_with = f"{__version__} {system.card.name} {info}"
        self.note = ANEW if folder is not None and any(folder.glob("window-*.npz")) else ""  # on what is there, so far

    def load(self, frames: np.ndarray, masks: OwnMasks, options: Options) -> Estimate | None:
        """What was made of these frames (n,H,W,3) before; None if nothing was, or not to the end."""
        if self._folder is None or not (path := self._path(frames, masks, options)).is_file():
            return None
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            said = json.loads(str(arrays.pop("said")))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # cut off by what stopped the machine
            self.note = DAMAGED
            return None
        self.note = self.note if self.note == DAMAGED else ""
        maps = {name.removeprefix(_MAP): arrays.pop(name) for name in list(arrays) if name.startswith(_MAP)}
        motion = Motion(arrays.pop("dynamic"), arrays.pop("values"), maps)
        return Estimate(**arrays, motion=motion, warnings=tuple(said["warnings"]), info=said["info"])

    def save(self, found: Estimate, frames: np.ndarray, masks: OwnMasks, options: Options) -> None:
        """Keep what was made of frames; whole or not at all. Raises `InputError` if the folder cannot be written to."""
        if self._folder is None:
            return
        motion, path = found.motion, self._path(frames, masks, options)
        arrays = {name: getattr(found, name) for name in ("cam2world", "intrinsics", "depth", "confidence")}
        arrays |= {"dynamic": motion.dynamic, "values": motion.values}
        arrays |= {_MAP + name: array for name, array in motion.maps.items()}
        said = json.dumps({"warnings": found.warnings, "info": found.info}, default=str)
        unfinished = path.with_suffix(".unfinished")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(unfinished, "wb") as file:
                np.savez(file, said=said, **arrays)
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise _unwritable(self._folder, error) from error

    def _path(self, frames, masks, options):
        made = hashlib.sha256(self._made_with.encode())
        chosen = asdict(replace(options, max_frames=0, scale=None))
        made.update(json.dumps(chosen, sort_keys=True, default=str).encode())
        made.update(np.ascontiguousarray(frames))
        made.update(np.packbits(masks.masks))
        made.update(masks.known)
        return self._folder / f"window-{made.hexdigest()[:24]}.npz"


def _unwritable(folder, error):
    return InputError(
        f"What is done of a long clip cannot be kept in {quoted(folder)} ({error.strerror or error}); "
        "make room, or choose another folder."
    )
