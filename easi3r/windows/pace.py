"""How far apart the frames of a window lie: the slower a long clip goes, the more of it one window sees."""

import cv2
import numpy as np

from ..flow import SMALL, both_ways, lengths, pixel_grid

# Frames from one to the next, at most. Of four real clips, J of the frames that are followed is as that of those solved
# where these are every second or third frame; every fourth, it is .01 lower, every eighth, .02: movers move on.
FURTHEST = 4
# Share of the width by which the picture may shift from one to the next. 150 frames of a street in windows of 48
# neighbours saw so little of the way that ATE was 1.2 % of it and depth .32 off; of every third frame .2 % and .12. A
# goat with .037 from one solved frame to the next has J .747, and .752 if every frame is solved.
STEP = 0.04
SPOTS = 24  # at which the clip is looked at
MOST = 0.8  # share of them at which it must be as slow
FOLLOWED = 0.5  # share of the picture that must be found again


def spread(frames: np.ndarray, least: int) -> np.ndarray:
    """(n,) numbers of the frames (T,H,W,3) uint8 that are solved first, evenly spread from the first to the last; no
    fewer than `least`.
    """
    furthest = min(FURTHEST, len(frames) // least)
    at = next((gap for gap in range(furthest, 1, -1) if _is_slow(frames, gap)), 1)
    return np.linspace(0, len(frames) - 1, -(-len(frames) // at)).round().astype(int)


def _is_slow(frames, gap):
    """Whether the picture shifts by no more than `STEP` over so many frames."""
    spots = np.linspace(0, len(frames) - 1 - gap, SPOTS).astype(int)
    slow, allowed = 0, int(SPOTS * (1 - MOST))
    for done, t in enumerate(spots):
        slow += _shift(frames[t], frames[t + gap]) < STEP
        if done + 1 - slow > allowed:
            return False
    return True


def _shift(first, second):
    """By how much the picture shifts, as a share of its width: the middle of the flow; infinite where it is lost."""
    height, width = first.shape[:2]
    share = min(1, SMALL / max(height, width))
    size = max(1, round(share * width)), max(1, round(share * height))
    small = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for frame in (first, second)
    ]
    flow, _ = both_ways(*small)
    if flow.consistent.mean() < FOLLOWED:
        return np.inf
    return float(np.median(lengths(flow.target - pixel_grid(*small[0].shape))[flow.consistent])) / size[0]
