"""What moves: flow that the camera's motion does not explain.

Two explanations of a pair are tried. A homography (one dominant plane, or a camera that only turns) and an epipolar
geometry (any rigid scene). The second always fits better, also to things that happen to move along epipolar lines, so a
pixel must contradict both; only where the first leaves more of the picture unexplained than moving objects usually
fill, the second alone decides.
"""

from collections.abc import Callable

import cv2
import numpy as np

from ..flow import Flow, apply_homography, fit_homography, grid_matches, inside, lengths, pixel_grid, sample
from ..overlays import find_overlay
from ..threads import in_order
from .evidence import Evidence

# Frame gaps used, times the stride: near pairs, whose flow is dependable. The third one adds .02 to mean J before
# outlines follow colours (four real, three rendered clips): what is slow moves further in five frames than flow is
# wrong.
OFFSETS = (1, 3, 5)
# A longer way counts if this share of its pixels is confirmed. Ten frames of `orbit` keep .17 and .23 over 3 and 5 of
# them and lose .23 of J by these; where .45 and more is left they help.
FOLLOWED = 1 / 3
MOST = np.log1p(30.0)  # residuals count up to 30 times the ordinary one
PLANE_ENOUGH, PLANE_FAILS = 0.25, 0.35  # share of the picture that the homography leaves unexplained between neighbours
ACROSS = 224  # evidence is kept on a grid of about this many pixels along the longer side: flow is no finer
RIM = 8  # pixels, one patch of the flow: nearer to the border it is dragged along by what comes into the picture


def spacing(height: int, width: int) -> int:
    """Every how many pixels of a frame of this size evidence is kept."""
    return max(1, round(max(height, width) / ACROSS))


def pair_residuals(flow: Flow, grey_i: np.ndarray, grey_j: np.ndarray, step: int = 1) -> dict | None:
    """Residuals of one directed pair at every `step`-th pixel, or None if too little of it matches.

    Returns a dict of (h,w) arrays: `plane`, `epipolar` in multiples of the pair's ordinary residual, `appearance` (how
    badly the dominant motion predicts the grey value, same kind of unit), `seen` (the dominant motion keeps the pixel
    in the picture), `consistent`; and `unexplained`, the share of the picture that the plane does not explain.
    """
    source, target = grid_matches(flow)
    homography = fit_homography(source, target)
    if homography is None:
        return None
    height, width = grey_i.shape
    cells = (slice(None, None, step),) * 2
    grid, went, ok, grey = pixel_grid(height, width)[cells], flow.target[cells], flow.consistent[cells], grey_i[cells]
    predicted = apply_homography(homography, grid)
    plane = lengths(predicted - went)
    epipolar, nearest = _epipolar_residual(source, target, grid, went, plane, predicted)
    in_plane, measured = sample(grey_j, predicted), np.abs(sample(grey_j, went) - grey)
    plane = plane / max(0.25, np.median(plane[ok]))
    epipolar = epipolar / max(0.15, np.median(epipolar[ok]))
    noise = max(0.3, np.median(measured[ok]))  # grey levels; rounding alone makes 0.3

    def as_seen(residual, still):
        """`residual` as far as the picture tells the flow from the nearest place where it would be none; `still` is the
        grey there.
        """
        return np.where(ok, residual * contradiction(np.abs(still - grey), measured, noise, step), residual)

    return {
        "plane": as_seen(plane, in_plane),
        "epipolar": as_seen(epipolar, sample(grey_j, nearest)),
        "appearance": _appearance_residual(grey, in_plane, step),
        "seen": inside(predicted, height, width),
        "consistent": ok,
        "unexplained": (plane[ok] > 2.5).mean(),
    }


def _epipolar_residual(source, target, grid, flow_target, *fallback):
    """Sampson distance (pixels) of every pixel to a robust fundamental matrix, and the point of its epipolar line
    nearest to the flow's target, (h,w,2) pixels; `fallback` where there is no such matrix.
    """
    try:
        matrix, _ = cv2.findFundamentalMat(source, target, cv2.USAC_MAGSAC, 0.3, 0.9999, 3000)
    except cv2.error:  # OpenCV raises, instead of returning nothing, on a degenerate sample (no parallax at all)
        return fallback
    if matrix is None or matrix.shape != (3, 3):
        return fallback
    u, v = grid[..., 0], grid[..., 1]
    to_u, to_v = flow_target[..., 0], flow_target[..., 1]
    line_j = [m[0] * u + m[1] * v + m[2] for m in matrix]  # F x
    line_i = [m[0] * to_u + m[1] * to_v + m[2] for m in matrix.T[:2]]  # F^T x'
    distance = to_u * line_j[0] + to_v * line_j[1] + line_j[2]
    square_j, square_i = (a**2 + b**2 + 1e-12 for a, b in (line_j[:2], line_i))
    back = distance / square_j
    nearest = np.stack([to_u - line_j[0] * back, to_v - line_j[1] * back], axis=-1)
    return np.abs(distance) / np.sqrt(square_j + square_i), nearest


def contradiction(still: np.ndarray, measured: np.ndarray, noise: float, step: int) -> np.ndarray:
    """How clearly the picture speaks against standing still, (h,w) in [0,1].

    still, measured: absolute errors (h,w), in grey levels, of the grey values that a static scene and the measured flow
    predict. On weak texture, flow is dragged along by moving things nearby; there both predict about equally well, and
    the flow proves nothing.
    """
    gain = np.minimum(still, 30) ** 2 - np.minimum(measured, 30) ** 2  # beyond 30 something hides the place
    gain = np.maximum(cv2.GaussianBlur(gain, (0, 0), 4 / step), 0) / noise**2  # over about one patch of the flow
    return gain / (gain + 0.1)


def _appearance_residual(grey, warped, step):
    """Grey value difference that a shift by one place of the grid cannot explain, in steps of 4 grey levels."""
    kernel = np.ones((3, 3), np.uint8)
    beyond = np.maximum(cv2.erode(warped, kernel) - grey, grey - cv2.dilate(warped, kernel))
    return cv2.GaussianBlur(np.maximum(beyond, 0), (0, 0), 1.5 / step) / 4


def epipolar_evidence(
    frames: np.ndarray,
    flows: dict[tuple[int, int], Flow],
    grid: tuple[int, int],
    progress: Callable[[float], None] | None = None,
    stride: int = 1,
) -> Evidence:
    """Evidence of motion on a grid (h, w) of tokens, from frames (T,H,W,3) uint8 RGB and flows (i, j) -> Flow.

    stride: frames from one to the next that are compared, in which what moves has gone far enough to be told.

    Its pixels, every `spacing`-th, are absolute: log(1 + residual) / `MOST`, residual in multiples of the ordinary one.
    Its maps: mean and standard deviation over the pairs of the residuals of both explanations. `progress` gets 0 to 1.
    """
    overlay = find_overlay(frames)
    values, weight, maps = _pixel_evidence(frames, flows, overlay, progress, [stride * offset for offset in OFFSETS])
    return Evidence(
        maps={name: to_tokens(pixels, grid) for name, pixels in maps.items()},
        values=to_tokens(values, grid),
        pixels=values,
        weight=weight,
        overlay=overlay,
    )


def to_tokens(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Maps (T,y,x) as means per token of a grid (h, w), (T,h,w) float32."""
    return np.stack(
        [cv2.resize(np.ascontiguousarray(m), grid[::-1], interpolation=cv2.INTER_AREA) for m in maps]
    ).astype(np.float32)


def _pixel_evidence(frames, flows, overlay, progress, offsets):
    """Evidence (T,h,w) float32 in [0,1] at every `spacing`-th pixel, how well it is known (T,h,w) in [0,1], and a dict
    name -> (T,h,w) float32 of what it was made from.
    """
    step = spacing(*frames.shape[1:3])
    near = [(i, j) for i, j in flows if abs(i - j) in offsets]
    nearest = min((abs(i - j) for i, j in near), default=0)
    shape = frames[:, ::step, ::step].shape[:3]
    sums = {name: np.zeros((3, *shape), np.float32) for name in ("plane", "epipolar")}  # weight, value, value^2
    unexplained = []
    grey = [cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1) for f in frames]

    def told(pair: tuple[int, int]) -> tuple[dict[str, np.ndarray], float]:
        """Name -> (3,h,w), what the pair adds to the sums, and its share of the unexplained."""
        i, j = pair
        p, short = pair_residuals(flows[pair], grey[i], grey[j], step), abs(i - j) == nearest
        if p is None or not (short or p["consistent"].mean() >= FOLLOWED):
            return {}, np.nan
        # Flow that the way back does not confirm (fast or occluded) counts for motion only as far as the pixel's look
        # changes too, and hardly where another pair shows the pixel well.
        weight = np.where(p["consistent"], 1.0, np.where(p["seen"], 0.1, 0.0))
        look = 1.5 * np.log1p(np.minimum(p["appearance"], 10)) / MOST
        added = {}
        for name in ("plane", "epipolar") if short else ("epipolar",):  # a plane stands for a scene over short ways
            value = np.minimum(np.log1p(p[name]) / MOST, 1)
            value = np.where(p["consistent"], value, np.minimum(value, look))
            added[name] = weight * np.stack([np.ones_like(value), value, value**2])
        return added, p["unexplained"] if short else np.nan

    for done, ((i, _), (added, share)) in enumerate(zip(near, in_order(told, near))):
        if progress:
            progress((done + 1) / len(near))
        for name, values in added.items():
            sums[name][:, i] += values
        if np.isfinite(share):
            unexplained.append(share)
    plane, epipolar = (s[1] / (s[0] + 1e-6) for s in sums.values())
    share = np.median(unexplained) if unexplained else 0.0
    trust = np.clip((share - PLANE_ENOUGH) / (PLANE_FAILS - PLANE_ENOUGH), 0, 1)  # in the epipolar geometry alone
    evidence = plane ** (0.5 * (1 - trust)) * epipolar ** (0.5 * (1 + trust))
    # what stands still while the picture moves is not motion of the scene
    evidence[:, overlay[::step, ::step]] = np.median(evidence)
    weight = sums["epipolar"][0]
    return without_rim(evidence, RIM // step), weight / max(weight.max(), 1e-6), _display(sums)


def without_rim(maps: np.ndarray, rim: int) -> np.ndarray:
    """Maps (T,h,w) whose outer `rim` pixels are those next to them."""
    inner = maps[:, rim:-rim, rim:-rim] if min(maps.shape[1:]) > 2 * rim > 0 else maps
    missing = [(0, 0), *(((full - kept) // 2,) * 2 for full, kept in zip(maps.shape[1:], inner.shape[1:]))]
    return np.pad(inner, missing, mode="edge")


def _display(sums):
    maps = {}
    for name, (weight, first, second) in sums.items():
        mean = first / (weight + 1e-6)
        maps[f"{name}_mean"] = mean
        maps[f"{name}_std"] = np.sqrt(np.maximum(second / (weight + 1e-6) - mean**2, 0))
    return maps
