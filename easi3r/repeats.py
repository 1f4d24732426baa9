"""Frames that show nothing new: a picture that stands still, as when a recording froze, and frames that are there
twice, as after a change of the frame rate.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import rank_filter

BLOCK = 12  # pixels of small pictures: the mean of such a block changes where something happens
# Grey levels by which it changes at most in a frozen picture, of usual contrast or, in proportion, less: in four real
# clips .25 after encoding at crf 23, .6 at 32; people who walk slowly change it by 1.9 within `FROZEN`. A tenth as
# bright these are .2 and .34.
SAME, LEAST_SAME = 1.0, 0.2
USUAL = 25.0  # standard deviation of the grey levels; real clips have 30 to 54
FROZEN, FROZEN_STEPS = 0.4, 4  # seconds, and steps at least, that a picture stands still to count as frozen
# Change of a frame that is there twice, as a share of what the frames around it change, in blocks of `FINE` pixels.
# Measured: .16 at most at crf 23 and mostly at 32; in real clips the calmest of five steps has .4.
TWICE, FINE = 0.25, 6
VISIBLE = 3.0  # grey levels: where nothing around changes by this, nothing can be told
OFTEN = 0.15  # share of such frames from which it is no accident: 25 frames per second shown as 30 have .17


def still_runs(greys: Sequence[np.ndarray], change: float) -> list[tuple[int, int]]:
    """(first, last) indices of runs of grey pictures (h,w) uint8 in which no block changes by more than `change`."""
    blocks, runs, start = _blocks(greys, BLOCK), [], 0
    for k in range(1, len(blocks) + 1):
        if k == len(blocks) or np.abs(blocks[k] - blocks[start]).max() > change:
            if k - 1 > start:
                runs.append((start, k - 1))
            start = k
    return runs


def frozen_runs(greys: Sequence[np.ndarray], seconds: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) indices of runs of grey pictures (h,w) uint8 that are the same; seconds (S,): their times."""
    contrast = float(np.median([grey.std() for grey in greys]))
    runs = still_runs(greys, float(np.clip(SAME * contrast / USUAL, LEAST_SAME, SAME)))
    return [(a, b) for a, b in runs if b - a >= FROZEN_STEPS and seconds[b] - seconds[a] >= FROZEN]


def twice(greys: Sequence[np.ndarray], shows: np.ndarray, frozen: list[tuple[int, int]]) -> np.ndarray:
    """(S-1,) bool: steps between grey pictures (h,w) uint8 that follow each other, all frames of a clip, at which the
    same one is shown again; none if there are few. Steps within the runs `frozen` do not count, nor those to and from
    what does not show the scene, shows (S,) bool.
    """
    change = np.abs(np.diff(_blocks(greys, FINE), axis=0)).max(axis=(1, 2), initial=0)
    counts = shows[1:] & shows[:-1]
    for a, b in frozen:
        counts[a:b] = False
    if not counts.any():
        return counts
    around = rank_filter(np.where(counts, change, 0), -2, size=5)  # the second largest: the largest may be a cut
    same = counts & (change < TWICE * around) & (around > VISIBLE)
    return same if same.sum() >= OFTEN * counts.sum() else np.zeros(len(change), bool)


def dropped(frozen: list[tuple[int, int]], same: np.ndarray, positions: np.ndarray, n: int) -> np.ndarray:
    """(n,) bool: frames that repeat another, which stays: the first one of each run, of the last run the last one.

    frozen, same: from `frozen_runs` and `twice`, in indices of the S frames at `positions` (S,), ascending.
    """
    repeats = np.zeros(n, bool)
    again = np.concatenate([[False], same, [False]])
    starts, ends = np.flatnonzero(again[1:] & ~again[:-1]), np.flatnonzero(again[:-1] & ~again[1:])
    for a, b in [*frozen, *zip(starts.tolist(), ends.tolist())]:
        first, last = positions[a], positions[b]
        if last == n - 1 and first > 0:
            repeats[first:last] = True
        else:
            repeats[first + 1 : last + 1] = True
    return repeats


def _blocks(greys, side):
    size = tuple(max(1, length // side) for length in greys[0].shape[::-1])
    return np.array([cv2.resize(g.astype(np.float32), size, interpolation=cv2.INTER_AREA) for g in greys])


def say(frozen: list[tuple[int, int]], repeats: np.ndarray, seconds: np.ndarray, first: int, last: int) -> list[str]:
    """Sentences on the frames `first` to `last` of n that repeat others.

    frozen: (first, last) of the stretches in which the picture stands still; repeats (n,) bool, see `dropped`; seconds
    (n,).
    """
    frozen = [(max(a, first), min(b, last)) for a, b in frozen if a < last and b > first]
    again, said = repeats.copy(), []
    if frozen:
        at = ", ".join(f"{seconds[a]:.2f} to {seconds[b]:.2f}" for a, b in frozen)
        said.append(
            f"From {at} s the picture is frozen: nothing in it changes. Of each such time one frame at most is used."
        )
    for a, b in frozen:
        again[a : b + 1] = False
    count = again[first : last + 1].sum()
    if count:
        said.append(
            f"{count} of the {last + 1 - first} frames are duplicated: they show the one beside them once more, as "
            "after a change of the frame rate. Only frames that differ are used."
        )
    return said
