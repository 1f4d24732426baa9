"""Masks for systems that have cameras and depth and look for nothing that moves."""

from collections.abc import Callable

import numpy as np

from ..backbones.base import Progress
from ..backbones.preview import PreviewNetwork
from ..camera import Camera
from ..motion import Motion, cluster, outline
from ..motion.background import against_background
from ..motion.epipolar import OFFSETS, epipolar_evidence
from ..motion.rigid_residual import rigid_evidence
from ..options import Options
from ..reconstruction import only_turns

# Pixels by which cameras may be wrong for frames to be compared through them. With depth wrong by 10 %, turns by half a
# degree and places by 1 % of the depth they are wrong by 2 and more, and comparing takes .05 to .14 from J.
EXACT = 1.0


def moving_by_flow(
    frames: np.ndarray,
    depth: np.ndarray,
    confidence: np.ndarray,
    cam2world: np.ndarray,
    intrinsics: np.ndarray,
    options: Options,
    progress: Progress,
) -> Motion:
    """What moves in frames (T,H,W,3) uint8 RGB, by the flow that cameras and depth do not explain.

    depth, confidence (T,H,W); cam2world (T,4,4); intrinsics (T,3,3) pixels. Options: sensitivity, refine.
    """
    n_frames = len(frames)
    if n_frames < 2:
        return Motion.none(frames.shape[:3])
    network = PreviewNetwork()
    features = network.encode(frames)
    edges = [(i, i + gap) for gap in OFFSETS for i in range(n_frames - gap)]

    def part(begin: float, end: float, text: str = "Outlining what moves") -> Callable[[float], None]:
        return lambda done: progress(begin + (end - begin) * done, text)

    flows = network.flows(features, edges, lambda done, text: progress(0.4 * done, text))
    known = epipolar_evidence(frames, flows, features.grid, part(0.4, 0.5))
    geometry = depth, confidence, cam2world, intrinsics
    evidence, wrong = rigid_evidence(known, frames, flows, *geometry, part(0.5, 0.6))
    look = cluster(features.tokens), frames, options.sensitivity, options.refine, flows
    motion = outline(evidence, *look, part(0.6, 0.75))
    if wrong > EXACT:
        return motion
    if only_turns(cam2world, depth):  # what frames show of a place is then the same at any distance
        size = frames.shape[2], frames.shape[1]
        depth = np.stack([1 / np.linalg.norm(Camera(matrix, size).rays(), axis=-1) for matrix in intrinsics])
    seen = against_background(evidence, frames, depth, cam2world, intrinsics, motion.dynamic, part(0.75, 0.85))
    if seen.sure is None or not seen.sure.any():
        return motion
    return outline(seen, *look, part(0.85, 1))
