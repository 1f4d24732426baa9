"""Where a clip comes back to what it has seen: frames that look alike, far apart in time."""

from dataclasses import replace

import cv2
import numpy as np

from .. import agreement
from ..backbones.base import Progress
from ..flow import both_ways, sample
from ..options import Options
from ..own_masks import OwnMasks
from ..spans import LENGTH, Maps, Span
from .graph import Edge
from .links import View, Window, link
from .solving import Solver

SMALL = (24, 15)  # pixels of the pictures that are compared
BLUR = 0.8  # pixels there: a step aside must not matter
ALIKE = 0.75  # correlation from which two frames may show the same place
SIDE, STEP = 5, 1  # frames of each of the two places, and how far they lie apart: near, so that flow is sure
# Share of a frame that must be found in the other, and correlation of what is found. On two rendered walks the same
# place had .64 and .94 on, of places that only look alike the best had .58 and .86.
FOUND, LOOKS_SAME = 0.55, 0.9
AGREE = 0.4  # share of what is still that must go from one place to the other as depth and cameras say
MOST = 2  # candidates per window of the clip, at most: each costs a fifth of a window


def candidates(frames: np.ndarray, spans: list[Span]) -> list[tuple[int, int]]:
    """Pairs of frames (i, j), further apart than a window is long, which may show the same place; the likeliest first.

    frames (T,H,W,3) uint8. One pair per pair of windows, and none beside a likelier one.
    """
    small = np.stack([_small(frame) for frame in frames])  # (T,n), unit length
    found = []
    for b, after in enumerate(spans):
        for before in spans[:b]:
            alike = small[before.owned : before.until] @ small[after.owned : after.until].T
            gap = np.arange(after.owned, after.until) - np.arange(before.owned, before.until)[:, None]
            alike[gap <= LENGTH] = -1.0
            i, j = divmod(int(alike.argmax()), alike.shape[1])
            if alike[i, j] > ALIKE:
                found.append((float(alike[i, j]), before.owned + i, after.owned + j))
    chosen: list[tuple[int, int]] = []
    for _, i, j in sorted(found, reverse=True):
        if all(abs(i - k) + abs(j - m) > LENGTH // 2 for k, m in chosen):
            chosen.append((i, j))
    return chosen[: MOST * len(spans)]


def _small(frame):
    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), SMALL, interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), BLUR).ravel()
    picture -= picture.mean()
    return picture / max(float(np.linalg.norm(picture)), 1e-6)


def closing(
    solver: Solver,
    pair: tuple[int, int],
    windows: list[Window],
    maps: Maps,
    frames: np.ndarray,
    options: Options,
    progress: Progress,
) -> Edge | None:
    """How the windows of two frames lie to each other, if these show the same place: frames around both are solved
    together. None if they do not, or if that cannot be told.
    """
    places = [_around(t, windows) for t in pair]
    if min(len(numbers) for _, numbers in places) < SIDE or not same_place(frames[pair[0]], frames[pair[1]]):
        return None
    numbers = np.concatenate([found for _, found in places])
    known = OwnMasks(np.array(maps.arrays["dynamic"][numbers]), np.ones(len(numbers), bool), ())
    alone = replace(options, graph="complete", sam2=False)
    found = solver.solve(numbers, alone, progress, known)
    first, second = (int(np.abs(numbers - t).argmin()) for t in pair)
    both = [first, second, first]
    geometry = found.depth[both], found.cam2world[both], found.intrinsics[both], known.masks[both]
    if not agreement.check(frames[numbers[both]], *geometry, gaps=(1,)).agreement[1] > AGREE:
        return None
    links = []
    for k, (window, place) in enumerate(places):
        mine = windows[window]
        its = [np.array(maps.arrays[name][place]) for name in ("depth", "confidence", "dynamic")]
        here = View.of(mine.cam2world[place - mine.span.begin], *its)
        links.append(link(View.of_estimate(found, np.s_[SIDE * k : SIDE * (k + 1)]), here))
    if not all(each.holds for each in links):
        return None
    return Edge(places[0][0], places[1][0], links[0].matrix @ np.linalg.inv(links[1].matrix), pair)


def same_place(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two frames (H,W,3) uint8 show the same: enough of one is found in the other, and looks the same there."""
    one, other = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
    there, _ = both_ways(one, other)
    found = there.consistent
    if found.mean() < FOUND:
        return False
    warped = sample(other.astype(np.float32), there.target)[found]
    return float(np.corrcoef(warped, one[found])[0, 1]) > LOOKS_SAME


def _around(t, windows):
    """(number of the window that frame t is taken from, (n,) frames around t, or beside it, that are too)."""
    number, span = next((k, w.span) for k, w in enumerate(windows) if w.span.owned <= t < w.span.until)
    reach = STEP * (SIDE - 1)
    begin = int(np.clip(t - STEP * (SIDE // 2), span.owned, max(span.owned, span.until - 1 - reach)))
    numbers = begin + STEP * np.arange(SIDE)
    return number, numbers[numbers < span.until]
