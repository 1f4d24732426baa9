"""Captions, logos and dates laid over the picture: they stand still while the picture moves."""

import cv2
import numpy as np

from .flow import least_variation, lengths
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
AROUND, CALM, ENOUGH = 9, 1.22, 20  # pixels; times; pixels with texture that tell
# Captions that change: the difference of two frames has less than SAME of their texture where these stay, and more than
# OTHER where they change. From frame to frame most of a caption (TOGETHER) does the one or the other at once, and more
# often stays. Of 150 clips without changing captions the nearest, a car's window, misses that in one of 23 steps.
SAME, OTHER, TOGETHER = 0.25, 0.6, 0.65
STAYS, BETWEEN, CHANGES = 0.25, 0.2, 2  # share of its steps a pixel stays at least, does neither at most; times
TOLD, TEXT = 0.4, 0.3  # share of the steps in which a pixel has texture; of its pixels that tell what a caption does
FRAMES, ALWAYS, CAPTION = 12, 0.9, 0.01  # frames; share of the steps in which it is there; of the picture
PLAIN, EDGED = 8.0, 0.6  # grey levels that the box around a caption may change; share of its rim that is an edge
PARTS = 16  # bands of rows that medians over time are taken in side by side


def find_overlay(frames: np.ndarray) -> np.ndarray:
    """(H,W) bool: where something is laid over the picture; frames (T,H,W,3) uint8 RGB.

    Texture that stays in the median over time, in both directions: an edge along which the camera moves stays too.
    Nothing is found in fewer than four frames, or where the camera stands.
    """
    nothing = np.zeros(frames.shape[1:3], bool)
    if len(frames) < 4:
        return nothing
    gradients = np.array(list(in_order(_gradient, frames)))
    lasting, textures = _texture(_median(gradients)), np.array(list(in_order(_texture, gradients)))
    usual = _median(textures)
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
        if len(around) < ENOUGH or np.median(around) < calm:
            found |= part
    return _wider(found | _captions(frames, gradients, textures), WINDOW) > 0


def _captions(frames, gradients, textures):
    """(H,W) uint8: the rectangles of captions that change, and of the box they stand in, while the picture moves."""
    found = np.zeros(textures.shape[1:], np.uint8)
    if len(textures) < FRAMES:
        return found
    pairs = zip(gradients, gradients[1:], textures, textures[1:])
    states = np.array(list(in_order(lambda pair: _state(*pair), list(pairs))))
    told = np.maximum((states > 0).sum(axis=0), 1)
    stays, changes, between = ((states == k).sum(axis=0) for k in (1, 2, 3))
    either = between <= BETWEEN * told
    likely = either & (told >= TOLD * len(states)) & (stays >= STAYS * told) & (changes >= CHANGES)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(_wider(likely.astype(np.uint8), 5), connectivity=8)
    for k in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= CAPTION * found.size) + 1:
        of_part = states[:, likely & (labels == k)]
        counts = np.array([(of_part == state).sum(axis=1) for state in (1, 2, 3)])
        tells = counts.sum(axis=0) > TEXT * of_part.shape[1]
        stay, change = counts[:2, tells] > TOGETHER * counts[:, tells].sum(axis=0)
        if tells.mean() >= ALWAYS and (stay | change).all() and stay.sum() >= change.sum() >= CHANGES:
            x, y, width, height = stats[k, :4]
            found[y : y + height, x : x + width] = 1
    if not found.any():
        return found
    words = either & (stays >= CHANGES)  # where some of them reach
    low, high = np.quantile(frames, [0.1, 0.9], axis=0, method="nearest")
    plain = (high.astype(np.int16) - low).max(axis=-1) <= PLAIN
    edges = _wider((lengths(_median(gradients)) > TEXTURE).astype(np.uint8), WINDOW) > 0
    for caption in cv2.connectedComponentsWithStats(found)[2][1:, :4].tolist():
        text, box = (_reach(caption, rest) for rest in (words, words | plain))
        found[text] = 1
        rows, columns = box
        if min(edges[row, columns].mean() for row in (rows.start, rows.stop - 1)) > EDGED:
            found[box] = 1
    return found


def _reach(caption, rest):
    """The rectangle, two slices, of a caption (x, y, width, height) and of what of `rest` (H,W) bool touches it, a
    height of it above and below at most.
    """
    x, y, width, height = caption
    top = max(0, y - height)
    reached = rest[top : y + 2 * height].astype(np.uint8)
    reached[y - top : y - top + height, x : x + width] = 1
    _, labels, stats, _ = cv2.connectedComponentsWithStats(_wider(reached, 5), connectivity=8)
    x, y, width, height = stats[labels[y - top, x], :4].tolist()
    return slice(top + y, top + y + height), slice(x, x + width)


def _state(before, after, one, two):
    """(H,W) uint8 of two gradients and their textures: 0 there is none, 1 it stays, 2 it changes, 3 between these."""
    most = np.maximum(one, two)
    share = _texture(after - before) / np.maximum(most, 1e-9)
    return np.where(most <= TEXTURE, 0, np.where(share < SAME, 1, np.where(share > OTHER, 2, 3))).astype(np.uint8)


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
