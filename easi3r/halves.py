"""A picture that is there twice, side by side or one above the other: for 3D glasses, before and after, mirrored.

What tells it is that moving the pixels of one half about makes the other one of it.
"""

import cv2
import numpy as np

from .bars import LEAST, VISIBLE, is_drawn, relief
from .cuts import unlike

DETAIL = 0.55  # share of pixels with detail: clips have .6 on, a test card .5
LOOKED = 6  # pictures that are compared
SHORTEST = 20  # pixels: of a smaller half there is nothing to follow
# What is left of the second half after the first has been moved onto it, in most of the pictures: .00 to .01 where they
# are the same; of 140 other clips without bars .13 at least.
SAME = 0.06
WAYS = (1, None), (1, 1), (0, None), (0, 0)  # axis that is cut, and how OpenCV flips the second half


def find_sides(pictures: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) pixels of N pictures (N,h,w,3) uint8 beside the left or the upper one of two halves
    that show the same; None if they do not.
    """
    if len(pictures) < LEAST:
        return None
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures[:: -(-len(pictures) // LOOKED)]]
    height, width = greys[0].shape
    detail = np.mean([relief(grey.astype(np.float32)) > VISIBLE for grey in greys])
    if min(height, width) < SHORTEST or detail < DETAIL or is_drawn(greys):
        return None
    for axis, flip in WAYS:
        if (
            greys[0].shape[axis] >= 2 * SHORTEST
            and np.quantile([_unlike(grey, axis, flip) for grey in greys], 0.75) < SAME
        ):
            return (0, 0, width - width // 2, 0) if axis else (0, 0, 0, height - height // 2)
    return None


def measure(frames: np.ndarray, coarse: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    """(left, top, width, height) of that half in pixels of full-size frames (N,H,W,3); coarse: from `find_sides`."""
    height, width = frames.shape[1:3]
    return (0, 0, width // 2, height) if coarse[2] else (0, 0, width, height // 2)


def _unlike(grey, axis, flip):
    half = grey.shape[axis] // 2
    first, second = (np.ascontiguousarray(np.take(grey, np.r_[end], axis)) for end in (np.s_[:half], np.s_[-half:0]))
    return unlike(first, second if flip is None else cv2.flip(second, flip))
