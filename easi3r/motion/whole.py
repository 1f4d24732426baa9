"""Outlines from evidence per pixel, by the whole clip at once: what moves somewhere tells by its colours what moves
elsewhere.
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from .volume import Volume, spread

# The cut lies this far above what three quarters of the static pixels stay below, on the scale of the evidence. Mean J
# of four real clips is .659, .669, .673, .673 at .15, .17, .19, .21, of three rendered ones .80, .82, .82, .78.
ABOVE = 0.18
# Mean evidence of a piece of a mask above the cut: pieces of static clips (strong parallax, compression) reach .07, the
# largest mover of seven clips has .12 to .28. What comes between the two goes as a whole.
CONVINCING = 0.07
SOFT = 0.06  # of the evidence: over this the prior goes from still to moving; .05 to .1 give the same J
STIFF = 3.0  # of the links against evidence: .3 to 8 differ by less than .02 in J; against colours as well: 1
FIRM = 7.0  # of what is sure against links, of which a pixel has six: 5 to 10 differ by less than .02 in J
BINS = 32  # of each of L, a, b
AROUND = 0.08  # of the width: colours of the background are learnt this near to what moves, where it could be mistaken


def automatic_cut(evidence: np.ndarray) -> float:
    """Where evidence (T,h,w) of motion begins to count, from how much of it the static pixels of this clip have."""
    if evidence.min() == evidence.max():
        return 1.0
    still = evidence[evidence < threshold_otsu(evidence)]
    return float(np.quantile(still, 0.75)) + ABOVE


def segment(
    evidence: np.ndarray,
    weight: np.ndarray,
    cut: float,
    volume: Volume,
    coloured: bool = True,
    progress: Callable[[float], None] | None = None,
    sure: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (T,H,W) bool of the frames of `volume`, and the probability (T,H,W) float32 in [0,1] of moving that
    evidence (T,h,w) above `cut` gives, where known to `weight` (T,h,w), once it is spread over the clip.

    coloured: let colours decide as well. sure (T,h,w) in [0,1]: how
    surely a pixel moves whatever its neighbours and colours say. `progress` gets 0 to 1.
    """
    report = progress or (lambda fraction: None)
    lab, laplacian = volume.linked
    report(0.2)
    prior = _sigmoid((evidence - cut) / SOFT)
    sure = np.zeros_like(prior) if sure is None else sure
    moving = spread(prior, weight + 0.02 + FIRM * sure, STIFF * laplacian, lambda done: report(0.2 + 0.4 * done))
    found = moving
    if coloured and (moving > 0.5).any():
        both = _sigmoid(_logit(moving) + (1 - sure) * _logit(colour_probability(lab, moving)))
        report(0.6)
        found = spread(both, 1 + FIRM * sure, laplacian, lambda done: report(0.6 + 0.4 * done))
    kept = _enlarged(found * convincing(found > 0.5, evidence - cut), volume.frames)
    return kept > 0.5, _enlarged(moving, volume.frames)


def convincing(masks: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Those pieces of masks (T,h,w) bool, connected in the picture and over time, over which evidence above the cut,
    `excess` (T,h,w), is on average more than noise reaches.
    """
    labels, count = ndimage.label(masks, np.ones((3, 3, 3)))
    means = ndimage.mean(excess, labels, np.arange(count + 1)) if count else np.zeros(1)
    return masks & (np.asarray(means) > CONVINCING)[labels]


def colour_probability(lab: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Probability (T,h,w) of moving by colour alone, from histograms over all frames of what surely moves and of what
    surely stands nearby; lab (T,h,w,3) float32 in 0..256, moving (T,h,w) in [0,1].
    """
    bins = (lab * (BINS / 256)).astype(np.int32)
    bins = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
    reach = round(AROUND * lab.shape[2])
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    near = np.stack([cv2.dilate((frame > 0.5).astype(np.uint8), disk) for frame in moving])
    sure = np.maximum(2 * moving - 1, 0), np.maximum(1 - 2 * moving, 0) * (near + 0.02)
    foreground, background = (_histogram(bins, weight) for weight in sure)
    unseen = 1e-5 / BINS  # share of either that a colour has which neither shows
    return ((foreground + unseen) / (foreground + background + 2 * unseen))[bins]


def _histogram(bins, weight):
    """Smooth shares of all colours, summing to one."""
    counts = np.bincount(bins.ravel(), weight.ravel(), BINS**3).reshape((BINS,) * 3)
    return (ndimage.gaussian_filter(counts, 1, mode="constant") / weight.sum()).ravel()


def _enlarged(fields, frames):
    size = frames.shape[2], frames.shape[1]
    return np.stack([cv2.resize(field, size, interpolation=cv2.INTER_LINEAR) for field in fields])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _logit(p):
    p = np.clip(p, 0.02, 0.98)  # neither evidence nor colour is ever surer
    return np.log(p / (1 - p))
