"""The result of a run: plain arrays, and the camera arithmetic that belongs to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .camera import Camera, Framing, transform
from .large import picked, some

_LEAST_PATH = 0.02  # extent of the camera path, as a share of the median depth, that lets depth be seen


def only_turns(cam2world: np.ndarray, depth: np.ndarray) -> bool:
    """Whether the cameras (T,4,4) of a clip with this depth (T,H,W) turn or stand: their path shows no depth."""
    path = np.linalg.norm(np.ptp(cam2world[:, :3, 3], axis=0))
    return len(cam2world) > 1 and bool(path < _LEAST_PATH * np.median(some(depth)))


@dataclass(frozen=True)
class Masked:
    """What moves in a clip, before its cameras are known; fields as of `Reconstruction`."""

    frames: np.ndarray
    timestamps: np.ndarray
    dynamic: np.ndarray


@dataclass
class Reconstruction:
    """T frames at working size H x W.

    OpenCV camera frame (x right, y down, z forward); world = first camera; the unit of length is the same everywhere,
    arbitrary unless `info["scale"]` says metres (`scale.in_metres`).
    """

    frames: np.ndarray  # (T,H,W,3) uint8 RGB, as processed
    timestamps: np.ndarray  # (T,) float64, seconds in the source video
    cam2world: np.ndarray  # (T,4,4) float64, the first one is the identity
    intrinsics: np.ndarray  # (T,3,3) float64, pixels of the working size
    depth: np.ndarray  # (T,H,W) float32, z depth
    confidence: np.ndarray  # (T,H,W) float32, 0 = unusable
    dynamic: np.ndarray  # (T,H,W) bool, moving pixels
    motion: np.ndarray  # (T,H,W) float32 in [0,1], what `dynamic` was cut from
    evidence: dict  # name -> (T,h,w) float32 in [0,1]; "clusters": whole numbers, equal where tokens look alike
    framing: Framing  # how the working frames were cut from the source
    info: dict = field(default_factory=dict)  # system, weights, options, seconds per step, versions, warnings

    @property
    def source_intrinsics(self) -> np.ndarray:
        """(T,3,3) float64: intrinsics in pixels of the (upright) original video."""
        return self.framing.to_source(self.intrinsics)

    @property
    def arrays(self) -> list[np.ndarray]:
        """Those with something per pixel."""
        return [self.frames, self.depth, self.confidence, self.dynamic, self.motion, *self.evidence.values()]

    @property
    def turns_only(self) -> bool:
        """Whether the camera only turns or stands, see `only_turns`."""
        return only_turns(self.cam2world, self.depth)

    @property
    def coarse(self) -> bool:
        """Whether it is a first look while the clip is still being computed, see `pipeline.stages`."""
        return bool(self.info.get("coarse"))

    def showing(self) -> "Reconstruction":
        """The `Reconstruction` of only those frames that show the scene, see `info["frames_left_out"]`."""
        left_out = self.info.get("frames_left_out")
        if not left_out:
            return self
        kept = np.setdiff1d(np.arange(len(self.frames)), left_out)
        arrays: dict[str, Any] = {
            f.name: picked(getattr(self, f.name), kept)
            for f in fields(self)
            if f.name not in ("evidence", "framing", "info")
        }
        numbers = [number for t, number in enumerate(self.info["frame_numbers"]) if t in kept]
        evidence = {name: picked(array, kept) for name, array in self.evidence.items()}
        return replace(
            self, **arrays, evidence=evidence, info={**self.info, "frame_numbers": numbers, "frames_left_out": []}
        )

    @property
    def cameras(self) -> list[Camera]:
        """The T cameras at working size."""
        height, width = self.depth.shape[1:]
        return [Camera(matrix, (width, height)) for matrix in self.intrinsics]

    def points(self) -> np.ndarray:
        """(T,H,W,3) float32 world points of every pixel."""
        views = zip(self.cam2world, self.cameras, self.depth)
        return np.stack([transform(pose, camera.unproject(depth)) for pose, camera, depth in views]).astype(np.float32)

    def save(
        self,
        folder: str | Path,
        dataset_source: Any = None,
        files: Iterable[str] | None = None,
        player_mb: float = 12.0,
    ) -> dict[str, str]:
        """Write every file the page offers into `folder`, made if missing; returns a dict name -> path: `export.save`.

        dataset_source: the clip that this was made from, a path or what else `reconstruct` took; with it the pictures,
        masks and cameras in the folder dataset have the size of the clip and not the working size. Depth stays as it
        is. files: only these, such as ["scene.glb", "masks"]. player_mb: how large player.html and scene.glb may be
        each, 1 to 200 MB.
        """
        from .export import save  # the exporters read Reconstruction; importing them here keeps that direction

        return save(self, folder, dataset_source, files, player_mb)
