"""A quick look over a source before anything is computed: which of its frames show the scene, where it is cut, where it
rests.

The look is at most `LOOKS` small pictures. Frames are left out of the scene when they show little of what the clip
usually shows (black, faded, covered, a title); a cut is where a small picture cannot be made from the one before by
moving pixels about.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from . import bars, blank, blurred_sides, cuts, decode, halves, margins, repeats
from .errors import InputError
from .sizes import Size, reduced
from .sources import Source

LOOKS = 240  # pictures looked at, at most; reduced to 96 pixels that takes .3 s beside the decoding
FEWEST_LOOKS = 48  # pictures looked at in a long clip, at least
LOOK_THROUGH = 600  # frames up to which a clip is decoded as a whole for that; of longer ones keyframes are looked at
SIDE = 96  # pixels, long side of what is looked at: motion blur and noise hardly change a picture of this size
SMALLEST_SIDE = 16  # pixels; below, there is nothing to match and no room for one patch
SOUGHT = 400  # frames of a long clip, at most, among which cuts are sought between keyframes that do not look alike
CLOSE = 3  # frames from one look to the next, usually, up to which pictures follow each other closely
SHORT = 0.4  # seconds, and a tenth of the frames: a shorter piece between cuts is a flash, a title or a slip, no shot
BAR_FRAMES = 6  # frames of full size on which bars are measured
PAUSE, PAUSE_STEPS = 2.0, 10  # seconds, and times the usual step: a longer gap between two frames is a pause
REST = 2.0  # seconds without any change from which a still picture is a rest
CHANGE = 2.0  # grey levels by which the mean of a block of `repeats.BLOCK` pixels changes where something happens
DISTINCT = 6  # frames that differ, at least, for those that repeat them to be left out
BLANK_SHARE = 0.1  # of the time; more frames without a scene than this are passed over when frames are chosen


@dataclass(frozen=True)
class Survey:
    """What was seen at S of the n frames of a source."""

    positions: np.ndarray  # (S,) int64, which frames these are, ascending
    pictures: np.ndarray  # (S,h,w,3) uint8 RGB, the long side `SIDE`
    shows: np.ndarray  # (S,) bool: it shows the scene
    usual: np.ndarray  # (3,) contrast, detail and share of area with detail that the clip usually has
    flashes: list  # of (first, last) positions: pieces between cuts that are too short to be a shot
    lit: np.ndarray  # (K,) int64 positions of frames that a flash is told from, ascending; none if looks are far apart
    exposures: np.ndarray  # (K,2) float64, their `blank.exposure`
    overexposed: frozenset  # positions at which there is a flash
    shots: list  # of (first, last) positions, in order; at least one
    # (left, top, width, height) of the picture within bars, pixels of the source; None: all of it
    inner: tuple[int, int, int, int] | None
    clock: np.ndarray  # (n,) float64 ascending: seconds in which something happens; pauses and rests take none
    frozen: list  # of (first, last) positions between which the picture stands still
    repeats: np.ndarray  # (n,) bool: the frame is another one once more


def survey(source: Source) -> Survey:
    """Look over a `sources.Clip` or `Stills`; returns a `Survey`. Raises `InputError` as its `read` does."""
    looked = list(source.read(_places(source), SIDE))
    check_size(source.name, looked[0][2])
    positions = np.array([position for position, *_ in looked])
    height, width = looked[0][1].shape[:2]
    pictures = np.stack([_resized(image, (width, height)) for _, image, _ in looked])
    coarse, sides = _sides_of(pictures)
    inner = None if coarse is None else _measure(sides, source, positions, coarse, width)
    if coarse is not None:
        left, top, right, bottom = coarse
        pictures = np.ascontiguousarray(pictures[:, top : height - bottom, left : width - right])
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures]
    contents = np.array([blank.content(g) for g in greys])
    visible = contents[:, 0] >= blank.NOTHING  # however long a clip is black
    usual = np.quantile(contents[visible] if visible.any() else contents, 0.75, axis=0)
    shows = blank.shows(contents, usual)
    n = len(source.seconds)
    look = Survey(
        positions=positions,
        pictures=pictures,
        shows=shows,
        usual=usual,
        flashes=[],
        lit=positions[:0],
        exposures=np.zeros((0, 2)),
        overexposed=frozenset(),
        shots=[(0, n - 1)],
        inner=inner,
        clock=source.seconds,
        frozen=[],
        repeats=np.zeros(n, bool),
    )
    if usual[0] >= blank.NOTHING:
        look = _find_repeats(_find_flashes(look, greys), source.seconds, greys)
        look = _find_shots(look, source, greys)
    return replace(look, clock=_clock(look, source.seconds, greys))


def _sides_of(pictures):
    """What is laid around the picture, as its module finds it, and the module; (None, None) if nothing is."""
    for sides, find in ((bars, bars.find_bars), (blurred_sides, blurred_sides.find_sides)):
        coarse = find(pictures)
        if coarse is not None:
            return coarse, sides
    return None, None


def _measure(sides, source, positions, coarse, width):
    chosen = positions[decode.spread(positions, BAR_FRAMES)]
    found = list(source.read(chosen.tolist()))
    size = found[0][1].shape[1::-1]
    frames = np.stack([_resized(image, size) for _, image, _ in found])
    left, top, *inner = sides.measure(frames, coarse, size[0] / width)
    scale = np.array(found[0][2]) / size  # pixels that are not square
    return tuple(int(v) for v in np.round(np.array([left, top, *inner]) * np.tile(scale, 2)))


def inner_of(look: Survey, source: Source, chosen: np.ndarray, warnings: list[str]) -> tuple[int, int, int, int] | None:
    """`Survey.inner` as it is at the frames `chosen` of one shot: another one may have other bars, and some come within
    a shot, on which a sentence is added to `warnings`.
    """
    if look.inner is not None:
        return look.inner
    inside = (look.positions >= chosen[0]) & (look.positions <= chosen[-1])
    pictures, at = look.pictures[inside], look.positions[inside]
    coarse, sides = _sides_of(pictures) if len(look.shots) > 1 else (None, None)
    if coarse is None and (coming := bars.find_coming(pictures)):
        (coarse, where), sides = coming, bars
        at = at[where]
        warnings.append(
            "Black bars come or go within the clip; what they cover at any time is left out at all times. To keep it, "
            "trim the clip to the part without them."
        )
    if coarse is None and (coarse := margins.find_sides(pictures)):
        sides = margins
        warnings.append(
            "Around the picture there is black that is no bar, as where a clip was stabilised or the lens is round; "
            "only the largest part that it does not cover is used."
        )
    if coarse is None and (coarse := halves.find_sides(pictures)):
        sides = halves
        warnings.append(
            "The picture is there twice, as for 3D glasses, before and after, or mirrored; only the "
            f"{'left' if coarse[2] else 'upper'} half is used. If it is squeezed, stretch the clip first."
        )
    return None if coarse is None else _measure(sides, source, at, coarse, pictures.shape[2])


def check_size(name: str, size: Size) -> None:
    """Raise `InputError` if a picture of `size` (width, height) is too small to be used."""
    if min(size) < SMALLEST_SIDE:
        raise InputError(f"'{name}' is {size[0]} x {size[1]} pixels; each side must have at least {SMALLEST_SIDE}.")


def _places(source):
    n, keys = len(source.seconds), source.keys
    if n > LOOK_THROUGH and len(keys) > 1:
        keys = np.union1d(keys, [0, n - 1])
        # so that what lies between is jumped over
        count = int(np.clip(n // (2 * decode.SEEK_GAP), FEWEST_LOOKS, LOOKS))
        return keys[decode.spread(source.seconds[keys], count)]
    return decode.spread(np.arange(n), LOOKS)


def _resized(image, size):
    return image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


# ---- frames that show nothing


def shows_scene(frames: np.ndarray, positions: np.ndarray, look: Survey) -> np.ndarray:
    """(T,) bool: which working frames (T,H,W,3) uint8, at `positions` (T,), show the scene. look: the `Survey`."""
    size = reduced(frames.shape[2:0:-1], SIDE)
    greys = [_resized(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size) for frame in frames]
    flash = [any(a <= p <= b for a, b in look.flashes) for p in positions]
    flash = [f or _is_flash(look, blank.exposure(grey), p) for f, grey, p in zip(flash, greys, positions)]
    return blank.shows(np.array([blank.content(grey) for grey in greys]), look.usual) & ~np.array(flash)


def _find_flashes(look, greys):
    """`look` without what is over-exposed; not where the looks are far from each other, as light changes then."""
    if len(look.positions) < 2 or np.median(np.diff(look.positions)) > CLOSE:
        return look
    lit = np.array([blank.exposure(grey) for grey in greys])[look.shows]
    look = replace(look, lit=look.positions[look.shows], exposures=lit)
    bright = [_is_flash(look, *each) for each in zip(lit, look.lit)]
    shows = look.shows.copy()
    shows[look.shows] = np.logical_not(bright)
    return replace(look, shows=shows, overexposed=frozenset(look.lit[bright].tolist()))


def _is_flash(look, exposure, position):
    return blank.is_flash(exposure, position, look.exposures, look.lit)


def _find_repeats(look, seconds, greys):
    frozen = repeats.frozen_runs(greys, seconds[look.positions])
    every = len(look.positions) == len(seconds)
    same = repeats.twice(greys, look.shows, frozen) if every else np.zeros(len(greys) - 1, bool)
    again = repeats.dropped(frozen, same, look.positions, len(seconds))
    if (~again).sum() < DISTINCT:
        return look
    spans = [(int(look.positions[a]), int(look.positions[b])) for a, b in frozen]
    return replace(look, frozen=spans, repeats=again)


# ---- cuts


def _find_shots(look, source, greys):
    """`look` with its shots, and what is no part of a shot marked as showing nothing of the scene."""
    seen = np.flatnonzero(look.shows)
    if (
        len(seen) < 3 or min(greys[0].shape) < 2 * repeats.BLOCK or bars.is_drawn(greys)
    ):  # flow needs something to follow
        return look
    steps = cuts.steps_between([greys[k] for k in seen])
    if np.median(np.diff(look.positions[seen])) <= CLOSE:
        stray = seen[cuts.strays(steps)]
        if len(stray):
            shows = look.shows.copy()
            shows[stray] = False
            look = replace(look, shows=shows, flashes=[(p, p) for p in look.positions[stray].tolist()])
            seen = np.setdiff1d(seen, stray)
            steps = cuts.steps_between([greys[k] for k in seen])
        found = [(look.positions[seen[a]], look.positions[seen[b]]) for a, b in cuts.find(steps)]
        found = [cut for cut in found if not _goes_on(look, source, cut)]
        return _divide(look, found, source, greys)
    gaps = np.diff(look.positions[seen])
    likely = np.argsort(-steps, kind="stable")
    likely = likely[(np.cumsum(gaps[likely]) <= max(SOUGHT, gaps[likely[0]])) & (steps[likely] > cuts.CUT)]
    found = [cut for k in likely for cut in _seek(source, look.positions[seen[k]], look.positions[seen[k + 1]])]
    return _divide(look, sorted(found), source, greys)


def _goes_on(look, source, cut):
    """Whether a recording that froze goes on with the same scene: what was missed looks like a cut."""
    if not any(a <= cut[0] <= b for a, b in look.frozen):
        return False
    pictures = [image for _, image, _ in source.read(cut, cuts.MATCHED)]
    return len(pictures) == 2 and cuts.same_scene(*(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in pictures))


def _seek(source, before, after):
    """The cuts, see `_divide`, between two frames that do not look alike."""
    places, greys = [], []
    for position, image, _ in source.read(range(before, after + 1), SIDE):
        places.append(position)
        greys.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return [(places[a], places[b]) for a, b in cuts.find(cuts.steps_between(greys))]


def _divide(look, found, source, greys):
    """`look` with the shots between the cuts `found`, each (last position before, first after).

    Pieces too short for a shot (flashes, titles, slips) show nothing of the scene, and the shots on both sides of one
    are the same if they look alike.
    """
    seconds = source.seconds
    n, shows, flashes = len(seconds), look.shows.copy(), list(look.flashes)
    ends = [0, *(int(after) for _, after in found), n]
    pieces = [(a, b - 1) for a, b in pairwise(ends)]
    least = min(SHORT, 0.1 * (seconds[-1] - seconds[0]))
    shots = []
    for a, b in pieces:
        inside = (look.positions >= a) & (look.positions <= b)
        if not (inside & look.shows).any():
            continue
        if seconds[b] - seconds[a] <= least and len(pieces) > 1:
            shows[inside] = False
            flashes.append((a, b))
            continue
        first = np.flatnonzero(inside & look.shows)[0]
        if shots and shots[-1][1] < a - 1:
            last = np.flatnonzero((look.positions <= shots[-1][1]) & look.shows)[-1]
            if cuts.unlike(greys[last], greys[first]) < cuts.CUT:
                shots[-1] = shots[-1][0], b
                continue
        shots.append((a, b))
    if not shots:
        return look
    shots[0], shots[-1] = (0, shots[0][1]), (shots[-1][0], n - 1)  # what shows nothing stays in the time line
    return replace(look, shows=shows, flashes=flashes, shots=shots)


# ---- where time passes


def _clock(look, seconds, greys):
    """(n,) seconds in which something happens: a gap counts as one usual step, a rest of a still picture not at all,
    nor do frames that show nothing if these are many.
    """
    step = np.diff(seconds)
    if not len(step):
        return np.zeros(1)
    usual = np.median(step)
    step = np.where(step > max(PAUSE, PAUSE_STEPS * usual), usual, step)
    passes = ~_rests(look, seconds, greys)
    empty = ~look.shows
    if empty.mean() > BLANK_SHARE and not empty.all():
        passes &= look.shows[1:] & look.shows[:-1]
    counts = np.concatenate([[False], np.repeat(passes, np.diff(look.positions))]) if len(passes) else np.zeros(1, bool)
    counts = np.pad(counts, (look.positions[0], len(seconds) - 1 - look.positions[-1]), constant_values=True)[1:]
    counts = counts if counts.any() else np.ones_like(counts)
    return np.concatenate([[0.0], np.cumsum(step * counts)])


def _rests(look, seconds, greys):
    """(S-1,) bool: the steps between looks that belong to a rest of at least `REST` seconds, or a frozen stretch."""
    rests = np.zeros(len(greys) - 1, bool)
    for a, b in repeats.still_runs(greys, CHANGE):
        rests[a:b] = seconds[look.positions[b]] - seconds[look.positions[a]] >= REST
    for a, b in np.searchsorted(look.positions, look.frozen).reshape(-1, 2):
        rests[a:b] = True
    return rests


# ---- what to use


def choose(look: Survey, source: Source, count: int, shot: int | None = None) -> tuple[np.ndarray, list[str]]:
    """(positions of `count` frames, warnings): spread over what happens in the longest shot, or in number `shot` (from
    1).

    The first and the last frame of the shot are always among them, unless they repeat others. Raises `InputError` if
    there is no such shot.
    """
    warnings = []
    if shot is not None and not 1 <= shot <= len(look.shots):
        said = "only one shot" if len(look.shots) == 1 else f"{len(look.shots)} shots"
        raise InputError(f"shot is {shot}, but '{source.name}' has {said}; choose 1 to {len(look.shots)}.")
    happens = [look.clock[b] - look.clock[a] for a, b in look.shots]
    number = int(np.argmax(happens)) if shot is None else shot - 1
    first, last = look.shots[number]
    if len(look.shots) > 1:
        why = "the longest one" if shot is None else "as chosen"
        at = ", ".join(f"{source.seconds[a]:.1f}" for a, _ in look.shots[1:])
        warnings.append(
            f"The clip is cut together from {len(look.shots)} shots (cut at {at} s); only one can be used at a "
            f"time, this is shot {number + 1}, {why} ({source.seconds[first]:.1f} to {source.seconds[last]:.1f} s). "
            "For another one trim the clip, or choose it with the option shot."
        )
    n = len(source.seconds)
    if len(look.positions) < n <= LOOKS:  # all were looked at, so what is missing cannot be decoded
        if source.damaged:  # else there are packets without a picture, as in packed DivX
            lost = n - len(look.positions)
            warnings.append(f"Of {n} frames {lost} {'is' if lost == 1 else 'are'} damaged and left out.")
        whole = look.positions[(look.positions >= first) & (look.positions <= last)]
        return whole[decode.spread(look.clock[whole], count)], warnings
    fresh = first + np.flatnonzero(~look.repeats[first : last + 1])
    chosen = decode.choose(look.clock[fresh], np.flatnonzero(np.isin(fresh, source.keys)), count)
    return fresh[chosen], [*warnings, *repeats.say(look.frozen, look.repeats, source.seconds, first, last)]


def say_blank(look: Survey, source: Source, positions: np.ndarray, shows: np.ndarray) -> list[str]:
    """Sentences on frames that show nothing of the scene: those of the look and the chosen ones, `shows` (T,) bool."""
    first, last = positions[0], positions[-1]
    if look.usual[0] < blank.NOTHING:
        return [
            "The clip shows nothing: all of its frames are black, white or of one colour. The result means nothing."
        ]
    empty = {p for p, s in zip(look.positions.tolist(), look.shows) if not s and first <= p <= last}
    empty |= {int(p) for p, s in zip(positions, shows) if not s}
    bright = empty & look.overexposed
    looked = look.positions.tolist()
    pictures = dict(zip(looked, look.pictures))
    light = [pictures[p].max(axis=-1).mean() for p in empty - bright if p in pictures]  # a dark finger is red
    light = np.mean(light or [128])
    kind = "plain, a title, or covered as by a finger"
    kind = "black or nearly so" if light < 40 else "white or nearly so, as in a flash" if light > 215 else kind
    left_out = "It was left out, and the camera there is a copy of the one beside it."
    said = []
    for at, what in ((empty - bright, f"shows nothing of the scene ({kind})"), (bright, "is over-exposed by a flash")):
        if at:
            said.append(f"At {blank.in_words(sorted(at), looked, source.seconds)} the picture {what}. {left_out}")
    return said
