"""Relative poses of frame pairs and the focal they share, from optical flow on static pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from .flow import grid_matches

VIEW_ANGLES = np.array([30, 36, 43, 50, 57, 64, 72, 80, 90, 100.0])  # horizontal fields of view tried, degrees
USUAL_ANGLE = 60.0  # assumed where the clip does not tell
PARALLAX = 0.6  # pixels that translation must explain beyond rotation before a pair is said to have parallax
NOISE = 0.3  # pixels, flow error taken for granted


@dataclass(frozen=True)
class RelativePose:
    """X_j = rotation X_i + translation for the pair (i, j); |translation| = 1, or 0 where the pair has no parallax."""

    rotation: np.ndarray  # (3,3)
    translation: np.ndarray  # (3,)
    parallax: float  # pixels of flow explained by translation, 0 if too little
    support: float  # share of the picture that was followed and agrees with this pose

    def inverse(self):
        """The pose of the pair (j, i)."""
        return RelativePose(self.rotation.T, -self.rotation.T @ self.translation, self.parallax, self.support)


def focal_of(angle, width):
    """Focal in pixels of a horizontal field of view in degrees."""
    return width / 2 / np.tan(np.radians(angle) / 2)


def find_focal(flows, moving, width, n_pairs=10):
    """Focal (pixels) at which the essential matrices of several pairs with much flow fit best, and whether the clip tells it.

    flows: dict (i, j) -> Flow; moving (T,H,W) bool. Where the fit hardly depends on the focal, (60 degrees, False).
    """
    usable = [k for k in flows if k[0] < k[1] and flows[k].consistent.mean() > 0.5]
    matches = {k: _matches(flows[k], moving, *k, limit=300) for k in usable}
    usable = [k for k in usable if len(matches[k][0]) >= 100]
    widest = sorted(usable, key=lambda k: -_spread(*matches[k]))[:n_pairs]
    if not widest:
        return focal_of(USUAL_ANGLE, width), False
    costs = np.zeros((len(widest), len(VIEW_ANGLES)))
    for row, key in enumerate(widest):
        start = None
        for column, angle in enumerate(VIEW_ANGLES):
            focal = focal_of(angle, width)
            start, costs[row, column] = _fit_pose(*_rays(matches[key], focal, moving.shape), focal, start)
    total = costs.mean(0)  # mean robust Sampson cost per match, in units of NOISE^2
    best = int(total.argmin())
    contrast = (min(total[0], total[-1]) - total[best]) / max(total[best], 1e-9)
    if best in (0, len(total) - 1) or contrast < 0.02:
        return focal_of(USUAL_ANGLE, width), False
    log_focal = np.log(focal_of(VIEW_ANGLES[best - 1 : best + 2], width))
    a, b, _ = np.polyfit(log_focal, total[best - 1 : best + 2], 2)
    return float(np.exp(np.clip(-b / (2 * a), log_focal.min(), log_focal.max()))), True


def relative_poses(flows, moving, focal):
    """Poses of all pairs, dict (i, j) -> RelativePose, both directions; from static, consistent matches."""
    poses = {}
    for i, j in flows:
        if i < j:
            still = ~moving[i]
            followed = (flows[i, j].consistent & still).sum() / max(still.sum(), 1)
            pose = _pair_pose(_matches(flows[i, j], moving, i, j, limit=800), focal, moving.shape, followed)
            poses[i, j], poses[j, i] = pose, pose.inverse()
    return poses


def _matches(flow, moving, i, j, limit):
    still = ~moving[i] & ~cv2.remap(moving[j].astype(np.uint8), flow.target, None, cv2.INTER_NEAREST).astype(bool)
    source, target = grid_matches(flow, step=6, keep=still)
    step = max(1, round(len(source) / limit))
    return source[::step], target[::step]


def _spread(source, target):
    """How much the flow varies over the picture (pixels): parallax or rotation about the axis, not a mere shift."""
    shift = target - source
    return float(np.abs(shift - np.median(shift, axis=0)).mean())


def _rays(matches, focal, shape):
    centre = np.array([shape[2] / 2, shape[1] / 2])
    return tuple(np.column_stack([(m - centre) / focal, np.ones(len(m))]) for m in matches)


def _pair_pose(matches, focal, shape, followed):
    a, b = _rays(matches, focal, shape)
    if len(a) < 30:
        return RelativePose(np.eye(3), np.zeros(3), 0.0, 0.0)
    turn = _fit_rotation(a, b, focal)
    (rotation, translation), _ = _fit_pose(a, b, focal, None)
    # the part of the flow that a mere turn of the camera leaves unexplained, of matches that obey the epipolar geometry
    turned = a @ turn.T
    left = np.linalg.norm(turned[:, :2] / turned[:, 2:] - b[:, :2], axis=1) * focal
    obeys = np.abs(_sampson(rotation, translation, a, b)) * focal < 3 * NOISE
    parallax = float(np.quantile(left[obeys], 0.7)) if obeys.sum() >= 30 else 0.0
    if parallax < PARALLAX:
        return RelativePose(turn, np.zeros(3), 0.0, followed * (left < 3 * NOISE).mean())
    return RelativePose(rotation, translation, parallax, followed * obeys.mean())


def _fit_rotation(a, b, focal):
    """Robust rotation with b ~ R a for rays (N,3), by re-weighted Kabsch."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    weights = np.ones(len(a))
    for _ in range(10):
        rotation, _ = Rotation.align_vectors(b, a, weights=weights)
        error = np.linalg.norm(rotation.apply(a) - b, axis=1) * focal
        weights = 1 / (1 + (error / max(NOISE, np.median(error))) ** 2)
    return rotation.as_matrix()


def _fit_pose(a, b, focal, start):
    """Essential matrix by MAGSAC (or from `start`), refined on the robust Sampson error.

    a, b: rays (N,3) with z = 1. Returns (rotation, unit translation) with b ~ R a + t, and the mean robust cost.
    """
    start = start or _initial_pose(a, b, focal)
    rotation, translation = start
    scale = focal / NOISE

    def unpack(x):
        turn = Rotation.from_rotvec(x[:3]).as_matrix() @ rotation
        moved = translation + x[3] * basis[0] + x[4] * basis[1]
        return turn, moved / np.linalg.norm(moved)

    basis = np.linalg.svd(translation[None])[2][1:]  # the two directions across the translation
    fit = least_squares(
        lambda x: _sampson(*unpack(x), a, b) * scale, np.zeros(5), loss="cauchy", f_scale=2.0, max_nfev=15, x_scale=0.01
    )
    return unpack(fit.x), 2 * fit.cost / len(a)


def _initial_pose(a, b, focal):
    best = None
    try:
        essential, inliers = cv2.findEssentialMat(
            a[:, :2].copy(), b[:, :2].copy(), np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=2 * NOISE / focal
        )
    except cv2.error:  # OpenCV raises on degenerate samples
        essential = None
    if essential is not None and essential.shape == (3, 3):
        _, rotation, translation, _ = cv2.recoverPose(essential, a[:, :2].copy(), b[:, :2].copy(), np.eye(3), mask=inliers.copy())
        best = rotation, translation.ravel()
    return best or (_fit_rotation(a, b, focal), np.array([1.0, 0, 0]))


def _sampson(rotation, translation, a, b):
    """Signed Sampson distance (N,) of ray pairs to the essential matrix, in units of the normalised image plane."""
    x, y, z = translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    line_b, line_a = a @ essential.T, b @ essential
    algebraic = (b * line_b).sum(1)
    return algebraic / np.sqrt((line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1) + 1e-18)
