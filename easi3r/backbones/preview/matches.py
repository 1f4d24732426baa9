"""Flow of the preview: two runs of the optical flow, the second from the dominant homography; and matches from it."""

import cv2
import numpy as np

from ...flow import Flow, confirm, measure, pixel_grid, sample

SLACK, SHARE = 1.0, 0.05  # see `flow.confirm`; chosen with the masks, which want ways of many pixels confirmed as well


def apply_homography(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (...,2) through a homography (3,3), float32."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return (mapped[..., :2] / mapped[..., 2:]).astype(np.float32)


def fit_homography(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Robust homography (3,3) from points (N,2) to (N,2); None where there is none."""
    if len(source) < 30:
        return None
    matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 0.5, maxIters=3000, confidence=0.9999)
    return matrix


def grid_matches(flow: Flow, step: int = 8, keep: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Consistent matches on a grid: (N,2), (N,2) float32. `keep` (H,W) bool further restricts frame i's pixels."""
    cells = (slice(step // 2, None, step),) * 2
    chosen = flow.consistent[cells] if keep is None else (flow.consistent & keep)[cells]
    return pixel_grid(*flow.consistent.shape)[cells][chosen], flow.target[cells][chosen]


def flow_both_ways(first: np.ndarray, second: np.ndarray) -> tuple[Flow, Flow]:
    """Flows first -> second and second -> first of two grey images (H,W) uint8.

    Inverse-search flow (DIS; Kroeger et al. 2016) loses displacements beyond its patches, so a second run starts from
    the dominant homography of the first one: what is left then is parallax and moving things.
    """
    ways = _check(measure(first, second), measure(second, first))
    dominant = fit_homography(*grid_matches(ways[0]))
    if dominant is None or abs(np.linalg.det(dominant)) < 1e-6:
        return ways
    back = np.linalg.inv(dominant)
    return _check(_run(first, second, dominant), _run(second, first, back))


def _run(first, second, prior):
    grid = pixel_grid(*first.shape)
    warped = sample(second, apply_homography(prior, grid))
    return apply_homography(prior, measure(first, warped))


def _check(there, back):
    return confirm(there, back, SLACK, SHARE), confirm(back, there, SLACK, SHARE)
