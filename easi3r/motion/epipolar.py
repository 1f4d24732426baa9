"""What moves: flow that the camera's motion does not explain.

Two explanations of a pair are tried. A homography (one dominant plane, or a camera that only turns) and an epipolar
geometry (any rigid scene). The second always fits better, also to things that happen to move along epipolar lines, so a
pixel must contradict both; only where the first leaves more of the picture unexplained than moving objects usually
fill, the second alone decides.
"""

import cv2
import numpy as np

from ..flow import Flow, apply_homography, fit_homography, grid_matches, inside, pixel_grid, sample
from ..overlays import find_overlay
from ..threads import in_order
from .evidence import Evidence

OFFSETS = (1, 3)  # frame gaps used: near pairs, whose flow is dependable
MOST = np.log1p(30.0)  # residuals count up to 30 times the ordinary one
NOISE = 0.8 / MOST  # evidence below this is noise: about 1.2 times the ordinary residual, or 0.3 pixels
SURE = np.log1p(2.5) / MOST  # evidence above this is motion: 2.5 times the ordinary residual
PLANE_ENOUGH, PLANE_FAILS = 0.25, 0.35  # share of the picture that the homography leaves unexplained between neighbours


def pair_residuals(flow: Flow, grey_i: np.ndarray, grey_j: np.ndarray) -> dict | None:
    """Residuals of one directed pair, or None if too little of it matches.

    Returns a dict of (H,W) arrays: `plane`, `epipolar` in multiples of the pair's ordinary residual, `appearance` (how
    badly the dominant motion predicts the grey value, same kind of unit), `seen` (the dominant motion keeps the pixel
    in the picture), `consistent`; and `unexplained`, the share of the picture that the plane does not explain.
    """
    source, target = grid_matches(flow)
    homography = fit_homography(source, target)
    if homography is None:
        return None
    height, width = grey_i.shape
    grid = pixel_grid(height, width)
    predicted = apply_homography(homography, grid)
    plane = np.linalg.norm(predicted - flow.target, axis=-1)
    epipolar, nearest = _epipolar_residual(source, target, grid, flow.target, plane, predicted)
    in_plane, measured = sample(grey_j, predicted), np.abs(sample(grey_j, flow.target) - grey_i)
    ok = flow.consistent
    plane = plane / max(0.25, np.median(plane[ok]))
    epipolar = epipolar / max(0.15, np.median(epipolar[ok]))
    noise = max(0.3, np.median(measured[ok]))  # grey levels; rounding alone makes 0.3

    def as_seen(residual, still):
        """`residual` as far as the picture tells the flow from the nearest place where it would be none; `still` is the
        grey there.
        """
        return np.where(ok, residual * _contradiction(np.abs(still - grey_i), measured, noise), residual)

    return {
        "plane": as_seen(plane, in_plane),
        "epipolar": as_seen(epipolar, sample(grey_j, nearest)),
        "appearance": _appearance_residual(grey_i, in_plane),
        "seen": inside(predicted, height, width),
        "consistent": ok,
        "unexplained": (plane[ok] > 2.5).mean(),
    }


def _epipolar_residual(source, target, grid, flow_target, *fallback):
    """Sampson distance (pixels) of every pixel to a robust fundamental matrix, and the point of its epipolar line
    nearest to the flow's target, (H,W,2) pixels; `fallback` where there is no such matrix.
    """
    try:
        matrix, _ = cv2.findFundamentalMat(source, target, cv2.USAC_MAGSAC, 0.3, 0.9999, 3000)
    except cv2.error:  # OpenCV raises, instead of returning nothing, on a degenerate sample (no parallax at all)
        return fallback
    if matrix is None or matrix.shape != (3, 3):
        return fallback
    line_j = grid @ matrix[:, :2].T + matrix[:, 2]  # (H,W,3) F x
    line_i = flow_target @ matrix[:2] + matrix[2]  # (H,W,3) F^T x'
    distance = (flow_target * line_j[..., :2]).sum(-1) + line_j[..., 2]
    square_j, square_i = ((line[..., :2] ** 2).sum(-1) + 1e-12 for line in (line_j, line_i))
    nearest = flow_target - line_j[..., :2] * (distance / square_j)[..., None]
    return np.abs(distance) / np.sqrt(square_j + square_i), nearest


def _contradiction(still, measured, noise):
    """How clearly the picture speaks against standing still, (H,W) in [0,1].

    still, measured: absolute errors (H,W), in grey levels, of the grey values that a static scene and the measured flow
    predict. On weak texture, flow is dragged along by moving things nearby; there both predict about equally well, and
    the flow proves nothing.
    """
    gain = np.minimum(still, 30) ** 2 - np.minimum(measured, 30) ** 2  # beyond 30 something hides the place
    gain = np.maximum(cv2.GaussianBlur(gain, (0, 0), 4), 0) / noise**2  # over about one patch of the flow
    return gain / (gain + 0.1)


def _appearance_residual(grey, warped):
    """Grey value difference that a shift by one pixel cannot explain, in steps of 4 grey levels."""
    kernel = np.ones((3, 3), np.uint8)
    beyond = np.maximum(cv2.erode(warped, kernel) - grey, grey - cv2.dilate(warped, kernel))
    return cv2.GaussianBlur(np.maximum(beyond, 0), (0, 0), 1.5) / 4


CLUSTER_WEIGHT = 0.3  # tokens of colour, texture and position tell less than a network's


def epipolar_evidence(frames: np.ndarray, flows: dict[tuple[int, int], Flow], grid: tuple[int, int]) -> Evidence:
    """Evidence of motion on a grid (h, w) of tokens, from frames (T,H,W,3) uint8 RGB and flows (i, j) -> Flow.

    Its values are absolute: see `NOISE` and `SURE`. Its maps: mean and standard deviation over the pairs of the
    residuals of both explanations.
    """
    values, maps = _pixel_evidence(frames, flows)
    return Evidence(
        maps={name: _to_tokens(pixels, grid) for name, pixels in maps.items()},
        values=_to_tokens(values, grid),
        cluster_weight=CLUSTER_WEIGHT,
        limits=(NOISE, SURE),
    )


def _to_tokens(maps, grid):
    return np.stack(
        [cv2.resize(np.ascontiguousarray(m), grid[::-1], interpolation=cv2.INTER_AREA) for m in maps]
    ).astype(np.float32)


def _pixel_evidence(frames, flows):
    """Evidence (T,H,W) float32 in [0,1], and a dict name -> (T,H,W) float32 of what it was made from."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1) for f in frames]
    pairs = {}
    near = [(i, j) for i, j in flows if abs(i - j) in OFFSETS]
    residuals = in_order(lambda pair: pair_residuals(flows[pair], grey[pair[0]], grey[pair[1]]), near)
    for found, pair in zip(residuals, near):  # in this order, the threads end with the last result
        if found is not None:
            pairs[pair] = found
    # weight, value, value^2
    sums = {name: np.zeros((3, *frames.shape[:3]), np.float32) for name in ("plane", "epipolar")}
    if not pairs:
        return sums["plane"][1], _display(sums)
    nearest = min(abs(i - j) for i, j in pairs)
    for (i, j), p in pairs.items():
        # Flow that the way back does not confirm (fast or occluded) counts for motion only as far as the pixel's look
        # changes too, and hardly where another pair shows the pixel well.
        weight = np.where(p["consistent"], 1.0, np.where(p["seen"], 0.1, 0.0))
        look = 1.5 * np.log1p(np.minimum(p["appearance"], 10)) / MOST
        # a plane stands for a scene over short ways only
        for name in ("plane", "epipolar") if abs(i - j) == nearest else ("epipolar",):
            value = np.minimum(np.log1p(p[name]) / MOST, 1)
            value = np.where(p["consistent"], value, np.minimum(value, look))
            sums[name][:, i] += weight * np.stack([np.ones_like(value), value, value**2])
    unexplained = np.median([p["unexplained"] for (i, j), p in pairs.items() if abs(i - j) == nearest])
    trust = np.clip((unexplained - PLANE_ENOUGH) / (PLANE_FAILS - PLANE_ENOUGH), 0, 1)  # in the epipolar geometry alone
    plane, epipolar = (s[1] / (s[0] + 1e-6) for s in sums.values())
    evidence = plane ** (0.5 * (1 - trust)) * epipolar ** (0.5 * (1 + trust))
    # what stands still while the picture moves is not motion of the scene
    evidence[:, find_overlay(frames)] = np.median(evidence)
    return evidence, _display(sums)


def _display(sums):
    maps = {}
    for name, (weight, first, second) in sums.items():
        mean = first / (weight + 1e-6)
        maps[f"{name}_mean"] = mean
        maps[f"{name}_std"] = np.sqrt(np.maximum(second / (weight + 1e-6) - mean**2, 0))
    return maps
