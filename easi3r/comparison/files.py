"""A comparison as files: a folder per system, the table, masks and paths of all, and the linked 4D views."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..backbones.base import Progress, check_progress
from ..export import Scene, check_place, refuse_taken, replacing, save
from ..export.archive import plain
from ..export.masks import write_mask_grid
from ..export.player import write_linked
from ..export.plot import write_paths_plot
from ..reconstruction import Reconstruction
from .choice import Entry
from .table import Row, markdown

_REPORT, _TABLE, _MASKS, _PATHS, _VIEWS = "comparison.json", "comparison.md", "masks.mp4", "paths.png", "compare.html"
_ALL = 0.3  # share of the time for what shows all of them; the rest are the folders


@dataclass(frozen=True)
class Comparison:
    """What several systems made of one clip.

    results: name -> `Reconstruction`, in the order asked for, those that failed left out. All are in the world of the
    first, whose first camera is the identity; the first cameras of the others need not be.
    table: name -> `Row`, of those that failed too.
    """

    results: dict[str, Reconstruction]
    table: dict[str, Row]
    entries: tuple[Entry, ...]  # what was asked for
    source: str  # name of the clip

    def markdown(self) -> str:
        """The table for people: a column per system, and what is to be minded."""
        return markdown(self.table)

    def save(self, folder: str | Path, progress: Progress | None = None) -> dict[str, str]:
        """Write into `folder`, made if missing: a folder per system with all that `Reconstruction.save` writes,
        comparison.json, comparison.md, masks.mp4, paths.png and compare.html (one file: all in 3D, linked).

        What an earlier comparison has left there under these names is replaced; all or nothing. Returns a dict name ->
        path of what was written. progress(fraction, text) may raise to cancel. Raises `InputError` if the folder cannot
        be written to, or holds such names and is none of ours.
        """
        report = check_progress(progress)
        folder, names = check_out(folder, self.entries), [*_FILES, *(entry.folder for entry in self.entries)]
        scenes = {self.table[name].label: Scene(result) for name, result in self.results.items()}
        with replacing(folder, names) as new:
            report(0, "Writing what shows all of them")
            write_linked(scenes, new / _VIEWS)
            write_paths_plot(scenes, new / _PATHS)
            write_mask_grid({label: scene.result for label, scene in scenes.items()}, new / _MASKS)
            (new / _TABLE).write_text(f"# {self.source}\n\n{self.markdown()}", encoding="utf-8")
            (new / _REPORT).write_text(self._report(), encoding="utf-8")
            written = [entry for entry in self.entries if entry.name in self.results]
            for k, entry in enumerate(written):
                report(_ALL + (1 - _ALL) * k / len(written), f"Writing the files of: {entry.label}")
                save(self.results[entry.name], new / entry.folder)
        return {name: str(folder / name) for name in [*_FILES, *(entry.folder for entry in written)]}

    def _report(self) -> str:
        rows = [asdict(row) for row in self.table.values()]
        about = {"source": self.source, "world": f"first camera of {next(iter(self.results))}", "systems": rows}
        return json.dumps(plain(about), indent=1, allow_nan=False, ensure_ascii=False)


_FILES = _VIEWS, _MASKS, _PATHS, _TABLE, _REPORT


def check_out(folder: str | Path, entries: tuple[Entry, ...]) -> Path:
    """`folder` as a Path, if a comparison of these can be written there; makes nothing. Else `InputError`."""
    folder = check_place(folder)
    names = [*_FILES, *(entry.folder for entry in entries)]
    refuse_taken(folder, [name for name in names if os.path.lexists(folder / name)], _REPORT)
    return folder
