"""Black around a picture that is no rectangle, or not always the same one: of a clip that was stabilised or turned, of
a round lens.

What tells it from the dark parts of a scene is that all of it is black, ends sharply, and that what is left is convex.
"""

import cv2
import numpy as np

from .bars import COLOURED, EDGE, LASTING, LEAST, VISIBLE, relief

DARK, FILLED = 20, 6  # grey levels: of what is black, and its median: up to 5 behind a codec; dark corners have 8 on
LARGE = 0.006  # of the picture: less is no more than the dark end of a corner
CONVEX = 0.98  # share of its convex hull that the picture fills; of scenes with black at the border .85 at most
SHARP, APART = 0.6, 2  # share of the picture's pixels, so many from the black, that are not dark
USUAL = 0.8  # of the pictures with black at their border so many have it
KEPT = 0.5  # of what is usually seen of the picture: the largest rectangle has that at least; in a disc .64
RARE = 0.02  # share of the pictures that a pixel of the rectangle may be covered in


def find_sides(pictures: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) pixels of N pictures (N,h,w,3) uint8 outside of the largest rectangle that is hardly
    ever covered by black edges; None if there are none, or too little would be left.
    """
    dark = [(_border(picture).max(axis=-1) <= DARK).mean() > LARGE for picture in pictures]
    found = [_margin(picture) for picture in pictures[dark]]
    margins = np.array([margin for margin in found if margin is not None])
    if len(margins) < max(LEAST, LASTING * len(pictures), USUAL * len(found)):
        return None
    covered = margins.sum(axis=0) / len(pictures)
    clear = cv2.dilate((covered > RARE).astype(np.uint8), np.ones((3, 3))) == 0  # an edge is mixed with the picture
    left, top, right, bottom = _largest(clear)
    if (bottom - top) * (right - left) < max(1, KEPT * (covered < 0.5).sum()):
        return None
    inside = pictures[:: -(-len(pictures) // LEAST), top:bottom, left:right].mean(axis=-1, dtype=np.float32)
    if np.mean([relief(grey) > VISIBLE for grey in inside]) < COLOURED:
        return None
    height, width = clear.shape
    return left, top, width - right, height - bottom


def measure(frames: np.ndarray, coarse: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    """(left, top, width, height) in pixels of full-size frames (N,H,W,3) of what `find_sides` leaves of small ones,
    which are `scale` times smaller.
    """
    height, width = frames.shape[1:3]
    left, top, right, bottom = (int(np.ceil(side * scale)) for side in coarse)
    return left, top, width - left - right, height - top - bottom


def _margin(picture):
    """(h,w) bool: the black at the border of a picture (h,w,3) uint8; None if it is no margin but part of a scene."""
    light = picture.max(axis=-1)
    edge = _border(light)
    if np.median(edge[edge <= DARK]) > FILLED:
        return None
    _, labels = cv2.connectedComponents((light <= DARK).astype(np.uint8), connectivity=4)
    touches = np.zeros(labels.max() + 1, bool)
    touches[_border(labels)] = True
    touches[0] = False
    margin = touches[labels]
    if not LARGE < margin.mean() < 1 or np.median(light[margin]) > FILLED:
        return None
    hull = np.zeros(margin.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.argwhere(~margin)[:, ::-1].astype(np.int32)), 1)
    if (~margin).sum() < CONVEX * hull.sum():
        return None
    near, beside = (cv2.dilate(margin.astype(np.uint8), np.ones((2 * k + 1,) * 2)) > 0 for k in (APART - 1, APART))
    ring = light[beside & ~near]
    return margin if len(ring) and (ring > DARK + EDGE).mean() >= SHARP else None


def _border(image):
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _largest(clear):
    """(left, top, right, bottom) of the largest rectangle in which all of clear (h,w) bool holds; ends excluded."""
    best, found = 0, (0, 0, 0, 0)
    for top in range(len(clear)):
        free = clear[top].copy()
        for bottom in range(top + 1, len(clear) + 1):
            free &= clear[bottom - 1]
            ends = np.flatnonzero(np.diff(free.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
            lengths = ends[:, 1] - ends[:, 0]
            if not len(ends) or (len(clear) - top) * lengths.max() <= best:
                break
            if (bottom - top) * lengths.max() > best:
                best = (bottom - top) * lengths.max()
                found = (int(ends[lengths.argmax(), 0]), top, int(ends[lengths.argmax(), 1]), bottom)
    return found
