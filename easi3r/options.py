"""Everything that can be set about a run. Defaults live here and nowhere else."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import get_args, get_type_hints

from .errors import InputError
from .pairs import check_graph


@dataclass(frozen=True)
class Options:
    """Options of `reconstruct`. All have a default; an unknown name is an error.

    Raises `InputError` when a value is outside its range.
    """

    max_frames: int = 24  # frames used, spread evenly over the whole clip; 1 to 300
    graph: str = "swinstride-5-noncyclic"  # which frame pairs are compared, see pairs.build
    sensitivity: float = 0.5  # 0 marks only what surely moves, 1 marks everything suspicious; 0.5 is the automatic cut
    fov: float | None = None  # horizontal field of view of the working frames in degrees, 5 to 170; None: estimated
    refine: bool = True  # let mask edges follow image edges
    flow: bool = True  # let the cameras follow the optical flow of what is static as well as the point maps
    smooth: bool = True  # take noise out of the camera path; the jolts of a hand-held camera stay

    def __post_init__(self):
        for name, kinds in get_type_hints(Options).items():
            _check_kind(name, getattr(self, name), get_args(kinds) or (kinds,))
        if not 1 <= self.max_frames <= 300:
            raise InputError(f"max_frames is {self.max_frames!r}; it must be a whole number from 1 to 300.")
        if not 0 <= self.sensitivity <= 1:
            raise InputError(f"sensitivity is {self.sensitivity!r}; it must lie between 0 and 1.")
        if self.fov is not None and not 5 <= self.fov <= 170:
            raise InputError(f"fov is {self.fov!r}; it must lie between 5 and 170 degrees, or be None to estimate it.")
        check_graph(self.graph)


_KINDS = {  # what a field of this type may be, and in words
    int: (Integral, "a whole number"), float: (Real, "a number"), bool: (bool, "true or false"), str: (str, "text"),
    type(None): (type(None), "None"),
}  # fmt: skip


def _check_kind(name, value, kinds):
    """Raise `InputError` unless `value` is one of the types `kinds`; True and False are no numbers here."""
    if not any(isinstance(value, _KINDS[kind][0]) and (kind is bool or not isinstance(value, bool)) for kind in kinds):
        raise InputError(f"{name} is {value!r}; it must be {' or '.join(_KINDS[kind][1] for kind in kinds)}.")
