"""From a depth map to a mesh: how a frame's pixels are joined to a surface."""

from dataclasses import dataclass

import numpy as np

from ..reconstruction import Reconstruction

# A surface may change its depth by this share per radian; what is steeper (seen 7 degrees off its plane) is a jump.
_STEEP = 8.5
_JUMP = 0.03, 0.15  # smaller shares between neighbouring vertices never part them, larger ones always do


@dataclass(frozen=True)
class Patch:
    """Part of one frame as a mesh, in world coordinates."""

    points: np.ndarray  # (N,3) float32
    colours: np.ndarray  # (N,3) uint8 sRGB
    triangles: np.ndarray  # (M,3) int32 into points
    pixels: np.ndarray  # (N,) int, row * W + column of the pixel of the frame that the colour is from
    t: int  # which frame

    def split(self, ids: np.ndarray) -> "dict[int, Patch]":
        """A `Patch` for each of the ids (H,W) of the frame's pixels, which every triangle has by its first vertex."""
        of_vertex = ids.ravel()[self.pixels]
        owner = of_vertex[self.triangles[:, 0]]
        parts = {}
        for k in np.unique(owner).tolist():
            triangles = self.triangles[owner == k]
            used = np.zeros(len(self.points), bool)
            used[triangles] = True
            number = np.cumsum(used, dtype=np.int32) - 1
            parts[k] = Patch(self.points[used], self.colours[used], number[triangles], self.pixels[used], self.t)
        return parts


def thinning(pixels: int, budget: float) -> float:
    """Distance (at least 1, need not be whole) of the rows and columns to take so that about `budget` pixels stay."""
    return max(1.0, float(np.sqrt(pixels / budget)))


class Grid:
    """The pixels of frame t at about every `step`-th row and column, the outermost included: h x w vertices."""

    def __init__(self, result: Reconstruction, t: int, step: float) -> None:
        height, width = result.depth.shape[1:]
        rows, columns = (
            np.unique(np.append(np.arange(0, side - 1, step).round(), side - 1).astype(int)) for side in (height, width)
        )
        self._index = None if (len(rows), len(columns)) == (height, width) else np.ix_(rows, columns)
        self._rows, self._columns, self._width, self._t = rows, columns, width, t
        self._jump = float(np.clip(_STEEP * step / result.intrinsics[t][0, 0], *_JUMP))
        self._eye = result.cam2world[t][:3, 3]
        self._turn = result.cam2world[t][:3, :3] @ np.linalg.inv(result.intrinsics[t])  # pixels to world directions
        self._depth = self.pick(result.depth[t])
        self._frame = result.frames[t].reshape(-1, 3)

    def pick(self, image: np.ndarray) -> np.ndarray:
        """(H,W,...) -> (h,w,...)."""
        return image if self._index is None else image[self._index]

    def points(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (N,3) float32 and colours (N,3) uint8 sRGB of vertices, numbered row by row, (N,)."""
        return self._lift(index, self._depth.ravel()[index]), self._frame[self._pixels(index)]

    def mesh(self, keep: np.ndarray) -> Patch:
        """Join the kept vertices, (h,w) bool, to a `Patch`: two triangles per cell, but none across a jump in depth."""
        whole, torn = self._triangles(keep)
        on_surface = np.zeros(keep.size, bool)
        on_surface[whole] = True
        vertices = np.flatnonzero(on_surface)
        number = np.cumsum(on_surface, dtype=np.int32) - 1
        hem, source = self._hem(torn, on_surface)
        pixels = self._pixels(np.concatenate([vertices, source]))
        return Patch(
            np.concatenate([self._lift(vertices, self._depth.ravel()[vertices]), hem]),
            self._frame[pixels],
            np.concatenate([number[whole], len(vertices) + np.arange(len(hem), dtype=np.int32).reshape(-1, 3)]),
            pixels,
            self._t,
        )

    def _triangles(self, keep):
        """Triangles (M,3) of kept vertices whose corners lie on one surface, and those across a jump in depth."""
        width = keep.shape[1]
        depth = np.where(keep, self._depth, np.float32(1))
        whole, torn = [], []
        a, b, c, d = (
            (slice(-1), slice(-1)),
            (slice(-1), slice(1, None)),
            (slice(1, None), slice(-1)),
            (slice(1, None),) * 2,
        )
        for corners, steps in (((a, c, b), (0, width, 1)), ((b, c, d), (1, width, width + 1))):
            all_kept = keep[corners[0]] & keep[corners[1]] & keep[corners[2]]
            p, q, r = (depth[corner] for corner in corners)
            nearest, farthest = np.minimum(np.minimum(p, q), r), np.maximum(np.maximum(p, q), r)
            smooth = 1 - nearest / farthest < self._jump
            for chosen, triangles in ((all_kept & smooth, whole), (all_kept & ~smooth, torn)):
                row, column = np.nonzero(chosen)
                triangles.append((row * width + column)[:, None] + np.array(steps))
        return np.concatenate(whole), np.concatenate(torn)

    def _hem(self, triangles, on_surface):
        """Carry the farther surface on under the nearer one's edge by one cell: the frame's own view has no gap.

        triangles (M,3) across a jump; on_surface: which vertices surfaces have. Returns points (3K,3) and the vertices
        (3K,) whose colour they take, of the K triangles whose far corner lies on a surface and not between two.
        """
        depth = self._depth.ravel()[triangles]
        far = depth.argmax(axis=1)[:, None]
        kept = on_surface[np.take_along_axis(triangles, far, axis=1)[:, 0]]
        triangles, depth, far = triangles[kept], depth[kept], far[kept]
        farthest = np.take_along_axis(depth, far, axis=1)
        near = 1 - depth / farthest >= self._jump
        depth = np.where(near, farthest, depth)
        source = np.where(near, np.take_along_axis(triangles, far, axis=1), triangles)
        return self._lift(triangles.ravel(), depth.ravel()), source.ravel()

    def _pixels(self, index):
        row, column = np.divmod(index, len(self._columns))
        return self._rows[row] * self._width + self._columns[column]

    def _lift(self, index, depth):
        """World points (N,3) float32 of vertices (N,) at a depth (N,)."""
        row, column = np.divmod(index, len(self._columns))
        rays = np.stack([self._columns[column], self._rows[row], np.ones_like(row)], axis=-1) @ self._turn.T
        return (self._eye + rays * depth[:, None]).astype(np.float32)
