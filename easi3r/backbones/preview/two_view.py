"""Relative poses of frame pairs and the focal they share, from optical flow on static pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from ...camera import focal_of, skew
from ...flow import Flow, grid_matches

VIEW_ANGLES = np.array([20, 25, 30, 36, 43, 50, 57, 64, 72, 80, 90, 100.0])  # horizontal fields of view tried, degrees
USUAL_ANGLE = 60.0  # assumed where the clip does not tell
LITTLE_MORE, MORE = 1.15, 1.3  # times the least cost
CLEAR = 2.0  # pixels of variation in the flow from which a pair shows what lies behind the camera
PARALLAX = 0.6  # pixels that translation must explain beyond rotation before a pair is said to have parallax
NOISE = 0.3  # pixels, flow error taken for granted
BEHIND, BEHIND_SHARE = 1.0, 0.1  # parallax in pixels on the wrong side, and the share of matches, that are put up with
TURN_SUFFICES = 1.5  # a camera only turns if that costs at most so many times more than a rigid motion


@dataclass(frozen=True)
class RelativePose:
    """X_j = rotation X_i + translation for the pair (i, j); |translation| = 1, or 0 where the pair has no parallax."""

    rotation: np.ndarray  # (3,3)
    translation: np.ndarray  # (3,)
    parallax: float  # pixels of flow explained by translation, 0 if too little
    support: float  # share of the picture that was followed and agrees with this pose

    def inverse(self) -> "RelativePose":
        """The pose of the pair (j, i)."""
        return RelativePose(self.rotation.T, -self.rotation.T @ self.translation, self.parallax, self.support)


@dataclass(frozen=True)
class Focal:
    """The focal that a clip's pairs share."""

    pixels: float
    known: bool  # False: the clip does not tell, a usual one is assumed
    turns_only: bool  # the camera turns or stands still: rotations explain the flow as well as any rigid motion


def find_focal(
    flows: dict[tuple[int, int], Flow],
    moving: np.ndarray,
    width: int,
    zoom: np.ndarray | None = None,
    n_pairs: int = 10,
    report: Callable[[float], None] = lambda fraction: None,
) -> Focal:
    """The `Focal` at which essential matrices (or mere rotations) of several pairs with much flow fit best.

    flows: dict (i, j) -> Flow; moving (T,H,W) bool; zoom (T,): focal of each frame over that of the first, None: all 1.
    report(fraction) is called before each pair and may raise to cancel.
    """
    usable = [k for k in flows if k[0] < k[1] and flows[k].consistent.mean() > 0.5]
    matches = {k: _matches(flows[k], moving, *k, 300, zoom) for k in usable}
    usable = [k for k in usable if len(matches[k][0]) >= 100]
    widest = sorted(usable, key=lambda k: -_spread(*matches[k]))[:n_pairs]
    usual = focal_of(USUAL_ANGLE, width)
    if not widest:
        return Focal(usual, False, True)
    moved, turned = np.zeros((2, len(widest), len(VIEW_ANGLES)))
    for row, key in enumerate(widest):
        report(row / len(widest))
        start, fit = None, _fit_pose_before_camera if _spread(*matches[key]) > CLEAR else _fit_pose
        for column, angle in enumerate(VIEW_ANGLES):
            focal = focal_of(angle, width)
            a, b = _rays(matches[key], focal, moving.shape)
            start, moved[row, column] = fit(a, b, focal, start)
            turned[row, column] = _cost(_left_by_rotation(_fit_rotation(a, b, focal), a, b) * focal)
    moved, turned = moved.mean(0), turned.mean(0)
    turns_only = bool(turned.min() < TURN_SUFFICES * (1 + moved.min()))
    pixels = _lowest(turned if turns_only else moved, width)
    return Focal(pixels or usual, pixels is not None, turns_only)


def _lowest(costs, width):
    """The focal at the minimum of costs over `VIEW_ANGLES`, by a parabola; None if the costs do not tell.

    A long lens hardly tells how long it is: where costs stay low to the narrow end, but the usual angle costs more, the
    widest angle is taken that costs little more.
    """
    best = int(costs.argmin())
    contrast = (min(costs[0], costs[-1]) - costs[best]) / max(costs[best], 0.05)
    if best not in (0, len(costs) - 1) and contrast > 0.02:
        log_focal = np.log(focal_of(VIEW_ANGLES[best - 1 : best + 2], width))
        a, b, _ = np.polyfit(log_focal, costs[best - 1 : best + 2], 2)
        return float(np.exp(np.clip(-b / (2 * a), log_focal.min(), log_focal.max())))
    if np.interp(USUAL_ANGLE, VIEW_ANGLES, costs) > MORE * costs[best]:
        return float(focal_of(VIEW_ANGLES[costs <= LITTLE_MORE * costs[best]].max(), width))
    return None


def relative_poses(
    flows: dict[tuple[int, int], Flow],
    moving: np.ndarray,
    focal: Focal,
    zoom: np.ndarray | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> dict[tuple[int, int], RelativePose]:
    """Poses of all pairs, dict (i, j) -> RelativePose, both directions; from static, consistent matches. focal: `Focal`
    of the first frame; zoom and report as of `find_focal`."""
    poses = {}
    for done, ((i, j), flow) in enumerate(flows.items()):
        report(done / len(flows))
        if i < j:
            still = ~moving[i]
            followed = (flow.consistent & still).sum() / max(still.sum(), 1)
            pose = _pair_pose(_matches(flow, moving, i, j, 800, zoom), focal, moving.shape, followed)
            poses[i, j], poses[j, i] = pose, pose.inverse()
    return poses


def static_matches(flow: Flow, moving: np.ndarray, i: int, j: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """About `limit` consistent matches of what stands still: pixels (N,2) of frame i and (N,2) of frame j, float32."""
    moving_there = cv2.remap(  # type: ignore[call-overload]  # no second map: both coordinates lie in the first
        moving[j].astype(np.uint8), flow.target, None, cv2.INTER_NEAREST
    )
    still = ~moving[i] & ~moving_there.astype(bool)
    source, target = grid_matches(flow, step=6, keep=still)
    step = max(1, round(len(source) / limit))
    return source[::step], target[::step]


def _matches(flow, moving, i, j, limit, zoom):
    """`static_matches` in pixels of frames without zoom."""
    matches = static_matches(flow, moving, i, j, limit)
    if zoom is None:
        return matches
    centre = np.array([moving.shape[2] / 2, moving.shape[1] / 2])
    return tuple(centre + (m - centre) / zoom[v] for m, v in zip(matches, (i, j)))


def _spread(source, target):
    """How much the flow varies over the picture (pixels): parallax or rotation about the axis, not a mere shift."""
    shift = target - source
    return float(np.abs(shift - np.median(shift, axis=0)).mean())


def _rays(matches, focal, shape):
    centre = np.array([shape[2] / 2, shape[1] / 2])
    return tuple(np.column_stack([(m - centre) / focal, np.ones(len(m))]) for m in matches)


def _pair_pose(matches, clip_focal, shape, followed):
    focal = clip_focal.pixels
    a, b = _rays(matches, focal, shape)
    if len(a) < 30:
        return RelativePose(np.eye(3), np.zeros(3), 0.0, 0.0)
    turn = _fit_rotation(a, b, focal)
    (rotation, translation), _ = _fit_pose_before_camera(a, b, focal)
    # the part of the flow that a mere turn of the camera leaves unexplained, of matches that obey the epipolar geometry
    left = _left_by_rotation(turn, a, b) * focal
    obeys = np.abs(sampson(rotation, translation, a, b)) * focal < 3 * NOISE
    parallax = float(np.quantile(left[obeys], 0.7)) if obeys.sum() >= 30 else 0.0
    if clip_focal.turns_only or parallax < PARALLAX:
        return RelativePose(turn, np.zeros(3), 0.0, followed * (left < 3 * NOISE).mean())
    return RelativePose(rotation, translation, parallax, followed * obeys.mean())


def _left_by_rotation(turn, a, b):
    """Distance (N,) in the normalised image plane between rays b and rotated rays a."""
    turned = a @ turn.T
    return np.linalg.norm(turned[:, :2] / turned[:, 2:] - b[:, :2], axis=1)


def _cost(pixels):
    """Mean Cauchy cost of residuals in pixels, in units of `NOISE`; the loss of `_fit_pose`."""
    return float((4 * np.log1p((pixels / NOISE / 2) ** 2)).mean())


def _fit_rotation(a, b, focal):
    """Robust rotation with b ~ R a for rays (N,3), by re-weighted Kabsch; SciPy's takes four times as long."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    weights = np.ones(len(a))
    for _ in range(10):
        left, _, right = np.linalg.svd((b * weights[:, None]).T @ a)
        left[:, 2] *= np.sign(np.linalg.det(left @ right))
        rotation = left @ right
        error = np.linalg.norm(a @ rotation.T - b, axis=1) * focal
        weights = 1 / (1 + (error / max(NOISE, np.median(error))) ** 2)
    return rotation


def _fit_pose(a, b, focal, start):
    """Essential matrix by MAGSAC (or from `start`), refined on the robust Sampson error.

    a, b: rays (N,3) with z = 1. Returns (rotation, unit translation) with b ~ R a + t, and the mean robust cost.
    """
    return _refined(*(start or initial_pose(a, b, focal)), a, b, focal)


def _fit_pose_before_camera(a, b, focal, start=None):
    """As `_fit_pose`, with the scene in front of the camera.

    Where parallax is small the Sampson error hardly tells a scene from one of which a part lies behind the camera, near
    things inside out. If a good part of the matches does, both signs of the translation are tried with the parallax of
    a match as a further error where it is on the wrong side.
    """
    pose, cost = _fit_pose(a, b, focal, start)
    if np.median(_parallax(*pose, a, b)) < 0:
        pose = pose[0], -pose[1]
    if (_parallax(*pose, a, b) * focal < -BEHIND).mean() > BEHIND_SHARE:
        signs = (_refined(pose[0], sign * pose[1], a, b, focal, in_front=True) for sign in (1, -1))
        pose, cost = min(signs, key=lambda found: found[1])
    return pose, cost


def _refined(rotation, translation, a, b, focal, in_front=False):
    """((rotation, translation), mean robust cost) of the least cost near the given ones; `in_front` counts negative
    parallax.
    """
    basis = np.linalg.svd(translation[None])[2][1:]  # the two directions across the translation

    def unpack(x):
        turn, slopes = cv2.Rodrigues(x[:3])
        moved = translation + x[3] * basis[0] + x[4] * basis[1]
        length = np.sqrt(moved @ moved)
        return turn @ rotation, moved / length, slopes.reshape(3, 3, 3) @ rotation, length

    def errors(x):
        turned, moved, *_ = unpack(x)
        pixels = sampson(turned, moved, a, b) * focal
        if in_front:
            pixels = np.append(pixels, np.minimum(0, _parallax(turned, moved, a, b) * focal + BEHIND / 2))
        return pixels / NOISE

    def slope(x):
        turned, moved, turning, length = unpack(x)
        moving = (basis - (basis @ moved)[:, None] * moved) / length
        across = skew(moved)
        essentials = [*(across @ turning), *(skew(moving) @ turned)]
        return sampson_slope(across @ turned, essentials, a, b) * (focal / NOISE)

    steps, jac = (40, "2-point") if in_front else (15, slope)
    fit = least_squares(errors, np.zeros(5), jac, loss="cauchy", f_scale=2.0, max_nfev=steps, x_scale=0.01)
    return unpack(fit.x)[:2], 2 * fit.cost / len(a)


def initial_pose(a: np.ndarray, b: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """(rotation, unit translation) from an essential matrix.

    Of its two rotations the one nearest to a mere turn of the camera is right: the other one is turned half round about
    the baseline, and with little parallax counting points in front of the cameras does not tell them apart.
    """
    turn = _fit_rotation(a, b, focal)
    try:
        essential, _ = cv2.findEssentialMat(
            a[:, :2].copy(), b[:, :2].copy(), np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=2 * NOISE / focal
        )
    except cv2.error:  # OpenCV raises on degenerate samples
        essential = None
    if essential is None or essential.shape != (3, 3):
        return turn, np.array([1.0, 0, 0])
    *rotations, translation = cv2.decomposeEssentialMat(essential)
    return max(rotations, key=lambda r: np.trace(r.T @ turn)), translation.ravel()


def _parallax(rotation, translation, a, b):
    """Shift (N,) along the epipolar line due to the translation, normalised image plane; negative behind the camera."""
    turned = a @ rotation.T
    shift = b[:, :2] - turned[:, :2] / turned[:, 2:]
    towards = translation[:2] - b[:, :2] * translation[2]
    return (shift * towards).sum(1) / np.linalg.norm(towards, axis=1)


def sampson(rotation: np.ndarray, translation: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Signed Sampson distance (N,) of ray pairs to the essential matrix, in units of the normalised image plane."""
    algebraic, length, _, _ = _epipolar(skew(translation) @ rotation, a, b)
    return algebraic / length


def sampson_slope(essential: np.ndarray, ways: list[np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Derivatives (N,k) of the Sampson distance where the essential matrix changes by `ways`, k of (3,3).

    d = n / m with n = b^T E a and m the length of the first two components of E a and E^T b, so that
    d' = (n' - d m') / m.
    """
    algebraic, length, line_b, line_a = _epipolar(essential, a, b)
    distance, slopes = algebraic / length, []
    for way in ways:
        turned_b, turned_a = a @ way.T, b @ way
        change = np.einsum("nk,nk->n", line_b[:, :2], turned_b[:, :2])
        change += np.einsum("nk,nk->n", line_a[:, :2], turned_a[:, :2])
        slopes.append((np.einsum("nk,nk->n", b, turned_b) - distance * change / length) / length)
    return np.stack(slopes, axis=1)


def _epipolar(essential, a, b):
    """b^T E a (N,), the length (N,) of the first two components of both epipolar lines, and the lines (N,3)."""
    line_b, line_a = a @ essential.T, b @ essential
    square = np.einsum("nk,nk->n", line_b[:, :2], line_b[:, :2]) + np.einsum("nk,nk->n", line_a[:, :2], line_a[:, :2])
    return np.einsum("nk,nk->n", b, line_b), np.sqrt(square + 1e-18), line_b, line_a
