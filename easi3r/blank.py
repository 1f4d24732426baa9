"""Which frames show nothing of a scene: black, faded, covered ones, titles; and those that a flash over-exposes."""

import cv2
import numpy as np

from . import bars

# Below this share of the clip's usual contrast, detail and area with detail a frame shows nothing of the scene.
# Measured: real clips stay above .80, .88 and .95; a finger before the lens has .01, a title card about .2 of the area.
SHOWS = 0.3
# Grey levels: contrast below which a whole clip shows nothing. Clips a tenth as bright have 2.9 on, and right masks.
NOTHING = 1.5
# A flash: over this many looks around, the usual mean of a frame is lower by `BRIGHTER` grey levels and the share of
# pixels above `BURNT` by `BURNT_SHARE`. Real clips, every fourth frame: 3.2 and .001; a flash of one stop: 105 and .22.
AROUND, BRIGHTER, BURNT, BURNT_SHARE = 8, 25.0, 245, 0.1
MOST_NAMED = 6  # times of frames without the scene that a warning names


def content(grey: np.ndarray) -> tuple[float, float, float]:
    """(contrast, mean detail, share of pixels with detail) of a small grey picture (h,w) uint8, the first two in grey
    levels.
    """
    grey = grey.astype(np.float32)
    detail = bars.relief(grey)
    return float(grey.std()), float(detail.mean()), float((detail > bars.VISIBLE).mean())


def shows(contents: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """(S,) bool from `content` of S pictures (S,3) and what the clip usually has (3,); all where the clip as a whole
    shows nothing.
    """
    if usual[0] < NOTHING:
        return np.ones(len(contents), bool)
    counts = slice(None) if usual[2] >= bars.DETAIL else slice(1)  # of a clip with little detail only contrast tells
    return np.all((contents >= SHOWS * usual)[:, counts], axis=1)


def exposure(grey: np.ndarray) -> tuple[float, float]:
    """(mean grey level, share of pixels that are burnt out) of a grey picture (h,w) uint8."""
    return float(grey.mean()), float(cv2.countNonZero(cv2.inRange(grey, BURNT, 255)) / grey.size)


def is_flash(own: tuple[float, float], position: int, exposures: np.ndarray, positions: np.ndarray) -> bool:
    """Whether the frame at `position` is much brighter than those around it: its `exposure` against the exposures
    (S,2) of the frames at `positions` (S,).
    """
    other = positions != position
    if other.sum() < AROUND:
        return False
    near = np.argsort(np.abs(positions[other] - position), kind="stable")[:AROUND]
    return bool((own - np.median(exposures[other][near], axis=0) > (BRIGHTER, BURNT_SHARE)).all())


def in_words(at: list[int], looked: list[int], seconds: np.ndarray) -> str:
    """When the frames `at` are shown, such as "0.21, 0.50 to 0.75 s", among those that were looked at; positions are
    ascending, seconds (n,) those of all frames.
    """
    runs: list[tuple[int, int]] = []
    for p in at:
        if runs and not any(runs[-1][1] < q < p for q in looked):
            runs[-1] = runs[-1][0], p
        else:
            runs.append((p, p))
    ranges = [[f"{seconds[p]:.2f}" for p in run] for run in runs]
    words = ", ".join(a if a == b else f"{a} to {b}" for a, b in ranges[:MOST_NAMED])
    return f"{words} s" + (f" and {len(ranges) - MOST_NAMED} more times" if len(ranges) > MOST_NAMED else "")
