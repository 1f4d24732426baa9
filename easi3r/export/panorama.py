"""A camera that only turns shows one picture in pieces: frames that overlap are blended into it."""

import cv2
import numpy as np

from ..large import zeros
from ..reconstruction import Reconstruction

_UNKNOWN = 1.0  # confidence of a depth that nothing measured
_MOST = 16  # frames that are blended: a full turn of them overlaps by half at 45 degrees, and every two are compared
# What a frame counts falls to nothing at its rim and at what moves, so that no seam shows; the power keeps one frame
# ahead everywhere else, as an even mean of pictures that are off by a pixel is blurred.
_POWER = 3
_AHEAD = 0.1  # least z in another camera's frame of a ray it can see; what is behind it would show upside down


def is_panorama(result: Reconstruction, static: np.ndarray) -> bool:
    """Whether the camera only turns and no depth of what stands still, (T,H,W) bool, is known: it is a sphere or a
    guess.
    """
    if not result.turns_only or not static.any():
        return False
    return all(confidence[still].max(initial=0) <= _UNKNOWN for confidence, still in zip(result.confidence, static))


def blended(result: Reconstruction, static: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Frames (T,H,W,3) uint8 of a panorama in which the `chosen` ones (indices) agree where they show the same.

    static (T,H,W) bool: what stands still; where another of them shows what lies behind the rest, so do these frames.
    All others stay as they are.
    """
    frames = zeros(result.frames.shape, np.uint8)
    for t, frame in enumerate(result.frames):
        frames[t] = frame
    sources = {t: _weighted(result.frames[t], static[t]) for t in chosen[:_MOST]}
    for t in chosen:
        total = np.dstack([frames[t], np.ones_like(static[t])]) * np.float32(1e-6)
        for source, weighted in sources.items():
            total += weighted if source == t else _seen_from(result, t, source, weighted)
        frames[t] = np.rint(total[..., :3] / total[..., 3:])
    return frames


def _weighted(frame, static):
    """(H,W,4) float32: colours times weight, and the weight, which grows to 1 from the rim of what stands still."""
    framed = np.pad(static.astype(np.uint8), 1)  # the picture's rim counts too
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    weight = (distance / max(float(distance.max()), 1.0)) ** _POWER
    return np.dstack([frame * weight[..., None], weight])


def _seen_from(result, t, source, picture):
    """A picture (H,W,C) of the frame `source`, drawn where the pixels of frame t see it; 0 elsewhere."""
    height, width = picture.shape[:2]
    rays = result.cam2world[source, :3, :3].T @ result.cam2world[t, :3, :3] @ np.linalg.inv(result.intrinsics[t])
    onto = result.intrinsics[source] @ rays
    z = rays[2, 0] * np.arange(width) + rays[2, 1] * np.arange(height)[:, None] + rays[2, 2]
    if (z < _AHEAD).all():
        return np.float32(0)
    drawn = cv2.warpPerspective(picture, onto, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    drawn[z < _AHEAD] = 0
    return drawn
