"""Windows of a long clip: which frames belong to which, and what is known per pixel of each."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from .large import give_back, zeros
from .motion import Motion

AT_ONCE = 96  # frames that are solved at once; more go through windows
LENGTH = 48  # frames of a window
SHARED = 16  # frames that a window has in common with the next, at least


@dataclass(frozen=True)
class Span:
    """The frames begin <= t < end of a window; those with owned <= t < until are taken from it."""

    begin: int
    end: int
    owned: int
    until: int

    @property
    def numbers(self) -> np.ndarray:
        """(n,) of its frames."""
        return np.arange(self.begin, self.end)

    @property
    def frames(self) -> slice:
        """Of the clip."""
        return slice(self.begin, self.end)

    @property
    def mine(self) -> slice:
        """Of its frames, those that are taken from it."""
        return slice(self.owned - self.begin, self.until - self.begin)

    @property
    def taken(self) -> tuple[np.ndarray, np.ndarray]:
        """(m,) of the clip, and (m,) of its frames: those that are taken from it."""
        own = np.arange(self.owned, self.until)
        return own, own - self.begin


def spans_of(n_frames: int) -> list[Span]:
    """Windows of a clip, all of `LENGTH` frames; a single one where all is solved at once."""
    if n_frames <= AT_ONCE:
        return [Span(0, n_frames, 0, n_frames)]
    number = math.ceil((n_frames - SHARED) / (LENGTH - SHARED))
    begins = np.round(np.linspace(0, n_frames - LENGTH, number)).astype(int).tolist()
    middles = [(after + before + LENGTH) // 2 for before, after in itertools.pairwise(begins)]
    return [
        Span(begin, begin + LENGTH, owned, until)
        for begin, owned, until in zip(begins, [0, *middles], [*middles, n_frames])
    ]


class Maps:
    """What is known per pixel of T frames, from the window that each is taken from."""

    def __init__(self, n_frames: int) -> None:
        self._n_frames = n_frames
        self.arrays: dict[str, np.ndarray] = {}  # of an `Estimate` and its `Motion`
        self.evidence: dict[str, np.ndarray] = {}  # `Motion.maps`

    def take(self, motion: Motion, at: np.ndarray, mine: np.ndarray, **others: np.ndarray) -> None:
        """Of a window, its frames `mine` (m,) as the clip's `at` (m,); others: name -> (n,...) of the window's."""
        found = {"dynamic": motion.dynamic, "values": motion.values, **others}
        for whole, part in ((self.arrays, found), (self.evidence, motion.maps)):
            for name, array in part.items():
                if name not in whole:
                    whole[name] = zeros((self._n_frames, *array.shape[1:]), array.dtype)
                for t, k in zip(at, mine):
                    whole[name][t] = array[k]
        give_back([*self.arrays.values(), *self.evidence.values()])

    @property
    def motion(self) -> Motion:
        """Of all frames."""
        return Motion(self.arrays["dynamic"], self.arrays["values"], self.evidence)
