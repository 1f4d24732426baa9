"""The recipe over networks with cameras of their own: what they say frame by frame is the result."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import cleanup
from ..backbones.base import FramePrediction, Progress, SequenceNetwork
from ..camera import Camera, focal_of, invert
from ..large import frames_of, zeros
from ..motion import Motion
from ..options import Options
from ..video import Video
from .base import Coarse, Estimate, NetworkSystem, Plan, Stage
from .by_flow import Geometry, by_flow
from .planning import plan_frames
from .steps import Clock, given_masks, sharpened

_SHARES = {"geometry": 0.97, "cleanup": 0.03}  # of the progress bar
_WITH_MASKS = {"geometry": 0.7, "masks": 0.27, "cleanup": 0.03}
_FIELDS = 5.0, 170.0  # horizontal fields of view that are believed, degrees: those that can be given


@dataclass(frozen=True)
class Sequence(NetworkSystem):
    """Cameras and depth are the network's own, and everything is taken for static unless `Options.flow_masks` is set.

    Nothing is aligned, so the options of the aligner (flow, smooth) and of pairs (graph) have no say here.
    """

    network: SequenceNetwork
    finds_motion: ClassVar[bool] = False  # whatever the option says

    def plan(self, n_frames: int, options: Options) -> Plan:
        """See `System.plan`."""
        return plan_frames(self.card, n_frames, options, self.device, loaded=True)

    def predictions(self, frames: np.ndarray, progress: Progress) -> Iterator[FramePrediction]:
        """What the network says of frames (T,H,W,3) uint8 RGB, in order and in one world."""
        return self.network.predict(frames, progress, world=False)

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """See `NetworkSystem.stages`. Of a frame only cameras, depth and confidence are kept."""
        frames = video.frames
        shape, size = frames.shape[:3], video.framing.size
        given = given_masks(masks, shape)
        looking = self.finds_motion or options.flow_masks
        clock = Clock(progress, _WITH_MASKS if looking else _SHARES, options)
        motion = Motion.none(shape).with_masks(given.masks)
        depth, confidence = zeros(shape, np.float32), zeros(shape, np.float32)
        cam2world, intrinsics = np.empty((len(frames), 4, 4)), np.empty((len(frames), 3, 3))
        clock.start("geometry", f"Looking at {len(frames)} frames")
        for i, found in zip(frames_of([frames]), self.predictions(frames, clock.progress)):
            cam2world[i], intrinsics[i] = found.cam2world, found.intrinsics
            depth[i], confidence[i] = _usable(found)
        cam2world = invert(cam2world[0]) @ cam2world
        cam2world[0] = np.eye(4)
        warnings = _believe(intrinsics, size[0], options.fov)
        if looking:
            yield Coarse(cam2world, intrinsics.copy(), depth, confidence, motion)
            clock.start("masks", "Looking for what moves")
            geometry = Geometry(depth, confidence, cam2world, intrinsics)
            motion, geometry = by_flow(frames, geometry, given, options, clock.progress)
            depth, cam2world, intrinsics = geometry.depth, geometry.cam2world, geometry.intrinsics
            yield motion
        clock.start("cleanup", "Cleaning up")
        motion, sharp, told = sharpened(motion, frames, options, clock, None if looking else given.known)
        cameras = [Camera(matrix, size) for matrix in intrinsics]
        depth, confidence = cleanup.apply(depth, confidence, cam2world, cameras, motion.dynamic)
        clock.stop()
        info = {"backbone": self.network.info, "seconds": clock.seconds, **told}
        yield Estimate(cam2world, intrinsics, depth, confidence, motion, warnings + sharp, info)


def _usable(found: FramePrediction) -> tuple[np.ndarray, np.ndarray]:
    """z depth and confidence (H,W); points behind the camera have the frame's median depth, and confidence 0."""
    z = found.points[..., 2]
    usable = (z > 0) & np.isfinite(z)
    return np.where(usable, z, np.median(z[usable]) if usable.any() else 1), np.where(usable, found.confidence, 0)


def _believe(intrinsics: np.ndarray, width: int, fov: float | None) -> tuple[str, ...]:
    """Bring focals (T,3,3) to believable fields of view, in place, and the first frame to `fov` if it is given; what
    the user should know of it.
    """
    longest, shortest = (focal_of(angle, width) for angle in _FIELDS)
    focals = intrinsics[:, (0, 1), (0, 1)]  # (T, 2)
    believed = np.clip(focals, shortest, longest)
    doubtful = int((focals != believed).any(axis=1).sum())
    if fov is not None:
        believed *= focal_of(fov, width) / believed[0, 0]
    intrinsics[:, (0, 1), (0, 1)] = believed
    if fov is not None or not doubtful:
        return ()
    return (
        f"In {doubtful} of {len(focals)} frames no field of view fits the depth; their shape is not to be trusted.",
    )
