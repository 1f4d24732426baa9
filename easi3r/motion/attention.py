"""From attention to motion evidence: statistics over a frame's pairs, accumulated while the pairs stream by.

Source: Easi3R (arXiv 2503.24391), as written down in section 2 of the specification. A frame is a grid of h x w tokens,
C = decoder layers * heads channels.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backbones.base import PairAttention

_EPS = 1e-6  # in the divisions of all normalisations


def statistics(
    pair_attentions: Iterable[PairAttention], n_frames: int, grid: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(maps, dynamic) of a clip's pairs, see `AttentionStatistics.result`; grid: (h, w)."""
    gathered = AttentionStatistics(n_frames, grid)
    for pair in pair_attentions:
        gathered.add(pair)
    return gathered.result()


class AttentionStatistics:
    """Mean and unbiased standard deviation of the attention maps of every frame, over all pairs it is in.

    A directed pair (i, j) adds one map to the *reference* statistics of frame i and one to the *source* statistics of
    frame j. Memory is T * h * w * C floats times four, however many pairs there are.
    """

    def __init__(self, n_frames: int, grid: tuple[int, int]) -> None:
        self.grid = tuple(grid)
        self.source, self.reference = _Running(n_frames), _Running(n_frames)

    def add(self, pair: PairAttention) -> None:
        """Add a pair; its maps are (h,w,C) float32."""
        self.source.add(pair.j, repair_sink(np.asarray(pair.source).reshape(*self.grid, -1)))
        self.reference.add(pair.i, repair_sink(np.asarray(pair.reference).reshape(*self.grid, -1)))

    def result(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(maps, dynamic): maps name -> (T,h,w) float32 in [0,1], dynamic (T,h,w) float32 in [0,1].

        `A_src_std` and `A_ref_std` are 0 for frames with fewer than two maps, where there is no deviation.
        """
        maps, known = {}, {}
        for name, running in (("src", self.source), ("ref", self.reference)):
            for moment, values, needed in (("mean", running.mean, 1), ("std", running.std(), 2)):
                key = f"A_{name}_{moment}"
                known[key] = running.count >= needed
                maps[key] = _fuse(values, known[key])
        return maps, dynamic_map(maps, known)


class _Running:
    """Welford's running mean and squared deviation, one per frame."""

    def __init__(self, n_frames: int) -> None:
        self.count = np.zeros(n_frames, dtype=int)
        self.mean: Any = None  # (T, h, w, C) once the first map has shown its size
        self.squares: Any = None

    def add(self, frame: int, values: np.ndarray) -> None:
        if self.mean is None:
            self.mean = np.zeros((len(self.count), *values.shape), np.float32)
            self.squares = np.zeros_like(self.mean)
        self.count[frame] += 1
        delta = values - self.mean[frame]
        self.mean[frame] += delta / np.float32(self.count[frame])
        self.squares[frame] += delta * (values - self.mean[frame])

    def std(self) -> np.ndarray:
        divisor = np.maximum(self.count - 1, 1).astype(np.float32)
        return np.sqrt(self.squares / divisor[:, None, None, None])


def repair_sink(maps: np.ndarray) -> np.ndarray:
    """Replace the top-left token, an attention sink, by the average of its right and lower neighbours.

    maps (h, w, C); a grid of one row or column has one of them, a single token stays. Returns a new array.
    """
    neighbours = [maps[y, x] for y, x in ((0, 1), (1, 0)) if y < maps.shape[0] and x < maps.shape[1]]
    repaired = maps.astype(np.float32)
    if neighbours:
        repaired[0, 0] = np.mean(neighbours, axis=0)
    return repaired


def _fuse(stack, known):
    """(T,h,w,C) -> (T,h,w) float32 in [0,1]: normalised over all, averaged over channels, normalised again.

    Frames not `known` (T,) bool take no part and are 0.
    """
    fused = np.zeros(stack.shape[:3], dtype=np.float32)
    if known.any():
        fused[known] = _unit(_unit(stack[known]).mean(axis=-1))
    return fused


def dynamic_map(maps: dict[str, np.ndarray], known: dict[str, np.ndarray]) -> np.ndarray:
    """(T,h,w) float32 in [0,1]: (1 - A_src_mean) * A_src_std * A_ref_mean * (1 - A_ref_std), min-max per frame.

    `maps` as in `AttentionStatistics.result`; `known` name -> (T,) bool: a term that a frame lacks (a frame with a
    single pair has no deviation) is left out of its product.
    """
    dynamic = np.ones_like(maps["A_src_mean"])
    for name, inverted in (("A_src_mean", True), ("A_src_std", False), ("A_ref_mean", False), ("A_ref_std", True)):
        term = 1 - maps[name] if inverted else maps[name]
        dynamic *= np.where(known[name][:, None, None], term, 1)
    return np.stack([_unit(frame) for frame in dynamic])


def _unit(values):
    """Min-max normalisation over all values of an array."""
    low = values.min()
    return (values - low) / (values.max() - low + _EPS)
