"""From depth maps to meshes: which pixels make the static scene, and how a frame's pixels are joined to a surface."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import invert, transform

_JUMP = 0.03  # relative difference of depth between neighbouring pixels that parts two surfaces
_SAME = 0.08  # relative difference of depth within which two frames see the same surface
_FAR = 1.2  # nothing farther than this many times the 98th percentile of depth is shown: such points are outliers


@dataclass(frozen=True)
class Patch:
    """Part of one frame as a mesh, in world coordinates."""

    points: np.ndarray  # (N,3) float32
    colours: np.ndarray  # (N,3) uint8 sRGB
    triangles: np.ndarray  # (M,3) int32 into points


def choose_pixels(result, cut):
    """Which pixels can be shown. Returns (static, moving), (T,H,W) bool each, never both True.

    `cut` in [0, 1) leaves out that share of the static pixels, the least confident ones. Moving pixels are kept whenever
    they are usable, because an object that moves rarely is among the confident ones. A result without any usable pixel
    (confidence 0 everywhere) is shown as it is.
    """
    known = np.isfinite(result.depth) & (result.depth > 0)
    usable = known & (result.confidence > 0)
    if not usable.any():
        usable = known
    if usable.any():
        usable &= result.depth <= _FAR * np.percentile(result.depth[usable], 98)
    static = usable & ~result.dynamic
    if static.any():
        static &= result.confidence >= np.quantile(result.confidence[static], cut)
    if len(static) > 1:
        # Masks often end a little inside their object. Its rim must not stay behind in the static scene; other frames
        # show what lies there.
        width = 1 + 2 * max(1, round(max(result.depth.shape[1:]) / 256))
        for frame, dynamic in zip(static, result.dynamic):
            frame &= cv2.dilate(dynamic.astype(np.uint8), np.ones((width, width), np.uint8)) == 0
    return static, usable & result.dynamic


def static_scene(result, static, budget):
    """The static pixels of all frames merged, each surface taken from one frame only. Returns a list of `Patch`.

    static: (T,H,W) bool. budget: most vertices in total; the pixel grids are thinned until they meet it.
    """
    step = _step(static[0].size, 0.4 * budget)  # one full frame is to leave room for what the others add
    while True:
        patches = _merge(result, static, step)
        if sum(len(patch.points) for patch in patches) <= budget:
            return patches
        step *= 1.15


def moving_objects(result, moving, frames, budget):
    """The moving pixels of each of `frames` (indices): a list of `Patch`, empty where nothing moves; about `budget` vertices."""
    step = _step(moving[frames].sum(), budget)
    grids = (_Grid(result, t, step) for t in frames)
    return [grid.mesh(grid.pick(moving[t])) for t, grid in zip(frames, grids)]


def _step(pixels, budget):
    """Distance (1 or more, need not be whole) of the rows and columns to take so that about `budget` pixels are left."""
    return max(1.0, float(np.sqrt(pixels / budget)))


def _merge(result, static, step):
    """Frames in an order that covers the clip coarsely first; each adds the surfaces no earlier one has seen."""
    patches, used = [], []
    for t in _coarse_to_fine(len(static)):
        grid = _Grid(result, t, step)
        fresh = _unseen(result, static, used, grid.points, grid.pick(static[t]))
        patch = grid.mesh(fresh)
        if len(patch.points):
            patches.append(patch)
            used.append(t)
    return patches


def _coarse_to_fine(n):
    """0, the last frame, the middle, the quarters, ...: every index below n once."""
    order, stride = [0, n - 1], n - 1
    while stride > 1:
        stride /= 2
        order += [int(k) for k in np.arange(stride, n - 1, 2 * stride)]
    return list(dict.fromkeys(order))


def _unseen(result, static, used, points, candidates):
    """Which candidates (h,w) bool show a surface that none of the frames `used` shows. points: (h,w,3) world.

    Seen from a used frame, such a point lies outside the picture, on a pixel without static surface, or behind the
    surface there. A point at the same depth is a duplicate; one in front would hide what that frame saw.
    """
    height, width = result.depth.shape[1:]
    fresh, in_front = candidates.copy(), np.zeros_like(candidates)
    for f in used:
        rows, columns = np.nonzero(fresh)
        x, y, z = (transform(invert(result.cam2world[f]), points[rows, columns]) @ result.intrinsics[f].T).T
        z = np.maximum(z, 1e-9)  # points behind the camera land far outside the picture
        u, v = np.round(x / z), np.round(y / z)
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        pixel = v[inside].astype(int), u[inside].astype(int)
        surface = static[f][pixel]
        ratio = z[inside] / np.where(surface, result.depth[f][pixel], np.inf)
        rows, columns = rows[inside], columns[inside]
        fresh[rows, columns] = ~surface | (ratio > 1 + _SAME)
        in_front[rows, columns] = surface & (ratio < 1 - _SAME)
    if used:  # no confetti, and a seam of two cells under the neighbouring patches so that no gap shows
        whole = cv2.morphologyEx(fresh.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        fresh = (cv2.dilate(whole, np.ones((5, 5), np.uint8)) > 0) & candidates & ~in_front
    return fresh


class _Grid:
    """The pixels of frame t at about every `step`-th row and column, the outermost included: h x w vertices."""

    def __init__(self, result, t, step):
        height, width = result.depth.shape[1:]
        rows, columns = (np.unique(np.append(np.arange(0, side - 1, step).round(), side - 1).astype(int))
                         for side in (height, width))
        self._index, self._step = np.ix_(rows, columns), step
        u, v = np.meshgrid(columns, rows)
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(result.intrinsics[t]).T
        self._depth = self.pick(result.depth[t])
        self._colours = self.pick(result.frames[t])
        self.points = transform(result.cam2world[t], rays * self._depth[..., None])  # (h,w,3) world

    def pick(self, image):
        """(H,W,...) -> (h,w,...)."""
        return image[self._index]

    def mesh(self, keep):
        """Join the kept vertices, (h,w) bool, to a `Patch`: two triangles per cell, but none across a jump in depth."""
        inverse = np.divide(1, self._depth, out=np.full(keep.shape, np.nan), where=keep)
        number = np.arange(keep.size).reshape(keep.shape)
        a, b, c, d = (n.ravel() for n in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
        triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
        corners = inverse.ravel()[triangles]
        nearest = corners.max(axis=1)  # nan where a corner is not kept, and then no comparison holds
        triangles = triangles[nearest - corners.min(axis=1) < min(_JUMP * self._step, 0.15) * nearest]
        vertices, triangles = np.unique(triangles, return_inverse=True)
        return Patch(self.points.reshape(-1, 3)[vertices].astype(np.float32),
                     self._colours.reshape(-1, 3)[vertices], triangles.reshape(-1, 3).astype(np.int32))
