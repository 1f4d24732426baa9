"""Everything that can be set about a run. Defaults live here and nowhere else."""

from dataclasses import dataclass

from .errors import InputError
from .pairs import check_graph


@dataclass(frozen=True)
class Options:
    """Options of `reconstruct`. All have a default; an unknown name is an error.

    Raises `InputError` when a value is outside its range.
    """

    max_frames: int = 24  # frames used, spread evenly over the whole clip; 1 to 300
    shot: int | None = None  # which shot of a clip with cuts, from 1; None: the longest
    graph: str = "swinstride-5-noncyclic"  # which frame pairs are compared, see pairs.build
    sensitivity: float = 0.5  # 0 marks only what surely moves, 1 marks everything suspicious; 0.5 is the automatic cut
    fov: float | None = None  # horizontal field of view of the working frames in degrees, 5 to 170; None: estimated
    refine: bool = True  # let mask edges follow image edges
    flow: bool = True  # let the cameras follow the optical flow of what is static as well as the point maps
    smooth: bool = True  # take noise out of the camera path; the jolts of a hand-held camera stay

    def __post_init__(self):
        if not isinstance(self.max_frames, int) or not 1 <= self.max_frames <= 300:
            raise InputError(f"max_frames is {self.max_frames!r}; it must be a whole number from 1 to 300.")
        if not 0 <= self.sensitivity <= 1:
            raise InputError(f"sensitivity is {self.sensitivity!r}; it must lie between 0 and 1.")
        if self.fov is not None and not 5 <= self.fov <= 170:
            raise InputError(f"fov is {self.fov!r}; it must lie between 5 and 170 degrees, or be None to estimate it.")
        if self.shot is not None and (not isinstance(self.shot, int) or self.shot < 1):
            raise InputError(f"shot is {self.shot!r}; it must be a whole number from 1, or None for the longest shot.")
        check_graph(self.graph)
