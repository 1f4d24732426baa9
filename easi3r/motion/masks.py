"""From evidence to masks. Per token: clusters over time, threshold, masks at pixel size (Easi3R, section 3)."""

from collections.abc import Callable

import cv2
import numpy as np
from skimage.exposure import histogram
from skimage.filters import threshold_multiotsu

from . import whole
from .evidence import Evidence, Motion
from .grabcut import grabcut
from .volume import Volume


def outline(
    evidence: Evidence,
    clusters: np.ndarray,
    frames: np.ndarray,
    sensitivity: float = 0.5,
    refine: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Motion:
    """Masks of moving pixels of frames (T,H,W,3) uint8 RGB, from evidence per token.

    clusters (T,h,w) uint8: which tokens look alike, see `cluster`. sensitivity: see `shifted`. refine: let the edges of
    masks follow those of the image. `progress` gets 0 to 1.
    """
    maps = {**evidence.maps, "fused": evidence.values, "clusters": clusters.astype(np.float32)}
    height, width = frames.shape[1:3]
    fused = fuse_over_time(evidence, clusters)
    values = np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in fused])
    values = np.clip(values, 0, 1).astype(np.float32)
    threshold = automatic_threshold(values)
    if threshold is None:
        return Motion(np.zeros(values.shape, bool), values, maps)
    cut = shifted(threshold, sensitivity)
    return Motion(grabcut(values, cut, frames, progress) if refine else values > cut, values, maps)


def outline_pixels(
    evidence: Evidence,
    volume: Volume,
    sensitivity: float = 0.5,
    refine: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Motion:
    """As `outline`, of the frames of a volume, from evidence per pixel, which is spread to what looks alike."""
    assert evidence.pixels is not None and evidence.weight is not None
    cut = shifted(whole.automatic_cut(evidence.pixels), sensitivity)
    found = whole.segment(evidence.pixels, evidence.weight, cut, volume, refine, progress, evidence.sure)
    return Motion(*found, {**evidence.maps, "fused": evidence.values})


def shifted(cut: float, sensitivity: float) -> float:
    """Where values in [0,1] are cut: at the usual `cut` for a sensitivity of 0.5, at its root for 0, its square for 1.

    A smaller one marks more.
    """
    return cut**2 ** (2 * sensitivity - 1)


def fuse_over_time(evidence: Evidence, clusters: np.ndarray) -> np.ndarray:
    """(T,h,w) float32 in [0,1]: every token takes the mean evidence of its cluster, so that an object moves as a whole
    and at all times; each frame is then stretched to [0,1].
    """
    values = evidence.values.astype(np.float64)
    count = np.maximum(np.bincount(clusters.ravel()), 1)
    fused = (np.bincount(clusters.ravel(), values.ravel()) / count)[clusters]
    low, high = fused.min((1, 2), keepdims=True), fused.max((1, 2), keepdims=True)
    return ((fused - low) / (high - low + 1e-6)).astype(np.float32)


def automatic_threshold(values: np.ndarray) -> float | None:
    """The cut between still and moving: multi-Otsu (Liao et al. 2001) with 2, 3 and 4 classes on all frames together.

    The class count with the largest variance of the class means over sqrt(classes) wins; its highest threshold is the
    cut. None where the values do not differ.
    """
    best_score, cut = -np.inf, None
    distinct = histogram(values.ravel(), nbins=256, source_range="image", normalize=True)
    whole = values.size, values.sum(dtype=np.float64)
    for classes in (2, 3, 4):
        try:
            thresholds = threshold_multiotsu(classes=classes, hist=distinct)
        except ValueError:  # fewer distinct values than classes
            continue
        above = [values > threshold for threshold in thresholds]
        counts = -np.diff([whole[0], *map(np.count_nonzero, above), 0])
        sums = -np.diff([whole[1], *(values.sum(where=part, dtype=np.float64) for part in above), 0])
        score = (sums / np.maximum(counts, 1)).var() / np.sqrt(classes)
        if score > best_score:
            best_score, cut = score, float(thresholds[-1])
    return cut
