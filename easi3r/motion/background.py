"""What hides the background: every frame against what other frames, seen through the solved cameras, show there.

Flow loses what is small, fast and blurred. Once cameras and depth are known, it is told from what is behind it.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from ..camera import Camera, invert, transform
from ..colour import strongest
from ..threads import in_order
from .epipolar import MOST, RIM, spacing, without_rim
from .evidence import Evidence

# Other frames asked: so many frames away. Next to it, what moves mostly hides the same place; six away flow is as good.
NEAREST, FARTHEST = 2, 6
FEWEST = 3  # frames that must show a place for it to be known
SAME_DEPTH = 0.1  # a frame shows a place if its depth there is the place's to this share
CLEAR = 0.1  # and if what moves has no more than this share of the pixel
MOST_OF_THEM, SPREAD = 0.75, 2.0  # a place may look as unlike the middle as most frames do, and so many times more
UNIT = 4.0  # grey levels that count like an ordinary residual, as in `epipolar`
# Grey levels from which, and from which surely, something hides the background. 99 % of the static pixels of eight
# clips stay below 3 to 9; a ball that crosses the picture in six frames has 22 in the middle.
DOUBTFUL, SURE = 12.0, 30.0
MISFIT = 0.3  # share of a frame that may be hidden; more, and its camera, exposure or depth is wrong


def against_background(
    evidence: Evidence,
    frames: np.ndarray,
    depth: np.ndarray,
    cam2world: np.ndarray,
    intrinsics: np.ndarray,
    moving: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> Evidence:
    """`evidence` per pixel with what hides the background added to its `pixels`, and as `sure`.

    frames (T,H,W,3) uint8 RGB; depth (T,H,W) z depth; cam2world (T,4,4); intrinsics (T,3,3) pixels; moving (T,H,W)
    bool: what is known to move and hides the background in the frames that are asked. `progress` gets 0 to 1.
    """
    assert evidence.pixels is not None
    step = spacing(*frames.shape[1:3])
    height, width = evidence.pixels.shape[1:]
    views = _views(frames, depth, intrinsics, moving, (height, width), RIM // step)

    def hidden(i: int) -> np.ndarray:
        around = [k for k in range(len(frames)) if NEAREST <= abs(k - i) <= FARTHEST]
        return _hidden(views, cam2world, i, around)

    found = []
    for difference in in_order(hidden, range(len(frames))):
        found.append(difference)
        if progress:
            progress(len(found) / len(frames))
    difference = np.stack(found)
    if evidence.overlay is not None:  # its colours reach beyond it
        overlay = evidence.overlay[::step, ::step].astype(np.uint8)
        difference *= cv2.dilate(overlay, np.ones((5, 5), np.uint8)) == 0
    difference = without_rim(difference, RIM // step)
    return replace(
        evidence,
        pixels=np.maximum(evidence.pixels, np.minimum(np.log1p(difference / UNIT) / MOST, 1)).astype(np.float32),
        sure=np.clip((difference - DOUBTFUL) / (SURE - DOUBTFUL), 0, 1).astype(np.float32),
    )


def _views(frames, depth, intrinsics, moving, shape, rim):
    """Colours (h,w,3) float32, depth (h,w), share that moves (h,w) and `Camera` of every frame on a grid, `shape`."""
    size = shape[::-1]
    whole = frames.shape[2], frames.shape[1]
    kernel, views = np.ones((3, 3), np.uint8), []
    for frame, z, moves, matrix in zip(frames, depth, moving, intrinsics):
        colour = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        hides = cv2.dilate(cv2.resize(moves.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), kernel)
        inner = np.zeros(shape, bool)
        inner[rim : shape[0] - rim, rim : shape[1] - rim] = True  # at the rim of the picture may be a bar
        hides = np.where(inner, hides, 1).astype(np.float32)
        near = cv2.resize(z, size, interpolation=cv2.INTER_NEAREST)
        views.append((colour, near, hides, Camera(matrix, whole).scaled(*size)))
    return views


def _hidden(views, cam2world, i, others):
    """Grey levels (h,w) by which frame i differs from what all `others` agree on; 0 where too few show the place."""
    colour, depth, _, camera = views[i]
    points, seen = camera.unproject(depth), []
    for k in others:
        there, z_there, hides, other = views[k]
        pixels, z = other.project(transform(invert(cam2world[k]) @ cam2world[i], points))
        x, y = np.moveaxis(pixels.astype(np.float32), -1, 0)
        shown, z_shown, hidden = (
            cv2.remap(image, x, y, how, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
            for image, how, outside in (
                (there, cv2.INTER_LINEAR, 0),
                (z_there, cv2.INTER_NEAREST, 0),
                (hides, cv2.INTER_LINEAR, 1),
            )
        )
        ok = (z > 0) & (np.abs(z - z_shown) < SAME_DEPTH * z_shown) & (hidden < CLEAR)
        seen.append(np.where(ok[..., None], _as_bright(shown, colour, ok), np.nan))
    if not seen:
        return np.zeros(depth.shape, np.float32)
    stack = np.stack(seen)
    count = np.isfinite(stack[..., 0]).sum(axis=0)
    known = count >= FEWEST
    middle = _quantile(stack, count, 0.5)
    off = SPREAD * _quantile(np.abs(stack - middle), count, MOST_OF_THEM)
    kernel = np.ones((3, 3), np.uint8)  # a place of the grid beside it is as good
    low, high = cv2.erode(middle - off, kernel), cv2.dilate(middle + off, kernel)
    difference = np.where(known, strongest(np.maximum(low - colour, colour - high)).clip(0), 0)
    smooth = cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 1) * known
    return smooth * ((smooth > DOUBTFUL).sum() < MISFIT * max(known.sum(), 1))


def _as_bright(shown, colour, ok):
    """`shown` (h,w,3) with the exposure of `colour` (h,w,3), as the pixels `ok` (h,w) say."""
    if not ok.any():
        return shown
    return shown * (np.median(colour[ok], axis=0) + 1) / (np.median(shown[ok], axis=0) + 1)


def _quantile(stack, count, share):
    """Quantile (h,w,3) over the first axis of `stack` (n,h,w,3), of its `count` (h,w) values; else 0."""
    place = np.floor(share * np.maximum(count - 1, 0)).astype(int)[None, ..., None]
    return np.nan_to_num(np.take_along_axis(np.sort(stack, axis=0), place, axis=0)[0]).astype(np.float32)
