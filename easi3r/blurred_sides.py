"""A picture laid over a blurred, enlarged copy of itself: a wide clip in the tall frame of a phone, or the other way.

The copy moves as the picture does, so that it is no bar; what tells it is that the picture predicts it.
"""

import cv2
import numpy as np

from .bars import relief

LOOKED = 12  # pictures that are compared, at most
LEAST, MOST = 0.1, 0.42  # of the height or width: the copy on one side; 4:3 in 16:9 leaves .125, 16:9 in 9:16 .34
SMOOTH = 3.0  # pixels of small pictures: deviation of the blur after which it does not matter how blurred the copy is
# Where copy and picture meet, neighbouring rows differ more than nine tenths of the copy's do, so many times: in two
# copies by another hand 3.3 and 4.3, with little blur 2.4, which is missed; in 80 clips without one 1.2 at most where
# the next holds, 2.0 with a line of a song.
BORDER = 2.5
ALIKE = 0.8  # correlation of the copy and of what the picture predicts of it, over space and time; copies have .91 on
# How much larger than to fill the frame the copy may be, and steps in which that is looked for: half a step off, the
# copy correlates by .93 with what is predicted instead of .99.
LARGER = 1.0, 1.15, 1.3, 1.45, 1.6
DETAIL = 0.7  # the copy's over the picture's, at most; copies have up to .62
SHORTEST = 30  # rows: of fewer nothing can be said


def find_sides(pictures: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) pixels of N pictures (N,h,w,3) uint8 that show a blurred copy; None if none do."""
    some = pictures[:: -(-len(pictures) // LOOKED)].astype(np.float32)
    rows, columns = _rows(some), _rows(some.transpose(0, 2, 1, 3))
    if rows and columns:
        return None
    return (columns, rows, columns, rows) if rows or columns else None


def measure(frames: np.ndarray, coarse: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the picture within a copy, in pixels of full-size frames.

    frames (N,H,W,3) uint8; coarse: from `find_sides` of small pictures, which are `scale` times smaller.
    """
    height, width = frames.shape[1:3]
    sides = [
        _border(np.rot90(frames, -turns, (1, 2)), side, scale) if side else 0
        for side, turns in zip(coarse, (1, 0, 3, 2))  # each is turned to the top
    ]
    left, top, right, bottom = sides
    return left, top, width - left - right, height - top - bottom


def _rows(pictures):
    """Rows at the upper and the lower edge, as many each, that show a copy; 0 if none do."""
    height = pictures.shape[1]
    if height < SHORTEST:
        return 0
    steps = _steps(pictures)
    clear = {}
    for rows in range(int(LEAST * height) + 1, int(MOST * height) + 1):
        inside = np.concatenate([steps[: rows - 1], steps[height - rows :]])
        clear[rows] = min(steps[rows - 1], steps[height - rows - 1]) / (np.quantile(inside, 0.9) + 0.5)
    for rows in sorted(clear, key=clear.__getitem__, reverse=True):
        if clear[rows] < BORDER:
            break
        if max(_correlation(pictures, rows, larger) for larger in LARGER) > ALIKE and _is_blurred(pictures, rows):
            return rows
    return 0


def _steps(pictures):
    """(h-1,) grey levels by which each row usually differs from the next."""
    return np.median(np.abs(np.diff(pictures, axis=1)).max(axis=-1), axis=0).mean(axis=1)


def _correlation(pictures, rows, larger):
    """Of what so many rows on both sides show with what the picture between them predicts, enlarged to fill the frame
    and so many times more.
    """
    height, width = pictures.shape[1:3]
    there, predicted = [], []
    wide, high = round(larger * max(width, width * height / (height - 2 * rows))), round(larger * height)
    top, left = (high - height) // 2, (wide - width) // 2
    for picture in pictures:
        large = cv2.resize(picture[rows : height - rows], (wide, high))[top : top + height]
        smooth = cv2.GaussianBlur(large[:, left : left + width], (0, 0), SMOOTH)
        predicted.append(np.concatenate([smooth[:rows], smooth[-rows:]]))
        parts = (np.ascontiguousarray(part) for part in (picture[:rows], picture[-rows:]))
        there.append(np.concatenate([cv2.GaussianBlur(part, (0, 0), SMOOTH) for part in parts]))
    a, b = (np.array(each) - np.mean(each, axis=(0, 1, 2)) for each in (there, predicted))
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum() + 1))


def _is_blurred(pictures, rows):
    """Whether so many rows on both sides have less detail than the picture between them."""
    greys, height = pictures.mean(axis=-1), pictures.shape[1]
    detail = np.mean([relief(grey) for grey in greys], axis=(0, 2))
    beside = np.concatenate([detail[: rows - 1], detail[height - rows + 1 :]])
    return beside.mean() < DETAIL * detail[rows + 1 : height - rows - 1].mean()


def _border(frames, rows, scale):
    """Rows of the copy at the upper edge, about `rows` of small pictures, and one more that a codec mixes with it."""
    low, high = max(1, int((rows - 1.5) * scale)), int(np.ceil((rows + 1.5) * scale)) + 1
    return low + int(_steps(frames[:, low - 1 : high].astype(np.float32)).argmax()) + 1
