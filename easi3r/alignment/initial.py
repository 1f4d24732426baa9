"""Start values in closed form: each frame picks one point map, pairs are registered to these, a tree of resected
cameras joins the frames, and scales and depths are made to agree.
"""

import copy
import functools
from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import Camera, focal_of, invert, pose, transform
from .similarity import register, rigid_part, scale_of

USUAL_FOV = 60.0  # degrees, horizontal; where the predictions do not tell
SEEN = 0.3  # share of the points that a resected camera has to see where they are
SETTLING = 3  # rounds of agreeing on scales and depths for given cameras


@dataclass
class State:
    """What is solved for. cam2world (T,4,4) float64; similarity (E,4,4) float64, stored points of a pair -> world;
    depth list of (N,) float32, z of the sampled pixels; focal in pixels."""

    cam2world: np.ndarray
    similarity: np.ndarray
    depth: list
    focal: float

    def copy(self):
        return State(self.cam2world.copy(), self.similarity.copy(), copy.deepcopy(self.depth), self.focal)


def weiszfeld(points, pixels, weights):
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
        robust = weights / np.maximum(np.linalg.norm(p - focal * q, axis=1), 1e-6)
        focal = (robust * pq).sum() / (robust * qq).sum()
    return float(focal) if np.isfinite(focal) and focal > 0 else None


def start(samples, weights, views, frames, ends, pixels, size, focal):
    """Start `State` of one connected part of the graph.

    samples, weights: per frame (n,3,N) points and (n,N) weights of its `views`; frames: the part's frames; ends (E,2);
    pixels (T,N,2) from the image centre; size (H,W); focal in pixels or None. Frames outside the part stay at identity.
    """
    maps = {v: _own_map(samples[v], weights[v], views[v]) for v in frames}
    if focal is None:
        guesses = [weiszfeld(maps[v][0], pixels[v], maps[v][1]) for v in frames if maps[v] is not None]
        guesses = [g for g in guesses if g is not None]
        focal = float(np.median(guesses)) if guesses else focal_of(USUAL_FOV, size[1])
    pnp = functools.partial(_pnp, size=size, focal=focal)
    for v in frames:
        if maps[v] is None:  # never the first of a pair
            maps[v] = _resected_map(samples[v], weights[v], pixels[v], pnp)
    to_map, misfit = np.tile(np.eye(4), (len(ends), 2, 1, 1)), np.zeros(len(ends))
    for v in frames:
        # pixels unknown in the frame's own map say nothing about the pair
        matrices, distance = register(samples[v].transpose(0, 2, 1), maps[v][0], weights[v] * (maps[v][1] > 0))
        for (e, side), matrix, far in zip(views[v], matrices, distance):
            to_map[e, side] = matrix
            misfit[e] += far

    def resect(e):
        _resect(e, to_map, samples, weights, maps, views, ends, pixels, pnp)

    state = _grow_tree(to_map, misfit, resect, maps, views, frames, ends, focal, len(samples))
    _settle(state, samples, weights, views, frames)
    return state


def _own_map(samples, weights, views):
    """The frame's best point map in its own camera: points (N,3), weights (N,). None if it is never first."""
    own = [k for k, (_, side) in enumerate(views) if side == 0]
    if not own:
        return None
    best = max(own, key=lambda k: weights[k].sum())
    return samples[best].T.astype(np.float64), weights[best]


def _resected_map(samples, weights, pixels, pnp):
    """As `_own_map` for a frame seen only through others: its camera is resected in the other's frame."""
    best = int(np.argmax(weights.sum(1)))
    points = samples[best].T.astype(np.float64)
    world2cam = pnp(points, pixels, weights[best] > 0)
    return transform(np.eye(4) if world2cam is None else world2cam, points), weights[best]


def _pnp(points, pixels, known, least=0.0, *, size, focal):
    """Camera (4,4) that sees the `known` of the points (N,3) at their pixels (N,2) from the centre. Robust (RANSAC,
    SQPnP).

    None if there is none, or if it sees less than a share `least` of them there.
    """
    if known.sum() < 6:
        return None
    centre = np.array([size[1] / 2, size[0] / 2])
    found, rotation, shift, seen = cv2.solvePnPRansac(
        points[known],
        pixels[known] + centre,
        Camera.centred(focal, size[1], size[0]).intrinsics,
        None,
        iterationsCount=100,
        reprojectionError=max(2.0, size[1] / 100),
        flags=cv2.SOLVEPNP_SQPNP,
    )
    if not found or len(seen) < least * known.sum() or not (np.isfinite(rotation).all() and np.isfinite(shift).all()):
        return None
    return pose(cv2.Rodrigues(rotation)[0], shift)


def _resect(e, to_map, samples, weights, maps, views, ends, pixels, pnp):
    """Replace `to_map` (E,2,4,4) of pair e, where that succeeds, by what its cameras see: depth errors then do no harm.

    Point maps err along the rays, by much where the scene is far away for its parallax; registering them as clouds then
    turns the camera with the errors, while the directions in which it sees them are exact.
    """
    for side, v in enumerate(ends[e]):
        k = views[v].index((e, side))
        points, known = samples[v][k].T.astype(np.float64), (weights[v][k] > 0) & (maps[v][1] > 0)
        camera = np.eye(4) if side == 0 else pnp(points, pixels[v], known, SEEN)
        if camera is None:
            return
        z, own = transform(camera, points)[:, 2], maps[v][0][:, 2]
        known &= (z > 0) & (own > 0)
        if known.sum() < 6:
            return
        scale = np.median(own[known] / z[known])
        to_map[e, side] = np.diag([scale, scale, scale, 1]) @ camera


def _grow_tree(to_map, misfit, resect, maps, views, frames, ends, focal, n_frames):
    """Chain the pairs that fit best; `to_map` (E,2,4,4) takes a pair's points into the own maps of its two frames.

    `resect(e)` is called before pair e joins two frames.
    """
    placed = {frames[0]: np.eye(4)}
    incident = {v: {e for e, _ in views[v]} for v in frames}
    while len(placed) < len(frames):
        border = [e for v in placed for e in incident[v] if not (ends[e][0] in placed and ends[e][1] in placed)]
        best = min(border, key=lambda e: (misfit[e], e))
        resect(best)
        i, j = ends[best]
        if i in placed:
            placed[j] = placed[i] @ to_map[best, 0] @ np.linalg.inv(to_map[best, 1])
        else:
            placed[i] = placed[j] @ to_map[best, 1] @ np.linalg.inv(to_map[best, 0])
    cam2world, depth = np.tile(np.eye(4), (n_frames, 1, 1)), [None] * n_frames
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


def _settle(state, samples, weights, views, frames):
    """Make the scales of the pairs and the depths of the frames agree, in place, with the cameras as they are.

    A pair's points lie in the camera of its first frame, up to scale; a pixel's depth is the weighted median over its
    views. Without this a frame keeps the errors of the one point map it started from, and `refine`, which looks for the
    nearest minimum, may stay with them.
    """
    world2cam = invert(state.cam2world)
    for _ in range(SETTLING):
        for v in frames:
            for k, (e, side) in enumerate(views[v]):
                if side == 1:
                    continue
                z = samples[v][k, 2].astype(np.float32)
                known = (weights[v][k] > 0) & (z > 0)
                if known.any():
                    scale = np.median(state.depth[v][known] / z[known])
                    state.similarity[e] = state.cam2world[v] @ np.diag([scale, scale, scale, 1])
        for v in frames:
            row = (world2cam[v] @ state.similarity[[e for e, _ in views[v]]])[:, 2].astype(np.float32)
            z = np.einsum("nc,ncp->np", row[:, :3], samples[v].astype(np.float32)) + row[:, 3:]
            order = z.argsort(0)
            z, weight = (np.take_along_axis(values, order, 0) for values in (z, weights[v]))
            below = np.cumsum(weight, 0)
            middle = np.take_along_axis(z, (below < 0.5 * below[-1]).sum(0)[None], 0)[0]
            known = (below[-1] > 0) & (middle > 0)
            state.depth[v][known] = middle[known]
