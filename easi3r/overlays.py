"""Captions, logos and dates laid over the picture: they stand still while the picture moves."""

import cv2
import numpy as np

from .flow import least_variation
from .large import some
from .threads import in_order

# Share of the usual texture that the median over the frames keeps where something stands still: a date and a logo on
# the example `street` keep .85 on; at .6, 2 to 31 % of the plain clip were taken for an overlay (where its camera heads
# for).
LASTS = 0.75
TEXTURE = 20.0  # grey levels per pixel (Sobel's sum) in the direction in which a pixel's surroundings vary least
WINDOW = 9  # pixels, side of these surroundings, and how far around an overlay flow is dragged along
# Of the texture the median keeps .17 to .38 where the camera moves (8 to 24 frames, 320 pixels), .4 to .48 in ten
# frames of 192 to 256 pixels, too few to tell, and all of it where it stands.
MOVES = 0.42
INPAINTED = 3.0  # pixels around each that its colour is taken from (Telea 2004)
AREA = 0.0015  # of the picture: a half transparent logo has .0036
# What a zoom is centred on stands still too, but what is around it hardly moves then: the median keeps 1.3 to 2.6 times
# as much of that as of most of the picture; around captions, logos and insets .8 to 1.2 times.
PARTS = 16  # bands of rows that medians over time are taken in side by side
AROUND, CALM, TOLD = 9, 1.22, 20  # pixels; times; pixels with texture that tell


def find_overlay(frames: np.ndarray) -> np.ndarray:
    """(H,W) bool: where something is laid over the picture; frames (T,H,W,3) uint8 RGB.

    Texture that stays in the median over time, in both directions: an edge along which the camera moves stays too.
    Nothing is found in fewer than four frames, or where the camera stands.
    """
    nothing = np.zeros(frames.shape[1:3], bool)
    if len(frames) < 4:
        return nothing
    gradients = np.array(list(in_order(_gradient, frames)))
    lasting = _texture(_median(gradients))
    usual = _median(np.array(list(in_order(_texture, gradients))))
    textured, kept = usual > TEXTURE, lasting / np.maximum(usual, 1e-9)
    if not textured.any() or np.median(kept[textured]) > MOVES:
        return nothing
    still = ((lasting > TEXTURE) & (kept > LASTS)).astype(np.uint8)
    beside, calm = textured & (_wider(still, WINDOW) == 0), CALM * np.median(kept[textured])
    _, labels, stats, _ = cv2.connectedComponentsWithStats(still, connectivity=8)
    found = np.zeros_like(still)
    for k in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= AREA * still.size) + 1:
        part = (labels == k).astype(np.uint8)
        around = kept[beside & (_wider(part, 2 * AROUND + 1) > 0)]
        if len(around) < TOLD or np.median(around) < calm:
            found |= part
    return _wider(found, WINDOW) > 0


def greys(frames: np.ndarray) -> list[np.ndarray]:
    """Grey pictures (H,W) uint8 of frames (T,H,W,3) uint8 RGB, to measure flow in: what is laid over them holds it up,
    so what is beside that is in its place.
    """
    overlay = find_overlay(some(frames)).view(np.uint8)
    plain = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return [cv2.inpaint(grey, overlay, INPAINTED, cv2.INPAINT_TELEA) for grey in plain] if overlay.any() else plain


def _wider(mask, side):
    return cv2.dilate(mask, np.ones((side, side), np.uint8))


def _gradient(frame):
    grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.7)
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)], axis=-1)


def _median(arrays):
    """Over the first axis of arrays (T,H,W,...)."""
    bands = np.array_split(arrays, PARTS, axis=1)
    return np.concatenate(list(in_order(lambda band: np.median(band, axis=0), bands)))


def _texture(gradient):
    """Root of the least eigenvalue (H,W) of the structure tensor of a gradient (H,W,2)."""
    x, y = np.moveaxis(gradient, -1, 0)
    return np.sqrt(np.maximum(least_variation(x, y, WINDOW), 0))
