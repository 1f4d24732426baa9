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

from . import bars, cuts, decode
from .errors import InputError
from .sizes import Size, reduced
from .sources import Source

LOOKS = 240  # pictures looked at, at most; reduced to 96 pixels that takes .3 s beside the decoding
FEWEST_LOOKS = 48  # pictures looked at in a long clip, at least
LOOK_THROUGH = 600  # frames up to which a clip is decoded as a whole for that; of longer ones keyframes are looked at
SIDE = 96  # pixels, long side of what is looked at: motion blur and noise hardly change a picture of this size
# Below this share of the clip's usual contrast, detail and area with detail a frame shows nothing of the scene.
# Measured: real clips stay above .80, .88 and .95; a finger before the lens has .01, a title card about .2 of the area.
SHOWS = 0.3
SMALLEST_SIDE = 16  # pixels; below, there is nothing to match and no room for one patch
NOTHING = 3.0  # grey levels: contrast below which a whole clip shows nothing
SOUGHT = 400  # frames of a long clip, at most, among which cuts are sought between keyframes that do not look alike
SHORT = 0.4  # seconds, and a tenth of the frames: a shorter piece between cuts is a flash, a title or a slip, no shot
BAR_FRAMES = 6  # frames of full size on which bars are measured
PAUSE, PAUSE_STEPS = 2.0, 10  # seconds, and times the usual step: a longer gap between two frames is a pause
REST = 2.0  # seconds without any change from which a still picture is a rest
CHANGE = 2.0  # grey levels by which the mean of a block of `BLOCK` pixels changes where something happens
BLOCK = 12  # pixels
MOST_NAMED = 6  # times of frames without the scene that a warning names
BLANK_SHARE = 0.1  # of the time; more frames without a scene than this are passed over when frames are chosen


@dataclass(frozen=True)
class Survey:
    """What was seen at S of the n frames of a source."""

    positions: np.ndarray  # (S,) int64, which frames these are, ascending
    pictures: np.ndarray  # (S,h,w,3) uint8 RGB, the long side `SIDE`
    shows: np.ndarray  # (S,) bool: it shows the scene
    usual: np.ndarray  # (3,) contrast, detail and share of area with detail that the clip usually has
    flashes: list  # of (first, last) positions: pieces between cuts that are too short to be a shot
    shots: list  # of (first, last) positions, in order; at least one
    # (left, top, width, height) of the picture within bars, pixels of the source; None: all of it
    inner: tuple[int, int, int, int] | None
    clock: np.ndarray  # (n,) float64 ascending: seconds in which something happens; pauses and rests take none


def survey(source: Source) -> Survey:
    """Look over a `sources.Clip` or `Stills`; returns a `Survey`. Raises `InputError` as its `read` does."""
    looked = list(source.read(_places(source), SIDE))
    check_size(source.name, looked[0][2])
    positions = np.array([position for position, *_ in looked])
    height, width = looked[0][1].shape[:2]
    pictures = np.stack([_resized(image, (width, height)) for _, image, _ in looked])
    coarse = bars.find_bars(pictures)
    inner = None if coarse is None else _measure_bars(source, positions, coarse, width)
    if coarse is not None:
        left, top, right, bottom = coarse
        pictures = np.ascontiguousarray(pictures[:, top : height - bottom, left : width - right])
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures]
    content = np.array([_content(g) for g in greys])
    visible = content[:, 0] >= NOTHING  # however long a clip is black
    usual = np.quantile(content[visible] if visible.any() else content, 0.75, axis=0)
    shows = _shows(content, usual)
    look = Survey(positions, pictures, shows, usual, [], [(0, len(source.seconds) - 1)], inner, source.seconds)
    if usual[0] >= NOTHING:
        look = _find_shots(look, source, greys)
    return replace(look, clock=_clock(look, source.seconds, greys))


def _measure_bars(source, positions, coarse, width):
    chosen = positions[decode.spread(positions, BAR_FRAMES)]
    found = list(source.read(chosen.tolist()))
    size = found[0][1].shape[1::-1]
    frames = np.stack([_resized(image, size) for _, image, _ in found])
    left, top, *inner = bars.measure(frames, coarse, size[0] / width)
    scale = np.array(found[0][2]) / size  # pixels that are not square
    return tuple(int(v) for v in np.round(np.array([left, top, *inner]) * np.tile(scale, 2)))


def inner_of(look: Survey, source: Source, chosen: np.ndarray) -> tuple[int, int, int, int] | None:
    """`Survey.inner` as it is at the frames `chosen` of one shot: another one may have other bars."""
    if look.inner is not None or len(look.shots) == 1:
        return look.inner
    inside = (look.positions >= chosen[0]) & (look.positions <= chosen[-1])
    coarse = bars.find_bars(look.pictures[inside])
    return None if coarse is None else _measure_bars(source, look.positions[inside], coarse, look.pictures.shape[2])


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


def _content(grey):
    """(contrast, mean detail, share of pixels with detail) of a grey picture."""
    grey = grey.astype(np.float32)
    detail = bars.relief(grey)
    return float(grey.std()), float(detail.mean()), float((detail > bars.VISIBLE).mean())


def _shows(content, usual):
    """(S,) bool from (S,3); all where the clip as a whole shows nothing."""
    if usual[0] < NOTHING:
        return np.ones(len(content), bool)
    counts = slice(None) if usual[2] >= bars.DETAIL else slice(1)  # of a clip with little detail only contrast tells
    return (content >= SHOWS * usual)[:, counts].all(axis=1)


def shows_scene(frames: np.ndarray, positions: np.ndarray, look: Survey) -> np.ndarray:
    """(T,) bool: which working frames (T,H,W,3) uint8, at `positions` (T,), show the scene. look: the `Survey`."""
    size = reduced(frames.shape[2:0:-1], SIDE)
    content = [_content(_resized(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size)) for frame in frames]
    flash = [any(a <= p <= b for a, b in look.flashes) for p in positions]
    return _shows(np.array(content), look.usual) & ~np.array(flash)


# ---- cuts


def _find_shots(look, source, greys):
    """`look` with its shots, and what is no part of a shot marked as showing nothing of the scene."""
    seen = np.flatnonzero(look.shows)
    if len(seen) < 3 or min(greys[0].shape) < 2 * BLOCK or bars.is_drawn(greys):  # flow needs something to follow
        return look
    steps = cuts.steps_between([greys[k] for k in seen])
    if np.median(np.diff(look.positions[seen])) <= 3:  # pictures that follow each other closely
        stray = seen[cuts.strays(steps)]
        if len(stray):
            shows = look.shows.copy()
            shows[stray] = False
            look = replace(look, shows=shows, flashes=[(p, p) for p in look.positions[stray].tolist()])
            seen = np.setdiff1d(seen, stray)
            steps = cuts.steps_between([greys[k] for k in seen])
        found = [(look.positions[seen[a]], look.positions[seen[b]]) for a, b in cuts.find(steps)]
        return _divide(look, found, source, greys)
    gaps = np.diff(look.positions[seen])
    likely = np.argsort(-steps, kind="stable")
    likely = likely[(np.cumsum(gaps[likely]) <= max(SOUGHT, gaps[likely[0]])) & (steps[likely] > cuts.CUT)]
    found = [cut for k in likely for cut in _seek(source, look.positions[seen[k]], look.positions[seen[k + 1]])]
    return _divide(look, sorted(found), source, greys)


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
    blank = ~look.shows
    if blank.mean() > BLANK_SHARE and not blank.all():
        passes &= look.shows[1:] & look.shows[:-1]
    counts = np.concatenate([[False], np.repeat(passes, np.diff(look.positions))]) if len(passes) else np.zeros(1, bool)
    counts = np.pad(counts, (look.positions[0], len(seconds) - 1 - look.positions[-1]), constant_values=True)[1:]
    counts = counts if counts.any() else np.ones_like(counts)
    return np.concatenate([[0.0], np.cumsum(step * counts)])


def _rests(look, seconds, greys):
    """(S-1,) bool: the steps between looks that belong to a rest of at least `REST` seconds."""
    size = tuple(max(1, side // BLOCK) for side in greys[0].shape[::-1])
    blocks = np.array([cv2.resize(g, size, interpolation=cv2.INTER_AREA).astype(np.float32) for g in greys])
    rests, start = np.zeros(len(blocks) - 1, bool), 0
    for k in range(1, len(blocks) + 1):
        if k == len(blocks) or np.abs(blocks[k] - blocks[start]).max() > CHANGE:
            if seconds[look.positions[k - 1]] - seconds[look.positions[start]] >= REST:
                rests[start : k - 1] = True
            start = k
    return rests


# ---- what to use


def choose(look: Survey, source: Source, count: int, shot: int | None = None) -> tuple[np.ndarray, list[str]]:
    """(positions of `count` frames, warnings): spread over what happens in the longest shot, or in number `shot` (from
    1).

    The first and the last frame of the shot are always among them. Raises `InputError` if there is no such shot.
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
        warnings.append(f"{n - len(look.positions)} of {n} frames are damaged and were left out.")
        whole = look.positions[(look.positions >= first) & (look.positions <= last)]
        return whole[decode.spread(look.clock[whole], count)], warnings
    inside = source.keys[(source.keys >= first) & (source.keys <= last)] - first
    return decode.choose(look.clock[first : last + 1], inside, count) + first, warnings


def say_blank(look: Survey, source: Source, positions: np.ndarray, shows: np.ndarray) -> list[str]:
    """Sentences on frames that show nothing of the scene: those of the look and the chosen ones, `shows` (T,) bool."""
    first, last = positions[0], positions[-1]
    blank = {p for p, s in zip(look.positions.tolist(), look.shows) if not s and first <= p <= last}
    blank |= {int(p) for p, s in zip(positions, shows) if not s}
    if look.usual[0] < NOTHING:
        return [
            "The clip shows nothing: all of its frames are black, white or of one colour. The result means nothing."
        ]
    if not blank:
        return []
    pictures = dict(zip(look.positions.tolist(), look.pictures))
    light = np.mean([pictures[p].max(axis=-1).mean() for p in blank if p in pictures] or [128])  # a dark finger is red
    kind = "plain, a title, or covered as by a finger"
    kind = "black or nearly so" if light < 40 else "white or nearly so" if light > 215 else kind
    ranges = [[f"{source.seconds[p]:.2f}" for p in run] for run in _ranges(sorted(blank), look.positions.tolist())]
    words = ", ".join(a if a == b else f"{a} to {b}" for a, b in ranges[:MOST_NAMED])
    words += f" and {len(ranges) - MOST_NAMED} more times," if len(ranges) > MOST_NAMED else ""
    said = (
        f"At {words} s the picture shows nothing of the scene ({kind}). It was left out, and the camera "
        "there is a copy of the one beside it."
    )
    return [said]


def _ranges(blank, looked):
    """Runs (first, last) of blank positions between which no frame was seen that shows the scene."""
    runs = []
    for p in blank:
        if runs and not any(runs[-1][1] < q < p for q in looked):
            runs[-1] = runs[-1][0], p
        else:
            runs.append((p, p))
    return runs
