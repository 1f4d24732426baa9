"""Dense depth of a pair: triangulated where flow and camera agree, filled in elsewhere, with a confidence that says
which.
"""

import numpy as np

from ...bundle.filling import FILLED, confidence_of, fill_in
from ...camera import Camera
from ...cleanup.ground import stand_on_ground
from ...flow import Flow, sample
from .two_view import RelativePose

NOISE = 0.4  # pixels, flow error taken for granted
FAR = 1 / 200  # least inverse depth, in units of 1 / baseline


def flat_points(shape: tuple[int, int], focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (H,W,3) float32 at depth 1 with confidence 1 (no information)."""
    rays = Camera.centred(focal, shape[1], shape[0]).rays()
    return rays.astype(np.float32), np.ones(shape, np.float32)


def view_points(
    flow: Flow, pose: RelativePose, focals: np.ndarray, grey: np.ndarray, moving: np.ndarray, moving_other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points of one view in its own camera frame, (H,W,3) float32, and their confidence (H,W) float32.

    flow: Flow to the other view; pose: RelativePose to it; focals: of this view and the other, pixels; moving,
    moving_other (H,W) bool of both views. The unit of length is the baseline.
    """
    if not pose.parallax:
        return flat_points(grey.shape, focals[0])
    height, width = grey.shape
    rays = Camera.centred(focals[0], width, height).rays()
    inverse, spread = _triangulate(flow, pose, focals[1], rays)
    hidden = sample(moving_other.astype(np.float32), flow.target) > 0.5
    usable = flow.consistent & ~moving & ~hidden & np.isfinite(inverse) & (inverse > -2 * spread)
    if not usable.any():
        return flat_points(grey.shape, focals[0])
    weight = np.where(usable, 1 / (spread**2 + 1e-12), 0).astype(np.float32)
    weight /= max(float(np.median(weight[usable])), 1e-12)
    smooth, certainty = fill_in(np.where(usable, inverse, 0).astype(np.float32), np.minimum(weight, 20), grey)
    smooth = np.maximum(smooth, FAR)
    relative = spread / smooth  # standard deviation of the depth, as a share of it
    disagreement = np.abs(inverse - smooth) / smooth
    error = np.hypot(relative, np.where(usable, disagreement, 0))
    confidence = np.where(usable, confidence_of(error), np.where(certainty > 0, FILLED, 1.0))
    depth = 1 / smooth
    stand_on_ground(depth, np.log(confidence), moving)
    return (rays * depth[..., None]).astype(np.float32), confidence.astype(np.float32)


def _triangulate(flow, pose, focal, rays):
    """Inverse depth (H,W) along the epipolar line and its standard deviation, from where each pixel went.

    x' ~ a + w b with a = R ray, b = t: linear in the inverse depth w; the two equations are solved by least squares.
    """
    height, width = rays.shape[:2]
    seen = (flow.target - np.array([width / 2, height / 2])) / focal
    a = rays @ pose.rotation.T
    across = pose.translation[:2] - seen * pose.translation[2]
    length = (across**2).sum(-1) + 1e-12
    inverse = -((a[..., :2] - seen * a[..., 2:]) * across).sum(-1) / length
    spread = np.hypot(NOISE, 0.5 * flow.error) / focal * np.abs(a[..., 2]) / np.sqrt(length)
    return inverse, spread
