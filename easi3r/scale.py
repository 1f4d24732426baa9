"""A real size for a result: one length that is known in metres makes all of them so."""

import math
import numbers
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import InputError, shown
from .large import choice

if TYPE_CHECKING:
    from .camera import Framing
    from .reconstruction import Reconstruction

_NUMBER = r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?"
_HEIGHT = re.compile(rf"height=({_NUMBER})")
_PAIR = re.compile(rf"([0-9]{{1,6}}):({_NUMBER}),({_NUMBER})-({_NUMBER}),({_NUMBER})=({_NUMBER})")
_LEAST, _MOST = 1e-6, 1e6  # metres; no clip shows a length outside of these
ALLOWED = "metres from 0.000001 to 1000000"
_WAYS = (
    'the camera\'s height above the ground as "height=1.6", two points of a frame and their distance as '
    f'"FRAME:X,Y-X,Y=METRES", or the metres in a unit of the result as "1.54"; {ALLOWED}'
)


class Scale(Protocol):
    """A length that is known in metres."""

    @property
    def said(self) -> str:
        """What was given, for people."""
        ...

    def check(self, framing: "Framing", n_frames: int) -> None:
        """`InputError` if it cannot be of a clip of so many frames cut like this."""
        ...

    def factor(self, result: "Reconstruction") -> float:
        """Metres per unit of length of a result; `InputError` if it cannot be told."""
        ...


@dataclass(frozen=True)
class _Given:
    metres: float  # see `is_length`

    def check(self, framing: "Framing", n_frames: int) -> None:
        """All clips will do."""


@dataclass(frozen=True)
class Unit(_Given):
    """How long one unit of the result is, as it came from the run."""

    @property
    def said(self) -> str:
        return f"the length of one unit, given as {self.metres:g} m"

    def factor(self, result: "Reconstruction") -> float:
        return self.metres / metres_per_unit(result.info)


@dataclass(frozen=True)
class Height(_Given):
    """How high the camera was above the ground, half of the time at least."""

    @property
    def said(self) -> str:
        return f"the camera's height above the ground, given as {self.metres:g} m"

    def factor(self, result: "Reconstruction") -> float:
        from .bundle.ground_plane import find_ground  # here, as it takes time that --help need not wait for

        result = result.showing()
        ground = find_ground(result)
        if ground is None:
            raise InputError(
                "No level ground can be made out under the camera in this clip, so its height gives no size; give the "
                "distance between two points instead."
            )
        normal, offset = ground
        return self.metres / float(np.median(offset - result.cam2world[:, :3, 3] @ normal))


@dataclass(frozen=True)
class Pixels(_Given):
    """How far two points of a frame are apart: frame counted as in the files of a result, 0 the first one used; points
    (x, y) in pixels of the upright original video."""

    frame: int
    ends: tuple[tuple[float, float], tuple[float, float]]

    @property
    def said(self) -> str:
        return f"the distance between two points in frame {self.frame}, given as {self.metres:g} m"

    def check(self, framing: "Framing", n_frames: int) -> None:
        if self.frame >= n_frames:
            raise InputError(f"scale names frame {self.frame}; the frames used are 0 to {n_frames - 1}.")
        for end in self.ends:
            if not all(
                -0.5 <= place < side - 0.5 for place, side in zip(framing.from_source(np.array(end)), framing.size)
            ):
                raise InputError(
                    f"The point {end[0]:g},{end[1]:g} of scale lies outside the part of the picture that is used; the "
                    "video has {} x {} pixels.".format(*framing.source_size)
                )

    def factor(self, result: "Reconstruction") -> float:
        self.check(result.framing, len(result.frames))
        return _ratio(self.metres, *(self._place(result, end) for end in self.ends))

    def _place(self, result, end):
        """World point (3,) that a pixel of the original video shows."""
        from .camera import transform

        pixel = result.framing.from_source(np.array(end))
        column, row = np.rint(pixel).astype(int)
        at = self.frame, row, column
        if not (result.confidence[at] > 0 and result.depth[at] > 0):
            raise InputError(f"Nothing is known of the depth at {end[0]:g},{end[1]:g}, a point of scale; take another.")
        ray = np.linalg.inv(result.intrinsics[self.frame]) @ [*pixel, 1]
        return transform(result.cam2world[self.frame], ray * result.depth[at])


@dataclass(frozen=True)
class Places(_Given):
    """How far two points of the world of a result, in its unit, are apart."""

    ends: tuple[Any, Any]  # (3,) each

    @property
    def said(self) -> str:
        return f"the distance between two points of the scene, given as {self.metres:g} m"

    def factor(self, result: "Reconstruction") -> float:
        return _ratio(self.metres, *map(np.array, self.ends))


@dataclass(frozen=True, eq=False)
class Like:
    """As large as another result in metres, of the same frames."""

    other: "Reconstruction"

    @property
    def said(self) -> str:
        return self.other.info["scale"]["from"]

    def check(self, framing: "Framing", n_frames: int) -> None:
        """As `factor`."""
        there = self.other.framing, len(self.other.frames)
        if there != (framing, n_frames):
            raise InputError("The result that was in metres is of other frames; give the length again.")

    def factor(self, result: "Reconstruction") -> float:
        self.check(result.framing, len(result.frames))
        ratios = [self._ratios(result, t) for t in choice(len(result.frames))]
        if not sum(map(len, ratios)):
            raise InputError("Nothing stands still in both results; give the length again.")
        return float(np.median(np.concatenate(ratios)))

    def _ratios(self, result, t):
        """(N,) of frame t: how much farther away what stands still is in the other result."""
        both = self.other, result
        known = np.all([~one.dynamic[t] & (one.confidence[t] > 0) & (one.depth[t] > 0) for one in both], axis=0)
        return self.other.depth[t][known] / result.depth[t][known]


def parse_scale(given: Any) -> Scale:
    """What a user says of a length, as a `Scale`; given: one of `_WAYS`, a text or a number. Raises `InputError`."""
    wrong = f"scale is {shown(given)}; it must be {_WAYS}."
    text = "".join(_text(given).split()).lower()
    if found := _HEIGHT.fullmatch(text):
        return Height(_metres(found[1], wrong))
    if found := _PAIR.fullmatch(text):
        x, y, u, v = map(float, found.groups()[1:5])
        if (x, y) == (u, v):
            raise InputError(f"scale is {shown(given)}; its two points are the same, take two that lie apart.")
        return Pixels(_metres(found[6], wrong), int(found[1]), ((x, y), (u, v)))
    return Unit(_metres(text, wrong))


def check_scale(given: Any) -> str:
    """What `parse_scale` takes, as a text; else `InputError`."""
    parse_scale(given)
    return _text(given)


def is_length(metres: float) -> bool:
    """Whether something in a clip can be so long."""
    return _LEAST <= metres <= _MOST


def of_places(message: dict) -> Scale:
    """The `Scale` that the player sends, {"from": [x, y, z], "to": [x, y, z], "metres": n}, in units of its result.

    Raises `InputError`.
    """
    try:
        first, second = (tuple(float(x) for x in message[name]) for name in ("from", "to"))
    except (KeyError, TypeError, ValueError):
        first = second = ()
    if not len(first) == len(second) == 3 or not np.isfinite([first, second]).all():
        raise InputError("Two points of the scene are needed for a size; click on them again.")
    metres = message.get("metres")
    wrong = f"The distance is {shown(metres)}; it must be {ALLOWED}."
    return Places(_metres(_text(metres), wrong), (first, second))


def in_metres(result: "Reconstruction", scale: Scale) -> "Reconstruction":
    """The same result in metres: depth and the places of its cameras; everything else has no length.

    `info["scale"]` then says so: "unit" "m"; "metres_per_unit" of the result as it came from the run, also where one
    size replaces another; "from" what was given. Raises `InputError` if the scale cannot be had from this result.
    """
    factor = scale.factor(result)
    cam2world = np.array(result.cam2world)
    cam2world[:, :3, 3] *= factor
    about = {"unit": "m", "metres_per_unit": factor * metres_per_unit(result.info), "from": scale.said}
    depth = (factor * result.depth).astype(np.float32)
    return replace(result, cam2world=cam2world, depth=depth, info={**result.info, "scale": about})


def sized(result: "Reconstruction", scale: Scale | None) -> "Reconstruction":
    """The result in metres, where a length is known; one that does not allow it stays as it is, and says so first."""
    try:
        return in_metres(result, scale) if scale else result
    except InputError as error:  # the minutes of the run are not to be lost
        said = f"This result has no real size, its scale is arbitrary: {error}"
        return replace(result, info={**result.info, "warnings": [said, *result.info["warnings"]]})


def metres_per_unit(info: dict) -> float:
    """By what the lengths of a result were multiplied since the run; info: its `info`."""
    return (info.get("scale") or {}).get("metres_per_unit", 1.0)


def unit(info: dict) -> str:
    """The unit of a result for programs, "metres" or "arbitrary"; info: its `info`."""
    return "metres" if info.get("scale") else "arbitrary"


def in_words(info: dict) -> str:
    """A sentence on the unit of a result, for people; info: its `info`."""
    known = info.get("scale")
    return f"Lengths are in metres, from {known['from']}." if known else "The scale is arbitrary."


def _text(given):
    """A text as it is, a number as text; "" of anything else."""
    if isinstance(given, str):
        return given
    try:
        return repr(float(given)) if isinstance(given, numbers.Real) and not isinstance(given, bool) else ""
    except OverflowError:
        return ""


def _metres(text, wrong):
    """Metres as a number, if `is_length`; else `InputError`, which says what is `wrong`."""
    metres = float(text) if re.fullmatch(_NUMBER, text) else math.nan
    if not is_length(metres):
        raise InputError(wrong)
    return metres


def _ratio(metres, first, second):
    length = float(np.linalg.norm(second - first))
    if not length > 0:
        raise InputError("The two points of the size are at the same place; take two that lie apart.")
    return metres / length
