"""Which frames belong to which window."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

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
