"""Cameras of two images in closed form, from the two directed predictions of a pair; nothing is optimised.

As the published programs (DUSt3R, MonST3R) do it: specification of the baselines, sections 0 and 1.2. The aligner has
robuster means of its own (`initial`).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..backbones.base import PairPrediction
from ..camera import Camera, invert, pose
from ..flow import pixel_grid

CONFIDENT = 3.0  # a raw confidence above this lets a pixel take part in resection
INLIER = 5.0  # pixels, reprojection error of a point that agrees with a resected camera
ITERATIONS = 100  # of RANSAC


@dataclass(frozen=True)
class TwoImages:
    """Cameras of a pair's first and second frame; the world is the camera of one of the two, in the pair's own unit."""

    cam2world: np.ndarray  # (2,4,4) float64
    focals: tuple[float, float]  # pixels; principal point at (W/2, H/2)
    depth: np.ndarray  # (2,H,W) float32, z of each frame's pixels in its own camera


def solve_two(there: PairPrediction, back: PairPrediction | None) -> TwoImages:
    """Cameras of the frames (i, j) of `there`; back: the pair (j, i), None where there is none.

    The direction of larger confidence is kept, of equal ones `back`; its second camera is resected, and stands where
    the first one does if that fails. Without `back`, frame j has the focal of frame i.
    """
    first = _float32(there)
    if back is None:
        focal = weiszfeld(first.pts1)
        return _anchored(first, (focal, focal), first.conf2)
    second = _float32(back)
    focals = weiszfeld(first.pts1), weiszfeld(second.pts1)
    if _score(first) > _score(second):
        return _anchored(first, focals, np.maximum(first.conf2, second.conf1))
    found = _anchored(second, focals[::-1], np.maximum(second.conf2, first.conf1))
    return TwoImages(found.cam2world[::-1], focals, found.depth[::-1])


def weiszfeld(points: np.ndarray) -> float:
    """Focal in pixels of a point map (H,W,3) in its own camera, principal point at the image centre.

    Minimises the mean of |pixel - focal * (x, y) / z| by ten rounds of Weiszfeld's method, over all pixels.
    """
    height, width = points.shape[:2]
    points = points.reshape(-1, 3).T.astype(np.float64)  # (3, H*W): sums over rows are faster
    p = pixel_grid(height, width).reshape(-1, 2).T - np.array([[width / 2], [height / 2]])
    with np.errstate(divide="ignore", invalid="ignore"):
        q = points[:2] / points[2]
    q = np.where(np.isfinite(q), q, 0)
    pq, qq = (p * q).sum(0), (q * q).sum(0)
    if not qq.any():
        return float(width)  # no direction is known; any focal will do
    focal = pq.mean() / qq.mean()
    for _ in range(10):
        weight = 1 / np.maximum(np.sqrt(((p - focal * q) ** 2).sum(0)), 1e-8)
        focal = (weight * pq).mean() / (weight * qq).mean()
    return float(focal)


def resect(points: np.ndarray, confidence: np.ndarray, focal: float, iterations: int = ITERATIONS) -> np.ndarray:
    """cam2world (4,4) of the camera that sees points (H,W,3) at their pixels: SQPnP with RANSAC, without refinement.

    Pixels of confidence (H,W) over `CONFIDENT` take part; the identity where too few do or no camera is found.
    """
    height, width = confidence.shape
    use = (confidence > CONFIDENT) & np.isfinite(points).all(-1)
    if use.sum() < 4 or not np.isfinite(focal):
        return np.eye(4)
    try:
        found, rotation, shift, _ = cv2.solvePnPRansac(
            points[use].astype(np.float64),
            pixel_grid(height, width)[use].astype(np.float64),
            Camera.centred(focal, width, height).intrinsics,
            None,
            iterationsCount=iterations,
            reprojectionError=INLIER,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:  # points of no extent
        return np.eye(4)
    if not found or not (np.isfinite(rotation).all() and np.isfinite(shift).all()):
        return np.eye(4)
    return invert(pose(cv2.Rodrigues(rotation)[0], shift))


def _float32(pair):
    arrays = (np.asarray(a, np.float32) for a in (pair.pts1, pair.pts2, pair.conf1, pair.conf2))
    return PairPrediction(pair.i, pair.j, *arrays)


def _score(pair):
    return pair.conf1.mean(dtype=np.float64) * pair.conf2.mean(dtype=np.float64)


def _anchored(pair, focals, confidence):
    """In the camera of the pair's first frame; confidence (H,W): the largest there is of its second frame."""
    camera = resect(pair.pts2, confidence, focals[1])
    row = invert(camera)[2].astype(np.float32)
    depth = np.stack([pair.pts1[..., 2], pair.pts2 @ row[:3] + row[3]])
    return TwoImages(np.stack([np.eye(4), camera]), focals, depth)
