"""Which pixels of a result can be shown: the static ones that are sure enough, and the moving ones."""

import cv2
import numpy as np

from ..reconstruction import Reconstruction

_HOLE, _FLAT = 0.008, 0.04  # half the width of a hole, share of the longer side; how far its depth may be off around it
_FAR = 1.2  # nothing farther than this many times the 98th percentile of depth is shown: such points are outliers


def choose_pixels(result: Reconstruction, cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels can be shown. Returns (static, moving), (T,H,W) bool each, never both True.

    `cut` in [0, 1) leaves out that share of the static pixels, the least confident ones, but for small holes in a
    surface. Moving pixels are kept whenever they are usable, because an object that moves rarely is among the confident
    ones. A result without any usable pixel (confidence 0 everywhere) is shown as it is.
    """
    known = np.isfinite(result.depth) & (result.depth > 0)
    usable = known & (result.confidence > 0)
    if not usable.any():
        usable = known
    if usable.any():
        usable &= result.depth <= _FAR * np.percentile(result.depth[usable], 98)
    static = usable & ~result.dynamic
    if static.any():
        static &= result.confidence >= np.quantile(result.confidence[static], cut)
        _close_holes(static, result.depth, known & ~result.dynamic)
    if len(static) > 1:
        # Masks often end a little inside their object. Its rim must not stay behind in the static scene; other frames
        # show what lies there.
        width = 1 + 2 * max(1, round(max(result.depth.shape[1:]) / 256))
        for frame, dynamic in zip(static, result.dynamic):
            frame &= cv2.dilate(dynamic.astype(np.uint8), np.ones((width, width), np.uint8)) == 0
    return static, usable & result.dynamic


def _close_holes(static, depth, allowed):
    """Take in, in place, unsure pixels amid kept ones (T,H,W) bool that lie on the same surface: they only tear it."""
    width = 1 + 2 * max(1, round(_HOLE * max(depth.shape[1:])))
    for kept, z, free in zip(static, depth, allowed & ~static):
        near = np.where(kept, np.log(np.maximum(z, 1e-12)), 0).astype(np.float32)
        share, total = (cv2.blur(image, (width, width)) for image in (kept.astype(np.float32), near))
        amid = free & (share > 0.5)
        kept[amid] = np.abs(np.log(z[amid]) - total[amid] / share[amid]) < _FLAT
