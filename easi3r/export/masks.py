"""Videos of masks: of one result, or of several in a grid of pictures with names above."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .. import video
from ..large import frames_of
from ..motion.evidence import BEFORE_SAM2
from ..reconstruction import Reconstruction
from .inside import fitting_font
from .scene import Scene
from .videos import mark, playback_fps

_SHAPE = 4 / 3  # width over height that the grid comes nearest to: it fits pages, slides and phones held sideways
_TITLE, _GAP = 30, 6  # pixels above and between pictures
_GROUND, _INK = (22, 24, 29), (235, 235, 235)


def write_masks(scene: Scene, path: Path) -> None:
    """mp4 of the clip with the movers tinted and outlined, numbered if there are several; all other pixels are as they
    were.

    Where SAM 2 drew the masks, there are two pictures: those before it, and those by it.
    """
    result = scene.result
    before = result.evidence.get(BEFORE_SAM2)
    if before is None:
        several = int(scene.movers.max()) > 1
        marked = (mark(result.frames[t], scene.movers[t], several) for t in frames_of(result))
        video.write(path, marked, playback_fps(result.timestamps))
    else:
        write_mask_grid({"Before SAM 2": replace(result, dynamic=before > 0.5), "By SAM 2": result}, path)


def write_mask_grid(results: Mapping[str, Reconstruction], path: Path) -> None:
    """mp4 of the clip with the moving pixels of each of one to four results marked; label -> `Reconstruction`.

    A place that is left over in the grid shows the clip itself. All pictures have the working size of the first.
    """
    first = next(iter(results.values()))
    height, width = first.depth.shape[1:]
    cell = width + _GAP, height + _TITLE
    columns = min(range(1, len(results) + 1), key=lambda c: abs(np.log(_shape(cell, len(results), c) / _SHAPE)))
    rows = -(-len(results) // columns)
    titles = [*results, "The clip"][: rows * columns]
    empty = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _GROUND)
    places = [(_GAP + k % columns * cell[0], _TITLE + k // columns * cell[1]) for k in range(len(titles))]
    draw = ImageDraw.Draw(empty)
    for (left, top), title in zip(places, titles):
        font = fitting_font(title, width, 17)
        draw.text((left + width / 2, top - _TITLE / 2), title, _INK, font, "mm")

    def picture(t: int) -> np.ndarray:
        sheet = np.array(empty)
        shown = [mark(result.frames[t], result.dynamic[t]) for result in results.values()]
        for (left, top), image in zip(places, [*shown, first.frames[t]]):
            sheet[top : top + height, left : left + width] = cv2.resize(image, (width, height))
        return sheet

    video.write(path, map(picture, frames_of(first)), playback_fps(first.timestamps))


def _shape(cell, count, columns):
    """Width over height of a grid of so many cells (width, height)."""
    return columns * cell[0] / (-(-count // columns) * cell[1])
