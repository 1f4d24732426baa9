"""The clip without what moves: as a video, and as pictures with what no frame ever saw left transparent."""

from pathlib import Path

import numpy as np

from .. import video
from ..large import frames_of
from ..reconstruction import Reconstruction
from .images import write_pngs
from .scene import Scene
from .videos import playback_fps

_STRIPES = 16, 72, 84  # width in pixels of a dark and a light stripe together, and their grey levels


def clean_plate(result: Scene | Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """The clip without what moves: pictures (T,H,W,3) uint8 RGB and where they are known, (T,H,W) bool.

    Each frame keeps its static pixels; what is hidden in it comes from the frames that show it, through the solved
    cameras. What no frame shows, or on what they disagree, is black and not known; nothing is invented.
    """
    return (result if isinstance(result, Scene) else Scene(result)).uncovered


def write_background(scene: Scene, path: Path) -> None:
    """mp4 of the `clean_plate`, hatched where nothing is known. If nothing moves it is the clip itself."""
    pictures, known = clean_plate(scene)
    height, width = known.shape[1:]
    period, dark, light = _STRIPES
    diagonal = np.add(*np.mgrid[:height, :width]) % period < period / 2
    hatch = np.where(diagonal, dark, light).astype(np.uint8)[..., None]
    shown = (np.where(known[t][..., None], pictures[t], hatch) for t in frames_of(scene.result))
    video.write(path, shown, playback_fps(scene.result.timestamps))


def write_background_images(scene: Scene, folder: Path) -> None:
    """PNG files 00000.png and so on, 8 bit RGBA at working size: the `clean_plate`, alpha 0 where nothing is known."""
    pictures, known = clean_plate(scene)
    whole = (np.dstack([pictures[t][..., ::-1], 255 * known[t].astype(np.uint8)]) for t in frames_of(scene.result))
    write_pngs(folder, whole)
