"""The unknowns of the normal equations and their order, which makes the matrix a narrow band."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from .store import View

FRAME, PAIR = 6, 7  # numbers in the tangent vector of a frame's camera (w, t) and of a pair's similarity (w, t, l)
LONGEST_TURN = 0.5  # radians, and log scale: a step is cut to it, as the linearisation means nothing further away


@dataclass(frozen=True)
class Columns:
    """Unknowns that the residuals of one frame depend on: of its pairs, then its own."""

    index: np.ndarray  # (n,) int, which they are; the last `FRAME` are those of the frame
    pair_at: dict[int, int]  # where in `index` those of a pair start


class Unknowns:
    """Where the tangent vectors of the frames and pairs lie: `frame_at`, `pair_at` give the first index of each.

    frames of one connected part, its pairs' `ends` and the `views` of every frame. The frames are in reverse
    Cuthill-McKee order, and every pair stands between its two, so that two unknowns that share a residual are never
    farther apart than `band`. The log focal comes last, at `size`.
    """

    def __init__(self, frames: list[int], ends: list[tuple[int, int]], views: dict[int, list[View]]) -> None:
        self._places: dict[bytes, Any] = {}
        self.pairs = np.array(sorted({e for v in frames for e, _ in views[v]}))
        self.gauge = frames[0]  # the frame whose camera is held
        self.frame_at: dict[int, int] = {}
        self.pair_at: dict[int, int] = {}
        self.size = 0
        order = _narrow_order(frames, [ends[e] for e in self.pairs])
        rank = {v: k for k, v in enumerate(order)}
        by_rank: list[list[int]] = [[] for _ in frames]
        for e in self.pairs:
            by_rank[(rank[ends[e][0]] + rank[ends[e][1]]) // 2].append(e)
        for v, pairs in zip(order, by_rank):
            self.frame_at[v] = self.size
            self.size += FRAME
            for e in pairs:
                self.pair_at[e] = self.size
                self.size += PAIR
        self.log_scales = np.array([self.pair_at[e] + 6 for e in self.pairs])
        self._first = np.array([ends[e][0] for e in self.pairs])  # frames
        self.columns = {v: self._columns(v, views[v]) for v in frames}
        # flow joins the cameras of a pair
        apart = max(abs(self.frame_at[i] - self.frame_at[j]) for i, j in (ends[e] for e in self.pairs)) + FRAME - 1
        self.band = max(apart, *(int(np.ptp(columns.index)) for columns in self.columns.values()))

    def places(self, index: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Where the lower half of a matrix (n,n) in the unknowns `index` (n,) lies: in it, and in the band (LAPACK's
        lower form) of the whole one.
        """
        key = index.tobytes()
        if key not in self._places:
            row, column = np.meshgrid(index, index, indexing="ij")
            here = np.nonzero(row >= column)
            self._places[key] = here, ((row - column)[here], column[here])
        return self._places[key]

    def _columns(self, v: int, views: list[View]) -> Columns:
        pairs = sorted({e for e, _ in views})
        index = [self.pair_at[e] + np.arange(PAIR) for e in pairs] + [self.frame_at[v] + np.arange(FRAME)]
        return Columns(np.concatenate(index), {e: PAIR * k for k, e in enumerate(pairs)})

    def split(self, step: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Tangent vectors (T,7) of the cameras and (P,7) of `pairs` in a step (size + 1,), cut to `LONGEST_TURN`.

        Those of the pairs are what is left when they ride on their first camera.
        """
        cameras = np.zeros((n_frames, PAIR))
        for v, at in self.frame_at.items():
            cameras[v, :FRAME] = step[at : at + FRAME]
        pairs = np.stack([step[self.pair_at[e] : self.pair_at[e] + PAIR] for e in self.pairs])
        pairs -= cameras[self._first]
        for turn in (cameras[:, :3], pairs[:, :3], pairs[:, 6]):
            np.clip(turn, -LONGEST_TURN, LONGEST_TURN, out=turn)
        return cameras, pairs


def _narrow_order(frames: list[int], ends: list[tuple[int, int]]) -> list[int]:
    """The frames in reverse Cuthill-McKee order of the graph of their pairs (i, j)."""
    position = {v: k for k, v in enumerate(frames)}
    links = np.array([(position[i], position[j]) for i, j in ends])
    graph = coo_matrix((np.ones(len(links)), links.T), shape=(len(frames),) * 2)
    return [frames[k] for k in reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True)]
