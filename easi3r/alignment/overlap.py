"""How one world lies in another, by points of the same pixels in both.

Source: specification da3.md, section 10, the published streaming mode of Depth Anything 3.
"""

import numpy as np

from ..camera import pose
from ..metrics import umeyama

_UNSURE = 0.1  # pixels under this share of the median confidence, of the surer side, take no part
_HUBER = 0.1  # in the target's unit: residuals above it count less, by their distance
_ROUNDS = 5  # of re-weighting, at most
_STILL = 1e-9  # change of scale, translation or cost that ends it; together with a turn under
_TURN = np.radians(0.1)


def overlap_weights(confidence1: np.ndarray, confidence2: np.ndarray) -> np.ndarray:
    """Weights (...) of pixels by both confidences over 1 (...); 0 where either is unsure."""
    sure = [confidence - 1 for confidence in (confidence1, confidence2)]
    least = _UNSURE * min(float(np.median(c)) for c in sure)
    return np.where((sure[0] > least) & (sure[1] > least), np.sqrt(sure[0] * sure[1]), 0)


def similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The similarity (4,4) float64 [s R | t] that takes points (n,3) onto others, weights (n,): robust, in closed form.

    The identity where all weights are 0; the scale is 1 where either set has no extent.
    """
    known = (weights > 0) & np.isfinite(source).all(axis=1) & np.isfinite(target).all(axis=1)
    source, target, weights = (array[known].astype(np.float64) for array in (source, target, weights))
    if not len(weights):
        return np.eye(4)
    found = _closed_form(source, target, weights)
    residual, cost = _residuals(found, source, target, weights)
    for _ in range(_ROUNDS):
        newer = _closed_form(source, target, weights * np.minimum(1, _HUBER / np.maximum(residual, 1e-12)))
        residual, newer_cost = _residuals(newer, source, target, weights)
        if abs(newer_cost - cost) < _STILL * cost:
            break
        done = _hardly_differ(found, newer)
        found, cost = newer, newer_cost
        if done:
            break
    return found


def _residuals(matrix, source, target, weights):
    """Distances (n,), and their weighted sum by Huber's function."""
    residual = np.linalg.norm(source @ matrix[:3, :3].T + matrix[:3, 3] - target, axis=1)
    huber = np.where(residual < _HUBER, 0.5 * residual**2, _HUBER * (residual - 0.5 * _HUBER))
    return residual, float((weights * huber).sum())


def _hardly_differ(a, b):
    (scale_a, turn_a), (scale_b, turn_b) = ((np.cbrt(np.linalg.det(m[:3, :3])), m[:3, :3]) for m in (a, b))
    cosine = (np.trace(turn_a.T @ turn_b) / (scale_a * scale_b) - 1) / 2
    moved = max(abs(scale_a - scale_b), float(np.linalg.norm(a[:3, 3] - b[:3, 3])))
    return moved < _STILL and np.arccos(np.clip(cosine, -1, 1)) < _TURN


def _closed_form(source, target, weights):
    """Weighted: the scale is the ratio of RMS radii."""
    _, rotation, _ = umeyama(source, target, weights)
    share = (weights / weights.sum())[:, None]
    centre_s, centre_t = (share * source).sum(axis=0), (share * target).sum(axis=0)
    spread_s, spread_t = (share * (source - centre_s) ** 2).sum(), (share * (target - centre_t) ** 2).sum()
    turned = np.sqrt(spread_t / spread_s) * rotation if min(spread_s, spread_t) > 0 else rotation
    return pose(turned, centre_t - turned @ centre_s)
