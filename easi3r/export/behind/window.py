"""The part of a frame that holes are in, and how its pixels lie in other frames."""

import functools

import cv2
import numpy as np

from ...large import MANY, around, choice
from ...reconstruction import Reconstruction
from ..reproject import reproject

SAME = 0.06  # relative difference of depth within which two frames see the same surface
SURFACE = np.ones((3, 3), np.uint8)  # around a pixel: its own surface and, at an edge, the one beside it
# Share of the static pixels whose depth is not used, the least sure first. With all of it the filled pixels of street
# and orbit are .4 and 1 dB worse, at .2 another 4 % of the holes stay open.
_UNSURE = 0.1


class Clip:
    """The frames of a result, and what moves in them or is `hidden` by its shadow too, (T,H,W) bool each.

    turning: whether the camera only turns; then frames lie over each other whatever the depth, which is 1.
    """

    def __init__(self, result: Reconstruction, moving: np.ndarray, hidden: np.ndarray, turning: bool) -> None:
        self.result, self.moving, self.hidden, self.turning = result, moving, hidden, turning
        self.frames = result.frames
        sure = [result.confidence[t][self._static(t)] for t in choice(len(moving))]
        self._least = np.quantile(np.concatenate(sure), _UNSURE) if any(map(len, sure)) else 0
        # What cannot be used is laid over the picture, such as a logo; where depth matters, it has none.
        self._bars = turning and any(confidence.any() for confidence in result.confidence)
        left_out = set(result.info.get("frames_left_out") or [])
        self._usable = np.array([s not in left_out and not self.hidden[s].all() for s in range(len(moving))])
        sharp = np.array([_sharpness(*pair) for pair in zip(self.frames, self.hidden)])
        self.sharp = np.minimum(sharp / max(float(np.median(sharp)), 1e-6), 1) ** 2  # (T,), 1 = as sharp as most
        self.depth = functools.lru_cache(MANY)(self._depth)
        self.grey = functools.lru_cache(2 * MANY)(self._grey)

    def usable(self, t: int) -> list[int]:
        """Frames around t that show the scene."""
        return [s for s in around(t, len(self._usable)) if self._usable[s]]

    def _static(self, s):
        depth = self.result.depth[s]
        return ~self.hidden[s] & (self.result.confidence[s] > 0) & np.isfinite(depth) & (depth > 0)

    def _depth(self, s):
        """Depth (H,W) float32 of frame s; 0 = unknown."""
        depth = self.result.depth[s]
        if self.turning:
            return np.ones_like(depth)
        return np.where(self._static(s) & (self.result.confidence[s] >= self._least), depth, np.float32(0))

    def _grey(self, s, blur):
        """Frame s (H,W) float32 in grey, blurred by so many pixels."""
        grey = cv2.cvtColor(self.frames[s], cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cv2.GaussianBlur(grey, (0, 0), blur)

    def project(
        self, s: int, t: int, u: np.ndarray, v: np.ndarray, depth: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`reproject` of pixels (u, v)."""
        return reproject(self.result, s, t, (u, v), depth, not self.turning)

    def shows(self, s: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether frame s shows something static at pixels (x, y), bool (h,w)."""
        height, width = self.hidden.shape[1:]
        barred = self.hidden[s] | (self.result.confidence[s] <= 0) if self._bars else self.hidden[s]
        hides = cv2.remap(barred.view(np.uint8), x, y, cv2.INTER_NEAREST, borderValue=1)
        return (hides == 0) & (x >= 1) & (x <= width - 2) & (y >= 1) & (y <= height - 2)

    def surfaces(self, s: int, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether frame s has a surface at pixels (x, y) at about the depth z, and no other beside it: (h,w) bool."""
        if self.turning:
            return np.ones(x.shape, bool), np.ones(x.shape, bool)
        there = cv2.remap(self.depth(s), x, y, cv2.INTER_NEAREST)
        far, near = cv2.dilate(there, SURFACE), cv2.erode(there, SURFACE)
        same = (z < far * (1 + SAME)) & (z > near * (1 - SAME)) & (far > 0)
        return same, same & (far < z * (1 + SAME)) & (near > z * (1 - SAME))


class Window:
    """The part of frame t around its holes, h x w pixels."""

    def __init__(self, clip: Clip, t: int, margin: int) -> None:
        self.clip, self.t = clip, t
        self.box = box_of(clip.hidden[t], margin)
        self.hole, self.moving = clip.hidden[t][self.box], clip.moving[t][self.box]  # (h,w) bool
        self.image = clip.frames[t][self.box].astype(np.float32)
        self.depth = clip.depth(t)[self.box]  # (h,w) float32; 0 = unknown
        height, width = self.hole.shape
        self.u = self.box[1].start + np.arange(width, dtype=np.float32)[None]
        self.v = self.box[0].start + np.arange(height, dtype=np.float32)[:, None]

    def seen_in(self, s: int, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, row and depth in frame s of the pixels at a `depth` (h,w)."""
        return self.clip.project(s, self.t, self.u, self.v, depth)


def box_of(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask (H,W) bool with any pixel, and a margin around it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)).tolist() for axis in (1, 0))
    return (
        slice(max(rows[0] - margin, 0), min(rows[-1] + margin + 1, mask.shape[0])),
        slice(max(columns[0] - margin, 0), min(columns[-1] + margin + 1, mask.shape[1])),
    )


def _sharpness(frame, hidden):
    """Mean strength of the finest detail of what stands still, grey levels."""
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_16S))[~hidden]
    return float(detail.mean()) if len(detail) else 0.0
