"""From a click to the thing that lies there, through the whole clip."""

import cv2
import numpy as np

from ..colour import strongest
from ..flow import Flow, both_ways, sample
from ..threads import in_order
from .grabcut import grabcut
from .movers import follow

SMALL = 256  # pixels of width at which a thing is looked for; GrabCut's time grows with the pixels
# Share of the width within which a thing is looked for, and how much clearer its outline must be than that of what was
# found with less: of 18 clicks in the three rendered examples 12 gave the thing, 3 a part of it.
REACHES, CLEARER = (0.04, 0.06, 0.09, 0.13, 0.19, 0.27), 1.25
STEP, LAB, FAR = 3, 60.0, 0.12  # pixels across an edge; the difference in colour, and in log depth, that is a full one
MOST = 1 / 3  # of the picture that a thing may be
FELT = 0.5  # evidence of motion from which it tells what belongs to a thing
UNSURE = 0.6  # that a pixel is of the thing if only one way of the flow says so
SEARCHED, UNLIKE = 0.15, 45.0  # share of the width, and levels of 255 off, at which a thing may be the same
SHRUNK = 0.35  # share of the pixels from one frame to the next; with less the thing is lost


def evident(
    motion: np.ndarray,
    still: np.ndarray,
    click: tuple[int, int, int],
    geometry: tuple[np.ndarray, np.ndarray, np.ndarray],
    frames: np.ndarray,
) -> dict[int, np.ndarray]:
    """The thing at a click (frame, row, column) as the evidence of motion (T,H,W) shows it: frame -> mask (H,W) bool.

    still (T,H,W) bool: pixels it can be of. geometry: depth, cam2world and intrinsics, see `follow`. Empty where there
    is hardly any evidence, or evidence everywhere.
    """
    t, row, column = click
    if not (still[t] & (motion[t] > FELT))[row, column]:
        return {}
    movers = follow((motion > FELT) & still, *geometry, frames)
    found = grabcut(motion * (movers == movers[click]), FELT, frames) & still
    if found[t].mean() > MOST:
        return {}
    return {k: found[k] for k in np.flatnonzero(found.any(axis=(1, 2))).tolist()}


def outlined(frame: np.ndarray, depth: np.ndarray, focal: float, row: int, column: int) -> np.ndarray | None:
    """The thing at a pixel of a frame (H,W,3) uint8 RGB by its colours and depth (H,W): (H,W) bool, None if there is
    none that is less than `MOST` of the picture.

    Of balls of several sizes around the place in space, GrabCut (Rother et al. 2004) makes one outline each; that with
    the clearest edges is taken. focal in pixels.
    """
    size = _small(frame.shape)
    scale = size[0] / frame.shape[1]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    z = np.log(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST))
    v, u = min(int(row * scale), size[1] - 1), min(int(column * scale), size[0] - 1)
    edges = _edges(small, z)
    rows, columns = np.mgrid[: size[1], : size[0]]
    at = np.median(z[max(0, v - 1) : v + 2, max(0, u - 1) : u + 2])
    away = np.sqrt(
        (columns - u) ** 2 + (rows - v) ** 2 + (scale * focal * (z - at)) ** 2
    )  # pixels at the click's depth
    best, clearness = None, 0.0
    for reach in REACHES:
        mask = _within(small, away, reach * size[0], (v, u))
        if mask is None:
            continue
        if mask.mean() > MOST:
            break
        rim = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE) == 0)
        cut_off = away[rim] > 1.45 * reach * size[0]  # only by the ball
        clear = float(np.where(cut_off, 0, edges[rim]).mean()) if rim.any() else 0.0
        if clear > CLEARER * clearness:
            best, clearness = mask, clear
    if best is None:
        return None
    whole = cv2.resize(best.astype(np.float32), frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return grabcut(whole[None], 0.5, frame[None])[0]


def carried(known: dict[int, np.ndarray], frames: np.ndarray) -> np.ndarray:
    """Masks (T,H,W) bool of a thing in frames (T,H,W,3) uint8 RGB, from those that are `known`: along the flow, from
    frame to frame, as long as it can be followed; outlines by colours.
    """
    size = _small(frames.shape[1:3])
    small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    masks = np.zeros(small.shape[:3], bool)
    for t, mask in known.items():
        masks[t] = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    steps = [t for t in range(len(frames) - 1) if not (t in known and t + 1 in known)]
    flows = dict(zip(steps, in_order(lambda t: both_ways(grey[t], grey[t + 1]), steps)))
    for way, order in ((1, range(len(frames) - 1)), (-1, range(len(frames) - 1, 0, -1))):
        for t in order:
            if masks[t].any() and t + way not in known and not masks[t + way].any():
                back = flows[min(t, t + way)][1 if way > 0 else 0]
                masks[t + way] = _moved(masks[t], back, small[t], small[t + way])
    values = [cv2.resize(mask.astype(np.float32), frames.shape[2:0:-1]) for mask in masks]
    whole = grabcut(np.stack(values), 0.5, frames)
    for t, mask in known.items():
        whole[t] = mask
    return whole


def _small(shape):
    """(width, height) at which a thing is looked for in frames of (height, width)."""
    scale = min(1.0, SMALL / shape[1])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _moved(mask: np.ndarray, back: Flow, frame: np.ndarray, following: np.ndarray) -> np.ndarray:
    """A mask (H,W) of a frame in the one `following`, from which the flow leads `back`; nothing if it is lost."""
    value = sample(mask.astype(np.float32), back.target)
    surely = value * back.consistent
    if (surely > 0.5).sum() > SHRUNK * mask.sum():
        value = np.maximum(surely, UNSURE * value)
    else:  # far away, or turned
        value = _matched(mask, frame, following)
    moved = grabcut(value.astype(np.float32)[None], 0.5, following[None])[0]
    fits = SHRUNK * mask.sum() < moved.sum() < mask.sum() / SHRUNK
    return moved if fits else np.zeros_like(mask)


def _matched(mask, frame, following):
    """`mask` (H,W) shifted to where `following` looks most as the frame does there, 0 to 1; nothing if nowhere."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    reach = round(SEARCHED * mask.shape[1])
    around = cv2.copyMakeBorder(following, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    around = around[box[0].start : box[0].stop + 2 * reach, box[1].start : box[1].stop + 2 * reach]
    shape = np.repeat(mask[box].astype(np.uint8)[..., None], 3, axis=-1)
    away = cv2.matchTemplate(around, np.ascontiguousarray(frame[box]), cv2.TM_SQDIFF, mask=shape)
    least, _, place, _ = cv2.minMaxLoc(away)
    if np.sqrt(least / (3 * mask.sum())) > UNLIKE:
        return np.zeros(mask.shape, np.float32)
    shift = np.array([[1, 0, place[0] - reach], [0, 1, place[1] - reach]], np.float32)
    return cv2.warpAffine(mask.astype(np.float32), shift, mask.shape[::-1])


def _edges(frame, z):
    """How clear an edge runs at every pixel (H,W), in 0 to 2.5, of colours and of log depth z (H,W)."""
    lab = cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    clear = np.zeros(z.shape, np.float32)
    for image, unit, weight in ((lab, LAB, 1.0), (z[..., None], FAR, 1.5)):
        padded = np.pad(image, ((STEP, STEP), (STEP, STEP), (0, 0)), mode="edge")
        across = np.abs(padded[STEP:-STEP, : -2 * STEP] - padded[STEP:-STEP, 2 * STEP :])
        down = np.abs(padded[: -2 * STEP, STEP:-STEP] - padded[2 * STEP :, STEP:-STEP])
        clear += weight * np.minimum(strongest(np.maximum(across, down)) / unit, 1)
    return clear


def _within(frame, away, reach, click):
    """GrabCut's outline (H,W) bool of what lies at a click (row, column), about `reach` pixels large; None if nothing.

    away (H,W): pixels from the click, depth counted too.
    """
    labels = np.full(away.shape, cv2.GC_BGD, np.uint8)
    labels[away < 1.6 * reach] = cv2.GC_PR_BGD
    labels[away < reach] = cv2.GC_PR_FGD
    labels[away < 0.35 * reach] = cv2.GC_FGD
    labels[click] = cv2.GC_FGD
    box = tuple(slice(max(0, int(c - 2.4 * reach)), int(c + 2.4 * reach) + 2) for c in click)
    inside = np.ascontiguousarray(labels[box])
    if not ((inside == cv2.GC_BGD).any() and (inside != cv2.GC_BGD).sum() > 8):
        return None
    cv2.setRNGSeed(0)  # of this thread: its k-means starts at random
    bgr = np.ascontiguousarray(frame[box][..., ::-1])
    cv2.grabCut(bgr, inside, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    mask = np.zeros(away.shape, np.uint8)
    mask[box] = (inside == cv2.GC_FGD) | (inside == cv2.GC_PR_FGD)
    _, parts = cv2.connectedComponents(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    return parts == parts[click] if parts[click] else None
