"""A result against what is known of its clip: masks, cameras, depth, focal."""

from typing import Any

import cv2
import numpy as np

from .camera import Framing
from .errors import InputError
from .metrics import depth_absrel, jaccard, trajectory_errors
from .reconstruction import Reconstruction
from .sizes import Size


def score(result: Reconstruction, truth: Any) -> dict[str, float]:
    """Figures of a `Reconstruction` against the truth of its clip, at the frames that the run used; NaN: not known.

    truth: `synthetic.Truth`, or an object with some of its fields: `dynamic`, `cam2world`, `intrinsics`, `depth` (with
    `step`), each for every frame of the source, and `timestamps` where it has other frames than the source.
    `J` of the masks, mean over frames; `ate`, `rte`, `rre` (RMS, degrees) and `rre_mean` as `trajectory_errors` has
    them, lengths as shares of the true path (NaN if the camera only turns); `focal` relative error; `absrel` of the
    depth at every pixel of which the truth is known, moving or not, and `absrel_static` at static ones with a
    confidence above its median; one median scale each. Raises `InputError` if the truth is of another clip.
    """
    figures = dict.fromkeys(("J", "ate", "rte", "rre", "rre_mean", "focal", "absrel", "absrel_static"), np.nan)
    dynamic, cam2world, intrinsics, depth = (
        getattr(truth, name, None) for name in ("dynamic", "cam2world", "intrinsics", "depth")
    )
    used = _frames_used(result, truth)
    if dynamic is not None:
        check_truth(truth, result.framing.source_size)
        figures["J"] = float(jaccard(place_in_source(result.dynamic, result.framing), dynamic[used]).mean())
    if cam2world is not None:
        path = trajectory_errors(result.cam2world, cam2world[used])
        figures |= {name: path[name] for name in ("rre", "rre_mean")}
        if path["path"] > 1e-9:
            figures |= {name: path[name] / path["path"] for name in ("ate", "rte")}
    if intrinsics is not None:
        figures["focal"] = float(abs(result.source_intrinsics[0, 0, 0] / intrinsics[0, 0] - 1))
    if depth is not None:
        figures |= _depth_errors(result, depth[used], None if dynamic is None else dynamic[used], truth.step)
    return figures


def check_truth(truth: Any, source_size: Size) -> None:
    """Raises `InputError` if the truth, see `score`, is not of a clip of this (width, height)."""
    dynamic = getattr(truth, "dynamic", None)
    if all(getattr(truth, name, None) is None for name in ("dynamic", "cam2world", "depth")):
        raise InputError("The truth has neither masks (dynamic) nor cameras (cam2world) nor depth; give one of them.")
    if dynamic is not None and dynamic.shape[:0:-1] != tuple(source_size):
        given, wanted = ("{} x {}".format(*size) for size in (dynamic.shape[:0:-1], source_size))
        raise InputError(f"The truth is of {given} pixels, the clip of {wanted}; give that of this clip.")


def _frames_used(result, truth):
    """Which entries of the truth are the frames of the result."""
    known = next(a for a in (getattr(truth, n, None) for n in ("dynamic", "cam2world", "depth")) if a is not None)
    if len(known) == result.info.get("source_frames"):
        return np.array(result.info["frame_numbers"])
    if getattr(truth, "timestamps", None) is None:
        raise InputError(f"The truth is of {len(known)} frames, the clip of another number; give that of this clip.")
    return np.array([np.abs(truth.timestamps - t).argmin() for t in result.timestamps])


def _depth_errors(result, depth, dynamic, step):
    """`absrel` and `absrel_static`; depth (T,h,w) and dynamic (T,H,W) or None of the frames used."""
    rows, columns = (np.arange(n) * step for n in depth.shape[1:])
    v = np.round(result.framing.from_source(np.stack([0 * rows, rows], 1))[:, 1]).astype(int)  # the truth's samples
    u = np.round(result.framing.from_source(np.stack([columns, 0 * columns], 1))[:, 0]).astype(int)
    height, width = result.depth.shape[1:]
    inside = ((v >= 0) & (v < height))[:, None] & ((u >= 0) & (u < width))[None]
    at = np.ix_(np.arange(len(depth)), v.clip(0, height - 1), u.clip(0, width - 1))
    known = inside & np.isfinite(depth) & (depth > 0)
    chosen = {"absrel": known & (result.depth[at] > 0)}
    if dynamic is not None:
        still = ~dynamic[np.ix_(np.arange(len(depth)), rows, columns)] & known
        chosen["absrel_static"] = still & (result.confidence[at] > np.median(result.confidence))
    return {n: depth_absrel(result.depth[at], depth, where) if where.any() else np.nan for n, where in chosen.items()}


def place_in_source(masks: np.ndarray, framing: Framing) -> np.ndarray:
    """Masks (T,h,w) bool of the working size in the source picture (T,H,W), nearest neighbour; what was cropped away is
    False.
    """
    width, height = framing.resized
    left, top = framing.offset
    w, h = framing.size
    placed = []
    for mask in masks:
        whole = np.zeros((height, width), np.uint8)
        whole[top : top + h, left : left + w] = mask
        column, row, *inner = framing.inner
        source = np.zeros(framing.source_size[::-1], bool)
        source[row : row + inner[1], column : column + inner[0]] = (
            cv2.resize(whole, inner, interpolation=cv2.INTER_NEAREST) > 0
        )
        placed.append(source)
    return np.stack(placed)
