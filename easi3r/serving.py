"""What the page takes, keeps and hands out: the chosen clip; a folder of files per visitor, for as long as their page
is open; prepared examples."""

import atexit
import base64
import functools
import io
import logging
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from . import InputError, load_reconstruction, stills, video
from .export.archive import ARCHIVE, load_small, write_archive
from .export.glb import write_glb
from .export.surfaces import CUT
from .sources import Stills, natural, open_source

API_PREFIX, API_KEEP = "easi3r-api-", 600  # folders of the endpoint, and the seconds they stay at least
folders, _folders_lock = {}, threading.Lock()
files_of = {}  # visitor -> name -> path of what `save` wrote
stored = functools.lru_cache(maxsize=4)(load_reconstruction)  # of folders, which are never written twice
prepared = {}  # example -> what `_show_scene` and `_show_files` take, and the folder

STILL_SIDE = 640  # pixels; the first frame shown where the browser cannot play a clip, on a page 1280 wide
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """What a visitor chose; `problem` is a sentence where it cannot be used, and the fields below it are not filled."""

    source: str | list  # as of `video.read`
    name: str
    problem: str = ""
    size: tuple = ()  # (width, height) of the source, pixels
    n_frames: int = 0
    seconds: float | None = None  # length; None for photos
    still: str = ""  # the first frame, a JPEG as a data URL


def choose(paths):
    """`Chosen` of uploaded files: one video, one zip, or photos. Never raises."""
    name = Path(paths[0]).name if len(paths) == 1 else f"{len(paths)} files"
    try:
        source = source_of(paths)
        seen = video.read(source, 1, STILL_SIDE, 1)
        opened = open_source(source)
    except InputError as error:
        return Chosen(list(paths), name, str(error))
    except Exception:  # a bug: the visitor gets a sentence, the server's log gets the trace
        _log.exception("A clip could not be looked at")
        sentence = f"'{name}' cannot be used: something went wrong on our side. Try another clip."
        return Chosen(list(paths), name, sentence)
    times, n = opened.seconds, len(opened.seconds)
    seconds = None if isinstance(opened, Stills) else float(times[-1] - times[0]) * n / max(1, n - 1)
    return Chosen(source, name, "", seen.framing.source_size, n, seconds, _data_url(seen.frames[0]))


def source_of(paths):
    """The source, as of `video.read`, that uploaded files are: a path, or photos in natural order (2 before 10).

    Raises `InputError` where several files are not all photos.
    """
    if len(paths) == 1:
        return str(paths[0])
    for path in map(Path, paths):
        if path.suffix.lower() not in stills.SUFFIXES:
            raise InputError(f"These are {len(paths)} files and '{path.name}' is not a photo; "
                             "choose one video or one zip, or only photos.")  # fmt: skip
    return [str(path) for path in sorted(map(Path, paths), key=natural)]


def _data_url(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def keep(visitor, folder):
    """Make `folder` (or None) the visitor's; what they had before is deleted."""
    with _folders_lock:
        old = folders.pop(visitor, None)
        files_of.pop(visitor, None)
        if folder is not None:
            folders[visitor] = folder
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def drop(visitor, folder):
    """Delete the folder of a run that was not finished; what the visitor may have had since stays."""
    with _folders_lock:
        if folders.get(visitor) == folder:
            del folders[visitor]
            files_of.pop(visitor, None)
    shutil.rmtree(folder, ignore_errors=True)


def api_folder():
    """A new folder for what the endpoint hands over; deleted at exit, or by `sweep`."""
    folder = Path(tempfile.mkdtemp(prefix=API_PREFIX))
    keep(folder, folder)
    return folder


@atexit.register
def _forget_all():
    for visitor in list(folders):
        keep(visitor, None)


def prepare_examples(examples):
    """Write the files of all examples, once per server, so that a click has nothing to wait for."""
    for path in examples:
        folder = Path(tempfile.mkdtemp(prefix="easi3r-"))
        keep(path, folder)  # deleted at exit
        result, note = load_example(path)
        scene = write_scene(result, folder, CUT, "surfaces", note)
        prepared[path] = scene, write_files(result, folder), folder


def load_example(path):
    """(result, note) of an example's clip NAME.mp4 from the NAME.result.npz beside it, see examples/make.py."""
    return load_small(path.with_suffix(".result.npz"), path), "Computed beforehand; press Reconstruct to compute it here."


def write_scene(result, folder, cut, style, note):
    """The 3D view, quickly. Returns (info, number of frames, `GlbInfo`, note), what the page shows first."""
    view = write_glb(result, folder / "view.glb", cut=cut, colours="babylon", points=style == "points")
    return result.info, len(result.frames), view, note


def write_files(result, folder):
    """Everything else: what other views are made from, and the downloads, see `write_downloads`."""
    write_archive(result, folder / "unfinished")
    os.replace(folder / "unfinished", folder / ARCHIVE)  # a view may be reading it this very moment
    return write_downloads(result, folder)


def write_downloads(result, folder):
    """What a user takes home. Returns (dict name -> path as of `save`, path of the zip)."""
    files = result.save(folder / "results")
    return files, shutil.make_archive(str(folder / "easi3r-results"), "zip", folder / "results")


def sweep():
    """Delete what earlier calls of the endpoint left: gradio hands over a copy, but only after the function has returned."""
    for folder in Path(tempfile.gettempdir()).glob(API_PREFIX + "*"):
        if time.time() - folder.stat().st_mtime > API_KEEP:
            drop(folder, folder)
