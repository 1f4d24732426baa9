"""Outlines from evidence per pixel, by the whole clip at once: what moves somewhere tells by its colours what moves
elsewhere.
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from ..flow import Flow
from .volume import colours, links, spread

# The cut lies this far above what three quarters of the static pixels stay below, on the scale of the evidence
ABOVE = 0.2
SOFT = 0.06  # of the evidence: over this the prior goes from still to moving; .05 to .1 give the same J
STIFF = 3.0  # of the links against evidence, .3 to 8 differ by less than .02 in J; against colours as well: 1
BINS = 32  # of each of L, a, b
AROUND = 0.08  # of the width: colours of the background are learnt this near to what moves, where it could be mistaken


def automatic_cut(evidence: np.ndarray) -> float:
    """Where evidence (T,h,w) of motion begins to count, from how much of it the static pixels of this clip have."""
    if evidence.min() == evidence.max():
        return 1.0
    still = evidence[evidence < threshold_otsu(evidence)]
    return float(np.quantile(still, 0.75)) + ABOVE
