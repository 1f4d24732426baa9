"""The optical-flow term: what is static should go, from one frame to the next, where the flow saw it go.

Point maps are metrically consistent but coarse in the image; flow is good to a fraction of a pixel and knows nothing of
depth. The term is a sum of robust reprojection errors, added to the equations of the point term. Source: MonST3R's flow
term, with three differences that measurements asked for: only pairs of neighbouring frames (flow over longer ways
is worse), only flow that returns to where it started and had texture to follow (theirs takes all), and a smooth L1 norm
that is quadratic below `SHARP` pixels instead of one.
"""

from concurrent.futures import Executor

import cv2
import numpy as np

from ..camera import invert, skew, transform
from ..flow import confirm, measure, texture
from .problem import FlowMatches, Problem, State
from .unknowns import FRAME

STRENGTH = 0.7  # a pixel with flow counts like this many views of it, an error of a pixel like a point off by as much
SHARP = 0.1  # pixels; about what the flow errs
CUT, OFF = 50, 25  # pixels: errors beyond are ignored; the whole term is where the mean error is larger
REACH = 1  # frames between which flow is measured, at most
RETURNS, RETURNS_SHARE = 1.0, 0.02  # flow there and back may miss the start by this many pixels plus this share of it
TEXTURE = 1.0  # mean squared change, grey levels per pixel, in the direction in which a pixel's surroundings vary least
FRONT = 0.05  # of the median depth: a point nearer to the second camera than that, or behind it, does not count
FOLLOWED = 0.5  # share of the textured samples that must return: real clips have .77 on, noise .45 at most
WINDOW = 9  # side of these surroundings: about a patch of the flow


def measure_matches(
    frames: np.ndarray,
    masks: np.ndarray | None,
    ends: list[tuple[int, int]],
    grid: np.ndarray,
    zoom: np.ndarray,
    pool: Executor,
) -> tuple[FlowMatches, ...]:
    """Both directions of all `ends` (i, j) that are at most `REACH` frames apart.

    frames (T,H,W,3) uint8 RGB; masks (T,H,W) bool of moving pixels or None; grid (N,) flat indices of the samples;
    zoom (T,), focal of every frame over the first one's; pool from `threads.workers`.
    """

    def measured(pair: tuple[int, int]) -> list[FlowMatches]:
        i, j = pair
        first, second = (cv2.cvtColor(frames[v], cv2.COLOR_RGB2GRAY) for v in pair)
        there, back = measure(first, second, full_resolution=True), measure(second, first, full_resolution=True)
        return [
            _match(i, j, first, there, back, masks, grid, zoom),
            _match(j, i, second, back, there, masks, grid, zoom),
        ]

    neighbours = sorted({(min(e), max(e)) for e in ends if 0 < abs(e[0] - e[1]) <= REACH})
    found = [match for both in pool.map(measured, neighbours) for match in both]
    return tuple(match for match in found if len(match.samples))


def _match(
    i: int,
    j: int,
    grey: np.ndarray,
    there: np.ndarray,
    back: np.ndarray,
    masks: np.ndarray | None,
    grid: np.ndarray,
    zoom: np.ndarray,
) -> FlowMatches:
    """Of one direction: grey (H,W) is frame i; `there` and `back` as in `flow.confirm`."""
    height, width = grey.shape
    flow = confirm(there, back, RETURNS, RETURNS_SHARE)
    target = flow.target.reshape(-1, 2)[grid]
    textured = texture(grey, WINDOW).ravel()[grid] > TEXTURE
    good = flow.consistent.ravel()[grid] & textured
    if good.sum() < FOLLOWED * textured.sum():  # the two frames have nothing to do with each other
        good[:] = False
    if masks is not None:
        column, row = np.rint(np.where(good[:, None], target, 0)).astype(int).T
        good &= ~masks[i].ravel()[grid] & ~masks[j][row, column]
    centred = (target - np.array([width / 2, height / 2], np.float32))[good]
    return FlowMatches(i, j, np.flatnonzero(good), centred / zoom[j])


def flow_equations(
    problem: Problem, state: State, pool: Executor
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """What the matches of `problem` add to the normal equations, one entry per direction; empty if flow is far off.

    An entry: unknowns (12,) of the two cameras, matrix (13,13) and right side (13,) in these and the log focal, value
    in units of the point term. Depths are held.
    """
    parts = list(pool.map(lambda match: _equations(problem, state, match), problem.matches))
    kept = sum(count for *_, count in parts)
    if not kept or sum(part[2] for part in parts) > OFF * kept:
        return []
    found = []
    for match, (matrix, right, value, _) in zip(problem.matches, parts):
        ends = (problem.unknowns.frame_at[v] for v in (match.i, match.j))
        pixel = float(np.median(state.depth[match.i])) / state.focal  # its size in the scene
        strength = STRENGTH * float(problem.weights[match.i].mean()) * pixel
        index = np.concatenate([at + np.arange(FRAME) for at in ends])
        found.append((index, strength * matrix, strength * right, strength * value))
    return found


def _equations(problem: Problem, state: State, match: FlowMatches) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Normal equations of one direction in the tangent vectors of the cameras i, j (6 each) and the log focal.

    Returns matrix (13,13), right side (13,), the value of the term in pixels and the number of errors not cut.
    """
    i, j, samples = match.i, match.j, match.samples
    depth = state.depth[i][samples].astype(np.float64)[:, None]
    points = np.concatenate([problem.pixels[i][samples] * depth / state.focal, depth], 1)
    relative = invert(state.cam2world[j]) @ state.cam2world[i]
    seen = transform(relative, points)
    front = seen[:, 2] > FRONT * np.median(depth)  # cheirality
    points, seen, target = points[front], seen[front], match.targets[front]
    projected = state.focal * seen[:, :2] / seen[:, 2:]
    error = projected - target  # the residuals, (n,2) pixels
    size = np.abs(error)
    value = np.where(size < SHARP, 0.5 * size**2 / SHARP, size - 0.5 * SHARP)
    keep = value < CUT
    irls = keep / np.maximum(size, SHARP)

    by_point = np.zeros((len(seen), 2, 3))  # derivative of the projection by the point before camera j
    by_point[:, 0, 0] = by_point[:, 1, 1] = state.focal / seen[:, 2]
    by_point[:, :, 2] = -projected / seen[:, 2:]
    by_first = by_point @ relative[:3, :3]
    by_focal = projected - (by_first[:, :, :2] @ points[:, :2, None])[..., 0]
    columns = (-by_first @ skew(points), by_first, by_point @ skew(seen), -by_point, by_focal[..., None])
    jacobian = np.concatenate(columns, 2).reshape(-1, 13)
    weighted = jacobian.T * irls.ravel()
    return weighted @ jacobian, -weighted @ error.ravel(), float(value[keep].sum()), int(keep.sum())
