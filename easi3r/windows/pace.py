"""How far apart the frames of a window lie: the slower a long clip goes, the more of it one window sees."""

from itertools import pairwise

import cv2
import numpy as np

from ..flow import SMALL, both_ways, lengths, pixel_grid
from ..large import frames_of
from ..sizes import reduced
from ..threads import in_order

# Frames from one to the next, at most. Of four real clips, J of the frames that are followed is as that of those solved
# where these are every second or third frame; every fourth, it is .01 lower, every eighth, .02: movers move on. Of
# 1,000 frames of a walk J is .78 with every fourth.
FURTHEST = 3
# Share of the width by which the picture may shift from one to the next. 150 frames of a street in windows of 48
# neighbours saw so little of the way that ATE was 1.2 % of it and depth .32 off; of every third frame .2 % and .12. A
# goat with .037 from one solved frame to the next has J .747, and .752 if every frame is solved.
STEP = 0.04
# Share of the width by which the picture shifts, at most, where a camera stands; what goes further than `STEP` then
# moves, and is fast if it is so large a share of the picture. Of 96 frames of a street that shows 8 seconds, every
# fourth of which is solved, J is .58, of all .65: followed masks lose what moves on too far.
STANDS, FAST = 0.002, 0.01
MOST = 0.8  # share of the steps that must be slow
# A step is made smaller where the picture shifts by so much of its width, or less than half of it is found again: with
# three such steps in 24, as somebody turned by 50 degrees in 10 frames, ATE was .16 of the path.
LOST, FOLLOWED = 2 * STEP, 0.5


def spread(frames: np.ndarray, least: int) -> np.ndarray:
    """(n,) numbers of the frames (T,H,W,3) uint8 that are solved first, from the first to the last; about `least` or
    more. Evenly spread, but nearer to each other where the camera turns fast for a moment.
    """
    every = np.arange(len(frames))
    small = [_small(frames[t]) for t in frames_of([frames])]
    for gap in range(min(FURTHEST, len(frames) // least), 1, -1):
        numbers = np.linspace(0, len(frames) - 1, -(-len(frames) // gap)).round().astype(int)
        steps = list(pairwise(numbers))
        found = list(in_order(lambda step: _shift(small[step[0]], small[step[1]]), steps))
        if np.mean([shift < STEP and not fast for shift, fast in found]) > MOST:
            ends = [[b] if shift < LOST else _steps(small, a, b) for (a, b), (shift, _) in zip(steps, found)]
            return np.concatenate([[0], *ends])
    return every


def _steps(small, begin, end):
    """The ends of steps that can be followed from frame `begin` to frame `end`; where none can, of one frame each."""
    if end - begin == 1 or _shift(small[begin], small[end])[0] < LOST:
        return [end]
    middle = (begin + end) // 2
    return _steps(small, begin, middle) + _steps(small, middle, end)


def _shift(first, second):
    """By how much of its width the picture shifts, the middle of its flow, infinite if it is lost; whether a camera
    that stands sees something go fast.
    """
    flow, _ = both_ways(first, second)
    if flow.consistent.mean() < FOLLOWED:
        return np.inf, False
    ways = lengths(flow.target - pixel_grid(*first.shape)) / first.shape[1]
    shift = np.median(ways[flow.consistent])
    return shift, shift < STANDS and (ways > STEP).mean() > FAST


def _small(frame):
    size = reduced(frame.shape[1::-1], SMALL)
    return cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
