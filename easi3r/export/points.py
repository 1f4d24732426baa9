"""Which points stand for the scene in a point cloud: measured pixels only, each surface from one frame."""

import numpy as np

from .surfaces import CUT, Grid, choose_pixels, coarse_to_fine, thinning, unseen


def static_points(result, budget):
    """At most `budget` points of what stands still: points (N,3) float32 world, colours (N,3) uint8 sRGB.

    Every point is a pixel of some frame at that pixel's depth. Frames cover the clip coarsely first; each adds what no
    earlier one shows.
    """
    static, _ = choose_pixels(result, CUT)
    step = thinning(static[0].size, 0.5 * budget)  # leaves room for what the frames after the first add
    used, points, colours = [], [np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.uint8)]
    for t in coarse_to_fine(len(static)):
        grid = Grid(result, t, step)
        fresh = unseen(result, static, used, grid.points, grid.pick(static[t]))
        if fresh.any():
            points.append(grid.points[fresh].astype(np.float32))
            colours.append(grid.pick(result.frames[t])[fresh])
            used.append(t)
    points, colours = np.concatenate(points), np.concatenate(colours)
    if len(points) > budget:
        kept = np.sort(np.random.default_rng(0).permutation(len(points))[:budget])
        points, colours = points[kept], colours[kept]
    return points, colours


def moving_points(result, budget):
    """Yields (t, points (N,3) float32 world, colours (N,3) uint8) of each frame in which something moves.

    budget: about how many points in total; a frame's rows and columns are thinned evenly to meet it.
    """
    _, moving = choose_pixels(result, CUT)
    step = thinning(moving.sum(), budget)
    for t in np.flatnonzero(moving.any(axis=(1, 2))).tolist():
        grid = Grid(result, t, step)
        keep = grid.pick(moving[t])
        if keep.any():
            yield t, grid.points[keep].astype(np.float32), grid.pick(result.frames[t])[keep]
