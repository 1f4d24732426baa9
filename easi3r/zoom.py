"""Zooming while filming: how much the focal of each frame differs from the first one's.

A zoom enlarges all of the picture alike, however far away it is; moving ahead enlarges what is near. Between neighbours
both are fitted together: a pose and the ratio of the two focals, on the epipolar (Sampson) error.
"""

import cv2
import numpy as np
from scipy.ndimage import median_filter

from .backbones.preview.poses import fit_rotations, fit_zooms, initial_poses
from .backbones.preview.rays import Rays
from .backbones.preview.two_view import USUAL_ANGLE, static_matches
from .camera import focal_of
from .flow import Flow, both_ways
from .threads import in_order

PRIOR = 0.05  # deviation of the log zoom between two frames where the flow does not tell
FEW, MANY = 60, 200  # matches of a pair below which it says nothing, and that are used
# Range of the log zoom over a clip. Nine clips without a zoom show .00 to .16 (.21 where nothing is clear), eight that
# were enlarged by 1.5 to 1.8 show .27 to .68 of true .41 to .59.
LEAST = 0.2
# A camera that walks ahead seems to zoom between neighbours, where little parallax tells the two apart, and less so
# between frames `APART` apart: .33 to .65 of what lies between them, on average, in eight walks, .71 to 1 in seven
# zooms (.60 in orbit enlarged by 1.6, of which neighbours say 2.4).
APART, SAME = 3, 0.67
CLEAR = 0.008  # median deviation of the steps: .001 to .005 in clips with something to go by, .015 on without


def find_zoom(
    frames: np.ndarray, moving: np.ndarray, flows: dict[tuple[int, int], Flow] | None = None
) -> np.ndarray | None:
    """(T,) float64: the focal of every frame over that of the first one; None where no zoom is clear.

    frames (T,H,W,3) uint8 RGB; moving (T,H,W) bool; flows: dict (i, j) -> Flow, those that have been measured already.
    """
    if len(frames) < 3:
        return None
    focal = focal_of(USUAL_ANGLE, frames.shape[2])

    pairs = range(len(frames) - 1)
    flows = flows or {}
    measured = in_order(lambda i: flows.get((i, i + 1)) or _neighbours(*frames[i : i + 2]), pairs)
    matches = [static_matches(flow, moving, i, i + 1, MANY) for i, flow in enumerate(measured)]
    steps, spreads = _steps(matches, focal, frames.shape[1:3])
    if np.median(spreads) > CLEAR:
        return None
    total = np.concatenate([[0], np.cumsum(median_filter(steps, 3, mode="nearest"))])  # one pair in three may be wrong
    if np.ptp(total) <= LEAST or not _confirmed(total, frames, moving, flows, focal):
        return None
    return np.exp(total)


def _confirmed(total, frames, moving, flows, focal):
    """Whether frames `APART` apart show the zoom that those between them add up to; total (T,), its logarithm."""
    pairs = [(i, i + APART) for i in range(0, len(frames) - APART, APART)]
    measured = in_order(lambda pair: flows.get(pair) or _neighbours(*frames[list(pair)]), pairs)
    matches = [static_matches(flow, moving, *pair, MANY) for flow, pair in zip(measured, pairs)]
    seen, spreads = _steps(matches, focal, frames.shape[1:3], APART * PRIOR)
    added = np.array([total[j] - total[i] for i, j in pairs])
    told = (spreads < APART * PRIOR) & (added != 0)
    share, weight = np.clip(seen[told] / added[told], 0, 1), np.abs(added[told])
    return not told.any() or share @ weight >= SAME * weight.sum()


def _neighbours(*frames):
    return both_ways(*(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames))[0]


def _steps(matches, focal, shape, prior=PRIOR):
    """Log of the focal of the second frame of every pair over that of the first, and its deviation, (N,) each.

    matches: N pairs of points; prior: deviation of the logarithm where they do not tell.
    """
    steps, spreads = np.zeros(len(matches)), np.full(len(matches), prior)
    told = [k for k, pair in enumerate(matches) if len(pair[0]) >= FEW]
    if not told:
        return steps, spreads
    some = [matches[k] for k in told]
    focals = np.full(len(told), focal)
    rays, costs = Rays.of(some, focals, shape), np.full(len(told), np.inf)
    for start in (np.zeros(len(told)), np.array([_guess(*pair) for pair in some])):
        begin = rays.zoomed(start)
        poses = initial_poses(begin, focals, fit_rotations(begin, focals))
        zoom, spread, cost = fit_zooms(poses, start, rays, focals, prior)
        better = cost < costs
        at = np.array(told)[better]
        steps[at], spreads[at], costs = zoom[better], spread[better], np.minimum(cost, costs)
    return steps, spreads


def _guess(source, target):
    """Log of how much larger the picture becomes."""
    both = (np.ascontiguousarray(m, np.float32) for m in (source, target))
    similarity, _ = cv2.estimateAffinePartial2D(*both, method=cv2.RANSAC, ransacReprojThreshold=2)
    return 0.0 if similarity is None else float(np.log(np.hypot(similarity[0, 0], similarity[1, 0])))
