"""Interlaced frames: two moments woven into one picture, line by line. One of the two is kept."""

import cv2
import numpy as np

# How much a line differs from the two beside it, against those two lines away, and the same for columns. Natural
# pictures have .43 to .65 for lines and up to 1.4 times what columns have; woven ones .78 on and 1.45 times.
WOVEN, WOVEN_RATIO = 0.72, 1.3
SAID_RATIO = 1.1  # in a clip that says it is interlaced
ENOUGH = 512  # pixels of a picture, from its middle, that are looked at


def is_woven(image: np.ndarray, said: bool) -> bool:
    """Whether a picture (H,W,3) uint8 as it was stored shows two moments; `said`: its clip says it is interlaced."""
    grey = cv2.cvtColor(_middle(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    if min(grey.shape) < 5:
        return False
    lines, columns = _unlike(grey), _unlike(grey.T)
    return lines > SAID_RATIO * columns if said else lines > WOVEN and lines > WOVEN_RATIO * columns


def _middle(image):
    """The middle of a picture, at most `ENOUGH` pixels wide and high."""
    top, left = (max(0, (side - ENOUGH) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + ENOUGH, left : left + ENOUGH])


def _unlike(grey):
    near = grey[2:-2] - (grey[1:-3] + grey[3:-1]) / 2
    far = grey[2:-2] - (grey[:-4] + grey[4:]) / 2
    return float(np.sqrt((near**2).sum() / ((far**2).sum() + 1)))


def one_moment(image: np.ndarray) -> np.ndarray:
    """The picture (H,W,3) uint8 with every second line made anew from the lines above and below it."""
    mended = image.copy()
    above, below = image[0:-1:2], image[2::2]
    below = np.concatenate([below, above[-1:]]) if len(below) < len(above) else below
    mended[1::2] = cv2.addWeighted(above, 0.5, below[: len(above)], 0.5, 0)[: len(mended[1::2])]
    return mended
