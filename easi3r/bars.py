"""What is laid around the picture and does not belong to the scene: bars and rounded screen corners.

All of it stands still over the clip while the picture within it changes. Bars are first seen on small pictures and then
measured to the pixel on a few frames of full size.
"""

from collections.abc import Iterable

import cv2
import numpy as np

STILL = 8.0  # grey levels that a pixel of a bar may change over the clip: what a lossy codec leaves
NOISY = 20.0  # and one of a rim, which a codec mixes with what moves beside it: a white one changes by 18
FLAT = 10.0  # grey levels around the bar's own that count as the same
MOVES = 0.25  # share of the detail within bars with a pattern that may stand still: else the camera does
BLACK, WHITE = 32, 235  # grey levels: bars are darker or brighter in every colour
COLOURED = 0.5  # as `DETAIL` where a bar is neither: then it may be a floor or a sky
COARSE = 2.0  # pixels, deviation of the blur that takes detail away
VISIBLE = 3.0  # grey levels of detail from which a pixel shows something
DETAIL = 0.3  # share of pixels with detail that the picture within bars has at least; clips have .6 on
EDGE, EDGE_SHARE = 12.0, 0.5  # grey levels by which picture and bar differ, on this share of the bar's length
# Share of a row of a bar that stays its own where there are subtitles: of one line .68 on, of lines of .6 of the width
# that take turns .34 on, of .75 of it .19 on.
SUBTITLED = 0.15
MOST, PAGE = 0.4, 0.6  # of the height or width: a bar on one side, and what an app shows below a clip
# Share of pixels with detail by which a page differs from a sky, and of those without any by which it differs from
# what is filmed and stands still before a tripod: a page of text .36, a street .04.
SIGNS, EMPTY = 0.02, 0.2
BLURRED = 0.15  # share of pixels that stand still, on the way from picture to bar, in rows that a codec has blurred
# Share of pixels whose surroundings do not differ at all (by `NO_DETAIL` grey levels) from which a picture is drawn: a
# cartoon, a page of text, a test card. Real and rendered clips have .02 to .10, dark ones .32, cards of blocks .48 on.
DRAWN, NO_DETAIL = 0.4, 0.7
# Of a player's bar that fills up: its height and how far it gets, shares of the picture; share of its pixels that have
# one of its two colours as nearly as a codec leaves them (grey levels), of the frames in which so many have, and of the
# steps in which it does not go back.
FILLS, GETS, MIXED, USUAL = 0.05, 0.1, 40, 0.9
RIM = 0.02  # of the height or width: bars up to this are no more than two rows of the small pictures
CORNER = 0.08  # of the shorter side: what rounded corners may cost
# Rows of small pictures that two bars which come within a clip have at least, and may differ by: a dark sky over a dark
# floor differs by more, or not for so long. LASTING: share of the clip.
COMING, EVEN, LASTING = 2, 1, 0.1
LEAST, ENOUGH = 4, 32  # pictures: with fewer nothing can be said to stand still, with more it takes longer


def find_bars(pictures: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) pixels of N pictures (N,h,w,3) uint8 that are bars; None if there are none."""
    if len(pictures) < LEAST:
        return None
    pictures = pictures[:: -(-len(pictures) // ENOUGH)]
    still, mean = _still(pictures)
    detail = _detail(pictures)
    flat, patterned, coloured = [], [], False
    for turns in (1, 0, 3, 2):  # left, top, right, bottom: each is turned to the top
        s, m, p = np.rot90(still, -turns), np.rot90(mean, -turns), np.rot90(pictures, -turns, (1, 2))
        flat.append(_flat_bar(s, m, p, MOST * len(s)))
        coloured |= flat[-1] > 0 and BLACK < np.median(m[0]) < WHITE
        patterned.append(max(flat[-1], _patterned_bar(s, m)))
    rounded = _corners(still, mean, least=1) > 0
    if any(patterned[::2]) and any(patterned[1::2]) and patterned != flat:  # a camera that stands, a fire in the middle
        patterned = flat
    for sides in (patterned, flat):
        inner = _inside(still.shape, sides)
        if (any(sides) or rounded) and inner is not None and detail[inner].mean() >= (COLOURED if coloured else DETAIL):
            if is_drawn(pictures[(slice(None), *inner)].mean(axis=-1, dtype=np.float32)):
                return None
            if (still & detail)[inner].sum() <= (0.9 if any(sides) and sides == flat else MOVES) * detail[inner].sum():
                return tuple(sides)
    return None


def find_coming(pictures: np.ndarray) -> tuple[tuple[int, int, int, int], np.ndarray] | None:
    """Two black bars that cover a part of the clip only, or slide in: (left, top, right, bottom) pixels where they are
    widest, and which of N pictures (N,h,w,3) uint8 have them so wide, (N,) bool; None if there are none.

    Both are of one width at each time, however dark the scene is.
    """
    if len(pictures) < LEAST:
        return None
    least = max(LEAST, round(LASTING * len(pictures)))
    heights = [_black_rows(np.rot90(pictures, -turns, (1, 2))) for turns in (1, 0, 3, 2)]
    sides, where = [0, 0, 0, 0], np.zeros(len(pictures), bool)
    for one, two in ((0, 2), (1, 3)):
        even = (np.abs(heights[one] - heights[two]) <= EVEN) & (np.minimum(heights[one], heights[two]) >= COMING)
        rows = np.maximum(heights[one], heights[two])
        if even.sum() < least:
            continue
        widest = even & (rows >= np.quantile(rows[even], 0.9, method="nearest") - EVEN)
        if widest.sum() >= least:
            sides[one] = sides[two] = int(rows[widest].max())
            where |= widest
    return (tuple(sides), where) if where.any() else None  # type: ignore[return-value]  # four of them


def _black_rows(pictures):
    """(N,): black rows at the upper edge of each picture (N,h,w,3), 0 where these are no bar, or all of it is black."""
    counts = np.zeros(len(pictures), int)
    for k in np.flatnonzero((pictures[:, :COMING] <= BLACK).all(axis=(1, 2, 3))):
        picture = pictures[k]
        rows = _leading((picture <= BLACK).all(axis=(1, 2)) & (np.ptp(picture, axis=(1, 2)) <= FLAT))
        beside = picture[min(rows + 1, len(picture) - 1)].max(axis=-1).astype(np.float32)
        if rows <= MOST * len(picture) and (beside - np.median(picture[0]) > EDGE).mean() >= EDGE_SHARE:
            counts[k] = rows
    return counts


def find_rim(frames: np.ndarray) -> np.ndarray:
    """(H,W) bool: bars too thin to be seen on small pictures, as of tape or a careless export; frames (N,H,W,3) uint8.

    Up to `RIM` of a side in one colour that stands still, very dark or very bright, or up to `FILLS` of a player's bar
    that fills up, and the two rows beside it that a codec or a resize has mixed with the picture.
    """
    rim = np.zeros(frames.shape[1:3], bool)
    for turns in range(4) if len(frames) >= LEAST else ():
        turned, side = np.rot90(frames, turns, (1, 2)), np.rot90(rim, turns)
        rows = max(1, round(RIM * len(side)))
        strip = turned[:, : rows + 2]
        still, mean = _still(strip, NOISY)
        found = _flat_bar(still, mean, strip, rows)
        if BLACK < np.median(mean[0]) < WHITE:
            found = 0
        if turns % 2 == 0:
            found = max(found, _filling(turned[:, : round(FILLS * len(side))]))
        side[: found + 2 if found else 0] = True
    return rim


def _filling(strip):
    """Rows at the upper edge of strips (N,h,w,3) uint8 in which one colour takes the place of another, from one end of
    the row to the other while the clip goes on; 0 if there are none.
    """
    width = strip.shape[2]
    for rows in range(strip.shape[1]):
        row = strip[:, rows].astype(np.int16)
        left, right = (np.median(row[:, end], axis=(0, 1)) for end in (np.s_[: width // 20], np.s_[-(width // 20) :]))
        to_left, to_right = (np.abs(row - colour).max(axis=-1) for colour in (left, right))
        place = (to_left < to_right).sum(axis=1)  # how far the left colour reaches
        expected = np.where(np.arange(width) < place[:, None], to_left, to_right)
        two = (expected <= MIXED).mean(axis=1) >= USUAL
        forth = np.diff(place) * np.sign(place[-1] - place[0])
        fills = np.ptp(place) >= GETS * width and (forth >= 0).mean() >= USUAL and two.mean() >= USUAL
        if not fills or np.abs(left - right).max() < 2 * MIXED:
            return rows
    return strip.shape[1]


def _inside(shape, sides):
    """The slices of a picture (h,w) within bars; None if hardly anything is left."""
    left, top, right, bottom = sides
    height, width = shape
    if left + right > 2 * MOST * width or top + bottom > 2 * MOST * height:
        return None
    return slice(top, height - bottom), slice(left, width - right)


def is_drawn(greys: Iterable[np.ndarray]) -> bool:
    """Whether grey pictures (h,w) are drawn and not filmed: there, neither bars nor cuts can be told from what is
    shown.
    """
    flat = [(relief(grey.astype(np.float32)) < NO_DETAIL).mean() for grey in greys]
    return float(np.median(flat)) > DRAWN


def relief(grey: np.ndarray) -> np.ndarray:
    """How much each pixel of a grey picture (h,w) float32 differs from its surroundings, grey levels."""
    return np.abs(grey - cv2.GaussianBlur(grey, (0, 0), COARSE))


def _detail(pictures):
    """(h,w) bool: where the pictures usually have detail."""
    greys = pictures.mean(axis=-1, dtype=np.float32)
    return np.median([relief(grey) for grey in greys], axis=0) > VISIBLE


def _still(pictures, most=STILL):
    """(h,w) bool: pixels that stand still, and the mean picture (h,w,3) float32."""
    low, high = np.quantile(pictures, [0.1, 0.9], axis=0, method="nearest")  # a tenth may be a title or a black frame
    return (high.astype(np.float32) - low).max(axis=-1) <= most, np.median(pictures, axis=0).astype(np.float32)


def _flat_bar(still, mean, pictures, most):
    """Rows of the bar of one colour at the upper edge, `most` at most; 0 if there is none."""
    colour = np.median(mean[0], axis=0)
    same = (still & (np.abs(mean - colour).max(axis=-1) <= FLAT)).mean(axis=1)
    if _leading(same >= 0.97) > most:
        return 0
    bare = 1 + np.flatnonzero(same[: _leading(same >= SUBTITLED)] >= 0.97)
    rows = int(bare[bare <= most].max(initial=0))  # of a frame all around, the far side is bare too
    return rows if rows and _sharp(pictures, rows, colour) else 0


def _patterned_bar(still, mean):
    """Rows of the bar of a screen at the upper edge, with signs in it that stand still; 0 if there is none."""
    share = still.mean(axis=1)  # a clock may go on
    rows = _leading(share >= 0.85)
    if not 0 < rows <= PAGE * len(still) or share[rows : rows + 3].min() > 0.5:
        return 0
    if rows > MOST * len(still):  # a page, and not what stands still before a tripod
        differs = relief(mean[:rows].mean(axis=-1))
        return rows if (differs > VISIBLE).mean() > SIGNS and (differs < NO_DETAIL).mean() > EMPTY else 0
    return rows


def _leading(holds):
    return len(holds) if holds.all() else int(np.argmin(holds))


def _sharp(pictures, rows, colour):
    """Whether what follows a bar differs from it all along: a bright sky ends in a skyline instead."""
    beside = pictures[:, min(rows + 1, pictures.shape[1] - 1)].astype(np.float32)
    differs = np.quantile(np.abs(beside - colour).max(axis=-1), 0.9, axis=0) > EDGE
    return differs.mean() >= EDGE_SHARE


def measure(frames: np.ndarray, coarse: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the part within the bars and rounded corners, in pixels of full-size frames.

    frames (N,H,W,3) uint8; coarse: from `find_bars` of small pictures, which are `scale` times smaller.
    """
    height, width = frames.shape[1:3]
    still, mean = _still(frames)
    sides = []
    for side, turns in zip(coarse, (1, 0, 3, 2)):
        s, m = np.rot90(still, -turns), np.rot90(mean, -turns)
        sides.append(_exact(s, m, side, scale) if side else 0)
    left, top, right, bottom = sides
    inset = _corners(
        still[top : height - bottom, left : width - right], mean[top : height - bottom, left : width - right]
    )
    return left + inset, top + inset, width - left - right - 2 * inset, height - top - bottom - 2 * inset


def _exact(still, mean, rows, scale):
    """Rows of a bar at the upper edge that is about `rows` rows of small pictures high."""
    low, high = max(0, int((rows - 2) * scale)), min(int(np.ceil((rows + 3) * scale)), len(still) - 1)
    same = still & (np.abs(mean - np.median(mean[0], axis=0)).max(axis=-1) <= FLAT)
    share = same.mean(axis=1)
    if np.median(share[: max(low, 1)]) < 0.9:  # a bar with a pattern
        share = still.mean(axis=1)
    within = np.median(share[high : max(len(share) - high, (len(share) + high) // 2)])
    row = low + _leading(share[low:high] > within + BLURRED * (1 - within))
    return row + 1  # what a codec blurs there still looks like the picture


def _corners(still, mean, least=2):
    """Pixels to take off every side to be rid of four rounded corners of one colour; 0 where there are none."""
    most, depths, colour = int(np.ceil(CORNER * min(still.shape))), [], mean[0, 0]
    for turns in range(4):
        s, m = np.rot90(still, turns), np.rot90(mean, turns)
        diagonal = np.arange(min(s.shape) // 2)
        flat = s[diagonal, diagonal] & (np.abs(m[diagonal, diagonal] - colour).max(axis=-1) <= FLAT)
        depths.append(_leading(flat))
    return max(depths) + 1 if least <= min(depths) and max(depths) <= most else 0
