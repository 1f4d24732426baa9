"""Dense depth of frames whose cameras are known, from all flows of a frame together."""

import cv2
import numpy as np

from ..camera import invert
from ..flow import Flow, lengths, sample
from .adjust import LOOSE, NEAREST, SPREAD, State, prior_weight
from .filling import FILLED, confidence_of, fill_in
from .observations import Observations, spread_of, still_target

ROUNDS = 5  # re-weighted steps per pixel, from what the grid says
SHRUNK = 2  # flow has half the resolution of the picture, so depth is measured at that
RANGE = 100.0  # a pixel is at most so many times nearer or farther than the clip in the middle
NEARBY = 7  # pixels, side of the window in which the surroundings are judged
PEAK = 20.0  # the surest pixel counts like so many ordinary ones


def frame_depth(
    flows: dict[tuple[int, int], Flow],
    seen: Observations,
    state: State,
    i: int,
    grey: np.ndarray,
    moving: np.ndarray,
    zoom: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H,W) float32 of frame i in the units of `state`, and its confidence (H,W) float32, at least 1.

    flows, zoom as of `observe`; grey (H,W) uint8 of the frame; moving (T,H,W) bool. A pixel's inverse depth is that of
    the least robust error over all its flows; where none tells, that of the surroundings, with confidence `FILLED`.
    """
    height, width = grey.shape
    size = width // SHRUNK, height // SHRUNK
    coarse = state.inverse[i].reshape(len(seen.rows), len(seen.columns)).astype(np.float32)
    limits = 1 / RANGE, RANGE  # a state has median 1
    inverse = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).ravel()
    rows = [_row(flows[i, j], moving, i, j, state, zoom, size) for j in seen.others[i]]
    known = np.zeros(len(inverse), np.float32)
    for _ in range(ROUNDS if rows else 0):
        known = prior_weight(inverse)
        pull = (1 - inverse) * known
        for turned, shift, target, certainty in rows:
            x, y, z = (turned[k] + inverse * shift[k] for k in range(3))
            in_front = z > NEAREST
            near = np.float32(state.focal) / np.maximum(z, NEAREST, out=z)
            u, v = x * near, y * near
            by_u, by_v = near * shift[0] - u * (shift[2] / z), near * shift[1] - v * (shift[2] / z)
            u, v = np.subtract(target[0], u, out=u), np.subtract(target[1], v, out=v)  # by which it misses
            weight = in_front * certainty / (1 + (u * u + v * v) * (certainty / np.float32(LOOSE**2)))
            pull += weight * (by_u * u + by_v * v)
            known += weight * (by_u * by_u + by_v * by_v)
        inverse = np.clip(
            inverse + pull / known, np.maximum(inverse / 3, limits[0]), np.minimum(inverse * 3, limits[1])
        )
    # a pixel whose depth is not known to a third of it tells nothing
    known = np.where((known > 2 / SPREAD**2) & (known * inverse**2 > 9), known, 0)
    full = [cv2.resize(m.reshape(size[::-1]), (width, height)) for m in (inverse, known)]
    return _dense(full[0], full[1], limits, grey)


def _row(flow, moving, i, j, state, zoom, size):
    """Of one other frame: rays turned into it (3,M), translation (3,), targets (2,M) in pixels, certainty (M,),
    one over the variance.
    """
    height, width = moving.shape[1:]
    scale = np.array([1, 1]) if zoom is None else 1 / zoom[[i, j]]
    u = (np.arange(size[0]) + 0.5) * width / size[0] - 0.5
    v = (np.arange(size[1]) + 0.5) * height / size[1] - 0.5
    grid = np.stack(np.meshgrid(u, v), axis=-1).astype(np.float32)
    centre = np.array([width / 2, height / 2], np.float32)
    target = sample(flow.target, grid)
    still = sample(still_target(flow, moving[i], moving[j]).astype(np.float32), grid) > 0.9
    spread = spread_of(sample(flow.error, grid), lengths(target - grid)) * np.float32(scale[1])
    relative = (state.world2cam[j] @ invert(state.world2cam[i])).astype(np.float32)
    points = ((grid - centre) * np.float32(scale[0] / state.focal)).reshape(-1, 2).T
    turned = relative[:3, :2] @ points + relative[:3, 2:3]
    targets = np.ascontiguousarray(((target - centre) * np.float32(scale[1])).reshape(-1, 2).T)
    return turned, relative[:3, 3], targets, np.where(still, 1 / spread**2, 0).ravel().astype(np.float32)


def _dense(inverse, known, limits, grey):
    """Depth and confidence (H,W) from inverse depth and its information (1 / variance), 0 where there is none."""
    told = known > 0
    if not told.any():
        return np.ones(grey.shape, np.float32), np.ones(grey.shape, np.float32)
    weight = np.minimum(known / np.median(known[told]), PEAK).astype(np.float32)
    smooth, certainty = fill_in(np.where(told, inverse, 0).astype(np.float32), weight, grey)
    # the surroundings count for as much as they are usually right here
    off = np.where(told, inverse - smooth, 0)
    usual = cv2.blur(off**2, (NEARBY, NEARBY)) / np.maximum(cv2.blur(told.astype(np.float32), (NEARBY, NEARBY)), 1e-3)
    own = known * usual / (known * usual + 1)
    found = np.clip(smooth + own * off, *limits)
    error = np.sqrt(1 / np.maximum(known, 1e-12) + (inverse - found) ** 2) / found
    confidence = np.where(told, np.maximum(confidence_of(error), FILLED), np.where(certainty > 0, FILLED, 1.0))
    return (1 / found).astype(np.float32), confidence.astype(np.float32)
