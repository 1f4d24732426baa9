"""Dense optical flow between two frames, both ways, with the pixels at which the two ways agree."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Flow:
    """Where the pixels of frame i went in frame j."""

    target: np.ndarray  # (H,W,2) float32, pixel (u,v) in frame j of every pixel of frame i
    consistent: np.ndarray  # (H,W) bool, target inside frame j and confirmed by the flow back
    error: np.ndarray  # (H,W) float32, distance in pixels between a pixel and the image of its image


def pixel_grid(height, width):
    """(H,W,2) float32 pixel coordinates (u,v)."""
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=-1)


def sample(image, points):
    """`image` (H,W[,C]) read bilinearly at `points` (H,W,2); outside: the nearest border pixel."""
    points = points.astype(np.float32)
    return cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def inside(points, height, width):
    """(H,W) bool: the points (H,W,2) lie in the image."""
    u, v = points[..., 0], points[..., 1]
    return (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)


def apply_homography(matrix, points):
    """Points (...,2) through a homography (3,3), float32."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return (mapped[..., :2] / mapped[..., 2:]).astype(np.float32)


def fit_homography(source, target):
    """Robust homography (3,3) from points (N,2) to (N,2); None where there is none."""
    if len(source) < 30:
        return None
    matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 0.5, maxIters=3000, confidence=0.9999)
    return matrix


def grid_matches(flow, step=8, keep=None):
    """Consistent matches on a grid: (N,2), (N,2) float32. `keep` (H,W) bool further restricts frame i's pixels."""
    cells = (slice(step // 2, None, step),) * 2
    chosen = flow.consistent[cells] if keep is None else (flow.consistent & keep)[cells]
    return pixel_grid(*flow.consistent.shape)[cells][chosen], flow.target[cells][chosen]


def flow_both_ways(first, second):
    """Flows first -> second and second -> first of two grey images (H,W) uint8.

    Inverse-search flow (DIS; Kroeger et al. 2016) loses displacements beyond its patches, so a second run starts from
    the dominant homography of the first one: what is left then is parallax and moving things.
    """
    ways = _check(_run(first, second), _run(second, first))
    dominant = fit_homography(*grid_matches(ways[0]))
    if dominant is None or abs(np.linalg.det(dominant)) < 1e-6:
        return ways
    back = np.linalg.inv(dominant)
    return _check(_run(first, second, dominant), _run(second, first, back))


def _run(first, second, prior=None):
    height, width = first.shape
    grid = pixel_grid(height, width)
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if prior is None:
        return grid + engine.calc(first, second, None)
    warped = sample(second, apply_homography(prior, grid))
    return apply_homography(prior, grid + engine.calc(first, warped, None))


def _check(forward, backward):
    grid = pixel_grid(*forward.shape[:2])
    return tuple(_confirm(a, b, grid) for a, b in ((forward, backward), (backward, forward)))


def _confirm(there, back, grid):
    error = np.linalg.norm(sample(back, there) - grid, axis=-1)
    tolerance = 1 + 0.05 * np.linalg.norm(there - grid, axis=-1)  # long ways are followed less exactly
    return Flow(there, inside(there, *error.shape) & (error < tolerance), error.astype(np.float32))
