"""The recurrent network as systems use it: a stream of frames in, cameras and points of each out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...camera import Camera, pose
from ...errors import InputError
from ...memory import ran_out
from ..base import FramePrediction, Progress
from ..dust3r.network import grid_of, images_of, placed
from .model import Carried, RecurrentTransformer

_FOCAL_ROUNDS = 10  # of re-weighting, as published


class Cut3rNetwork:
    """CUT3R: a `SequenceNetwork`.

    model: `RecurrentTransformer` with weights. name, info, device, precision: see `Dust3rNetwork`, but everything is
    handed on in float32. rope_fp16: turn the encoder's queries and keys in float16, as the published network does; it
    costs nothing that can be measured. Without it poses of untrained weights differ by 4e-4.
    """

    def __init__(
        self,
        model: RecurrentTransformer,
        name: str = "CUT3R",
        info: dict | None = None,
        device: str | None = None,
        precision: str | None = None,
        rope_fp16: bool = True,
    ) -> None:
        self.name = name
        self.model, self.device, self.precision = placed(model, device, precision)
        self.patch, self.max_side = model.config.patch, model.config.max_side
        self.rope_fp16 = rope_fp16
        self.info = {"name": name, "device": self.device, "precision": self.precision, **(info or {})}

    def predict(
        self,
        frames: np.ndarray,
        progress: Progress | None = None,
        world: bool = True,
        update: np.ndarray | None = None,
        reset: np.ndarray | None = None,
    ) -> Iterator[FramePrediction]:
        """A `FramePrediction` per frame (T,H,W,3) uint8 RGB, in order; memory does not grow with the frames.

        Everything is as the network gives it: the first camera is near the identity, not at it; each frame has the
        focal that its own points say, and the principal point in the middle. Arrays are float32, matrices float64.

        world: also points in the common frame, which take a fifth of the work again. update, reset (T,) bool: whether
        a frame changes what is carried to the next one (all do), and whether that is forgotten after it (none).

        Raises `InputError` for frames of another shape or type, or whose sides are no multiples of `patch`.
        """
        grid = grid_of(frames, self.patch)
        updates = _flags("update", update, True, len(frames))
        resets = _flags("reset", reset, False, len(frames))
        return self._stream(frames, grid, world, updates, resets, progress)

    def _stream(self, frames, grid, world, updates, resets, progress):
        start = carried = None
        for i, frame in enumerate(frames):
            try:
                start = start or self._start()
                found, after = self._step(frame, grid, carried or start, i == 0, world, updates[i])
            except RuntimeError as error:
                if not ran_out(error):
                    raise
                raise InputError("There is not enough memory for a single frame; use smaller frames.") from None
            carried = start if resets[i] else after
            if progress is not None:
                progress((i + 1) / len(frames), f"Looking at frame {i + 1} of {len(frames)}")
            yield found

    @torch.inference_mode()
    def _start(self) -> Carried:
        return self.model.start()

    @torch.inference_mode()
    def _step(self, frame, grid, carried, first, world, update):
        """(`FramePrediction`, what is carried after it) of one frame (H,W,3)."""
        model = self.model
        tokens = model.encode(images_of(frame[None], self.device), self.rope_fp16)
        decoded = model.decode(tokens, grid, carried, first)
        points, confidence = model.own_points(decoded, grid)
        focal = focal_of_points(points[0])
        arrays = [points, confidence, *(model.common_points(decoded, grid) if world else ())]
        found = FramePrediction(
            cam2world_of(model.camera(decoded)[0].cpu().numpy()),
            Camera.centred(focal, frame.shape[1], frame.shape[0]).intrinsics,
            *(array[0].cpu().numpy() for array in arrays),
        )
        return found, model.remember(tokens, decoded, carried) if update else carried


def _flags(name: str, given: Any, usual: bool, count: int) -> np.ndarray:
    flags = np.full(count, usual) if given is None else np.asarray(given)
    if flags.shape != (count,) or flags.dtype != bool:
        raise InputError(f"{name} has shape {flags.shape} and type {flags.dtype}; it must be ({count},) bool.")
    return flags


def cam2world_of(encoded: np.ndarray) -> np.ndarray:
    """Camera-to-world (4,4) float64 of translation and quaternion w, x, y, z (7,)."""
    translation, quaternion = np.split(np.asarray(encoded, np.float64), [3])
    return pose(Rotation.from_quat(quaternion, scalar_first=True).as_matrix(), translation)


def focal_of_points(points: torch.Tensor) -> float:
    """Focal in pixels with which points (H, W, 3) of a camera fall on their pixels, the principal point in the middle.

    The sum of distances in the picture is made least by re-weighting (Weiszfeld; specification cut3r.md, section 13).
    0 where no focal fits, as of points behind the camera.
    """
    height, width = points.shape[:2]
    rows, columns = (torch.arange(n, device=points.device, dtype=points.dtype) - n // 2 for n in (height, width))
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
    rays = (points[..., :2] / points[..., 2:]).nan_to_num(0, 0, 0)
    along, square = (rays * pixels).sum(dim=-1), (rays * rays).sum(dim=-1)
    focal = along.mean() / square.mean()
    for _ in range(_FOCAL_ROUNDS):
        weight = 1 / (pixels - focal * rays).norm(dim=-1).clamp_min(1e-8)
        focal = (weight * along).mean() / (weight * square).mean()
    return float(focal) if focal > 0 else 0.0
