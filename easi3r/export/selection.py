"""Which pixels of a result can be shown: the static ones that are sure enough, and the moving ones."""

import cv2
import numpy as np

from ..reconstruction import Reconstruction
from ..threads import in_order
from .reproject import reproject

_HOLE, _FLAT = 0.008, 0.04  # half the width of a hole, share of the longer side; how far its depth may be off around it
_EVERY, _WITNESSES = 2, 8  # row and column that is asked about, and frames that are asked
_AROUND = np.ones((5, 5), np.uint8)  # pixels in which something thin may be off its place
_BEHIND, _SAME, _ENOUGH = 1.1, 1.05, 2  # ratio of depth from which on, and up to which, a surface is another; frames
_FAR = 1.2  # nothing farther than this many times the 98th percentile of depth is shown: such points are outliers


def choose_pixels(result: Reconstruction, cut: float, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels can be shown. Returns (static, moving), (T,H,W) bool each, never both True.

    hidden (T,H,W) bool: moving pixels and what they leave beside them, see `with_traces`; it is not static.
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
        static &= ~hidden  # other frames show what lies there
        if not result.turns_only:
            static &= ~_seen_through(result, static)
    return static, usable & result.dynamic


def _seen_through(result, static):
    """Which static pixels (T,H,W) bool other frames look through: they show a surface clearly behind, and more of them
    do so than show one there. That is left of something that moved.

    A surface counts as behind only if it is so all around the place, so that nothing thin is lost.
    """
    n_frames, height, width = static.shape
    nearest = [cv2.erode(np.where(ok, z, 0).astype(np.float32), _AROUND) for ok, z in zip(static, result.depth)]
    farthest = [cv2.dilate(np.where(ok, z, 0).astype(np.float32), _AROUND) for ok, z in zip(static, result.depth)]
    pixels = np.arange(0, width, _EVERY, dtype=np.float32), np.arange(0, height, _EVERY, dtype=np.float32)[:, None]
    through = np.zeros(static.shape, bool)

    def find(t):
        depth = result.depth[t, ::_EVERY, ::_EVERY]
        behind, there = np.zeros(depth.shape, np.int8), np.zeros(depth.shape, np.int8)
        for s in np.unique(np.linspace(0, n_frames - 1, _WITNESSES).astype(int)):
            if s == t:
                continue
            x, y, z = reproject(result, s, t, pixels, depth)
            near, far = (cv2.remap(image[s], x, y, cv2.INTER_NEAREST) for image in (nearest, farthest))
            behind += near > z * _BEHIND
            there += (near < z * _SAME) & (far > z / _SAME)
        return (behind >= _ENOUGH) & (behind > there)

    for t, found in enumerate(in_order(find, range(n_frames))):
        through[t] = cv2.resize(found.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return through


def _close_holes(static, depth, allowed):
    """Take in, in place, unsure pixels amid kept ones (T,H,W) bool that lie on the same surface: they only tear it."""
    width = 1 + 2 * max(1, round(_HOLE * max(depth.shape[1:])))
    for kept, z, free in zip(static, depth, allowed & ~static):
        near = np.where(kept, np.log(np.maximum(z, 1e-12)), 0).astype(np.float32)
        share, total = (cv2.blur(image, (width, width)) for image in (kept.astype(np.float32), near))
        amid = free & (share > 0.5)
        kept[amid] = np.abs(np.log(z[amid]) - total[amid] / share[amid]) < _FLAT
