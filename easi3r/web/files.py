"""What the page and the endpoint hand out: views, files, the zip of them; examples prepared once per server."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ..backbones.base import Progress
from ..comparison import Comparison
from ..export.archive import ARCHIVE, load_small, write_archive
from ..export.glb import GlbInfo, write_glb
from ..export.scene import CUT
from ..reconstruction import Reconstruction
from .sessions import Session

API_PREFIX, API_KEEP = "easi3r-api-", 600  # folders of the endpoint, and the seconds they stay at least


def write_scene(result: Reconstruction, folder: Path, cut: float, style: str) -> tuple[dict, int, GlbInfo]:
    """The 3D view, quickly. Returns (info, number of frames, view), what the page shows first.

    cut: share of unsure points left out; style: "surfaces" or "points".
    """
    view = write_glb(result, folder / "view.glb", cut=cut, colours="babylon", points=style == "points")
    return result.info, len(result.frames), view


def write_files(result: Reconstruction, folder: Path) -> tuple[dict[str, str], str]:
    """Everything else: what other views are made from, and the downloads, see `write_downloads`."""
    write_archive(result, folder / "unfinished")
    os.replace(folder / "unfinished", folder / ARCHIVE)  # a view may be reading it this very moment
    return write_downloads(result, folder)


def write_downloads(
    result: Reconstruction, folder: Path, files: Iterable[str] | None = None
) -> tuple[dict[str, str], str]:
    """What a user takes home. Returns (dict name -> path as of `save`, path of the zip)."""
    written = result.save(folder / "results", files=files)
    return written, shutil.make_archive(str(folder / "easi3r-results"), "zip", folder / "results")


def write_comparison(found: Comparison, folder: Path, progress: Progress) -> tuple[dict[str, str], str]:
    """All files of a comparison. Returns (dict name -> path as of `Comparison.save`, path of the zip)."""
    written = found.save(folder / "results", progress)
    progress(1, "Packing the downloads")
    return written, shutil.make_archive(str(folder / "easi3r-comparison"), "zip", folder / "results")


def sweep(keep: float = API_KEEP) -> None:
    """Delete what earlier calls of the endpoint left for longer than `keep` seconds: gradio hands over a copy, but only
    after the function has returned.
    """
    for folder in Path(tempfile.gettempdir()).glob(API_PREFIX + "*"):
        if time.time() - folder.stat().st_mtime > keep:
            shutil.rmtree(folder, ignore_errors=True)


class Examples:
    """Clips NAME.mp4 of a folder with results computed beforehand, NAME.result.npz, see examples/make.py."""

    def __init__(self, folder: Path) -> None:
        self.clips = sorted(p for p in folder.glob("*.mp4") if p.with_suffix(".result.npz").exists())
        self._prepared: dict[Path, tuple[tuple[dict, int, GlbInfo], tuple[dict[str, str], str], Session]] = {}

    def prepare(self) -> None:
        """Write the files of all, once per server, so that a click has nothing to wait for."""
        for clip in self.clips:
            session, result = Session(), self.load(clip)
            scene = write_scene(result, session.folder, CUT, "surfaces")
            self._prepared[clip] = scene, write_files(result, session.folder), session

    def load(self, clip: Path) -> Reconstruction:
        """The result of one."""
        return load_small(clip.with_suffix(".result.npz"), clip)

    def prepared(self, clip: Path) -> tuple[tuple[dict, int, GlbInfo], tuple[dict[str, str], str], Session] | None:
        """(scene, files, a session for the visitor) of one that is ready, else None."""
        if clip not in self._prepared:
            return None
        scene, files, kept = self._prepared[clip]
        session = Session()
        shutil.copy(kept.folder / ARCHIVE, session.folder)  # a copy: the visitor's page deletes its own
        session.files = dict(files[0])
        return scene, files, session

    def close(self) -> None:
        """Delete what was prepared."""
        for _, _, session in self._prepared.values():
            session.close()
