"""What is seen in videos: moving pixels marked, and depth in colours."""

from pathlib import Path

import cv2
import numpy as np

from .. import video
from ..large import choice, frames_of
from ..motion.movers import colour
from .scene import Scene

_STRENGTH = 0.5  # share of a mover's colour in its pixels


def playback_fps(timestamps: np.ndarray) -> float:
    """Frames per second at which T sampled frames play: as fast as they were filmed, but between 4 and 30.

    timestamps: (T,) seconds. A long clip sampled sparsely plays as a time lapse rather than as a slide show.
    """
    span = float(timestamps[-1] - timestamps[0])
    return float(np.clip((len(timestamps) - 1) / span, 4, 30)) if span > 0 else 4.0


def write_depth(scene: Scene, path: Path) -> None:
    """mp4 of the depth in colours, from red (near) to blue (far); unusable pixels are black, uncertain ones darkened.

    Inverse depth between its 2nd and 98th percentile over the whole clip, so that colours mean the same in every frame;
    colour map: Turbo (A. Mikhailov, Google, 2019).
    """
    result = scene.result
    inverse, sure = (np.concatenate(each) for each in zip(*(_usable(result, t)[1:] for t in choice(len(result.depth)))))
    far, near = np.percentile(inverse, [2, 98]) if len(inverse) else (0, 1)
    least = np.quantile(sure, 0.1) if len(sure) else 0

    def picture(t):
        usable, inverse, sure = _usable(result, t)
        position = (inverse - far) / max(near - far, 1e-3 * near)  # a flat scene keeps one colour
        levels = np.zeros(usable.shape, np.uint8)
        levels[usable] = np.round(np.clip(position, 0, 1) * 255)
        rgb = coloured(levels, cv2.COLORMAP_TURBO)
        rgb[~usable] = 0
        usable[usable] = sure < least
        rgb[usable] = np.round(rgb[usable] / 2)
        return rgb

    video.write(path, map(picture, frames_of(result)), playback_fps(result.timestamps))


def _usable(result, t):
    """Where frame t can be used, (H,W) bool; inverse depth and confidence there, (N,)."""
    depth, confidence = result.depth[t], result.confidence[t]
    usable = np.isfinite(depth) & (depth > 0) & (confidence > 0)
    return usable, 1 / depth[usable], confidence[usable]


def coloured(levels: np.ndarray, colour_map: int) -> np.ndarray:
    """(H,W,3) uint8 RGB of levels (H,W) uint8 in one of OpenCV's colour maps."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], colour_map)
    return cv2.applyColorMap(levels, np.ascontiguousarray(table[..., ::-1]))


def mark(frame: np.ndarray, movers: np.ndarray, numbers: bool = False) -> np.ndarray:
    """A frame (H,W,3) uint8 with its movers, (H,W) uint8 or bool, tinted and outlined, each in its colour; numbers:
    and numbered.
    """
    movers = movers.astype(np.uint8)
    marked, moving = frame.copy(), movers > 0
    shades = np.array([colour(mover) for mover in range(int(movers.max()) + 1)])
    marked[moving] = np.round((1 - _STRENGTH) * frame[moving] + _STRENGTH * shades[movers[moving]])
    width = 1 + 2 * round(max(movers.shape) / 512)  # the line lies inside the mask
    kernel = np.ones((width, width), np.uint8)
    inner = (cv2.erode(movers, kernel, borderValue=0) == movers) & (cv2.dilate(movers, kernel) == movers)
    if width > 1:
        marked[moving & ~inner] = 255
    for mover in np.unique(movers[moving]).tolist() if numbers else ():
        _number(marked, movers == mover, mover)
    return marked


def _number(image, mask, number):
    """Write a number into an image (H,W,3), in place, where the mask (H,W) is widest."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(inside.argmax(), mask.shape)
    size, text = max(mask.shape) / 900, str(number)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    foot = (
        int(np.clip(column - width // 2, 1, max(1, mask.shape[1] - width - 2))),
        int(np.clip(row + height // 2, height + 1, max(height + 1, mask.shape[0] - 3))),
    )
    for shade, thick in ((0, 3), (255, 1)):
        cv2.putText(image, text, foot, cv2.FONT_HERSHEY_SIMPLEX, size, (shade,) * 3, thick, cv2.LINE_AA)
