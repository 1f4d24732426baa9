"""How results are scored: masks, trajectories, depth, clouds of points. Sources of the formulas: the specification of
the evaluation, section 4, which says how the published scripts measure.
"""

import cv2
import numpy as np
from scipy.spatial import cKDTree

DEPTH_LIMIT = 70.0  # depths of the truth from here on are not scored, in its unit
_BLOCK = 1 << 16  # depths worked on at a time: they stay in the cache
# Adam moves by less than (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)) = 7.3 of its rate in a step; and steps after which
# it is looked anew which errors can change their sign: one in 20 or so, which is what makes 1,000 steps quick
_FARTHEST, _STAGE = 7.3, 25
_BOUNDARY = 0.008  # how far apart boundaries still match, as a share of the picture's diagonal (DAVIS)


def jaccard(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Region overlap J per frame: (T,) float64 from two (T,H,W) bool arrays; 1 where both are empty.

    The mean over frames is DAVIS' JM as the Easi3R evaluation takes it (all frames, first and last included).
    """
    union = (predicted | truth).sum((1, 2))
    return np.where(union == 0, 1.0, (predicted & truth).sum((1, 2)) / np.maximum(union, 1))


def boundary_f(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Boundary measure F per frame: (T,) float64 from two (T,H,W) bool arrays.

    F = 2PR / (P + R): P is the share of the predicted boundary pixels with one of the truth within a disk, R the
    reverse; its radius is .008 of the diagonal, rounded up. 1 where neither has a boundary, 0 where only one has.
    """
    radius = int(np.ceil(_BOUNDARY * np.hypot(*truth.shape[1:])))
    reach = np.arange(-radius, radius + 1)
    disk = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.uint8)
    return np.array([_boundary_f(_boundary(p), _boundary(t), disk) for p, t in zip(predicted, truth)])


def _boundary_f(predicted, truth, disk):
    if not predicted.any() or not truth.any():
        return float(predicted.any() == truth.any())
    precision = cv2.dilate(truth.astype(np.uint8), disk)[predicted].mean()
    recall = cv2.dilate(predicted.astype(np.uint8), disk)[truth].mean()
    return 2 * precision * recall / max(precision + recall, 1e-300)


def _boundary(mask):
    """Pixels (H,W) bool that differ from their right, lower or lower right neighbour in the mask."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])


def umeyama(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """Similarity (s, R, t) minimising sum of weights * |s R source + t - target|^2. Points (N,3), weights (N,) or None.

    Umeyama 1991. Degenerate sets (fewer than two distinct points) give s = 1.
    """
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    weights = weights / weights.sum()
    centre_s, centre_t = weights @ source, weights @ target
    a, b = source - centre_s, target - centre_t
    u, d, vt = np.linalg.svd((b * weights[:, None]).T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * sign) @ vt
    variance = (weights[:, None] * a * a).sum()
    scale = float((d * sign).sum() / variance) if variance > 1e-18 else 1.0
    return scale, rotation, centre_t - scale * rotation @ centre_s


def trajectory_errors(cam2world: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """ATE, RTE and RRE of a trajectory against the truth, both (T,4,4) cam2world, after a similarity alignment of the
    centres.

    Returns a dict: `ate` RMSE of the centres, `rte` RMS and `rte_mean` mean of the relative translations between
    consecutive frames (units of the truth), `rre` RMS and `rre_mean` mean of the relative rotations in degrees, `path`
    length of the true path.
    Definition: Easi3R's evaluation (evo).
    """
    scale, rotation, shift = umeyama(cam2world[:, :3, 3], truth[:, :3, 3])
    aligned = np.array(cam2world, dtype=np.float64)
    aligned[:, :3, :3] = rotation @ cam2world[:, :3, :3]
    aligned[:, :3, 3] = scale * cam2world[:, :3, 3] @ rotation.T + shift
    steps = np.linalg.inv(aligned[:-1]) @ aligned[1:]
    true_steps = np.linalg.inv(truth[:-1]) @ truth[1:]
    error = np.linalg.inv(true_steps) @ steps
    moved = np.linalg.norm(error[:, :3, 3], axis=1)
    # atan2 form: exact for small angles, where arccos of the trace is not
    skew = error[:, :3, :3] - np.swapaxes(error[:, :3, :3], 1, 2)
    sine = np.sqrt((skew**2).sum((1, 2)) / 8)
    turned = np.degrees(np.arctan2(sine, (np.trace(error[:, :3, :3], axis1=1, axis2=2) - 1) / 2))
    gap = np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1)
    return {
        "ate": float(np.sqrt((gap**2).mean())),
        "rte": float(np.sqrt((moved**2).mean())) if len(moved) else 0.0,
        "rte_mean": float(moved.mean()) if len(moved) else 0.0,
        "rre": float(np.sqrt((turned**2).mean())) if len(turned) else 0.0,
        "rre_mean": float(turned.mean()) if len(turned) else 0.0,
        "path": float(np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()),
    }


def depth_absrel(depth: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """Mean |s depth - truth| / truth over the valid pixels, one median scale s for the whole clip. Arrays (T,H,W)."""
    predicted, true = depth[valid].astype(np.float64), truth[valid].astype(np.float64)
    return float((np.abs(np.median(true / predicted) * predicted - true) / true).mean())


def spans_a_plane(source: np.ndarray, target: np.ndarray) -> bool:
    """Whether a similarity between the points (N,3) is determined: Umeyama's covariance has two singular values above
    the rounding of a float64. Points at one place, or on one line, have not.
    """
    covariance = (target - target.mean(0)).T @ (source - source.mean(0)) / len(source)
    return int((np.linalg.svd(covariance, compute_uv=False) > np.finfo(float).eps).sum()) >= 2


def depth_alignments(depth: np.ndarray, truth: np.ndarray) -> dict[str, tuple[float, float]]:
    """Scale and shift that bring depths (N,) to their truth (N,), both float32, by the name of the published way.

    `scale` (CUT3R): ten rounds of weighted least squares on the sum of distances, which they do not bring to its end.
    `shift` (MonST3R): gradient descent on the sum of distances, by at most .1. `median` (MonST3R's scale alone).
    """
    median = lower_median(truth) / lower_median(depth)
    return {"scale": (_reweighted(depth, truth), 0.0), "shift": _descended(depth, truth, median), "median": (median, 0)}


def lower_median(values: np.ndarray) -> float:
    """The smaller of the two middle values, where there are two."""
    middle = (values.size - 1) // 2
    return float(np.partition(values.ravel(), middle)[middle])


def _reweighted(depth, truth):
    scale = truth.mean() / depth.mean()
    for _ in range(10):
        weights = 1 / (np.abs(scale * depth - truth) + np.float32(1e-8))
        scale = (weights * depth * truth).sum() / (weights * depth**2).sum()
    return max(float(scale), 1e-3)


def _descended(depth, truth, start, rate=1e-4, steps=1000, enough=1e-6):
    """Adam (Kingma and Ba 2015) on the sum of |s depth + t - truth|, from (start, 0)."""
    values, before = np.array([start, 0.0]), np.inf
    first, second = np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        if step % _STAGE == 1:
            near, fixed = _split(depth, truth, *np.float32(values), _FARTHEST * rate * _STAGE)
        terms = _distances(*near, *np.float32(values)) + fixed
        loss, gradient = terms @ [*values, -1.0], terms[:2]
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        values = values - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        if abs(before - loss) < enough:
            break
        before = loss
    return float(values[0]), float(values[1])


def _split(depth, truth, scale, shift, reach):
    """Depths and truth whose error may change its sign before scale or shift move by `reach`, and the terms of the rest
    (see `_distances`), which stay the same until then.
    """
    near, fixed = [], np.zeros(3)
    for k in range(0, depth.size, _BLOCK):
        d, t = depth[k : k + _BLOCK], truth[k : k + _BLOCK]
        close = np.abs(scale * d + shift - t) <= reach * (np.abs(d) + 1)
        near.append((d[close], t[close]))
        fixed += _distances(d[~close], t[~close], scale, shift)
    return [np.concatenate(arrays) for arrays in zip(*near)], fixed


def _distances(depth, truth, scale, shift):
    """(3,) sums over (depth, 1, truth), times the sign of scale depth + shift - truth: the first two are derivatives of
    the sum of its absolute values by scale and shift, and with the third they make that sum.
    """
    sign = np.sign(scale * depth + shift - truth)
    return np.array([sign @ depth, sign.sum(), sign @ truth], np.float64)


def depth_errors(depth: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """AbsRel, mean |depth - truth| / truth, and delta, the share with a ratio below 1.25 either way. Both (N,)."""
    absrel = (np.abs(depth - truth) / truth).mean(dtype=np.float64)
    positive = np.maximum(depth, 1e-5)
    return float(absrel), float((np.maximum(positive / truth, truth / positive) < 1.25).mean())


def cloud_errors(points: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean and median distances between two clouds (N,3) whose points correspond, in the unit of the truth.

    `acc` from each point to the nearest true one, `comp` the reverse, `dist` between those that correspond (its median
    the lower one). By k-d trees: 4 million points a side take minutes.
    """
    trees = [cKDTree(cloud, balanced_tree=False, compact_nodes=False) for cloud in (points, truth)]  # quicker to build
    distances = {"acc": _nearest(trees[1], trees[0]), "comp": _nearest(*trees)}
    apart = np.linalg.norm(points - truth, axis=1)
    found = {f"{name}_{of.__name__}": float(of(d)) for name, d in distances.items() for of in (np.mean, np.median)}
    return {**found, "dist_mean": float(apart.mean()), "dist_median": lower_median(apart)}


def _nearest(tree, asking):
    """Distances (N,) from the points of the tree `asking` to the nearest in `tree`, neighbours asked for one after the
    other: five times as fast as in random order."""
    return tree.query(asking.data[asking.indices], workers=-1)[0]
