"""How far apart the frames are from which it is told what moves.

The more frames of a clip are used, the less changes from one to the next, so as much of it is looked at at once as in
`USUAL` frames.
"""

from collections.abc import Mapping

import numpy as np

from ..flow import Flow, lengths, pixel_grid

# With neighbours alone J falls from .73 to 0 for 48 and 90 frames of a goat, with the stride it is .75 and .74.
USUAL = 24
# Share of the width by which the picture shifts over a stride, at most: in 24 frames of the goat .03; who walks fast is
# followed no further.
STEP = 0.035


def shift_of(flows: Mapping[tuple[int, int], Flow]) -> float:
    """By how much the picture shifts from one frame to the next, as a share of its width: the middle of `flows` between
    neighbours."""
    moved = [lengths(flow.target - pixel_grid(*flow.consistent.shape))[flow.consistent] for flow in flows.values()]
    pixels = float(np.median([np.median(each) for each in moved if len(each)] or [0.0]))
    return pixels / next((flow.consistent.shape[1] for flow in flows.values()), 1)


def stride_of(shift: float, n_frames: int) -> int:
    """Frames from one to the next that tell what moves in so many frames, whose picture shifts so much, see `STEP`."""
    return max(1, min(round(n_frames / USUAL), int(STEP / max(shift, 1e-6))))
