"""Similarity transforms in batches: 4 x 4 float64 matrices [s R | t], their tangent vectors, closed-form registration.

A tangent vector (w, t, l), 7 numbers, is a small motion: rotation vector in radians, translation, log scale. To first
order it moves a point q by w x q + t + l q.
"""

import numpy as np

from ..camera import skew


def retraction(tangent: np.ndarray) -> np.ndarray:
    """Similarities (N,4,4) [exp(l) exp([w]) | t] of tangent vectors (N,7)."""
    angle = np.linalg.norm(tangent[:, :3], axis=1)[:, None, None]
    cross = skew(tangent[:, :3])
    rotation = np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / 2 / np.pi) ** 2 * (cross @ cross)
    matrix = np.tile(np.eye(4), (len(tangent), 1, 1))
    matrix[:, :3, :3] = np.exp(tangent[:, 6])[:, None, None] * rotation
    matrix[:, :3, 3] = tangent[:, 3:6]
    return matrix


def adjoint(rigid: np.ndarray) -> np.ndarray:
    """(N,7,7): tangent vector in one frame -> the same motion seen through the rigid change of frame (N,4,4)."""
    rotation, shift = rigid[:, :3, :3], rigid[:, :3, 3]
    matrix = np.zeros((len(rigid), 7, 7))
    matrix[:, :3, :3] = matrix[:, 3:6, 3:6] = rotation
    matrix[:, 3:6, :3] = skew(shift) @ rotation
    matrix[:, 3:6, 6] = -shift
    matrix[:, 6, 6] = 1
    return matrix


def scale_of(matrix: np.ndarray) -> np.ndarray:
    """Scale (...,) of similarities (..., 4, 4)."""
    return np.linalg.norm(matrix[..., :3, 0], axis=-1)


def rigid_part(matrix: np.ndarray) -> np.ndarray:
    """Similarities (..., 4, 4) without their scale; the translation stays."""
    rigid = matrix.copy()
    rigid[..., :3, :3] /= scale_of(matrix)[..., None, None]
    return rigid


def register(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, rounds: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Robust similarities from `source` (n,N,3) to `target` (N,3), weights (n,N): IRLS over Umeyama (1991).

    Minimises the weighted sum of distances (not squared). Returns matrices (n,4,4) and the mean distance (n,) in units
    of the target's median distance from the origin. Sets without extent keep scale 1.
    """
    source, target = source.astype(np.float64), target.astype(np.float64)
    size = max(float(np.median(np.linalg.norm(target, axis=1))), 1e-9)
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-30)
    irls = weights
    for _ in range(rounds):
        share = (irls / np.maximum(irls.sum(1, keepdims=True), 1e-30))[..., None]
        mean_s, mean_t = (share * source).sum(1), (share * target).sum(1)
        a, b = source - mean_s[:, None], target - mean_t[:, None]
        u, d, vt = np.linalg.svd(np.swapaxes(share * b, 1, 2) @ a)
        sign = np.ones((len(source), 3))
        sign[:, 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1, 1)
        rotation = (u * sign[:, None]) @ vt
        spread = (share * a * a).sum((1, 2))
        scale = np.where(spread > 1e-12 * size**2, (d * sign).sum(1) / np.maximum(spread, 1e-30), 1.0)
        scale = np.where(scale > 1e-6, scale, 1.0)
        shift = mean_t - scale[:, None] * (rotation @ mean_s[..., None])[..., 0]
        moved = scale[:, None, None] * source @ np.swapaxes(rotation, 1, 2) + shift[:, None]
        distance = np.linalg.norm(moved - target, axis=-1)
        irls = weights / np.maximum(distance, 1e-3 * size)
    matrix = np.tile(np.eye(4), (len(source), 1, 1))
    matrix[:, :3, :3] = scale[:, None, None] * rotation
    matrix[:, :3, 3] = shift
    return matrix, (weights * distance).sum(1) / size
