"""Depth Anything 3 as systems use it: a clip in, cameras and points of each frame out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import InputError, shown
from ...memory import ran_out
from ..base import FramePrediction, Progress
from ..dust3r.network import free_memory, grid_of, placed
from . import cameras
from .heads import LEVELS
from .model import REFERENCES, DepthAnything3

_BATCH = {"cpu": 4, "mps": 4, "cuda": 16}  # frames that go through a block at a time
_HEAD = {"cpu": 1, "mps": 1, "cuda": 8}  # and through the head, whose maps are large

Known = tuple[np.ndarray, np.ndarray]  # cameras known beforehand: cam2world (T,4,4), intrinsics (T,3,3) in pixels


@dataclass(frozen=True)
class Rays:
    """Where the picture's light comes from, on a grid of an eighth of a token's side; in the world."""

    directions: np.ndarray  # (8h,8w,3) float32, of the length that z is 1 in the camera's frame
    origins: np.ndarray  # (8h,8w,3) float32: the camera's centre, as each pixel sees it
    confidence: np.ndarray  # (8h,8w) float32, over 1


class Da3Network:
    """Depth Anything 3, SMALL or BASE: a `SequenceNetwork` that looks at all frames at once.

    model: `DepthAnything3` with weights. name, info, device: see `Dust3rNetwork`. precision: "float32" (None is that
    too) or "bfloat16", in which the backbone's products are computed then; everything is handed on in float32.
    """

    def __init__(
        self,
        model: DepthAnything3,
        name: str = "Depth Anything 3",
        info: dict | None = None,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.name = name
        self.model, self.device, self.precision = placed(model, device, precision or "float32")
        self.patch, self.max_side = model.config.patch, model.config.max_side
        kind = self.device.split(":")[0]
        self.batch, self.head_batch = _BATCH.get(kind, 1), _HEAD.get(kind, 1)
        self.info = {"name": name, "device": self.device, "precision": self.precision, **(info or {})}

    def predict(
        self,
        frames: np.ndarray,
        progress: Progress | None = None,
        world: bool = True,
        reference: str = REFERENCES[0],
        known: Known | None = None,
    ) -> Iterator[FramePrediction]:
        """A `FramePrediction` per frame (T,H,W,3) uint8 RGB, in order, after one look at all of them.

        Everything is as the network gives it: the world is near the camera of the reference, in a unit of its own; the
        principal point is in the middle, and pixel centres are half a pixel from the picture's edge. Points and
        confidence are float32, matrices float64. world: of no effect, this network has no other points.

        reference: which frame is told to be the first: "saddle_balanced", the one between the others, "first" or
        "middle". known: cameras known beforehand, which the network takes for a hint; it needs the whole weights.

        Raises `InputError` for frames of another shape or type, or whose sides are no multiples of `patch`.
        """
        size = frames.shape[1:3]

        def predictions(maps, special):
            depth, confidence = (x.cpu().numpy() for x in self.model.head.depth(maps, size))
            encoded = self.model.cameras(special).cpu().numpy()
            for z, sure, cam2world, intrinsics in zip(depth, confidence, *cameras.decoded(encoded, size)):
                yield FramePrediction(cam2world, intrinsics, cameras.points_of(z, intrinsics), sure)

        return self._checked(frames, progress, reference, known, predictions)

    def rays(
        self,
        frames: np.ndarray,
        progress: Progress | None = None,
        reference: str = REFERENCES[0],
        known: Known | None = None,
    ) -> Iterator[Rays]:
        """`Rays` per frame, see `predict`; they need the whole weights. `cameras.of_rays` says of which camera."""
        self._need_whole("Rays")
        grid = grid_of(frames, self.patch)

        def predictions(maps, _):
            for rays, sure in zip(*(x.cpu().numpy() for x in self.model.head.rays(maps, grid))):
                yield Rays(rays[..., :3], rays[..., 3:], sure)

        return self._checked(frames, progress, reference, known, predictions)

    def fitting(self, height: int, width: int) -> int:
        """How many frames of that size in pixels can be looked at at once in the memory that is free, estimated.

        Of each token are held its channels, its keys, queries and values, and what the head will read of it.
        """
        c = self.model.config
        tokens = 1 + (height // self.patch) * (width // self.patch)
        return int(free_memory(self.device) / (4 * tokens * (5 * c.embed_dim + sum(c.out_channels))))

    def _checked(self, frames, progress, reference, known, predictions):
        grid = grid_of(frames, self.patch)
        if reference not in REFERENCES:
            raise InputError(f"The reference {shown(reference)} is unknown; use {', '.join(REFERENCES)}.")
        if known is not None:
            self._need_whole("Known cameras")
            known = cameras.encoded(*_matrices(known, len(frames)), frames.shape[1:3])
        return self._stream(frames, grid, reference, known, progress or (lambda fraction, text: None), predictions)

    @torch.inference_mode()
    def _stream(
        self,
        frames: np.ndarray,
        grid: tuple[int, int],
        reference: str,
        known: np.ndarray | None,
        progress: Progress,
        predictions: Callable[[list[torch.Tensor], torch.Tensor], Iterator[Any]],
    ) -> Iterator[Any]:
        """What `predictions` makes of the projected maps and special tokens of some frames, frame by frame."""
        text = f"Looking at {len(frames)} frames at once"
        maps: dict[int, list[torch.Tensor]] = {}  # by a group's first frame, fine to coarse
        try:
            tokens = None if known is None else self.model.camera_tokens(_on(known, self.device))
            pixels = _on(frames, self.device)
            outputs = self.model.backbone.outputs(
                pixels, reference, tokens, self.batch, lambda fraction: progress(fraction, text)
            )
            for output in outputs:
                levels = maps.setdefault(output.frames.start, [])
                levels.append(self.model.head.project(output.level, output.features, grid))
                if len(levels) == LEVELS:
                    del maps[output.frames.start]
                    for parts in zip(*(x.split(self.head_batch) for x in (*levels, output.camera))):
                        yield from predictions(list(parts[:-1]), parts[-1])
        except RuntimeError as error:
            if not ran_out(error):
                raise
            raise InputError(
                f"There is not enough memory for {len(frames)} frames of {frames.shape[2]} x {frames.shape[1]} pixels "
                "at once; use fewer or smaller frames."
            ) from None

    def _need_whole(self, what):
        if not self.model.config.whole:
            raise InputError(f"{what} need the whole weights; load them with load_da3(..., whole=True).")


def _on(array, device):
    """A tensor with an array on the device; float64 becomes float32."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return (tensor.float() if tensor.is_floating_point() else tensor).to(device)


def _matrices(known, count):
    cam2world, intrinsics = (np.asarray(matrices, np.float64) for matrices in known)
    if cam2world.shape != (count, 4, 4) or intrinsics.shape != (count, 3, 3):
        raise InputError(
            f"Known cameras have the shapes {cam2world.shape} and {intrinsics.shape}; "
            f"they must be ({count}, 4, 4) and ({count}, 3, 3)."
        )
    return cam2world, intrinsics
