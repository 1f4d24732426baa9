"""Floaters: points that hang in the air before a surface which another frame is surer of."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..camera import Camera, invert
from ..large import frames_of, zeros

REACH = (1, 2, 4, 8)  # compared with frames this far before and after, so the cost grows linearly with the frames
MARGIN = 0.95  # nearer than this share of a surer depth is floating


def remove_floaters(
    depth: np.ndarray,
    confidence: np.ndarray,
    cam2world: np.ndarray,
    cameras: Sequence[Camera],
    masks: np.ndarray | None = None,
    margin: float = MARGIN,
) -> np.ndarray:
    """The confidence (T,H,W) float32, a new array, with 0 at points nearer than `margin` times a surer depth elsewhere.

    depth and confidence (T,H,W), cam2world (T,4,4), cameras T of size W x H; masks (T,H,W) bool of moving pixels, which
    are neither judged nor judge (an object that moved on would be erased by the wall behind it). Source: MonST3R's
    clean-up, which compares all frames with all and with a margin of 0.999. At the noise level of network depth that
    removes half of all good points; 0.95 removes less than one in a hundred and as many of the floating ones
    (`benchmark alignment` measures it).
    """
    n_frames, height, width = depth.shape
    left = zeros((n_frames, height * width), np.float32)
    for i in frames_of([confidence]):
        left[i] = confidence[i].ravel()
    flat_depth = depth.reshape(n_frames, -1)
    moving = None if masks is None else masks.reshape(n_frames, -1)
    world2cam = invert(cam2world)
    for i in frames_of([depth]):
        points = cameras[i].unproject(depth[i]).reshape(-1, 1, 3).astype(np.float32)
        judged = left[i] > 0 if moving is None else (left[i] > 0) & ~moving[i]
        for j in (i + sign * step for step in REACH for sign in (-1, 1)):
            if not 0 <= j < n_frames:
                continue
            onto = cameras[j].intrinsics @ (world2cam[j] @ cam2world[i])[:3]
            x, y, z = cv2.transform(points, onto)[:, 0].T
            behind = z <= 0
            z = np.where(behind, 1, z)
            column, row = np.rint(x / z), np.rint(y / z)
            inside = np.flatnonzero(judged & ~behind & (column >= 0) & (column < width) & (row >= 0) & (row < height))
            at = row[inside].astype(int) * width + column[inside].astype(int)
            less_sure = left[i, inside] < left[j, at]
            floats = less_sure & (z[inside] < margin * flat_depth[j, at])
            if moving is not None:
                floats &= ~moving[j, at]
            gone = inside[floats]
            left[i, gone] = 0
            judged[gone] = False
    return left.reshape(confidence.shape)
