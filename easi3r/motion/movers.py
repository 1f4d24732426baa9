"""Movers one by one: the connected parts of what moves, followed through the clip.

Parts of each frame are linked over time by place, colours and size (one assignment per frame; Kuhn 1955). A mover that
is seen before or after others as one part with them keeps its share of that part.
"""

import colorsys
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ..camera import Camera, invert, transform
from ..large import MANY, frames_of, zeros
from ..threads import in_order

MOST = 99  # movers; larger palette indices could be read as levels of grey
JUMP = 0.12  # of log depth, from which two things that touch in the picture are two
SEED = 0.12  # share of what is connected that lies on either side of such a jump; less is a rim or a hand
CLOSED = 0.004  # of the width: parts so near to each other are one; masks have cracks
FEW = 2e-4  # of the picture: parts with fewer pixels are followed by nobody and join the nearest mover
# Of the clip, or of `MANY` frames of a longer one: so long a mover may be out of sight, or one part with others.
GAP = 1 / 3
COLOURS = 8  # bins of each of R, G, B
# What speaks against a link: distance in sizes of the part, weight 1; the two below; a frame of gap. From DEAREST on,
# two parts are not the same thing.
UNLIKE, RESIZED, AWAY, DEAREST = 2.0, 0.5, 0.1, 3.0
OWN = 0.5  # of the frames of a mover: so many show it apart from others, else it belongs to them
HIDDEN = 0.5  # share of where a mover should be that must move: else it has gone, or stands behind something
# Distance of colours up to which what is there may be the mover: between two frames that show it apart; and before or
# after all of them, when it may not come back. There a facade of `street` is itself up to 0.36, who hides it from 0.48.
ALIKE, ALIKE_BEYOND = 0.6, 0.42
# Share of the frames, `MANY` at most, that a mover is in, or of the pixels of the largest; less is a bit.
LASTS, WEIGHS = 0.25, 0.05
_FIRST = [(255, 66, 126), (60, 160, 255), (255, 190, 40), (70, 205, 120), (170, 110, 255), (255, 120, 50)]
_FIRST += [(40, 210, 220), (230, 110, 220), (165, 190, 40), (185, 130, 95)]
_GOLDEN = 0.618034  # of a turn: hues so far apart never meet again


def colour(mover: int) -> np.ndarray:
    """(3,) uint8 sRGB of mover 1, 2, ...: the first ten far apart, the others by hue; 0, no mover, is black.

    All are light: programs that read a mask in colours as grey and cut it at half find what moves.
    """
    if mover <= len(_FIRST):
        return np.array((0, 0, 0) if mover == 0 else _FIRST[mover - 1], np.uint8)
    rgb = colorsys.hsv_to_rgb(mover * _GOLDEN % 1, 0.3 + 0.1 * (mover % 3), 1 - 0.06 * (mover % 2))
    return np.round(255 * np.array(rgb)).astype(np.uint8)


def follow(
    dynamic: np.ndarray, depth: np.ndarray, cam2world: np.ndarray, intrinsics: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Which mover every pixel of `dynamic` (T,H,W) bool belongs to: (T,H,W) uint8, 0 where nothing moves, 1 for the
    mover with most pixels over the clip, then 2, ..., at most `MOST`.

    depth (T,H,W) z depth; cam2world (T,4,4); intrinsics (T,3,3) pixels; frames (T,H,W,3) uint8 RGB.
    """
    if not dynamic.any():
        return zeros(dynamic.shape, np.uint8)
    places = _Places(depth, cam2world, intrinsics)
    labels = in_order(lambda t: _parts(dynamic[t], places.depth_of(t)), frames_of([dynamic, depth, frames]))
    tracks = _linked(labels, frames, places)
    tracks = _carried(tracks, dynamic, frames, places)
    return _numbered(tracks, dynamic)


@dataclass
class _Part:
    t: int
    label: int  # in its frame
    area: int
    pixel: np.ndarray  # (2,) its middle, (u, v)
    point: np.ndarray  # (3,) the same in the world, at its median depth
    shades: np.ndarray  # (n,) shares of colours, summing to one


@dataclass
class _Track:
    """One thing over time."""

    parts: list[_Part]
    masks: "_Masks" = field(default_factory=lambda: _Masks())
    expected: "_Masks" = field(default_factory=lambda: _Masks())  # the same where it is one part with others


class _Masks(dict):
    """Frame -> mask (H,W) bool, of which each row is kept eight pixels to a byte."""

    def __setitem__(self, t: int, mask: np.ndarray) -> None:
        super().__setitem__(t, (np.packbits(mask, axis=1), mask.shape[1]))

    def __getitem__(self, t: int) -> np.ndarray:
        packed, width = super().__getitem__(t)
        return np.unpackbits(packed, axis=1, count=width).view(bool)


@dataclass(frozen=True)
class _Places:
    depth: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray

    def depth_of(self, t: int) -> np.ndarray:
        """(H,W) float32 of frame t; 1 where it is not known."""
        depth = self.depth[t]
        return np.where(np.isfinite(depth) & (depth > 0), depth, 1).astype(np.float32)

    def lift(self, mask: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Middle (2,) of a mask (H,W) in frame t, in pixels and, at its median depth, (3,) in the world."""
        rows, columns = np.nonzero(mask)
        pixel = np.array([columns.mean(), rows.mean()])
        ray = np.linalg.inv(self.intrinsics[t]) @ [*pixel, 1]
        return pixel, transform(self.cam2world[t], ray * np.median(self.depth_of(t)[rows, columns]))

    def see(self, point: np.ndarray, t: int) -> np.ndarray:
        """Pixel (2,) of a world point in frame t."""
        camera = Camera(self.intrinsics[t], self.depth.shape[:0:-1])
        return camera.project(transform(invert(self.cam2world[t]), point))[0]


def _parts(dynamic, depth):
    """Numbers (H,W) int32 of the parts of a frame: what is connected, cut where depth jumps; 0: still, or a speck."""
    width = 1 + 2 * max(1, round(CLOSED * dynamic.shape[1]))
    kernel = np.ones((width, width), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(dynamic.astype(np.uint8), kernel))
    labels[~dynamic] = 0
    found = np.zeros_like(labels)
    for k in range(1, count):
        left, top, w, h = stats[k, :4]
        box = np.s_[top : top + h, left : left + w]
        mask = labels[box] == k
        if mask.sum() >= FEW * dynamic.size:
            found[box][mask] = found.max() + _cut(mask, np.log(depth[box]))[mask]
    return found


def _cut(mask, distance):
    """Numbers from 1 (H,W) of the pieces of one connected mask (H,W) that lie `JUMP` apart in log depth (H,W)."""
    near = cv2.erode(np.where(mask, distance, 99).astype(np.float32), np.ones((3, 3)))
    far = cv2.dilate(np.where(mask, distance, -99).astype(np.float32), np.ones((3, 3)))
    flat = (mask & (far - near < JUMP / 2)).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SEED * mask.sum()]
    middles = np.array([np.median(distance[pieces == k]) for k in large])
    order = np.argsort(middles)
    groups = np.cumsum(np.diff(middles[order], prepend=middles[order[:1]]) > JUMP)
    if not len(groups) or groups[-1] == 0:
        return np.ones(mask.shape, np.int32)
    group = np.zeros(count, np.int32)
    group[np.array(large)[order]] = 1 + groups
    return _nearest(group[pieces])


def _nearest(labels):
    """(H,W) int32: the nearest label other than 0 of every pixel of labels (H,W)."""
    _, index = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(index.max() + 1, np.int32)
    of_pixel[index[labels > 0]] = labels[labels > 0]
    return of_pixel[index]


def _described(labels, frame, t, places):
    """The `_Part`s of a frame, from their numbers (H,W)."""
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns]
    bins = (frame[rows, columns] // (256 // COLOURS)).astype(np.int64) @ [COLOURS**2, COLOURS, 1]
    shades = np.bincount(number * COLOURS**3 + bins, minlength=(labels.max() + 1) * COLOURS**3)
    shades = shades.reshape(-1, COLOURS**3)  # (n, bins)
    for k in range(1, labels.max() + 1):
        area = int(shades[k].sum())
        yield _Part(t, k, area, *places.lift(labels == k, t), shades[k] / area)


def _linked(labels, frames, places):
    """`_Track`s: parts that are the same thing, each frame's assigned to those of the frames before."""
    tracks: list[_Track] = []
    longest = 1 + max(2, GAP * min(len(frames), MANY))
    open_: list[_Track] = []
    for t, labels_of in enumerate(labels):
        parts = list(_described(labels_of, frames[t], t, places))
        open_ = [track for track in open_ if t - track.parts[-1].t <= longest]
        against = np.array([[_against(track, part, places) for part in parts] for track in open_])
        taken = set()
        if against.size:
            for row, column in zip(*linear_sum_assignment(np.minimum(against, DEAREST))):
                if against[row, column] < DEAREST:
                    open_[row].parts.append(parts[column])
                    taken.add(column)
        new = [_Track([part]) for k, part in enumerate(parts) if k not in taken]
        tracks += new
        open_ += new
        for track in open_:
            if track.parts[-1].t == t:
                track.masks[t] = labels_of == track.parts[-1].label
    return tracks


def _against(track, part, places):
    """What speaks against `part` being the next of `track`; see `UNLIKE`."""
    last = track.parts[-1]
    size = (np.sqrt(last.area) + np.sqrt(part.area)) / 2
    away = min(np.linalg.norm(places.see(point, part.t) - part.pixel) for point in _ahead(track.parts, part.t)) / size
    unlike = np.sqrt(max(0.0, 1 - np.sqrt(last.shades * part.shades).sum()))  # Hellinger distance
    resized = abs(np.log(part.area / last.area))
    return away + UNLIKE * unlike + RESIZED * resized + AWAY * (part.t - last.t - 1)


def _ahead(parts, t):
    """World points (3,) where the thing with these parts may be in frame t: where it was last, or as far on as it went
    before.
    """
    last = parts[-1]
    if len(parts) == 1:
        return [last.point]
    before = parts[-2]
    return [last.point, last.point + (last.point - before.point) * (t - last.t) / (last.t - before.t)]


def _carried(tracks, dynamic, frames, places):
    """`tracks` with those that are mostly seen apart carried through frames that show them as one part with others."""
    n_frames = len(dynamic)
    for track in tracks:
        if len(track.parts) < 2:
            continue
        first, last = track.parts[0].t, track.parts[-1].t
        for t in set(range(first, last)) - track.masks.keys():
            _expect(track, t, dynamic, frames, places)
        for way in (range(first - 1, -1, -1), range(last + 1, n_frames)):
            for t in way:
                if not _expect(track, t, dynamic, frames, places):
                    break
        if len(track.parts) < OWN * (len(track.parts) + len(track.expected)):
            track.expected = _Masks()
    for t in range(n_frames):
        _share(t, tracks, dynamic, places)
    return tracks


def _expect(track, t, dynamic, frames, places):
    """Whether the mover may be in frame t, where it is not apart; then the mask (H,W) where it is expected is kept."""
    mask = _foreseen(track, t, places)
    inside = mask & dynamic[t]
    if inside.sum() < max(HIDDEN * mask.sum(), FEW * mask.size):
        return False
    shades = next(_described(inside.astype(np.int32), frames[t], t, places)).shades
    nearest = min(track.parts, key=lambda part: abs(part.t - t))
    between = track.parts[0].t < t < track.parts[-1].t
    if 1 - np.sqrt(shades * nearest.shades).sum() > (ALIKE if between else ALIKE_BEYOND) ** 2:
        return False
    track.expected[t] = mask
    return True


def _foreseen(track, t, places):
    """The mask (H,W) of a mover in frame t, from the nearest frame that shows it apart, moved on as it moves."""
    before, after = ([part for part in track.parts if (part.t > t) == late] for late in (False, True))
    pair = [*before[-1:], *after[:1]] if before and after else [*before[:-3:-1], *after[:2]]
    start, other = sorted(pair, key=lambda part: abs(part.t - t))
    point = start.point + (other.point - start.point) * (t - start.t) / (other.t - start.t)
    shift = np.float32([[1, 0, 0], [0, 1, 0]])
    shift[:, 2] = places.see(point, t) - start.pixel
    mask = track.masks[start.t].astype(np.uint8)
    return cv2.warpAffine(mask, shift, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def _share(t, tracks, dynamic, places):
    """Give every mover that is expected in frame t its share of the parts that others are seen as, in place."""
    guests = [track for track in tracks if t in track.expected]
    for host in [track for track in tracks if t in track.masks]:
        whole = host.masks[t]
        inside = [guest for guest in guests if (guest.expected[t] & whole).sum() > HIDDEN * guest.expected[t].sum()]
        if not inside:
            continue
        masks = [guest.expected[t] & whole for guest in inside]
        alone = [part for part in host.parts if not any(part.t in guest.expected for guest in inside)]
        own = whole & ~np.any(masks, axis=0)
        if len(alone) > 1:
            expected = _foreseen(_Track(alone, host.masks), t, places) & whole
            own = expected if expected.any() else own
        if not own.any():
            continue
        away = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) for mask in (own, *masks)]
        nearest = np.argmin(away, axis=0)
        for k, guest in enumerate(inside, start=1):
            guest.masks[t] = whole & (nearest == k)
        host.masks[t] = whole & (nearest == 0)


def _numbered(tracks, dynamic):
    """(T,H,W) uint8 of which mover every pixel is: the tracks, largest first; bits and specks join the nearest one."""
    sizes = np.array([sum(int(track.masks[t].sum()) for t in track.masks) for track in tracks])
    lasting = np.array([len(track.masks) >= max(3, LASTS * min(len(dynamic), MANY)) for track in tracks], bool)
    order = [k for k in np.argsort(-sizes, kind="stable") if lasting[k] or sizes[k] >= WEIGHS * sizes.max()][:MOST]
    movers = zeros(dynamic.shape, np.uint8)
    for number, k in enumerate(order, start=1):
        for t in tracks[k].masks:
            movers[t][tracks[k].masks[t]] = number
    shown = np.flatnonzero(movers.any(axis=(1, 2)))
    for t in [t for t, moves in enumerate(dynamic) if (moves & (movers[t] == 0)).any()]:
        if not len(shown):
            movers[t][dynamic[t]] = 1
            continue
        near = shown[np.abs(shown - t).argmin()]
        movers[t] = np.where(dynamic[t], np.where(movers[t] > 0, movers[t], _nearest(movers[near].astype(np.int32))), 0)
    return movers
