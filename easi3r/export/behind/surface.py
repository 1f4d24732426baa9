"""How far away it is what a hole hides."""

import cv2
import numpy as np

from .window import SAME, SURFACE, Window, box_of

_NONE = np.float32(1e9)  # depth of nothing
_COARSE = 8  # pixels between the points that tell which part of a frame is looked at
_EVERY = 2  # row and column on which depth is refined; all of them take four times as long and gain nothing
# Depth moves along the gradient of what the sources show: their blur in pixels, and the side of the surroundings that
# move together, in these rows. Worth 1.1 dB in the room, .8 in the street, nothing in the orbit.
_ROUNDS = [(2.0, 7), (0.7, 5)]
_FARTHEST = 1.0  # a round moves depth by at most as many pixels, in the source that sees it move most
_PROBE = 0.5  # pixels there over which the gradient is taken
_TEXTURE = 0.03  # squared grey levels per squared pixel from which on texture decides
_OUTLIER = 20.0  # grey levels off the mean at which a source counts half


def depth_behind(window: Window, sources: list[int]) -> np.ndarray:
    """Depth (h,w) float32 of what stands still, in the holes too; 0 where no source shows anything.

    In the holes, the nearest surface on which two sources agree.
    """
    if window.clip.turning:
        return window.depth
    maps = np.sort([_seen_by(window, s) for s in sources], axis=0)  # (n,h,w)
    agreed = (maps[1:] < (1 + SAME) * maps[:-1]) & (maps[1:] < _NONE)
    first = np.where(agreed.any(axis=0), agreed.argmax(axis=0), 0) if len(agreed) else np.zeros(maps.shape[1:], int)
    near = np.take_along_axis(maps, first[None], axis=0)
    close = (maps >= near) & (maps < (1 + 2 * SAME) * near) & (maps < _NONE)
    mean = np.where(close, maps, 0).sum(axis=0) / np.maximum(close.sum(axis=0), 1)
    return _refined(window, sources, np.where(window.depth > 0, window.depth, mean.astype(np.float32)))


def _seen_by(window, s):
    """Depth (h,w) of what stands still in frame s, seen from the window; `_NONE` where that shows nothing."""
    height, width = window.hole.shape
    rows, columns = _part(window, s)
    depth = window.clip.depth(s)[rows, columns]
    v, u = (np.arange(r.start, r.start + n, dtype=np.float32) for r, n in zip((rows, columns), depth.shape))
    x, y, z = window.clip.project(window.t, s, u, v[:, None], depth)
    x, y = np.rint(x - window.u[0, 0]), np.rint(y - window.v[0, 0])
    inside = (depth > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    buffer = np.full(height * width, _NONE, np.float32)
    np.minimum.at(buffer, y[inside].astype(np.int32) * width + x[inside].astype(np.int32), z[inside])
    buffer = buffer.reshape(height, width)
    near = cv2.erode(buffer, SURFACE)  # a grey opening closes the cracks between the points of a surface
    return np.where(buffer > cv2.dilate(near, SURFACE) * np.float32(1 + SAME), near, buffer)


def _part(window, s):
    """The part of frame s that lies in the window, roughly: slices of rows and columns."""
    coarse = window.clip.depth(s)[::_COARSE, ::_COARSE]
    v, u = (_COARSE * np.arange(n, dtype=np.float32) for n in coarse.shape)
    x, y, _ = window.clip.project(window.t, s, u, v[:, None], coarse)
    around = (coarse > 0) & (x > window.u.min() - _COARSE) & (x < window.u.max() + _COARSE)
    around &= (y > window.v.min() - _COARSE) & (y < window.v.max() + _COARSE)
    if not around.any():
        return slice(0, 0), slice(0, 0)
    rows, columns = (slice(_COARSE * r.start, _COARSE * r.stop) for r in box_of(around, 1))
    return rows, columns


def _refined(window, sources, whole):
    """Depth `whole` (h,w) moved to where the sources show the same, and what the frame itself does beside the holes."""
    clip, place = window.clip, (window.u[:, ::_EVERY], window.v[::_EVERY])
    coarse = depth = np.ascontiguousarray(whole[::_EVERY, ::_EVERY])
    known = depth > 0
    if not known.any():
        return whole
    weights, rates = [known & ~window.hole[::_EVERY, ::_EVERY]], []
    for s in sources:
        (x, y, z), (a, b, _) = (clip.project(s, window.t, *place, depth * np.float32(f)) for f in (1, 1.01))
        weights.append(known & clip.shows(s, x, y) & clip.surfaces(s, x, y, z)[0])
        rates.append(np.median(np.hypot(a - x, b - y)[known]) / np.log(1.01))
    rate = float(max(rates))  # pixels per logarithm of depth
    if rate < 1:
        return whole
    probe = np.float32(np.exp(_PROBE / rate))
    for blur, side in _ROUNDS:
        values = [clip.grey(window.t, blur)[window.box][::_EVERY, ::_EVERY]]
        slopes = [np.zeros_like(depth)]
        for s in sources:
            here, there = (
                cv2.remap(clip.grey(s, blur), *clip.project(s, window.t, *place, z)[:2], cv2.INTER_LINEAR)
                for z in (depth, depth * probe)
            )
            values.append(here)
            slopes.append((there - here) / _PROBE)
        shift = _common_shift(np.array(values), np.array(slopes), np.array(weights, np.float32), side)
        depth = depth * np.exp(shift / rate)
    moved = np.divide(depth, coarse, out=np.ones_like(depth), where=known)
    return whole * cv2.resize(moved, whole.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _common_shift(values, slopes, weights, side):
    """By how many pixels (h,w) depth moves so that the `values` (n,h,w) agree, by least squares over side x side.

    slopes (n,h,w): change of the values per pixel. What is far off the mean counts less.
    """
    mean = (weights * values).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-6)
    weights = weights / (1 + ((values - mean) / _OUTLIER) ** 2)
    total = np.maximum(weights.sum(axis=0), 1e-6)
    values, slopes = (each - (weights * each).sum(axis=0) / total for each in (values, slopes))
    along = cv2.blur((weights * values * slopes).sum(axis=0), (side, side))
    strength = cv2.blur((weights * slopes * slopes).sum(axis=0), (side, side))
    return (-along / (strength + _TEXTURE)).clip(-_FARTHEST, _FARTHEST)
