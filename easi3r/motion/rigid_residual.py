"""What moves, once cameras and depth are known: measured flow against the flow that a rigid scene would have.

Source: specification da3.md, section 11. It needs no attention, so it serves every system with cameras and depth.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from skimage.filters import threshold_otsu

from ..camera import Camera, invert, transform
from ..flow import Flow, inside, pixel_grid, sample
from ..threads import in_order
from .epipolar import MOST, RIM, contradiction, spacing, to_tokens, without_rim
from .evidence import Evidence

FLOW_ERROR, FLOW_SHARE = 0.5, 0.02  # of flow: so many pixels, and this share of the way
DEPTH_ERROR = 0.05  # share by which depth may be wrong: so much is forgiven along the parallax
# A residual counts against this share of what the clip's movers typically have: flow drags along what is beside them.
# Mean J with 1/4 (1/3) on true geometry .80 (.81), .92 (.92), .88 (.90) in street, room, orbit; without it, in units of
# the flow's error, .75, .89, .83; with four of these, slow movers of real clips are lost.
SHARE_OF_MOVERS, LEAST_UNIT, LARGEST_UNIT = 0.25, 1.0, 4.0
INFORMED = 1.0  # confidence of depth that is known; at or below it the epipolar evidence decides alone
UNCONFIRMED = 0.25  # weight of a pixel whose flow nothing confirms, as is usual on the movers themselves
ROUNDS = 6  # of re-weighting in the fit of camera errors
FITTED = 3000  # pixels that these are fitted to, for seven parameters
FEWEST = 50  # pixels without which nothing is fitted


def rigid_evidence(
    epipolar: Evidence,
    frames: np.ndarray,
    flows: Mapping[tuple[int, int], Flow],
    depth: np.ndarray,
    confidence: np.ndarray,
    cam2world: np.ndarray,
    intrinsics: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> tuple[Evidence, float]:
    """Evidence of motion per pixel: the geometric mean of `epipolar`, which knows no depth, and of the residual.

    A pixel must contradict both. epipolar: of the same frames (T,H,W,3) uint8 RGB. flows: (i, j) -> Flow, at least one
    of every frame. depth (T,H,W) z depth and its confidence; cam2world (T,4,4); intrinsics (T,3,3) pixels. `progress`
    gets 0 to 1. Also returns by how many pixels the cameras are wrong, the median over pixels and pairs.
    """
    assert epipolar.pixels is not None and epipolar.weight is not None
    step = spacing(*frames.shape[1:3])
    cells = (slice(None, None, step),) * 2
    cameras = [Camera(matrix, (frames.shape[2], frames.shape[1])) for matrix in intrinsics]
    grey = [cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1) for f in frames]

    def of_frame(i):
        own, found, wrong = grey[i][cells], [], []
        for j in sorted(j for k, j in flows if k == i):
            target, ok = flows[i, j].target[cells], flows[i, j].consistent[cells]
            relative = invert(cam2world[j]) @ cam2world[i]
            value, place, off = residual(depth[i][cells], cameras[i], cameras[j], relative, target, ok)
            seen = np.abs(sample(grey[j], target) - own)
            noise = max(0.3, np.median(seen[ok])) if ok.any() else 0.3  # as in `epipolar`
            stays = inside(target, *frames.shape[1:3]) & np.isfinite(value)
            speaks = contradiction(np.abs(sample(grey[j], place) - own), seen, noise, step)
            found.append((np.where(stays, value, 0) * np.where(stays, speaks, np.nan), ok & stays, abs(i - j)))
            wrong.append(off)
        return *_median(found), float(np.median(wrong))

    values, weights, wrong = [], [], []
    for value, weight, off in in_order(of_frame, range(len(frames))):
        values.append(value)
        weights.append(weight)
        wrong.append(off)
        if progress:
            progress(len(values) / len(frames))
    rigid = without_rim(np.minimum(np.log1p(np.stack(values) / _unit(np.stack(values))) / MOST, 1), RIM // step)
    trust = np.where(confidence[(slice(None), *cells)] > INFORMED, 0.5, 0.0)
    pixels = (np.maximum(epipolar.pixels, 1e-6) ** (1 - trust) * np.maximum(rigid, 1e-6) ** trust).astype(np.float32)
    weight = np.maximum(epipolar.weight, np.where(trust > 0, np.stack(weights), 0)).astype(np.float32)
    grid = epipolar.values.shape[1:]
    maps = {**epipolar.maps, "rigid": to_tokens(rigid, grid)}
    fused = replace(epipolar, maps=maps, values=to_tokens(pixels, grid), pixels=pixels, weight=weight)
    return fused, float(np.median(wrong))


def residual(
    depth: np.ndarray, own: Camera, other: Camera, relative: np.ndarray, target: np.ndarray, ok: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """(h,w) residuals of measured against rigid flow, in multiples of the errors of flow and depth, inf: behind the
    other camera; (h,w,2) the place nearest to the target that the rigid scene allows; the pixels by which cameras err.

    depth (h,w) of every n-th pixel of a frame with camera `own`; relative (4,4): from that camera to the `other`;
    target (h,w,2): pixels (u,v), where each went; ok (h,w): pixels whose flow is confirmed, to which camera errors are
    fitted, which do not count as residuals.
    """
    grid = pixel_grid(*depth.shape) * round(own.size[0] / depth.shape[1])
    rays = np.dstack([grid, np.ones_like(depth)]) @ np.linalg.inv(own.intrinsics).T  # (h,w,3)
    points = transform(relative, rays * depth[..., None])
    before = points[..., 2] > 1e-3 * np.median(depth)
    z = np.where(before, points[..., 2], 1.0)
    focals, centre = other.intrinsics[(0, 1), (0, 1)], other.intrinsics[:2, 2]
    place = points[..., :2] / z[..., None] * focals + centre  # (h,w,2)
    shift = other.intrinsics @ relative[:3, 3]
    parallax = (place * shift[2] - shift[:2]) / z[..., None]  # (h,w,2) pixels per unit of relative depth error
    of_cameras = _camera_errors(target - place, (place - centre) / focals, z, focals, ok & before)
    error = target - place - of_cameras
    length = np.linalg.norm(parallax, axis=-1)
    along = parallax / np.maximum(length, 1e-9)[..., None]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    e_along, e_across = (error * along).sum(-1), (error * across).sum(-1)
    square = (FLOW_ERROR + FLOW_SHARE * np.linalg.norm(target - grid, axis=-1)) ** 2
    forgiven = DEPTH_ERROR * length
    turns = length < 1e-6  # a camera that only turns has no parallax
    m = np.where(turns, (error**2).sum(-1) / square, e_across**2 / square + e_along**2 / (square + forgiven**2))
    beyond = np.sign(e_along) * np.maximum(np.abs(e_along) - forgiven, 0)
    off = np.where(turns[..., None], error, e_across[..., None] * across + beyond[..., None] * along)
    wrong = np.linalg.norm(of_cameras[ok & before], axis=-1)
    return np.where(before, np.sqrt(m), np.inf), target - off, float(np.median(wrong)) if len(wrong) else 0.0


def _camera_errors(error, ray, z, focals, known):
    """(h,w,2) pixels: the part of `error` (h,w,2) that small errors of rotation, translation and focal explain, fitted
    robustly to the pixels `known` (h,w). ray (h,w,2), z (h,w): where points are in the other camera.
    """
    if known.sum() < FEWEST:
        return np.zeros_like(error)
    (a, b), zero, near = np.moveaxis(ray, -1, 0), np.zeros_like(z), 1 / z
    x = focals[0] * np.stack([-a * b, 1 + a * a, -b, near, zero, -a * near, a], axis=-1)  # (h,w,7)
    y = focals[1] * np.stack([-(1 + b * b), a * b, a, zero, near, -b * near, b], axis=-1)
    every = max(1, int(known.sum()) // FITTED)
    rows = np.stack([x[known][::every], y[known][::every]], axis=1)  # (n,2,7)
    right, scale = error[known][::every], np.linalg.norm(rows, axis=(0, 1)) + 1e-12
    rows, weight, fit = rows / scale, np.ones(len(right)), np.zeros(7)
    for _ in range(ROUNDS):
        weighted = rows * weight[:, None, None]
        normal = np.einsum("nki,nkj->ij", weighted, rows)
        damped = normal + 1e-9 * np.trace(normal) * np.eye(7)
        fit = np.linalg.solve(damped, np.einsum("nki,nk->i", weighted, right))
        rest = np.linalg.norm(right - rows @ fit, axis=-1)
        weight = 1 / (1 + (rest / (1.4826 * np.median(rest) + 1e-9)) ** 2) ** 2
    fit = fit / scale
    return np.stack([x @ fit, y @ fit], axis=-1)


def _median(found):
    """(h,w) median over a frame's pairs where their flow is confirmed, elsewhere over the nearest pairs, 0 where no
    pixel stays in the picture; and its weight. An occlusion or a bad match spoils few of the pairs.
    """
    nearest = min(gap for *_, gap in found)
    confirmed = _nanmedian(np.stack([np.where(ok, value, np.nan) for value, ok, _ in found]))
    filling = _nanmedian(np.stack([value for value, _, gap in found if gap == nearest]))
    count = sum(ok.astype(int) for _, ok, _ in found)
    weight = np.where(count > 0, np.minimum(count / 2, 1), np.where(np.isfinite(filling), UNCONFIRMED, 0))
    return np.nan_to_num(np.where(count > 0, confirmed, filling)), weight


def _nanmedian(stack):
    """Median (h,w) over the first axis of what is no NaN; NaN where nothing is. numpy's is a hundred times slower."""
    ordered, count = np.sort(stack, axis=0), np.isfinite(stack).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, np.maximum(count - 1, 0))
    return (np.take_along_axis(ordered, low[None], 0)[0] + np.take_along_axis(ordered, high[None], 0)[0]) / 2


def _unit(residuals):
    """What residuals (T,h,w) are measured in, see `SHARE_OF_MOVERS`."""
    logs = np.log1p(residuals)
    if logs.min() == logs.max():
        return LEAST_UNIT
    typical = np.expm1(np.median(logs[logs > threshold_otsu(logs)]))
    return float(np.clip(SHARE_OF_MOVERS * typical, LEAST_UNIT, LARGEST_UNIT))
