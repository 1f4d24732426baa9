"""Mask edges that follow image edges."""

from collections.abc import Callable

import cv2
import numpy as np

from ..threads import in_order

LARGE = 256  # pixels of the longer side, from which colours are learnt from every second one: same J in .4 of the time


def grabcut(
    values: np.ndarray, cut: float, frames: np.ndarray, progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """Refine `values > cut` frame by frame with GrabCut (Rother et al. 2004), seeded by the evidence.

    values (T,H,W) float32 in [0,1], frames (T,H,W,3) uint8 RGB. Only pixels near the cut region may change sides.
    Returns (T,H,W) bool. `progress` gets 0 to 1.
    """
    reach = max(2, round(0.022 * max(frames.shape[1:3])))  # how far evidence bleeds over an object's edge, pixels
    near, core = _disk(reach), _disk(max(1, round(0.4 * reach)))
    cut = 0.9 * cut  # colours take away more often than they add
    masks = []
    for mask in in_order(lambda t: _refine_frame(values[t], cut, frames[t], near, core), range(len(frames))):
        masks.append(mask)
        if progress:
            progress(len(masks) / len(frames))
    return np.stack(masks)


def _disk(radius):
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _refine_frame(value, cut, frame, near, core):
    moving = value > cut
    band = cv2.dilate(moving.astype(np.uint8), near) > 0
    if moving.sum() < near.size / 4 or band.all():
        return moving  # nothing to learn colours from
    sure = cv2.erode((value > min(1.5 * cut, (1 + cut) / 2)).astype(np.uint8), core) > 0
    labels = np.full(value.shape, cv2.GC_BGD, np.uint8)
    labels[band] = cv2.GC_PR_BGD
    labels[moving] = cv2.GC_PR_FGD
    labels[sure] = cv2.GC_FGD
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    colours = np.zeros((1, 65)), np.zeros((1, 65))  # of the background and of what moves
    step = 2 if max(value.shape) >= LARGE else 1
    learning, small = np.ascontiguousarray(labels[::step, ::step]), np.ascontiguousarray(bgr[::step, ::step])
    if not ((learning & 1).any() and (~learning & 1).any()):
        return moving
    cv2.setRNGSeed(0)  # of this thread: its k-means starts at random
    cv2.grabCut(small, learning, None, *colours, 3, cv2.GC_INIT_WITH_MASK)
    rows, columns = (np.flatnonzero(band.any(axis)) for axis in (1, 0))
    part = np.s_[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]
    found = np.ascontiguousarray(labels[part])
    cv2.grabCut(np.ascontiguousarray(bgr[part]), found, None, *colours, 1, cv2.GC_EVAL_FREEZE_MODEL)
    labels[part] = found
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
