"""Moving objects as connected parts of a mask, and the ground they stand on."""

from collections.abc import Iterator

import cv2
import numpy as np

NEAR = 0.02  # share of the width around moving pixels within which depth is not to be trusted: flow is dragged along
FEET = 0.15  # lowest share of an object's height, which stands on the ground


def objects(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """(box, inside) of every connected part of a mask (H,W) bool: two slices, and bool in the size of the box."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for k in range(1, count):
        left, top, width, height, _ = stats[k].tolist()
        box = slice(top, top + height), slice(left, left + width)
        yield box, labels[box] == k


def stand_on_ground(
    depth: np.ndarray, weight: np.ndarray, mask: np.ndarray, known: np.ndarray | None = None
) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """Give every object of a mask one depth, in place: that of the ground around its feet. Returns these `objects`.

    depth (H,W); weight (H,W): what a pixel outside the mask counts, 0 where it does not show the ground; mask (H,W)
    bool. known (H,W) bool: objects of which at least half is known keep their depth and are not returned.
    """
    weight = np.where(_grown(mask, _near(mask)), 0, weight)
    placed = [(box, inside) for box, inside in objects(mask) if known is None or known[box][inside].mean() < 0.5]
    for box, inside in placed:
        depth[box][inside] = _ground(depth, weight, box, inside)
    return placed


def _ground(depth, weight, box, inside):
    """Median depth around the feet of an object, or else of the lowest there is around it, or else its own."""
    near, height = _near(depth), inside.shape[0]
    rows, columns = (slice(max(0, s.start - 3 * near), s.stop + 3 * near) for s in box)
    around = np.zeros(depth.shape, bool)
    around[box] = inside
    found = _grown(around[rows, columns], 3 * near) & (weight[rows, columns] > 0)
    if not found.any():
        return np.median(depth[box][inside])
    row = np.nonzero(found)[0] + rows.start - box[0].stop  # below the object's lowest pixel
    feet = (row >= -FEET * height) & (row <= 2 * near)
    chosen = feet if feet.any() else row >= np.quantile(row, 1 - FEET)
    value, share = depth[rows, columns][found][chosen], weight[rows, columns][found][chosen]
    return np.quantile(value, 0.5, weights=share, method="inverted_cdf")


def _near(image):
    return max(3, round(NEAR * image.shape[1]))


def _grown(mask, reach):
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
