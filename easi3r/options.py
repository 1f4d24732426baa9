"""Everything that can be set about a run. Defaults, ranges and explanations live here and nowhere else."""

import numbers
from dataclasses import Field, dataclass, field, fields
from types import NoneType
from typing import get_args

import numpy as np

from .errors import InputError, shown
from .pairs import check_graph
from .scale import check_scale

FOVS = 5, 170  # degrees


def _option(default, explanation, low=None, high=None, word=""):
    """A field with its explanation, also the command line's, the range of a number, both ends allowed, and a word that
    may stand in its place.
    """
    return field(default=default, metadata={"help": explanation, "range": (low, high), "word": word})


@dataclass(frozen=True)
class Options:
    """Options of `reconstruct`. All have a default; an unknown name is an error.

    Numbers and truth values of numpy are taken as Python's. Raises `InputError` when a value is of another kind than
    its field or outside its range.
    """

    max_frames: int = _option(
        24, 'frames used, spread evenly over the whole clip; 0 or "all": every one', 0, 5000, "all"
    )
    shot: int | None = _option(None, "which shot of a clip with cuts; the longest if left out", 1, 9999)
    graph: str = _option(
        "swinstride-5-noncyclic",
        "which frame pairs are compared: swinstride-W, swin2stride-W, "
        "swin-W, oneref-R or complete, W and R whole numbers; see pairs.build",
    )
    sensitivity: float = _option(
        0.5, "0 marks only what surely moves, 1 everything suspicious; 0.5 is the automatic cut", 0, 1
    )
    fov: float | None = _option(None, "horizontal field of view of the frames in degrees; estimated if left out", *FOVS)
    refine: bool = _option(True, "let mask edges follow image edges")
    flow_masks: bool = _option(
        False, "masks from optical flow, for dust3r and cut3r, which look for nothing that moves; da3 always has them"
    )
    sam2: bool = _option(
        False, "let SAM 2 draw the outlines of what moves; needs pip install transformers, and fetches its weights"
    )
    flow: bool = _option(
        True,
        "let cameras follow the optical flow of what is static, not only a network's point maps",
    )
    smooth: bool = _option(True, "take noise out of the camera path of a network; the jolts of a hand-held camera stay")
    scale: str | float | None = _option(
        None,
        'a length that you know, to have all of them in metres: "height=1.6" of the camera above the ground; '
        '"0:120,200-340,210=2.5" for two points of a frame, FRAME:X,Y-X,Y=METRES (frames counted as in the results, '
        'pixels of the original video); or how long one unit of the result is, "1.54"',
    )

    def __post_init__(self) -> None:
        if isinstance(self.max_frames, str) and self.max_frames == "all":
            object.__setattr__(self, "max_frames", 0)
        if self.scale is not None:
            object.__setattr__(self, "scale", check_scale(self.scale))
        for option in fields(self):
            object.__setattr__(self, option.name, _checked(option, getattr(self, option.name)))
        check_graph(self.graph)


def kind(option: Field) -> tuple[type, bool]:
    """(type, whether it may be left out) of a field of `Options`: (float, True) where it says float | None."""
    kinds = get_args(option.type) or (option.type,)
    return next(k for k in kinds if k is not NoneType), NoneType in kinds


def allowed(option: Field) -> str:
    """What a field of `Options` takes if it is given, in words."""
    low, high = option.metadata.get("range", (None, None))
    text = f"a text such as {option.default!r}"
    words = {bool: "True or False", int: "a whole number", float: "a number", str: text}[kind(option)[0]]
    words = words if low is None else f"{words} from {low} to {high}"
    return f'{words}, or "{word}"' if (word := option.metadata.get("word")) else words


def check_options(options: Options | None) -> Options:
    """`options`, those of the defaults for None; `InputError` for anything else."""
    if options is None:
        return Options()
    if not isinstance(options, Options):
        raise InputError(f"options is {shown(options)}; give easi3r.Options(...), such as Options(max_frames=24).")
    return options


_TAKEN = {bool: (bool, np.bool_), int: numbers.Integral, float: numbers.Real, str: str}  # by the type of the field


def _checked(option, value):
    """`value` as the type of its field; else `InputError`."""
    wanted, optional = kind(option)
    if value is None and optional:
        return None
    low, high = option.metadata.get("range", (None, None))
    fits = isinstance(value, _TAKEN[wanted]) and (wanted is bool or not isinstance(value, bool))
    if not fits or (low is not None and not low <= value <= high):  # NaN lies in no range
        left_out = ", or be left out" if optional else ""
        raise InputError(f"{option.name} is {shown(value)}; it must be {allowed(option)}{left_out}.")
    return wanted(value)
