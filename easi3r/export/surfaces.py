"""From depth maps to meshes: which pixels make the static scene, and how a frame's pixels are joined to a surface."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import invert, transform

CUT = 0.1  # share of the static pixels that is left out unless said otherwise, the least confident first
# A surface may change its depth by this share per radian; what is steeper (seen 7 degrees off its plane) is a jump.
_STEEP = 8.5
_JUMP = 0.03, 0.15  # smaller shares between neighbouring vertices never part them, larger ones always do
_SAME = 0.08  # relative difference of depth within which two frames see the same surface
_HOLE, _FLAT = 0.008, 0.04  # half the width of a hole, share of the longer side; how far its depth may be off around it
_FAR = 1.2  # nothing farther than this many times the 98th percentile of depth is shown: such points are outliers


@dataclass(frozen=True)
class Patch:
    """Part of one frame as a mesh, in world coordinates."""

    points: np.ndarray  # (N,3) float32
    colours: np.ndarray  # (N,3) uint8 sRGB
    triangles: np.ndarray  # (M,3) int32 into points


def choose_pixels(result, cut):
    """Which pixels can be shown. Returns (static, moving), (T,H,W) bool each, never both True.

    `cut` in [0, 1) leaves out that share of the static pixels, the least confident ones, but for small holes in a
    surface. Moving pixels are kept whenever they are usable, because an object that moves rarely is among the confident
    ones. A result without any usable pixel (confidence 0 everywhere) is shown as it is.
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
        _close_holes(static, result.depth, known & ~result.dynamic)
    if len(static) > 1:
        # Masks often end a little inside their object. Its rim must not stay behind in the static scene; other frames
        # show what lies there.
        width = 1 + 2 * max(1, round(max(result.depth.shape[1:]) / 256))
        for frame, dynamic in zip(static, result.dynamic):
            frame &= cv2.dilate(dynamic.astype(np.uint8), np.ones((width, width), np.uint8)) == 0
    return static, usable & result.dynamic


def _close_holes(static, depth, allowed):
    """Take in, in place, unsure pixels amid kept ones (T,H,W) bool that lie on the same surface: they only tear it."""
    width = 1 + 2 * max(1, round(_HOLE * max(depth.shape[1:])))
    for kept, z, free in zip(static, depth, allowed & ~static):
        near = np.where(kept, np.log(np.maximum(z, 1e-12)), 0).astype(np.float32)
        share, total = (cv2.blur(image, (width, width)) for image in (kept.astype(np.float32), near))
        amid = free & (share > 0.5)
        kept[amid] = np.abs(np.log(z[amid]) - total[amid] / share[amid]) < _FLAT


def static_scene(result, static, budget):
    """The static pixels of all frames merged, each surface taken from one frame only. Returns a list of `Patch`.

    static: (T,H,W) bool. budget: most vertices in total; the pixel grids are thinned until they meet it.
    """
    step = thinning(static[0].size, 0.4 * budget)  # one full frame is to leave room for what the others add
    while True:
        patches = _merge(result, static, step)
        if sum(len(patch.points) for patch in patches) <= budget:
            return patches
        step *= 1.15


def moving_objects(result, moving, frames, budget):
    """The moving pixels of each of `frames` (indices) as a `Patch`, an empty one where nothing moves.

    budget: about how many vertices in total.
    """
    step = thinning(moving[frames].sum(), budget)
    grids = (Grid(result, t, step) for t in frames)
    return [grid.mesh(grid.pick(moving[t])) for t, grid in zip(frames, grids)]


def thinning(pixels, budget):
    """Distance (at least 1, need not be whole) of the rows and columns to take so that about `budget` pixels stay."""
    return max(1.0, float(np.sqrt(pixels / budget)))


def _merge(result, static, step):
    """Frames in an order that covers the clip coarsely first; each adds the surfaces no earlier one has seen."""
    patches, used = [], []
    for t in coarse_to_fine(len(static)):
        grid = Grid(result, t, step)
        fresh = unseen(result, static, used, grid.points, grid.pick(static[t]))
        patch = grid.mesh(fresh)
        if len(patch.points):
            patches.append(patch)
            used.append(t)
    return patches


def coarse_to_fine(n):
    """0, the last frame, the middle, the quarters, ...: every index below n once."""
    order, stride = [0, n - 1], n - 1
    while stride > 1:
        stride /= 2
        order += [int(k) for k in np.arange(stride, n - 1, 2 * stride)]
    return list(dict.fromkeys(order))


def unseen(result, static, used, points, candidates):
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


class Grid:
    """The pixels of frame t at about every `step`-th row and column, the outermost included: h x w vertices."""

    def __init__(self, result, t, step):
        height, width = result.depth.shape[1:]
        rows, columns = (
            np.unique(np.append(np.arange(0, side - 1, step).round(), side - 1).astype(int)) for side in (height, width)
        )
        self._index = np.ix_(rows, columns)
        self._jump = float(np.clip(_STEEP * step / result.intrinsics[t][0, 0], *_JUMP))
        u, v = np.meshgrid(columns, rows)
        self._eye, turn = result.cam2world[t][:3, 3], result.cam2world[t][:3, :3]
        self._rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ (turn @ np.linalg.inv(result.intrinsics[t])).T
        self._depth = self.pick(result.depth[t])
        self._colours = self.pick(result.frames[t])
        self.points = self._eye + self._rays * self._depth[..., None]  # (h,w,3) world

    def pick(self, image):
        """(H,W,...) -> (h,w,...)."""
        return image[self._index]

    def mesh(self, keep):
        """Join the kept vertices, (h,w) bool, to a `Patch`: two triangles per cell, but none across a jump in depth."""
        number = np.arange(keep.size).reshape(keep.shape)
        a, b, c, d = (n.ravel() for n in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
        triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
        triangles = triangles[keep.ravel()[triangles].all(axis=1)]
        depth = self._depth.ravel()[triangles]
        whole = 1 - depth.min(axis=1) / depth.max(axis=1) < self._jump
        vertices, solid = np.unique(triangles[whole], return_inverse=True)
        points, colours = self._hem(triangles[~whole], depth[~whole], vertices)
        hem = len(vertices) + np.arange(len(points)).reshape(-1, 3)
        return Patch(
            np.concatenate([self.points.reshape(-1, 3)[vertices], points]).astype(np.float32),
            np.concatenate([self._colours.reshape(-1, 3)[vertices], colours]),
            np.concatenate([solid.reshape(-1, 3), hem]).astype(np.int32),
        )

    def _hem(self, triangles, depth, vertices):
        """Carry the farther surface on under the nearer one's edge by one cell: the frame's own view has no gap.

        triangles (M,3) across a jump with the depth (M,3) of their corners; `vertices` of the surfaces. Returns points
        (3K,3) and colours (3K,3) of the K triangles whose far corner lies on a surface and not between two.
        """
        far = depth.argmax(axis=1)[:, None]
        on_surface = np.isin(np.take_along_axis(triangles, far, axis=1), vertices)[:, 0]
        triangles, depth, far = triangles[on_surface], depth[on_surface], far[on_surface]
        farthest = np.take_along_axis(depth, far, axis=1)
        near = 1 - depth / farthest >= self._jump
        depth = np.where(near, farthest, depth)
        source = np.where(near, np.take_along_axis(triangles, far, axis=1), triangles)  # whose colour a corner takes
        points = self._eye + self._rays.reshape(-1, 3)[triangles] * depth[..., None]
        return points.reshape(-1, 3), self._colours.reshape(-1, 3)[source].reshape(-1, 3)
