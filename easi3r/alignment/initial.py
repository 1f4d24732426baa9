"""Start values in closed form: each frame picks one point map, pairs are registered to these, a tree joins them."""

import copy
from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import intrinsic_matrix, pose, transform
from .similarity import register, rigid_part, scale_of


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
    pixels (N,2) from the image centre; size (H,W); focal in pixels or None. Frames outside the part stay at identity.
    """
    maps = {v: _own_map(samples[v], weights[v], views[v]) for v in frames}
    if focal is None:
        guesses = [weiszfeld(m, pixels, w) for m, w in (maps[v] for v in frames if maps[v] is not None)]
        guesses = [g for g in guesses if g is not None]
        focal = float(np.median(guesses)) if guesses else size[1] / (2 * np.tan(np.radians(30)))
    for v in frames:
        if maps[v] is None:  # never the first of a pair
            maps[v] = _resected_map(samples[v], weights[v], pixels, size, focal)
    to_map, misfit = np.tile(np.eye(4), (len(ends), 2, 1, 1)), np.zeros(len(ends))
    for v in frames:
        # pixels unknown in the frame's own map say nothing about the pair
        matrices, distance = register(samples[v].transpose(0, 2, 1), maps[v][0], weights[v] * (maps[v][1] > 0))
        for (e, side), matrix, far in zip(views[v], matrices, distance):
            to_map[e, side] = matrix
            misfit[e] += far
    return _grow_tree(to_map, misfit, maps, views, frames, ends, focal, len(samples))


def _own_map(samples, weights, views):
    """The frame's best point map in its own camera: points (N,3), weights (N,). None if it is never first."""
    own = [k for k, (_, side) in enumerate(views) if side == 0]
    if not own:
        return None
    best = max(own, key=lambda k: weights[k].sum())
    return samples[best].T.astype(np.float64), weights[best]


def _resected_map(samples, weights, pixels, size, focal):
    """As `_own_map` for a frame seen only through others: its camera is resected (PnP) in the other's frame."""
    best = int(np.argmax(weights.sum(1)))
    points, known = samples[best].T.astype(np.float64), weights[best] > 0
    centre = np.array([size[1] / 2, size[0] / 2])
    world2cam = np.eye(4)
    if known.sum() >= 6:
        found, rotation, shift, _ = cv2.solvePnPRansac(
            points[known], pixels[known] + centre, intrinsic_matrix(focal, size[1], size[0]), None,
            iterationsCount=100, reprojectionError=max(2.0, size[1] / 100), flags=cv2.SOLVEPNP_SQPNP,
        )  # fmt: skip
        if found and np.isfinite(rotation).all() and np.isfinite(shift).all():
            world2cam = pose(cv2.Rodrigues(rotation)[0], shift)
    return transform(world2cam, points), weights[best]


def _grow_tree(to_map, misfit, maps, views, frames, ends, focal, n_frames):
    """Chain the pairs that fit best; `to_map` (E,2,4,4) takes a pair's points into the own maps of its two frames."""
    placed = {frames[0]: np.eye(4)}
    incident = {v: {e for e, _ in views[v]} for v in frames}
    while len(placed) < len(frames):
        border = [e for v in placed for e in incident[v] if not (ends[e][0] in placed and ends[e][1] in placed)]
        best = min(border, key=lambda e: (misfit[e], e))
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
