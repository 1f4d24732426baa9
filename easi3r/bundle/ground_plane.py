"""The ground as a plane under everything that stands still, in a result whose depth is known."""

import numpy as np

from ..reconstruction import Reconstruction
from .gravity import find_down

POINTS, PLANES = 6000, 2000  # that are drawn: of what stands still, and through three of the surer ones
SEED = 0
# Shares of what stands still, by confidence: a plane is sought in the surer half, and the least sure quarter is not
# asked at all. Of three quarters, 7 % lie below a table whose floor is hardly seen (orbit), .1 % below street and room;
# of the surer half hardly any. Fitted to three quarters the height in the street is 8 % too large, else 3 %.
SURE, ASKED = 0.5, 0.25
# How far a point lies below its camera, in heights of the camera above the plane: an error of its depth is the same
# share of that. Points on the ground have 1, nine tenths of the surer ones within this in street and room.
NEAR = 0.02
BELOW, MOST_BELOW = 1.1, 0.02  # from which on a point is below the ground, and the share of the points that may be
LEAST = 0.1  # share of the surer points that lie on the ground, at least: .22 and .23 in street and room
TILT = 30.0  # degrees between the plane's normal and what upright edges, or the picture, say is down
ROUNDS = 10  # of fitting a plane to what lies on it


def find_ground(result: Reconstruction) -> tuple[np.ndarray, float] | None:
    """The plane n x = d of the ground in world coordinates: n (3,), downwards, and d. None: there is none.

    n has length 1. Of planes through three points that are about level and below all cameras the one that fits most
    points (MSAC: Torr and Zisserman 2000), then least squares with Tukey's weights. Where anything but strays lies
    below it, it is a table and not the ground.
    """
    points, eyes, sure = _sample(result)
    if np.count_nonzero(sure) < 3:
        return None
    centres = result.cam2world[:, :3, 3]
    down = find_down(result.frames, result.cam2world[:, :3, :3], result.cameras, result.dynamic)
    normals, offsets = _planes(points[sure], down)
    level = (normals @ down > np.cos(np.radians(TILT))) & (offsets > (normals @ centres.T).max(axis=1))
    if not level.any():
        return None
    fits = [_fit(*plane, points[sure], eyes[sure]).sum() for plane in zip(normals[level], offsets[level])]
    best = np.argmax(fits)
    normal, offset = normals[level][best], offsets[level][best]
    for _ in range(ROUNDS):
        weight = _fit(normal, offset, points[sure], eyes[sure]) ** 2
        centre = weight @ points[sure] / weight.sum()
        turned = np.linalg.svd((points[sure] - centre) * np.sqrt(weight)[:, None], full_matrices=False)[2][2]
        normal = turned * np.sign(turned @ normal)
        offset = normal @ centre
    on_it = _fit(normal, offset, points[sure], eyes[sure]) > 0
    below = _drop(normal, offset, points, eyes) > BELOW
    found = on_it.mean() > LEAST and below.mean() < MOST_BELOW and normal @ down > np.cos(np.radians(TILT))
    return (normal, float(offset)) if found else None


def _sample(result):
    """Points (N,3) of what stands still, the centres (N,3) of the cameras that saw them, and which are sure (N,)."""
    still = (result.confidence > 0) & ~result.dynamic
    if not still.any():
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, bool)
    asked, sure = np.quantile(result.confidence[still], [ASKED, SURE])
    chosen = np.flatnonzero(still & (result.confidence >= asked))
    chosen = np.random.default_rng(SEED).permutation(chosen)[:POINTS]
    points = result.points().reshape(-1, 3)[chosen].astype(np.float64)  # (T,H,W,3) -> (T*H*W,3)
    return points, result.cam2world[chosen // still[0].size, :3, 3], result.confidence.ravel()[chosen] >= sure


def _planes(points, down):
    """Normals (M,3), downwards, and offsets (M,) of planes through three points each."""
    first, second, third = points[np.random.default_rng(SEED).integers(len(points), size=(3, PLANES))]
    normals = np.cross(second - first, third - first)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    normals *= np.where(normals @ down < 0, -1, 1)[:, None]
    return normals, (normals * first).sum(axis=1)


def _drop(normal, offset, points, eyes):
    """(N,) how far points lie below their cameras, in heights of the camera above the plane."""
    return ((points - eyes) @ normal) / np.maximum(offset - eyes @ normal, 1e-30)


def _fit(normal, offset, points, eyes):
    """(N,) from 1 on the plane to 0 where a point is no part of it."""
    return np.maximum(0, 1 - ((_drop(normal, offset, points, eyes) - 1) / NEAR) ** 2)
