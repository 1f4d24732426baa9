"""Measured values spread to where there is none, along the edges of the picture."""

import cv2
import numpy as np

EDGE = 0.02  # grey values (of 1) that make an edge at which depth may jump
RADII = (3, 9, 27, 81)  # pixels, windows of the filter, from where there is much to go by to where there is little
ENOUGH = 0.3  # weight of a window, over that of an ordinary pixel, from which on it is believed

GOOD = 0.02  # relative depth error at which the log confidence is 1; it falls with the square, as information does
LEAST = 0.008  # relative depth error that is left at best
FILLED = 1.001  # confidence of depth taken over from the surroundings


def confidence_of(error: np.ndarray) -> np.ndarray:
    """Confidence (...), at least 1, of depths by their relative error (...)."""
    return np.exp((GOOD / np.hypot(error, LEAST)) ** 2)


def fill_in(values: np.ndarray, weight: np.ndarray, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted smoothing that follows the edges of `grey`, coarser where there is little to go by.

    values, weight (H,W) float32, grey (H,W) uint8. Returns the values everywhere and the weight that the finest scale
    saw; a weight of 1 is that of an ordinary pixel, and some weight must not be 0.
    """
    filled, known = np.zeros_like(values), np.zeros_like(values)
    found = [tuple(_guided((values * weight, weight), grey, radius)) for radius in RADII]
    for top, bottom in found:
        trust = np.clip(bottom / ENOUGH, 0, 1)
        filled = filled + (1 - known) * trust * top / np.maximum(bottom, 1e-4)
        known = known + (1 - known) * trust
    mean = float((values * weight).sum() / weight.sum())
    return filled + (1 - known) * mean, found[0][1]


def _guided(images, grey, radius):
    """Guided filter (He et al. 2010) of images (H,W) float32 by a grey one, side 2 radius + 1; never negative."""
    size = (2 * radius + 1,) * 2
    guide = grey.astype(np.float32) / 255
    mean_g = cv2.blur(guide, size)
    variance = cv2.blur(guide * guide, size) - mean_g**2 + EDGE**2
    for image in images:
        mean_i = cv2.blur(image, size)
        slope = (cv2.blur(guide * image, size) - mean_g * mean_i) / variance
        offset = mean_i - slope * mean_g
        yield np.maximum(cv2.blur(slope, size) * guide + cv2.blur(offset, size), 0)
