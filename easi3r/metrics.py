"""How results are scored: masks, trajectories, depth, focal."""

import numpy as np


def jaccard(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Region overlap J per frame: (T,) float64 from two (T,H,W) bool arrays; 1 where both are empty.

    The mean over frames is DAVIS' JM as the Easi3R evaluation takes it (all frames, first and last included).
    """
    union = (predicted | truth).sum((1, 2))
    return np.where(union == 0, 1.0, (predicted & truth).sum((1, 2)) / np.maximum(union, 1))


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
