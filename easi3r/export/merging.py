"""Which frame shows which part of the static scene: every surface is taken from one frame only."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import invert, transform
from ..large import MANY, frames_of, zeros
from ..reconstruction import Reconstruction
from .surfaces import Grid

_SAME = 0.08  # relative difference of depth within which two frames see the same surface
# Beyond `MANY`, a frame is compared with so many of those before it that are nearest in time, and with the first that
# cover the clip, as it may come back to where it was.
_NEAREST, _COVERING = 16, 65
_ASKED = 64  # of its pixels, that tell whether such a frame shows any of it


@dataclass(frozen=True)
class Share:
    """What frame t adds to the static scene, pixel by pixel, (H,W) bool each."""

    t: int
    static: np.ndarray  # what stands still
    fresh: np.ndarray  # of these, what shows a surface that no frame before it shows
    in_front: np.ndarray  # of these, what would hide a surface that a frame before it shows
    first: bool  # the frame that all others are compared with

    def kept(self, grid: Grid) -> np.ndarray:
        """The vertices (h,w) bool of a grid on this frame that belong to the scene.

        No confetti, and a seam of two cells under the neighbouring frames' surfaces so that no gap shows.
        """
        fresh = grid.pick(self.fresh)
        if self.first:
            return fresh
        whole = cv2.morphologyEx(fresh.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        seam = cv2.dilate(whole, np.ones((5, 5), np.uint8)) > 0
        return seam & grid.pick(self.static) & ~grid.pick(self.in_front)


def merge(result: Reconstruction, static: np.ndarray) -> Iterator[Share]:
    """Yields the `Share` of every frame that adds something; static (T,H,W) bool.

    Frames come in an order that covers the clip coarsely first; the first n are a scene of their own.
    """
    fresh, in_front = (zeros(static.shape, bool) for _ in range(2))
    used: list[int] = []
    for t in frames_of(result, coarse_to_fine(len(static))):
        fresh[t], in_front[t] = _unseen(result, static, _compared(result, static[t], used, t), t)
        share = Share(t, static[t], fresh[t], in_front[t], not used)
        if share.kept(Grid(result, t, 1)).any():
            used.append(t)
            yield share


def _compared(result, static, used, t):
    """Which of the frames `used` are compared with frame t; of many the nearest first, after which little is left."""
    if len(used) <= MANY:
        return used
    row, column = (each[:: max(1, len(each) // _ASKED)] for each in np.nonzero(static))
    rays = np.linalg.inv(result.intrinsics[t]) @ [column, row, np.ones_like(row)]
    places = transform(result.cam2world[t], (rays * result.depth[t][row, column]).T)
    covering = np.array(used[:_COVERING])
    seen_from = places @ np.swapaxes(invert(result.cam2world[covering])[:, :3, :3], 1, 2)  # (F,N,3)
    seen_from += invert(result.cam2world[covering])[:, None, :3, 3]
    u, v, z = np.moveaxis(seen_from @ np.swapaxes(result.intrinsics[covering], 1, 2), 2, 0)
    height, width = static.shape
    shows = ((z > 0) & (u >= 0) & (u < width * z) & (v >= 0) & (v < height * z)).any(axis=1)
    nearest = heapq.nsmallest(_NEAREST, used, key=lambda s: abs(s - t))
    return nearest + [s for s in covering[shows].tolist() if s not in nearest]


def coarse_to_fine(n: int) -> list[int]:
    """0, the last frame, the middle, the quarters, ...: every index below n once."""
    order, stride = [0, n - 1], float(n - 1)
    while stride > 1:
        stride /= 2
        order += [int(k) for k in np.arange(stride, n - 1, 2 * stride)]
    return list(dict.fromkeys(order))


def _unseen(result, static, used, t):
    """Which static pixels of frame t show a surface that none of the frames `used` shows, and which would hide one:
    (H,W) bool each.

    Seen from a used frame, such a point lies outside the picture, on a pixel without static surface, or behind the
    surface there. A point at the same depth is a duplicate; one in front would hide what that frame saw.
    """
    height, width = static[t].shape
    index = np.flatnonzero(static[t])  # of what is fresh so far
    in_front = np.zeros(static[t].size, bool)
    depth = result.depth[t].ravel()
    for f in used:
        if not len(index):
            break
        onto = result.intrinsics[f] @ (invert(result.cam2world[f]) @ result.cam2world[t])[:3]
        rays = onto[:, :3] @ np.linalg.inv(result.intrinsics[t])
        v, u = np.divmod(index.astype(np.int32), np.int32(width))
        # Written out, and in float32, which is exact to 1e-4 pixels: a third of the time of a matrix product.
        x, y, z = ((u * a + v * b + c) * depth[index] + d for (a, b, c), d in zip(_single(rays), _single(onto[:, 3])))
        z = np.maximum(z, np.float32(1e-9))  # points behind the camera land far outside the picture
        u, v = np.rint(x / z), np.rint(y / z)
        inside = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height))
        pixel = v[inside].astype(np.int32) * width + u[inside].astype(np.int32)
        surface = static[f].ravel()[pixel]
        ratio = z[inside] / np.where(surface, result.depth[f].ravel()[pixel], np.inf)
        in_front[index[inside[surface & (ratio < 1 - _SAME)]]] = True
        again = np.zeros(len(index), bool)
        again[inside] = surface & (ratio <= 1 + _SAME)
        index = index[~again]
    fresh = np.zeros(static[t].size, bool)
    fresh[index] = True
    return fresh.reshape(height, width), in_front.reshape(height, width)


def _single(matrix):
    return matrix.astype(np.float32)
