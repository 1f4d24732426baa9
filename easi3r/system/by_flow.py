"""What optical flow adds to a network's cameras and depth: what moves, and cameras that agree with what is static."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from .. import pairs
from ..backbones.base import Progress
from ..backbones.preview import PreviewNetwork
from ..bundle.adjust import State, adjust, explained
from ..bundle.observations import Observations, joined, observe
from ..camera import Camera, invert
from ..large import frames_of, give_back, laid_down, zeros
from ..motion import Motion, Volume, outline_pixels
from ..motion.background import against_background
from ..motion.epipolar import OFFSETS, epipolar_evidence
from ..motion.evidence import Evidence
from ..motion.rigid_residual import rigid_evidence
from ..motion.stride import shift_of, stride_of
from ..options import Options
from ..own_masks import OwnMasks
from ..reconstruction import only_turns
from ..spans import Maps, Span, spans_of
from ..threads import workers
from ..zoom import find_zoom

# Pixels by which cameras may be wrong for frames to be compared through them. With depth wrong by 10 %, turns by half a
# degree and places by 1 % of the depth they are wrong by 2 and more, and comparing takes .05 to .14 from J.
EXACT = 1.0
# Share of what is seen that cameras must explain: the network's stay if they do, or if refined ones do not. True ones
# explain .95 to .98, those with the errors above .1 and, once refined, .98: ATE / path of three rendered clips goes
# from 4.1, 2.6 and 1.2 % to .08, .11 and .03 %.
ENOUGH = 0.9
MOST = 1000  # frames of a clip whose cameras are refined: its equations take 300 MB, and grow with the square
_FIRST = 0.75  # of the progress bar: until all windows have been looked at once


@dataclass(frozen=True)
class Geometry:
    """Depth and its confidence (T,H,W), cam2world (T,4,4), intrinsics (T,3,3) in pixels."""

    depth: np.ndarray
    confidence: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray

    def of(self, span: Span) -> "Geometry":
        """That of a window."""
        return Geometry(*(getattr(self, field.name)[span.frames] for field in fields(self)))


def by_flow(
    frames: np.ndarray, geometry: Geometry, given: OwnMasks, options: Options, progress: Progress
) -> tuple[Motion, Geometry]:
    """What moves in frames (T,H,W,3) uint8 RGB, by the flow that cameras and depth do not explain, but where masks are
    given; and with `Options.flow` the geometry with its cameras, focal and the scale of each depth map refined.

    A long clip is looked at in windows, as its flow takes too much room to be kept.
    """
    if len(frames) < 2:
        return Motion.none(frames.shape[:3]).with_masks(given.masks), geometry
    spans, maps, seen, wrong = spans_of(len(frames)), Maps(len(frames)), list[_Seen](), list[float]()
    looks = list[_Look]()
    refining = options.flow and len(frames) <= MOST and not only_turns(geometry.cam2world, geometry.depth)
    for k, span in enumerate(spans):
        report = _share(progress, k, len(spans), 0, _FIRST)
        look = _Look(frames[span.frames], geometry.of(span), _part(report, 0, 0.8))
        motion = look.outlined(look.evidence, given.at(span.frames), options, _part(report, 0.8, 1))
        maps.take(motion, *span.taken)
        wrong.append(look.wrong)
        if refining:
            seen.append(look.observed(motion.dynamic))
        if len(spans) > 1:
            look.put_by()
        looks.append(look)
        give_back([frames])
    refined = _refined(seen, spans, geometry, options) if refining else None
    geometry = refined or geometry
    if given.known.all() or (np.median(wrong) > EXACT and refined is None):
        return maps.motion, geometry
    turning = only_turns(geometry.cam2world, geometry.depth)
    for k, span in enumerate(spans):
        look, report = looks.pop(0), _share(progress, k, len(spans), _FIRST, 1)
        hidden = look.hidden(geometry.of(span), maps.motion.dynamic[span.frames], turning, _part(report, 0, 0.4))
        if hidden.sure is not None and hidden.sure.any():
            motion = look.outlined(hidden, given.at(span.frames), options, _part(report, 0.4, 1))
            maps.take(motion, *span.taken)
        give_back([frames])
    return maps.motion, geometry


class _Look:
    """What flow says of the n frames of a window, through their geometry."""

    def __init__(self, frames: np.ndarray, geometry: Geometry, progress: Progress) -> None:
        network, self.frames = PreviewNetwork(), frames
        features = network.encode(frames)
        flows = network.flows(features, pairs.apart(len(frames), [1]), _part(progress, 0, 0.2))
        stride = stride_of(shift_of(flows), len(frames))
        gaps = [stride * offset for offset in OFFSETS]
        self.flows = network.flows(features, pairs.apart(len(frames), gaps), _part(progress, 0.2, 0.66), flows)
        looking = _outlining(_part(progress, 0.66, 0.83))
        known = epipolar_evidence(frames, self.flows, features.grid, looking, stride)
        before = geometry.depth, geometry.confidence, geometry.cam2world, geometry.intrinsics
        report = _outlining(_part(progress, 0.83, 1))
        flows = {(i, j): flow for (i, j), flow in self.flows.items() if abs(i - j) in gaps}
        self.evidence, self.wrong = rigid_evidence(known, frames, flows, *before, report)
        self._volume = Volume(frames, self.flows)

    def put_by(self) -> None:
        """Keep what a second look needs, on disk, and nothing else."""
        self.flows, ours = {}, self.evidence
        assert ours.pixels is not None and ours.weight is not None
        self.evidence = replace(ours, pixels=laid_down(ours.pixels), weight=laid_down(ours.weight))
        self._volume.give_back()

    def outlined(self, evidence: Evidence, given: OwnMasks, options: Options, progress: Progress) -> Motion:
        """What moves by this evidence, but where masks are given."""
        motion = outline_pixels(evidence, self._volume, options.sensitivity, options.refine, _outlining(progress))
        return motion.with_masks(given.over(motion.dynamic))

    def observed(self, moving: np.ndarray) -> "_Seen":
        """What tells the cameras; moving (n,H,W) bool."""
        zoom = find_zoom(self.frames, moving, self.flows)
        return _Seen(observe(self.flows, moving, zoom), zoom)

    def hidden(self, geometry: Geometry, moving: np.ndarray, turning: bool, progress: Progress) -> Evidence:
        """The evidence with what hides the background; turning: whether the camera of the whole clip only turns."""
        depth, cam2world, intrinsics = geometry.depth, geometry.cam2world, geometry.intrinsics
        if turning:  # what frames show of a place is then the same at any distance
            size = self.frames.shape[2], self.frames.shape[1]
            depth = np.stack([1 / np.linalg.norm(Camera(matrix, size).rays(), axis=-1) for matrix in intrinsics])
        views = self.frames, depth, cam2world, intrinsics
        return against_background(self.evidence, *views, moving, _outlining(progress))


def _share(progress: Progress, k: int, count: int, begin: float, end: float) -> Progress:
    """The progress of window k."""
    share = (end - begin) / count
    report = _part(progress, begin + share * k, begin + share * (k + 1))
    return report if count == 1 else lambda done, text: report(done, f"{text} (part {k + 1} of {count})")


def _part(progress: Progress, begin: float, end: float) -> Progress:
    return lambda done, text: progress(begin + (end - begin) * done, text)


def _outlining(progress: Progress) -> Callable[[float], None]:
    return lambda done: progress(done, "Outlining what moves")


# ---- cameras


@dataclass(frozen=True)
class _Seen:
    """What is followed in a window, and the focal of its frames (n,) over that of the first; None: all the same."""

    observations: Observations
    zoom: np.ndarray | None


def _refined(seen: list[_Seen], spans: list[Span], found: Geometry, options: Options) -> Geometry | None:
    """Bundle adjustment of a grid of static points from the network's cameras and depth on; None where these explain
    the clip, or refined ones do not, or the lens zooms in a long clip.
    """
    zoom = seen[0].zoom
    if len(seen) > 1 and any(each.zoom is not None for each in seen):
        return None
    observed = joined([(each.observations, span) for each, span in zip(seen, spans)])
    if not observed.count:
        return None
    at = np.ix_(observed.rows, observed.columns)
    inverse = np.stack([1 / depth[at].ravel().astype(np.float64) for depth in found.depth])
    unit = np.median(inverse)
    world2cam = invert(found.cam2world)
    world2cam[:, :3, 3] *= unit
    factors = np.ones(len(world2cam)) if zoom is None else zoom
    focal = float(np.median(found.intrinsics[:, (0, 1), (0, 1)] / factors[:, None]))
    start = State(world2cam, inverse / unit, focal)
    if explained(observed, start) >= ENOUGH:
        return None
    with workers() as pool:
        state = adjust(observed, start, pool, focal_known=options.fov is not None).state
    if explained(observed, state) < ENOUGH:
        return None
    scale = np.median(start.inverse / state.inverse, axis=1)  # (T,) of the depth maps
    cam2world, intrinsics = state.cam2world, found.intrinsics.copy()
    cam2world[:, :3, 3] /= unit
    intrinsics[:, (0, 1), (0, 1)] = (state.focal * factors)[:, None]
    depth = zeros(found.depth.shape, np.float32)
    for t in frames_of([found.depth, depth]):
        depth[t] = found.depth[t] * scale[t]
    return Geometry(depth, found.confidence, cam2world, intrinsics)
