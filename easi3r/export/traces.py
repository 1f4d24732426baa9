"""What movers leave beside their masks: shadows, blur, rims. It differs from what other frames show in that place."""

import functools
from dataclasses import replace

import cv2
import numpy as np

from ..colour import strongest
from ..large import MANY, around, frames_of, zeros
from ..reconstruction import Reconstruction
from .reproject import reproject

_RIM = 1 / 128  # how far a mover reaches beyond its mask, share of the longer side
_STEP = 4  # pixels of a cell: misaligned texture averages out, a shadow does not
_OTHERS, _NEAREST = 8, 2  # frames asked, and how far away at least: the next ones have the shadow in the same place
_FEWEST = 3  # of them that must show a place
_CLEAR = 0.1  # share of a cell that may be hidden in a frame that shows it
_SAME = 0.08  # relative difference of depth within which two frames see the same surface
# Grey levels beyond what the others differ by among themselves. Of the pixels of the three examples that movers change
# outside of their masks by more than 6 levels, 79 % (room, with soft shadows) to 99 % (street) are found at 5; 2 to 5 %
# of the untouched ones are taken with them, which costs little, as other frames show them too.
_DIFFERENT = 5.0
_REACH = 1 / 20  # how far from the mask, share of the longer side
_TOUCHED = 0.25  # share of a cell that moves, from which on traces begin at it
_ROUND = 0.1  # of the enlarged cells, between 0 and 1: takes them a little larger, and smooth


def with_rim(dynamic: np.ndarray) -> np.ndarray:
    """Masks (T,H,W) bool made wider: they often end a little inside their object, or where it is blurred."""
    radius = max(1, round(_RIM * max(dynamic.shape[1:])))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    wider = zeros(dynamic.shape, bool)
    for t, mask in enumerate(dynamic):
        wider[t] = cv2.dilate(mask.view(np.uint8), disc) > 0
    return wider


def with_traces(result: Reconstruction, hidden: np.ndarray) -> np.ndarray:
    """`hidden` (T,H,W) bool, what moves, and what beside it looks otherwise than other frames show that place."""
    turning = result.turns_only
    n_frames, height, width = hidden.shape
    size = -(-width // _STEP), -(-height // _STEP)

    @functools.lru_cache(maxsize=MANY + 1)  # what is asked lies around
    def view(t):
        """Of frame t, cell by cell (h,w): colours (h,w,3), the share that is hidden, and depth; float32."""
        soft = cv2.GaussianBlur(result.frames[t], (0, 0), _STEP / 3)
        colour = cv2.resize(soft, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        share = cv2.resize(hidden[t].astype(np.float32), size, interpolation=cv2.INTER_AREA)
        depth = cv2.resize(result.depth[t], size, interpolation=cv2.INTER_NEAREST)
        return colour, share, np.ones_like(depth) if turning else depth

    cells = replace(result, intrinsics=np.stack([camera.scaled(*size).intrinsics for camera in result.cameras]))
    grown = zeros(hidden.shape, bool)
    for t in frames_of(result):
        grown[t] = hidden[t]
        if not hidden[t].any():
            continue
        seen = [_seen_from(cells, view, t, s, turning) for s in _others(t, n_frames)]
        if len(seen) >= _FEWEST:
            colour, share, _ = view(t)
            marked = _beside(_difference(colour, np.stack(seen)) > _DIFFERENT, share > _TOUCHED)
            grown[t] |= cv2.resize(marked.astype(np.float32), (width, height)) > _ROUND
    return grown


def _others(t, n_frames):
    """Half of them close by, as the light changes; the others spread over what is `around`, as movers may rest."""
    order = sorted((s for s in around(t, n_frames) if abs(s - t) >= _NEAREST), key=lambda s: abs(s - t))
    half = _OTHERS // 2
    far = order[half:]
    spread = np.unique(np.linspace(0, len(far) - 1, half).astype(int)) if far else []
    return order[:half] + [far[k] for k in spread]


def _seen_from(cells, view, t, s, turning):
    """What frame s shows at the cells of frame t: (h,w,3) float32, NaN where it does not show them."""
    colour, share, there = view(s)
    height, width = share.shape
    places = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    x, y, z = reproject(cells, s, t, places, view(t)[2], not turning)
    ok = cv2.remap(share, x, y, cv2.INTER_LINEAR, borderValue=1) < _CLEAR
    if not turning:
        ok &= np.abs(cv2.remap(there, x, y, cv2.INTER_NEAREST) / z - 1) < _SAME
    return np.where(ok[..., None], cv2.remap(colour, x, y, cv2.INTER_LINEAR), np.nan)


def _difference(colour, seen):
    """Grey levels (h,w) by which `colour` (h,w,3) leaves the range of what is `seen` there, (n,h,w,3)."""
    ordered = np.sort(seen, axis=0)  # NaN come last
    count = np.isfinite(ordered[..., 0]).sum(axis=0)

    def quantile(share):
        place = np.rint(share * np.maximum(count - 1, 0)).astype(int)
        return np.nan_to_num(np.take_along_axis(ordered, place[None, ..., None], axis=0)[0])

    low, middle, high = quantile(0.25), quantile(0.5), quantile(0.75)
    beyond = strongest(np.maximum(2 * low - middle - colour, colour - (2 * high - middle)))
    return cv2.GaussianBlur(np.where(count >= _FEWEST, beyond, 0).clip(0).astype(np.float32), (0, 0), 0.7)


def _beside(different, moving):
    """Cells (h,w) bool that are different and connected with what is moving, no farther than `_REACH`."""
    radius = max(1, round(_REACH * max(moving.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    near = cv2.dilate(moving.astype(np.uint8), disc) > 0
    _, labels = cv2.connectedComponents((different & near | moving).astype(np.uint8), connectivity=4)
    return np.isin(labels, np.unique(labels[moving])) & (labels > 0)
