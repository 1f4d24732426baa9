"""What the page and the endpoint hand out: views, files, the zip of them; examples prepared once per server."""

import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .. import video
from ..backbones.base import Progress
from ..comparison import Comparison
from ..export import chosen_files, write_into
from ..export.archive import ARCHIVE, load_small, write_archive
from ..export.player import write_player
from ..export.scene import Scene
from ..export.videos import mark, playback_fps
from ..reconstruction import Masked, Reconstruction
from ..threads import workers
from .sessions import Session

PLAYER, RESULTS = "player.html", "easi3r-results.zip"
THINNED = PLAYER, "scene.glb"  # to what a visitor wants them to have at most
_FIRST_LOOK = 0.25  # share of the points of a player that is soon replaced: quicker to write and to load
_LOOSE = {".glb", ".gltf", ".html", ".json", ".ply", ".txt", ".bin", ".csv"}  # files that get smaller by packing
API_PREFIX, API_KEEP = "easi3r-api-", 600  # folders of the endpoint, and the seconds they stay at least


def write_masks(found: Masked, folder: Path) -> str:
    """A video of what moves, before anything else is known. Returns its path."""
    path = folder / "masks.mp4"
    video.write(path, map(mark, found.frames, found.dynamic), playback_fps(found.timestamps))
    return str(path)


def write_first_look(result: Reconstruction, folder: Path) -> str:
    """The player of a result that is coarse, with fewer points. Returns its path."""
    write_player(Scene(result), folder / "coarse.html", _FIRST_LOOK)
    return str(folder / "coarse.html")


def write_scene(scene: Scene, folder: Path) -> str:
    """The player, and what other results are made from. Returns the player's path."""
    with workers() as pool:
        archived = pool.submit(write_archive, scene.result, folder / "unfinished")
        write_player(scene, folder / PLAYER)
        archived.result()
    os.replace(folder / "unfinished", folder / ARCHIVE)  # it may be read this very moment
    return str(folder / PLAYER)


def write_files(scene: Scene, folder: Path, progress: Progress) -> tuple[dict[str, str], str]:
    """All that a user takes home, after `write_scene`. Returns (dict name -> path as of `save`, path of the zip)."""
    results, there = folder / "results", (PLAYER, ARCHIVE)
    results.mkdir()
    for name in there:
        shutil.copy(folder / name, results / name)
    names = chosen_files(None)
    write_into(scene, results, [name for name in names if name not in there], progress)
    progress(1, "Packing the downloads")
    written = {name: str(results / name) for name in names if (results / name).exists()}
    return written, _packed(written, folder / RESULTS)


def write_thinned(scene: Scene, files: dict[str, str], folder: Path, progress: Progress) -> tuple[dict[str, str], str]:
    """Write what is thinned to `scene.player_mb` anew; of the other files, name -> path, nothing changes.

    Returns (dict name -> path, path of the zip).
    """
    place = folder / "thinned"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        write_into(scene, Path(unfinished), [name for name in THINNED if name in files], progress)
        progress(1, "Packing the downloads")
        thinned = {path.name: str(path) for path in Path(unfinished).iterdir()}
        _packed(files | thinned, Path(unfinished, RESULTS))
        for path in Path(unfinished).iterdir():
            os.replace(path, place / path.name)  # it may be read this very moment
    return files | {name: str(place / name) for name in thinned}, str(place / RESULTS)


def write_downloads(
    result: Reconstruction, folder: Path, files: Iterable[str] | None = None
) -> tuple[dict[str, str], str]:
    """What a user takes home. Returns (dict name -> path as of `save`, path of the zip)."""
    written = result.save(folder / "results", files=files)
    return written, _packed(written, folder / RESULTS)


def write_comparison(found: Comparison, folder: Path, progress: Progress) -> tuple[dict[str, str], str]:
    """All files of a comparison. Returns (dict name -> path as of `Comparison.save`, path of the zip)."""
    written = found.save(folder / "results", progress)
    progress(1, "Packing the downloads")
    return written, _packed(written, folder / "easi3r-comparison.zip")


def _packed(files: dict[str, str], archive: Path) -> str:
    """Writes a zip of files and folders, name -> path; returns its path. What is compressed is not once more."""
    with zipfile.ZipFile(archive, "w", compresslevel=1) as packed:
        for name, place in files.items():
            for path in (Path(place), *sorted(Path(place).rglob("*"))):
                how = zipfile.ZIP_DEFLATED if path.suffix in _LOOSE else zipfile.ZIP_STORED
                packed.write(path, Path(name, path.relative_to(place)), how)
    return str(archive)


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
        self._prepared: dict[Path, Session] = {}

    def prepare(self, wait: Callable[[], None] = lambda: None) -> None:
        """Write the files of all, once per server, so that a click has nothing to wait for.

        wait(): called before every file, to give way to what is more urgent.
        """
        for clip in self.clips:
            wait()
            session, result = Session(), self.load(clip)
            scene = Scene(result)
            write_scene(scene, session.folder)
            session.info = result.info
            session.files, session.archive = write_files(scene, session.folder, lambda fraction, text: wait())
            self._prepared[clip] = session

    def load(self, clip: Path) -> Reconstruction:
        """The result of one."""
        return load_small(clip.with_suffix(".result.npz"), clip)

    def prepared(self, clip: Path, note: str) -> Session | None:
        """A session for the visitor of one that is ready, else None; note: for the visitor."""
        kept = self._prepared.get(clip)
        if kept is None:
            return None
        session = Session()
        shutil.copy(kept.folder / ARCHIVE, session.folder)  # a copy: the visitor's page deletes its own
        session.info, session.files, session.archive, session.note = kept.info, dict(kept.files), kept.archive, note
        return session

    def close(self) -> None:
        """Delete what was prepared."""
        for session in self._prepared.values():
            session.close()
