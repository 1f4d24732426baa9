"""Zooming while filming: how much the focal of each frame differs from the first one's.

A zoom enlarges all of the picture alike, however far away it is; moving ahead enlarges what is near. Between neighbours
both are fitted together: a pose and the ratio of the two focals, on the epipolar (Sampson) error.
"""

import cv2
import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import least_squares

from .backbones.preview.poses import NOISE, Rays, fit_rotations, initial_poses, sampson
from .backbones.preview.two_view import USUAL_ANGLE, static_matches
from .camera import focal_of
from .flow import Flow, both_ways
from .threads import in_order

PRIOR = 0.05  # deviation of the log zoom between two frames where the flow does not tell
FEW, MANY = 60, 200  # matches of a pair below which it says nothing, and that are used
# Range of the log zoom over a clip. Nine clips without a zoom show .00 to .16 (.21 where nothing is clear), eight that
# were enlarged by 1.5 to 1.8 show .27 to .68 of true .41 to .59.
LEAST = 0.2
CLEAR = 0.008  # median deviation of the steps: .001 to .005 in clips with something to go by, .015 on without


def find_zoom(
    frames: np.ndarray, moving: np.ndarray, flows: dict[tuple[int, int], Flow] | None = None
) -> np.ndarray | None:
    """(T,) float64: the focal of every frame over that of the first one; None where no zoom is clear.

    frames (T,H,W,3) uint8 RGB; moving (T,H,W) bool; flows: dict (i, j) -> Flow with those between neighbours in both
    directions, if they have been measured already.
    """
    if len(frames) < 3:
        return None
    focal = focal_of(USUAL_ANGLE, frames.shape[2])

    def step(i: int) -> tuple[float, float]:
        return _step(flows[i, i + 1] if flows else _neighbours(*frames[i : i + 2]), moving, i, focal)

    steps, spreads = np.array(list(in_order(step, range(len(frames) - 1)))).T
    if np.median(spreads) > CLEAR:
        return None
    total = np.concatenate([[0], np.cumsum(median_filter(steps, 3, mode="nearest"))])  # one pair in three may be wrong
    return np.exp(total) if np.ptp(total) > LEAST else None


def _neighbours(*frames):
    return both_ways(*(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames))[0]


def _step(flow, moving, i, focal):
    """Log of the focal of frame i + 1 over that of frame i, and its deviation."""
    matches = static_matches(flow, moving, i, i + 1, MANY)
    if len(matches[0]) < FEW:
        return 0.0, PRIOR
    centre = np.array([moving.shape[2] / 2, moving.shape[1] / 2])
    first, second = ((m - centre) / focal for m in matches)
    both = (np.ascontiguousarray(m, np.float32) for m in matches)
    similarity, _ = cv2.estimateAffinePartial2D(*both, method=cv2.RANSAC, ransacReprojThreshold=2)
    guess = 0.0 if similarity is None else float(np.log(np.hypot(similarity[0, 0], similarity[1, 0])))
    return min(_fit(first, second, focal, start) for start in {0.0, guess})[1:]


def _fit(first, second, focal, start):
    """(cost, log zoom, its deviation) of pose and zoom near the log zoom `start`; points (N,2), focals away."""
    begin, length = _rays(first, second, start), np.array([focal])
    pose = initial_poses(begin, length, fit_rotations(begin, length))
    rotation, translation = pose.rotation[0], pose.translation[0]
    basis = np.linalg.svd(translation[None])[2][1:]

    def errors(x):
        moved = translation + x[3] * basis[0] + x[4] * basis[1]
        turned = cv2.Rodrigues(x[:3])[0] @ rotation
        moved /= np.linalg.norm(moved)
        pixels = sampson(turned[None], moved[None], _rays(first, second, start + x[5]))[0] * focal
        return np.append(pixels / NOISE, (start + x[5]) / PRIOR)

    fit = least_squares(errors, np.zeros(6), loss="cauchy", f_scale=2.0, max_nfev=25, x_scale=0.01)
    return fit.cost, start + fit.x[5], np.sqrt(np.linalg.pinv(fit.jac.T @ fit.jac)[5, 5])


def _rays(first, second, log_zoom):
    """`Rays` of one pair of points (N,2), of which the second ones are zoomed."""
    ones = np.ones((1, len(first)))
    a, b = (np.dstack([points[None], ones]) for points in (first, second * np.exp(-log_zoom)))
    return Rays(a, b, ones)
