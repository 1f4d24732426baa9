"""Where one shot ends and another begins: hard cuts, in small grey pictures that follow each other.

A dissolve is not found: what tells it, two pictures in one that move apart, is also what a window pane or lights at
night show, and to take these for one costs a clip most of its frames.
"""

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np
from skimage.feature import match_descriptors

from .flow import pixel_grid, sample

# What is left of a picture after the one before has been moved onto it (1 - correlation): real clips leave .07 at most
# between neighbouring frames, a cut between two rendered scenes .58. A value of CUT among ones below QUIET is a cut.
CUT, QUIET = 0.3, 0.12
# Share of points, of at least `POINTS`, with one clear match in the other picture, long side `MATCHED` pixels. A third
# of a clip apart .13 to .69 in four real and three rendered clips; between two real ones .03, .06 with textures shared.
COMMON, POINTS, MATCHED = 0.1, 50, 320
STRAY = 0.7  # noise leaves .83 to .89; where flow loses a camera that is shaken or rolled .25 to .55


def unlike(first: np.ndarray, second: np.ndarray) -> float:
    """How little of the second grey picture can be made of the first one by moving its pixels: 0 the same, about 1
    nothing.
    """
    first, second = _normalised(first), _normalised(second)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    way = engine.calc(first, second, None)  # type: ignore[call-overload]  # no start
    moved = sample(second, pixel_grid(*first.shape) + way)
    a, b = (x.astype(np.float64) - x.mean() for x in (first, moved))
    return float(1 - (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum() + 1))


def same_scene(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two grey pictures (h,w) uint8, the long side `MATCHED`, show the same things, however far the camera has
    moved.
    """
    finder = cv2.SIFT.create(1000)
    one, two = (finder.detectAndCompute(grey, None)[1] for grey in (first, second))
    if one is None or two is None or min(len(one), len(two)) < POINTS:
        return False
    matches = match_descriptors(one, two, cross_check=True, max_ratio=0.75)
    return len(matches) >= COMMON * min(len(one), len(two))


def steps_between(greys: Iterable[np.ndarray]) -> np.ndarray:
    """(n-1,) float64: `unlike` of each grey picture (h,w) and the next."""
    return np.array([unlike(a, b) for a, b in pairwise(greys)])


def find(steps: np.ndarray) -> list[tuple[int, int]]:
    """Cuts among pictures that follow each other closely: list of indices (last before, first after)."""
    return [(k, k + 1) for k in np.flatnonzero(steps > CUT).tolist() if _stands_out(steps, k)]


def strays(steps: np.ndarray) -> np.ndarray:
    """(n,) bool: pictures that look like neither of their neighbours, in a clip where pictures usually do: noise,
    flashes.
    """
    apart = np.concatenate([[True], steps > STRAY, [True]])
    return apart[1:] & apart[:-1] & (np.median(steps) <= QUIET)


def _stands_out(steps, k, reach=3):
    around = np.delete(steps[max(0, k - reach) : k + reach + 1], min(k, reach))
    return len(around) > 0 and (around < QUIET).mean() >= 0.6  # two cuts may be near each other


def _normalised(grey):
    grey = grey.astype(np.float32)
    return np.clip(128 + 50 * (grey - grey.mean()) / (grey.std() + 1), 0, 255).astype(np.uint8)
