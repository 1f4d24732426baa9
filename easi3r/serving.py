"""What the page keeps and hands out: a folder of files per visitor, for as long as their page is open; prepared
examples.
"""

import atexit
import functools
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from . import load_reconstruction
from .export.archive import ARCHIVE, load_small, write_archive
from .export.glb import write_glb
from .export.scene import CUT

API_PREFIX, API_KEEP = "easi3r-api-", 600  # folders of the endpoint, and the seconds they stay at least
folders, _folders_lock = {}, threading.Lock()
files_of = {}  # visitor -> name -> path of what `save` wrote
stored = functools.lru_cache(maxsize=4)(load_reconstruction)  # of folders, which are never written twice
prepared = {}  # example -> what `_show_scene` and `_show_files` take, and the folder


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
    return load_small(
        path.with_suffix(".result.npz"), path
    ), "Computed beforehand; press Reconstruct to compute it here."


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
    """Delete what earlier calls of the endpoint left: gradio hands over a copy, but only after the function has
    returned.
    """
    for folder in Path(tempfile.gettempdir()).glob(API_PREFIX + "*"):
        if time.time() - folder.stat().st_mtime > API_KEEP:
            drop(folder, folder)
