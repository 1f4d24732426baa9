"""What moves, as DAS3R tells it: its network has heads for that, which are asked about every pair."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backbones.base import PairPrediction
from ..errors import InputError


def mean_probability(predictions: Iterable[PairPrediction], n_frames: int) -> np.ndarray:
    """(T,H,W) float32 in [0,1]: the mean of `moving1` over all pairs of which a frame is the first one.

    predictions: directed pairs, consumed once, of a network with mask heads. What it says of a pair's second frame is
    not used. A frame that is the first of no pair has 0. Source: DAS3R, specification of the baselines, section 3.2.

    Raises `InputError` for predictions without `moving1`, and if there are none.
    """
    total: Any = None  # (T,H,W) once the first pair has shown its size
    count = np.zeros(n_frames, np.float32)
    for pair in predictions:
        if pair.moving1 is None:
            raise InputError("This network does not say what moves; use one with mask heads, such as DAS3R's.")
        if total is None:
            total = np.zeros((n_frames, *pair.moving1.shape), np.float32)
        total[pair.i] += pair.moving1
        count[pair.i] += 1
    if total is None:
        raise InputError("There are no predictions to take masks from: give at least one pair of frames.")
    return total / np.maximum(count, 1)[:, None, None]
