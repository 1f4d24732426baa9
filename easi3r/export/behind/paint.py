"""Holes are filled with what other frames show there.

Every frame keeps its own pixels. A hole is filled from a few other frames, one after the other, read between their
pixels, not averaged. Each is fitted at the seam by what the two differ there, carried on smoothly inside (Perez et al.
2003, Poisson image editing, in the approximation of a pyramid: Gortler et al. 1996, The Lumigraph, section 3.4). Where
frames contradict each other nothing is filled.
"""

import cv2
import numpy as np

from ...colour import strongest
from ...large import frames_of, zeros
from ...reconstruction import Reconstruction
from ...threads import in_order
from .surface import depth_behind
from .window import Clip, Window, box_of

_SOURCES = 8  # frames that one is filled from
_NEARBY = 3.0  # frames away at which one counts half as much; 1.5 and 6 are up to .3 dB worse
_MARGIN = 1 / 28  # width of what is looked at around a hole, share of the longer side
_PLACES = 400  # of a hole, that tell which frames show it
_AGAIN = 0.25  # what it counts that a frame shows a place that another one shows already
# Grey levels by which frames may contradict each other: so much, or what most pixels beside the hole are off from what
# this frame shows, if that is more. At 24 instead of 12, 3 % more of the holes are filled, at a loss of .3 to 1.5 dB.
_STRANGE, _STRANGEST, _MOST = 12.0, 32.0, 0.9
# Frames that have to agree; if only two show a place, both, and by half as many grey levels. What is beside a mover and
# not in its mask is left as it is if fewer do. Together worth 1.2 dB in the street, .4 in the room, 1.8 in the orbit,
# for another 5, 6 and 5 % of the holes. Where depth does not matter frames are right more often: two are enough.
_AGREE, _TWO = 3, 0.5
_SEAM = 4  # pixels beside a hole that are compared
_AT_SEAM = 40.0  # grey levels; what differs more there is not the same thing
_LEAST = 4  # pixels; fewer are not worth a seam
_GAIN = 0.5, 2.0  # exposures of two frames differ by no more
_OVERLAP, _TOLD = 50, 2000  # least and most pixels that tell by how much


def uncovered(
    result: Reconstruction, moving: np.ndarray, hidden: np.ndarray, turning: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The frames without what moves, (T,H,W) bool, and as far as can be without what else is `hidden`, its shadows.

    turning: whether the camera only turns; then frames lie over each other without depth.
    Returns pictures (T,H,W,3) uint8 RGB and where they are known (T,H,W) bool; elsewhere they are black.
    """
    clip = Clip(result, moving, hidden, turning)
    pictures, known = zeros(result.frames.shape, np.uint8), zeros(moving.shape, bool)
    for t, (picture, seen) in enumerate(in_order(lambda t: _filled(clip, t), frames_of(result))):
        pictures[t], known[t] = picture, seen
    return pictures, known


def _filled(clip, t):
    """Picture (H,W,3) uint8 of frame t and where it is known (H,W) bool."""
    picture, known = clip.frames[t].copy(), ~clip.moving[t]
    if known.all():
        return picture, known
    window = Window(clip, t, round(_MARGIN * max(known.shape)))
    sources = _ranked(window)
    if sources:
        window.depth = depth_behind(window, sources)
        image, filled = _composed(window, *_looked_up(window, sources))
        picture[window.box][filled] = np.rint(image[filled]).clip(0, 255)
        known[window.box] |= filled
    picture[~known] = 0
    return picture, known


def _ranked(window):
    """Numbers of the frames to fill from: first the one that shows most of the holes, is near and sharp."""
    clip, known = window.clip, (window.depth > 0).astype(np.float32)
    rows, columns = (each[:: max(1, window.hole.sum() // _PLACES)] for each in np.nonzero(window.hole))
    guess = np.exp(_carried_on(np.log(np.where(known > 0, window.depth, 1))[..., None], known)[..., 0])
    place = window.u[:, columns], window.v[rows].T, guess[rows, columns][None]
    worth = {}
    for s in clip.usable(window.t):
        if s != window.t:
            seen = clip.shows(s, *clip.project(s, window.t, *place)[:2])[0]
            worth[s] = seen * clip.sharp[s] / (1 + abs(s - window.t) / _NEARBY)
    chosen, left = [], np.ones(len(rows))
    while worth and len(chosen) < _SOURCES:
        best = max(worth, key=lambda s: float((worth[s] * left).sum()))
        seen = worth.pop(best) > 0
        if not seen.any():
            break
        left[seen] *= _AGAIN
        chosen.append(best)
    return chosen


def _looked_up(window, sources):
    """What the sources show: colours (n,h,w,3) float32, with the exposure of this frame; where they do (n,h,w) bool;
    and where there is no edge beside it that may be off."""
    clip, shape = window.clip, (len(sources), *window.hole.shape)
    colours, seen, clear = np.empty((*shape, 3), np.float32), np.empty(shape, bool), np.empty(shape, bool)
    for k, s in enumerate(sources):
        x, y, z = window.seen_in(s, window.depth)
        same, alone = clip.surfaces(s, x, y, z)
        seen[k] = (window.depth > 0) & clip.shows(s, x, y) & same
        clear[k] = seen[k] & alone
        colours[k] = cv2.remap(clip.frames[s], x, y, cv2.INTER_CUBIC)
        both = np.flatnonzero(seen[k] & ~window.hole)
        if len(both) > _OVERLAP:
            both = both[:: -(-len(both) // _TOLD)]
            ours, theirs = (np.median(image.reshape(-1, 3)[both], axis=0) + 1 for image in (window.image, colours[k]))
            colours[k] *= (ours / theirs).clip(*_GAIN)
    trusted = _trusted(window, colours, seen, clear)
    return colours, seen & trusted, clear & trusted


def _trusted(window, colours, seen, clear):
    """Where sources are right, (n,h,w) bool: they agree with others; one that is alone has to be clear."""
    height, width = seen.shape[1:]
    size = -(-width // 2), -(-height // 2)  # texture that is off by a pixel is no contradiction
    small = np.stack([cv2.resize(colour, size, interpolation=cv2.INTER_AREA) for colour in colours])
    ok, alone = (
        np.stack([cv2.resize(one.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for one in each])
        for each in (seen, clear)
    )
    count = ok.sum(axis=0)
    ordered = np.sort(np.where(ok[..., None], small, np.float32(1e9)), axis=0)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None, ..., None] // 2, axis=0)[0]
    own = cv2.resize(window.image, size, interpolation=cv2.INTER_AREA)
    hole, moving = (
        cv2.resize(one.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for one in (window.hole, window.moving)
    )
    usual = strongest(np.abs(small - own))[ok & ~hole]
    limit = np.clip(np.quantile(usual, _MOST), _STRANGE, _STRANGEST) if len(usual) else _STRANGE
    needed, two = (2, 1) if window.clip.turning else (_AGREE, _TWO)
    agrees = ok & (strongest(np.abs(small - middle)) < limit * np.where(count == 2, two, 1))
    agreeing = agrees.sum(axis=0)
    wrong = ok & np.where(count == 1, ~alone, ~agrees | (agreeing < np.clip(count, 2, needed)))
    wide = np.stack([cv2.dilate(one.view(np.uint8), np.ones((3, 3), np.uint8)) for one in wrong])
    if not window.clip.turning:
        wide[:, hole & ~moving & (agreeing < needed)] = 1
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST) == 0 for one in wide])


def _composed(window, colours, seen, clear):
    """Picture (h,w,3) float32 with its holes filled, and which of their pixels are, (h,w) bool."""
    image, known = window.image.copy(), ~window.hole
    for colour, shown in [*zip(colours, clear), *zip(colours, seen)]:
        region = shown & ~known
        if region.sum() < _LEAST:
            continue
        part = box_of(region, 4 * _SEAM)
        inside, theirs = region[part], colour[part]
        beside = cv2.dilate(inside.view(np.uint8), np.ones((2 * _SEAM + 1,) * 2, np.uint8)) > 0
        beside &= known[part] & shown[part]
        step = image[part] - theirs
        beside &= strongest(np.abs(step)) < _AT_SEAM
        image[part][inside] = (theirs + _carried_on(step, beside.astype(np.float32)))[inside]
        known |= region
    return image, known & window.hole


def _carried_on(values, weight):
    """Values (h,w,c) float32 where the weight (h,w) is 1, carried on smoothly to where it is 0; else all are 0."""
    height, width = weight.shape
    if min(height, width) <= 2 or weight.all():
        mean = (values * weight[..., None]).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-9)
        return np.where(weight[..., None] > 0, values, mean).astype(np.float32)
    size = -(-width // 2), -(-height // 2)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
    means = summed.reshape(*share.shape, -1) / np.maximum(share, 1e-9)[..., None]  # OpenCV drops a single channel
    coarse = _carried_on(means, np.minimum(4 * share, 1))
    wide = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return wide + weight[..., None] * (values - wide)
