"""What optical flow adds to a network's cameras and depth: what moves, and cameras that agree with what is static."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..backbones.base import Progress
from ..backbones.preview import PreviewNetwork
from ..bundle.adjust import State, adjust, explained
from ..bundle.observations import observe
from ..camera import Camera, invert
from ..flow import Flow
from ..motion import Motion, Volume, outline_pixels
from ..motion.background import against_background
from ..motion.epipolar import OFFSETS, epipolar_evidence
from ..motion.rigid_residual import rigid_evidence
from ..options import Options
from ..own_masks import OwnMasks
from ..reconstruction import only_turns
from ..threads import workers
from ..zoom import find_zoom

# Pixels by which cameras may be wrong for frames to be compared through them. With depth wrong by 10 %, turns by half a
# degree and places by 1 % of the depth they are wrong by 2 and more, and comparing takes .05 to .14 from J.
EXACT = 1.0
# Share of what is seen that cameras must explain: the network's stay if they do, or if refined ones do not. True ones
# explain .95 to .98, those with the errors above .1 and, once refined, .98: ATE / path of three rendered clips goes
# from 4.1, 2.6 and 1.2 % to .08, .11 and .03 %.
ENOUGH = 0.9


@dataclass(frozen=True)
class Geometry:
    """Depth and its confidence (T,H,W), cam2world (T,4,4), intrinsics (T,3,3) in pixels."""

    depth: np.ndarray
    confidence: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray


def by_flow(
    frames: np.ndarray, geometry: Geometry, given: OwnMasks, options: Options, progress: Progress
) -> tuple[Motion, Geometry]:
    """What moves in frames (T,H,W,3) uint8 RGB, by the flow that cameras and depth do not explain, but where masks are
    given; and with `Options.flow` the geometry with its cameras, focal and the scale of each depth map refined.
    """
    if len(frames) < 2:
        return Motion.none(frames.shape[:3]).with_masks(given.masks), geometry

    def part(begin: float, end: float) -> Callable[[float], None]:
        return lambda done: progress(begin + (end - begin) * done, "Outlining what moves")

    network = PreviewNetwork()
    features = network.encode(frames)
    edges = [(i, i + gap) for gap in OFFSETS for i in range(len(frames) - gap)]
    flows = network.flows(features, edges, lambda done, text: progress(0.4 * done, text))
    known = epipolar_evidence(frames, flows, features.grid, part(0.4, 0.5))
    before = geometry.depth, geometry.confidence, geometry.cam2world, geometry.intrinsics
    evidence, wrong = rigid_evidence(known, frames, flows, *before, part(0.5, 0.6))
    look = Volume(frames, flows), options.sensitivity, options.refine
    motion = outline_pixels(evidence, *look, part(0.6, 0.75))
    motion = motion.with_masks(given.over(motion.dynamic))
    refined = _refined(frames, flows, motion.dynamic, geometry, options) if options.flow else None
    geometry = refined or geometry
    if given.known.all() or (wrong > EXACT and refined is None):
        return motion, geometry
    depth, cam2world, intrinsics = geometry.depth, geometry.cam2world, geometry.intrinsics
    if only_turns(cam2world, depth):  # what frames show of a place is then the same at any distance
        size = frames.shape[2], frames.shape[1]
        depth = np.stack([1 / np.linalg.norm(Camera(matrix, size).rays(), axis=-1) for matrix in intrinsics])
    seen = against_background(evidence, frames, depth, cam2world, intrinsics, motion.dynamic, part(0.75, 0.85))
    if seen.sure is not None and seen.sure.any():
        motion = outline_pixels(seen, *look, part(0.85, 1))
        motion = motion.with_masks(given.over(motion.dynamic))
    return motion, geometry


def _refined(
    frames: np.ndarray, flows: dict[tuple[int, int], Flow], moving: np.ndarray, found: Geometry, options: Options
) -> Geometry | None:
    """Bundle adjustment of a grid of static points from the network's cameras and depth on; None where these explain
    the clip, or refined ones do not, or the camera only turns, so that depth and places cannot be told.
    """
    if only_turns(found.cam2world, found.depth):
        return None
    zoom = find_zoom(frames, moving, flows)
    seen = observe(flows, moving, zoom)
    if not seen.count:
        return None
    at = np.ix_(seen.rows, seen.columns)
    inverse = np.stack([1 / depth[at].ravel().astype(np.float64) for depth in found.depth])
    unit = np.median(inverse)
    world2cam = invert(found.cam2world)
    world2cam[:, :3, 3] *= unit
    factors = np.ones(len(frames)) if zoom is None else zoom
    focal = float(np.median(found.intrinsics[:, (0, 1), (0, 1)] / factors[:, None]))
    start = State(world2cam, inverse / unit, focal)
    if explained(seen, start) >= ENOUGH:
        return None
    with workers() as pool:
        state = adjust(seen, start, pool, focal_known=options.fov is not None).state
    if explained(seen, state) < ENOUGH:
        return None
    scale = np.median(start.inverse / state.inverse, axis=1)  # (T,) of the depth maps
    cam2world, intrinsics = state.cam2world, found.intrinsics.copy()
    cam2world[:, :3, 3] /= unit
    intrinsics[:, (0, 1), (0, 1)] = (state.focal * factors)[:, None]
    depth = (found.depth * scale[:, None, None]).astype(np.float32)
    return Geometry(depth, found.confidence, cam2world, intrinsics)
