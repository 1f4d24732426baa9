"""Relative poses of frame pairs and the focal they share, from optical flow on static pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ...camera import focal_of
from ...flow import Flow, grid_matches
from .poses import NOISE, before_camera, fit_poses, fit_rotations, initial_poses, mean_cost
from .rays import Rays, left_by_rotation, sampson

VIEW_ANGLES = np.array([20, 25, 30, 36, 43, 50, 57, 64, 72, 80, 90, 100.0])  # horizontal fields of view tried, degrees
USUAL_ANGLE = 60.0  # assumed where the clip does not tell
LITTLE_MORE, MORE = 1.15, 1.3  # times the least cost
CLEAR = 2.0  # pixels of variation in the flow from which a pair shows what lies behind the camera
FEWEST = 30  # matches that tell a pose
AT_ONCE = 16  # pairs whose poses are found between two reports
PARALLAX = 0.6  # pixels that translation must explain beyond rotation before a pair is said to have parallax
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
    report(fraction) is called before each angle and may raise to cancel.
    """
    usable = [k for k in flows if k[0] < k[1] and flows[k].consistent.mean() > 0.5]
    matches = {k: _matches(flows[k], moving, *k, 300, zoom) for k in usable}
    usable = [k for k in usable if len(matches[k][0]) >= 100]
    widest = sorted(usable, key=lambda k: -_spread(*matches[k]))[:n_pairs]
    usual = focal_of(USUAL_ANGLE, width)
    if not widest:
        return Focal(usual, False, True)
    chosen = [matches[key] for key in widest]
    clear = np.flatnonzero([_spread(*pair) > CLEAR for pair in chosen])
    moved, turned = np.zeros((2, len(VIEW_ANGLES)))
    found = None
    for column, angle in enumerate(VIEW_ANGLES):
        report(column / len(VIEW_ANGLES))
        focals = np.full(len(widest), focal_of(angle, width))
        rays = Rays.of(chosen, focals, moving.shape)
        turns = fit_rotations(rays, focals)
        found = fit_poses(found or initial_poses(rays, focals, turns), rays, focals)
        found.put(clear, before_camera(found.at(clear), rays.at(clear), focals[clear]))
        moved[column] = found.cost.mean()
        turned[column] = mean_cost(left_by_rotation(turns, rays) * focals[:, None], rays.weight).mean()
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
    poses, pairs, matches, followed = {}, [], [], []
    for done, ((i, j), flow) in enumerate(flows.items()):
        report(0.5 * done / len(flows))
        if i >= j:
            continue
        still = ~moving[i]
        found = _matches(flow, moving, i, j, 800, zoom)
        if len(found[0]) < FEWEST:
            pose = RelativePose(np.eye(3), np.zeros(3), 0.0, 0.0)
            poses[i, j], poses[j, i] = pose, pose.inverse()
            continue
        pairs.append((i, j))
        matches.append(found)
        followed.append((flow.consistent & still).sum() / max(still.sum(), 1))
    for begin in range(0, len(pairs), AT_ONCE):
        report(0.5 + 0.5 * begin / len(pairs))
        some = slice(begin, begin + AT_ONCE)
        for (i, j), pose in zip(pairs[some], _pair_poses(matches[some], focal, moving.shape, followed[some])):
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


def _pair_poses(matches, clip_focal, shape, followed):
    """`RelativePose` of pairs, of matches each; followed: share of what is still that was followed."""
    focals = np.full(len(matches), clip_focal.pixels)
    rays = Rays.of(matches, focals, shape)
    turns = fit_rotations(rays, focals)
    found = before_camera(fit_poses(initial_poses(rays, focals, turns), rays, focals), rays, focals)
    # the part of the flow that a mere turn of the camera leaves unexplained, of matches that obey the epipolar geometry
    left = left_by_rotation(turns, rays) * clip_focal.pixels
    obeys = np.abs(sampson(found.rotation, found.translation, rays)) * clip_focal.pixels < 3 * NOISE
    poses = []
    for k, there in enumerate(rays.weight > 0):
        way, good = left[k, there], obeys[k, there]
        parallax = float(np.quantile(way[good], 0.7)) if good.sum() >= FEWEST else 0.0
        if clip_focal.turns_only or parallax < PARALLAX:
            poses.append(RelativePose(turns[k], np.zeros(3), 0.0, followed[k] * (way < 3 * NOISE).mean()))
        else:
            poses.append(RelativePose(found.rotation[k], found.translation[k], parallax, followed[k] * good.mean()))
    return poses
