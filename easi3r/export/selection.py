"""Which pixels of a result can be shown: the static ones that are sure enough, and the moving ones."""

import functools

import cv2
import numpy as np

from ..large import around, choice, frames_of, some, zeros
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
    trusted = any((_known(z) & (sure > 0)).any() for z, sure in zip(result.depth, result.confidence))
    farthest, least = _limits(result, cut, trusted)
    static, moving = (zeros(hidden.shape, bool) for _ in range(2))
    for t in frames_of(result):
        known = _known(result.depth[t])
        usable = _usable(result, t, trusted) & (result.depth[t] <= farthest)
        moving[t] = usable & result.dynamic[t]
        static[t] = usable & ~result.dynamic[t] & (result.confidence[t] >= least)
        _close_holes(static[t], result.depth[t], known & ~result.dynamic[t])
        if len(static) > 1:
            static[t] &= ~hidden[t]  # other frames show what lies there
    if len(static) > 1 and not result.turns_only:
        through = _seen_through(result, static)
        for kept, wrong in zip(static, through):
            kept &= ~wrong
    return static, moving


def _known(depth):
    return np.isfinite(depth) & (depth > 0)


def _usable(result, t, trusted):
    return _known(result.depth[t]) & ((result.confidence[t] > 0) | (not trusted))


def _limits(result, cut, trusted):
    """The depth up to which pixels are shown, and the confidence from which on static ones are, as some frames tell."""
    told = choice(len(result.depth))
    usable = np.stack([_usable(result, t, trusted) for t in told])
    depth, confidence, dynamic = (some(array) for array in (result.depth, result.confidence, result.dynamic))
    farthest = _FAR * np.percentile(depth[usable], 98) if usable.any() else np.inf
    static = usable & (depth <= farthest) & ~dynamic
    return farthest, np.quantile(confidence[static], cut) if static.any() else -np.inf


def _seen_through(result, static):
    """Which static pixels (T,H,W) bool other frames look through: they show a surface clearly behind, and more of them
    do so than show one there. That is left of something that moved.

    A surface counts as behind only if it is so all around the place, so that nothing thin is lost.
    """
    n_frames, height, width = static.shape
    pixels = np.arange(0, width, _EVERY, dtype=np.float32), np.arange(0, height, _EVERY, dtype=np.float32)[:, None]
    through = zeros(static.shape, bool)

    @functools.lru_cache(maxsize=4 * _WITNESSES)
    def surroundings(s):
        """Nearest and farthest depth (H,W) around each pixel of frame s."""
        depth = np.where(static[s], result.depth[s], 0).astype(np.float32)
        return cv2.erode(depth, _AROUND), cv2.dilate(depth, _AROUND)

    def find(t):
        depth = result.depth[t, ::_EVERY, ::_EVERY]
        behind, there = np.zeros(depth.shape, np.int8), np.zeros(depth.shape, np.int8)
        asked = around(t, n_frames)
        for k in np.unique(np.linspace(0, len(asked) - 1, _WITNESSES).astype(int)):
            s = asked[k]
            if s == t:
                continue
            x, y, z = reproject(result, s, t, pixels, depth)
            near, far = (cv2.remap(image, x, y, cv2.INTER_NEAREST) for image in surroundings(s))
            behind += near > z * _BEHIND
            there += (near < z * _SAME) & (far > z / _SAME)
        return (behind >= _ENOUGH) & (behind > there)

    for t, found in enumerate(in_order(find, frames_of(result))):
        through[t] = cv2.resize(found.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return through


def _close_holes(kept, z, allowed):
    """Take in, in place, unsure pixels amid kept ones (H,W) bool that lie on the same surface: they only tear it."""
    width = 1 + 2 * max(1, round(_HOLE * max(z.shape)))
    near = np.where(kept, np.log(np.maximum(z, 1e-12)), 0).astype(np.float32)
    share, total = (cv2.blur(image, (width, width)) for image in (kept.astype(np.float32), near))
    amid = allowed & ~kept & (share > 0.5)
    kept[amid] = np.abs(np.log(z[amid]) - total[amid] / share[amid]) < _FLAT
