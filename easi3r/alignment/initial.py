"""Start values in closed form: each frame picks one point map, pairs are registered to these, a spanning tree of
resected cameras joins the frames, and scales and depths are made to agree.
"""

from concurrent.futures import Executor

import cv2
import numpy as np

from ..camera import Camera, focal_of, invert, pose, transform
from .problem import Problem, State
from .similarity import register, rigid_part, scale_of
from .store import View

USUAL_FOV = 60.0  # degrees, horizontal; where the predictions do not tell
INLIERS = 0.3  # share of the points that a resected camera has to see where they are
FEWEST = 6  # points to resect a camera from, or to take a scale from
SETTLING = 3  # rounds of agreeing on scales and depths for given cameras

Map = tuple[np.ndarray, np.ndarray]  # of one frame in its own camera: points (N,3), weights (N,)


def start(problem: Problem, focal: float | None, pool: Executor) -> State:
    """The start `State` of one connected part. focal in pixels, or None to estimate it, by Weiszfeld's method. pool:
    from `threads.workers`.
    """
    frames, views, samples, weights = problem.frames, problem.views, problem.samples, problem.weights
    own = {v: _own_map(samples[v], weights[v], views[v]) for v in frames}
    if focal is None:
        focals = [weiszfeld(map_[0], problem.pixels[v], map_[1]) for v, map_ in own.items() if map_ is not None]
        known = [f for f in focals if f is not None]
        focal = float(np.median(known)) if known else float(focal_of(USUAL_FOV, problem.shape[1]))
    # a frame that is never the first of a pair has no map of its own
    maps = {v: map_ if map_ is not None else _resected_map(problem, focal, v) for v, map_ in own.items()}
    to_map, misfit = np.tile(np.eye(4), (len(problem.ends), 2, 1, 1)), np.zeros(len(problem.ends))

    def registered(v: int) -> tuple[np.ndarray, np.ndarray]:
        # pixels unknown in the frame's own map say nothing about the pair
        return register(samples[v].transpose(0, 2, 1), maps[v][0], weights[v] * (maps[v][1] > 0))

    for v, (matrices, distance) in zip(frames, pool.map(registered, frames)):
        for (e, side), matrix, far in zip(views[v], matrices, distance):
            to_map[e, side] = matrix
            misfit[e] += far
    return _settled(problem, _spanning_tree(problem, focal, maps, to_map, misfit), pool)


def weiszfeld(points: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> float | None:
    """Focal in pixels minimising sum weights * |pixels - focal * (x, y) / z|; points (N,3), pixels (N,2) from centre.

    Returns None when the points do not determine it.
    """
    front = (points[:, 2] > 1e-6) & (weights > 0)
    p, q, weights = pixels[front], points[front, :2] / points[front, 2:], weights[front]
    pq, qq = (p * q).sum(1), (q * q).sum(1)
    if len(p) < 4 or (weights * qq).sum() <= 0:
        return None
    focal = (weights * pq).sum() / (weights * qq).sum()
    for _ in range(10):
        irls = weights / np.maximum(np.linalg.norm(p - focal * q, axis=1), 1e-6)
        focal = (irls * pq).sum() / (irls * qq).sum()
    return float(focal) if np.isfinite(focal) and focal > 0 else None


def _own_map(samples: np.ndarray, weights: np.ndarray, views: list[View]) -> Map | None:
    """The frame's best point map in its own camera: points (N,3), weights (N,). None if it is never first."""
    own = [k for k, (_, side) in enumerate(views) if side == 0]
    if not own:
        return None
    best = max(own, key=lambda k: weights[k].sum())
    return samples[best].T.astype(np.float64), weights[best]


def _resected_map(problem: Problem, focal: float, v: int) -> Map:
    """As `_own_map` for a frame seen only through others: its camera is resected in the other's frame."""
    samples, weights = problem.samples[v], problem.weights[v]
    best = int(np.argmax(weights.sum(1)))
    points = samples[best].T.astype(np.float64)
    camera = _resect(problem, focal, v, points, weights[best] > 0)
    return transform(np.eye(4) if camera is None else camera, points), weights[best]


def _resect(
    problem: Problem, focal: float, v: int, points: np.ndarray, known: np.ndarray, inliers: float = 0.0
) -> np.ndarray | None:
    """World2cam (4,4) of frame v, which sees the `known` (N,) of the points (N,3) at their pixels: SQPnP with RANSAC.

    None if there is none, or if fewer than a share `inliers` of the points agree.
    """
    if known.sum() < FEWEST:
        return None
    height, width = problem.shape
    try:
        found, rotation, shift, seen = cv2.solvePnPRansac(
            points[known],
            problem.pixels[v][known] + np.array([width / 2, height / 2]),
            Camera.centred(focal, width, height).intrinsics,
            None,
            iterationsCount=100,
            reprojectionError=max(2.0, width / 100),
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:  # so it says that the points all lie in one place
        return None
    if not found or len(seen) < inliers * known.sum() or not (np.isfinite(rotation).all() and np.isfinite(shift).all()):
        return None
    return pose(cv2.Rodrigues(rotation)[0], shift)


def _resected_pair(problem: Problem, focal: float, maps: dict[int, Map], e: int) -> np.ndarray | None:
    """Similarities (2,4,4) of pair e's points to the maps of its two frames by what its cameras see; None if it fails.

    Depth errors then do no harm: point maps err along the rays, by much where the scene is far away for its parallax;
    registering them as clouds turns the camera with the errors, while the directions in which it sees them are exact.
    """
    found = np.empty((2, 4, 4))
    for side, v in enumerate(problem.ends[e]):
        k = problem.views[v].index((e, side))
        points, known = problem.samples[v][k].T.astype(np.float64), (problem.weights[v][k] > 0) & (maps[v][1] > 0)
        camera = np.eye(4) if side == 0 else _resect(problem, focal, v, points, known, INLIERS)
        if camera is None:
            return None
        z, own = transform(camera, points)[:, 2], maps[v][0][:, 2]
        known &= (z > 0) & (own > 0)  # cheirality
        if known.sum() < FEWEST:
            return None
        scale = np.median(own[known] / z[known])
        found[side] = np.diag([scale, scale, scale, 1]) @ camera
    return found


def _spanning_tree(
    problem: Problem, focal: float, maps: dict[int, Map], to_map: np.ndarray, misfit: np.ndarray
) -> State:
    """Chain the pairs of least `misfit` (E,) (Prim's tree); `to_map` (E,2,4,4): a pair's points -> its frames' maps."""
    frames, views, ends, to_map = problem.frames, problem.views, problem.ends, to_map.copy()
    placed = {frames[0]: np.eye(4)}  # similarities: own map of a frame -> world
    incident = {v: {e for e, _ in views[v]} for v in frames}
    while len(placed) < len(frames):
        border = [e for v in placed for e in incident[v] if not (ends[e][0] in placed and ends[e][1] in placed)]
        best = min(border, key=lambda e: (misfit[e], e))
        resected = _resected_pair(problem, focal, maps, best)
        if resected is not None:
            to_map[best] = resected
        i, j = ends[best]
        if i in placed:
            placed[j] = placed[i] @ to_map[best, 0] @ np.linalg.inv(to_map[best, 1])
        else:
            placed[i] = placed[j] @ to_map[best, 1] @ np.linalg.inv(to_map[best, 0])
    cam2world, depth = np.tile(np.eye(4), (len(problem.pixels), 1, 1)), {}
    similarity = np.tile(np.eye(4), (len(ends), 1, 1))
    for v in frames:
        cam2world[v] = rigid_part(placed[v])
        z = maps[v][0][:, 2] * scale_of(placed[v])
        middle = np.median(z[z > 0]) if (z > 0).any() else 1.0
        depth[v] = np.where((z > 0) & (maps[v][1] > 0), z, middle).astype(np.float32)
        for e, side in views[v]:
            if side == 0:
                similarity[e] = placed[v] @ to_map[e, 0]
    return State(cam2world, similarity, depth, focal)


def _settled(problem: Problem, state: State, pool: Executor) -> State:
    """The state with scales of the pairs and depths of the frames that agree, for the cameras as they are.

    A pair's points lie in the camera of its first frame, up to scale; a pixel's depth is the weighted median over its
    views. Without this a frame keeps the errors of the one point map it started from, and `refine`, which looks for the
    nearest minimum, may stay with them.
    """
    world2cam, similarity, depth = invert(state.cam2world), state.similarity.copy(), dict(state.depth)
    for _ in range(SETTLING):
        for v in problem.frames:
            for k, (e, side) in enumerate(problem.views[v]):
                if side == 1:
                    continue
                z = problem.samples[v][k, 2].astype(np.float32)
                known = (problem.weights[v][k] > 0) & (z > 0)
                if known.any():
                    scale = np.median(depth[v][known] / z[known])
                    similarity[e] = state.cam2world[v] @ np.diag([scale, scale, scale, 1])

        def agreed(v: int, depth: dict[int, np.ndarray] = depth) -> np.ndarray:
            row = (world2cam[v] @ similarity[[e for e, _ in problem.views[v]]])[:, 2].astype(np.float32)
            z = np.einsum("nc,ncp->np", row[:, :3], problem.samples[v].astype(np.float32)) + row[:, 3:]
            middle, known = _weighted_median(z, problem.weights[v])
            return np.where(known & (middle > 0), middle, depth[v])

        depth = dict(zip(problem.frames, pool.map(agreed, problem.frames)))
    return State(state.cam2world, similarity, depth, state.focal)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians (N,) of the columns of values (n,N) by weights (n,N), and whether any weight (N,) stands behind them."""
    order = values.argsort(0)
    values, weights = np.take_along_axis(values, order, 0), np.take_along_axis(weights, order, 0)
    below = np.cumsum(weights, 0)
    at = (below < 0.5 * below[-1]).sum(0)
    return np.take_along_axis(values, at[None], 0)[0], below[-1] > 0
