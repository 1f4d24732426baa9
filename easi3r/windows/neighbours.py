"""A clip solved in windows of neighbouring frames, each sharing some with the next, joined to one world."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..backbones.base import Progress
from ..camera import Camera
from ..large import give_back
from ..options import FOVS, Options
from ..reconstruction import only_turns
from ..spans import LENGTH, Maps, spans_of
from ..system.base import Coarse, Estimate, Part, Stage
from .ahead import in_turn
from .graph import Edge, chained
from .joined import joined
from .links import View, Window, link
from .loops import candidates, closing
from .solving import Solver

ZOOMS = 0.02  # change of the focal within a window from which the lens may zoom: windows then have focals of their own
SAME = 0.03  # share by which a window's focal may miss that of the clip
# Frames from one to the next of the windows that tell the focal where no window of neighbours does, as too little moves
# in it: of 1,000 frames around a block (focal 64) those of 3 do not tell either, those of 6 say 63.3 and 63.0. It
# counts if two windows agree to AGREED; of 12, which is too far to follow, one says 161.
STRIDES, AGREED = (3, 6), 0.05
# Log ratio of the focals of windows of neighbours from which they contradict each other: .03 in a walk around a block,
# .45 in 150 frames of a street (488 and 310 of true 211), along which too little moves from one to the next, where
# frames 3 apart say 227; .56 where the lens zooms by 1.6.
APART = 0.15
DISAGREE = (
    "Parts of the clip disagree about the field of view ({:.0f} to {:.0f} degrees), as where the lens zooms: {:.0f} "
    "degrees are taken for all of it, so cameras and depth are unsure."
)
LOOPS = 0.15  # of the progress bar
# A camera that stands: so many of a window's frames lie within this share of the median depth. Walked evenly, a path of
# .027 of the depth looks so too. Of 48 frames, three at the end of a stop made a scene .35 times as large.
MOST, STILL = 0.75, 0.01


def stages(solver: Solver, options: Options, progress: Progress) -> Iterator[Stage]:
    """As `system.base.stages`, of all frames of the solver's clip; those before the last are a `Part` of it."""
    frames, ahead = solver.video.frames, solver.ahead
    spans = spans_of(len(frames))
    early = [0] if options.fov is not None else sorted({0, len(spans) // 2, len(spans) - 1})  # what tells the focal
    begin = (1 - LOOPS) * len(early) / max(len(spans) + len(early) - 1, 1)  # of the progress bar, for the others
    share = _shares(progress, early, len(spans), 0, begin)
    first: Stage | None = None
    for first in solver.stages(spans[0].numbers, options, share(0)):
        known = Coarse(**vars(first)) if isinstance(first, Estimate) else first
        assert not isinstance(known, Part)
        yield Part(known, spans[0].numbers)
    assert isinstance(first, Estimate)
    options, solved, said = _same_focal(solver, spans, early, options, first, share, ahead)
    rest = [k for k in range(len(spans)) if k not in solved]
    share = _shares(progress, rest, len(spans), begin, 1 - LOOPS)
    maps, windows, edges = Maps(len(frames)), list[Window](), list[Edge]()

    def window(number: int, progress: Progress) -> Estimate:
        return solved.pop(number, None) or solver.solve(spans[number].numbers, options, progress)

    for span, found in zip(spans, in_turn(window, range(len(spans)), share, ahead)):
        number = len(windows)
        if windows:
            here = View.of_estimate(found, np.s_[: windows[-1].span.end - span.begin])
            edges.append(Edge(number - 1, number, link(here, windows[-1].last).matrix))
        maps.take(found.motion, *span.taken, depth=found.depth, confidence=found.confidence)
        windows.append(_remembered(found, span, spans[number + 1 :]))
        give_back([frames])
    loops = []
    chosen = candidates(frames, spans)
    for k, pair in enumerate(chosen):
        report = _looking(progress, k, len(chosen))
        report(0, "")
        edge = closing(solver, pair, windows, maps, frames, options, report)
        if edge:
            loops.append(edge)
    found = joined(windows, chained(edges, len(windows)), maps, loops)
    yield replace(found, warnings=(*said, *found.warnings))


def _shares(progress, windows, number, begin, end):
    """k -> the progress of window k, one of these `windows` of the clip's `number`, from `begin` to `end`."""
    each = (end - begin) / max(len(windows), 1)

    def of(k: int) -> Progress:
        if k not in windows:  # it is solved
            return lambda fraction, text: None
        at = begin + each * windows.index(k)
        which = f" (part {k + 1} of {number})" if number > 1 else ""
        return lambda fraction, text: progress(at + each * fraction, text + which)

    return of


def _looking(progress, k, number):
    """The progress of loop k."""
    text = f"Looking at places seen twice: {k + 1} of {number}"
    return lambda fraction, _: progress(1 - LOOPS + LOOPS * (k + fraction) / number, text)


def _same_focal(solver, spans, early, options, first, share, ahead):
    """(options, windows solved on the way, number -> `Estimate`, sentences): the first, a middle and the last window,
    `early`, tell the focal of all, where the lens does not zoom; where they do not tell, or disagree, frames further
    apart do.
    """
    if options.fov is not None:
        return options, {0: first}, ()
    solved = in_turn(lambda k, told: solver.solve(spans[k].numbers, options, told), early[1:], share, ahead)
    found = {0: first, **dict(zip(early[1:], solved))}
    focals = {k: estimate.intrinsics[:, 0, 0] for k, estimate in found.items()}
    if any(np.ptp(f) > ZOOMS * np.median(f) for f in focals.values()):
        return options, found, ()
    told = known = [float(np.median(focals[k])) for k, estimate in found.items() if _is_told(estimate)]
    if not known or np.ptp(np.log(known)) > APART:
        afar = _told_from_afar(solver, spans[-1].end, options, lambda fraction, text: share(early[-1])(1, text))
        known = afar or known
    if not known:
        return options, found, ()
    height, width = first.depth.shape[1:]
    fov_of = lambda focal: round(float(Camera.centred(focal, width, height).fov[0]), 3)
    focal = float(np.median(known))
    fov = fov_of(focal)
    if not FOVS[0] <= fov <= FOVS[1]:  # nothing that a user could say: the windows know no better
        return options, found, ()
    unsure = np.ptp(np.log(known)) > APART
    said = (DISAGREE.format(fov_of(max(told)), fov_of(min(told)), fov),) if unsure else ()
    kept = {k: found[k] for k in found if np.abs(focals[k] / focal - 1).max() < SAME}
    return replace(options, fov=fov), kept, said


def _is_told(found):
    """Whether the focal was found, and not assumed."""
    return found.info.get("backbone", {}).get("focal", "estimated") == "estimated"


def _told_from_afar(solver, n_frames, options, progress):
    """The focals that two windows of frames further apart find; [] if they find none, or do not agree."""
    for stride in STRIDES:
        free, focals = n_frames - stride * LENGTH, list[float]()
        for begin in (free // 2, 0) if free >= 0 else ():
            found = solver.solve(begin + stride * np.arange(LENGTH), options, progress)
            if not _is_told(found):
                break
            focals.append(float(np.median(found.intrinsics[:, 0, 0])))
        if len(focals) == 2 and abs(np.log(focals[1] / focals[0])) < AGREED:
            return focals
    return []


def _remembered(found, span, following):
    begin = following[0].begin - span.begin if following else len(found.depth)
    return Window(
        span,
        found.cam2world,
        found.intrinsics,
        View.of_estimate(found, np.s_[begin:]),
        float(np.median(found.depth[:, ::4, ::4])),
        only_turns(found.cam2world, found.depth) or _stands(found.cam2world, found.depth),
        found.warnings,
        found.info,
    )


def _stands(cam2world, depth):
    """Whether the camera stays at one place but for a few frames, too few to tell how large the scene is."""
    places = cam2world[:, :3, 3]
    away = np.linalg.norm(places - np.median(places, axis=0), axis=1)
    return np.quantile(away, MOST) < STILL * np.median(depth[:, ::4, ::4])
