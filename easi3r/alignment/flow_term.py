"""The optical-flow term: what is static should go, from one frame to the next, where the flow saw it go.

Point maps are metrically consistent but coarse in the image; flow is good to a fraction of a pixel and knows nothing of
depth. The term is a sum of robust reprojection errors, added to the normal equations of `refine`. Source: MonST3R's
flow term, with three differences that measurements asked for: only pairs of neighbouring frames (flow over longer ways
is worse), only flow that returns to where it started and had texture to follow (theirs takes all), and a smooth L1 norm
that is quadratic below `SHARP` pixels instead of one.
"""

import cv2
import numpy as np

from ..camera import invert, transform
from ..flow import confirm, measure, texture
from .similarity import skew

STRENGTH = 0.7  # a pixel with flow counts like this many views of it, an error of a pixel like a point off by as much
SHARP = 0.1  # pixels; about what the flow errs
CUT, OFF = 50, 25  # pixels: errors beyond are ignored; the whole term is where the mean error is larger
REACH = 1  # frames between which flow is measured, at most
RETURNS, RETURNS_SHARE = 1.0, 0.02  # flow there and back may miss the start by this many pixels plus this share of it
TEXTURE = 1.0  # mean squared change, grey levels per pixel, in the direction in which a pixel's surroundings vary least
WINDOW = 9  # side of these surroundings: about a patch of the flow


class FlowTerm:
    """Flow at the sampled pixels of one connected part of the graph.

    frames (T,H,W,3) uint8 RGB; masks (T,H,W) bool of moving pixels or None; ends: pairs (i, j) of the part; grid (N,)
    flat indices of the sampled pixels; pool from `threads.workers`; zoom (T,), focal of every frame over the first
    one's.
    """

    def __init__(self, frames, masks, ends, grid, pool, zoom):
        self.size, self.grid, self.masks, self.pool, self.zoom = frames.shape[1:3], grid, masks, pool, zoom
        used = sorted({(min(e), max(e)) for e in ends if 0 < abs(e[0] - e[1]) <= REACH})
        found = pool.map(lambda pair: self._measure(frames, *pair), used)
        self.seen = [way for ways in found for way in ways if len(way[2])]

    def _measure(self, frames, i, j):
        """Both directions of a pair: [(i, j, usable samples (n,) int, their targets (n,2) from the centre)]."""
        height, width = self.size
        first, second = (cv2.cvtColor(frames[v], cv2.COLOR_RGB2GRAY) for v in (i, j))
        there, back = measure(first, second, full_resolution=True), measure(second, first, full_resolution=True)
        ways = []
        for a, b, grey, way, reverse in ((i, j, first, there, back), (j, i, second, back, there)):
            flow = confirm(way, reverse, RETURNS, RETURNS_SHARE)
            target = flow.target.reshape(-1, 2)[self.grid]
            good = flow.consistent.ravel()[self.grid] & (texture(grey, WINDOW).ravel()[self.grid] > TEXTURE)
            if self.masks is not None:
                column, row = np.rint(np.where(good[:, None], target, 0)).astype(int).T
                good &= ~self.masks[a].ravel()[self.grid] & ~self.masks[b][row, column]
            centred = (target - np.float32([width / 2, height / 2]))[good]
            ways.append((a, b, np.flatnonzero(good), centred / self.zoom[b]))
        return ways

    def add(self, system, layout, state, weights, pixels):
        """Add the term at `state` to the normal equations; returns its value, in units of the objective of `refine`."""
        parts = list(self.pool.map(lambda way: _equations(state, pixels, *way), self.seen))
        kept = sum(count for *_, count in parts)
        if not kept or sum(part[2] for part in parts) > OFF * kept:
            return 0.0
        total = 0.0
        for (i, j, *_), (matrix, right, value, _) in zip(self.seen, parts):
            index = np.concatenate([layout.frame_at[i] + np.arange(6), layout.frame_at[j] + np.arange(6)])
            pixel = float(np.median(state.depth[i])) / state.focal  # its size in the scene
            strength = STRENGTH * float(weights[i].mean()) * pixel
            system.add(index, strength * matrix, strength * right)
            total += strength * value
        return total


def _equations(state, pixels, i, j, chosen, target):
    """Normal equations of one direction in the small motions of the cameras i, j (6 each) and the log focal.

    pixels (T,N,2), target (n,2) from the image centre, both as without zoom. Returns matrix (13,13), right side (13,),
    the value of the term in pixels and the number of errors that are not cut.
    """
    pixels, depth = pixels[i][chosen], state.depth[i][chosen].astype(np.float64)[:, None]
    points = np.concatenate([pixels * depth / state.focal, depth], 1)
    relative = invert(state.cam2world[j]) @ state.cam2world[i]
    seen = transform(relative, points)
    front = seen[:, 2] > 0.05 * np.median(depth)
    points, seen, target = points[front], seen[front], target[front]
    projected = state.focal * seen[:, :2] / seen[:, 2:]
    error = projected - target
    size = np.abs(error)
    value = np.where(size < SHARP, 0.5 * size**2 / SHARP, size - 0.5 * SHARP)
    keep = value < CUT
    robust = keep / np.maximum(size, SHARP)

    by_point = np.zeros((len(seen), 2, 3))  # derivative of the projection by the point before camera j
    by_point[:, 0, 0] = by_point[:, 1, 1] = state.focal / seen[:, 2]
    by_point[:, :, 2] = -projected / seen[:, 2:]
    by_first = by_point @ relative[:3, :3]
    by_focal = projected - (by_first[:, :, :2] @ points[:, :2, None])[..., 0]
    columns = (-by_first @ skew(points), by_first, by_point @ skew(seen), -by_point, by_focal[..., None])
    slope = np.concatenate(columns, 2).reshape(-1, 13)
    pull = slope.T * robust.ravel()
    return pull @ slope, -pull @ error.ravel(), float(value[keep].sum()), int(keep.sum())
