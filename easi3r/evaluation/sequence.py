"""A sequence of a data set, as the protocol chooses its frames."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image, ImageOps

from ..video import Video
from .formats import reading

Picture = Callable[[], Image.Image]
Array = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Sequence:
    """n frames and what is known of them; what is not known is None. Pictures and arrays are read when called for."""

    pictures: tuple[Picture, ...]  # n, upright RGB
    labels: tuple[Array, ...] | None = None  # n, (H,W) bool, moving pixels at the size of the pictures
    poses: np.ndarray | None = None  # (n,4,4) float64 cam2world; NaN where lost
    depth: tuple[Array, ...] | None = None  # n, (h,w) float32, z depth, 0 where not known
    intrinsics: np.ndarray | None = None  # (n,3,3) float64 of the depth maps; with them points are scored
    by_time: Union["Sequence", None] = None  # the same frames with depth and poses nearest in time, not by position
    clip: Video | None = None  # a visitor's clip: taken as it is, and its masks are compared at the size of the source
    others: dict[str, np.ndarray] | None = None  # other systems' masks of a clip, name -> (n,H,W) bool

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.pictures)

    @property
    def stretched(self) -> bool:
        """Whether pictures are resized to multiples of 16 and not cropped, as the depth shows all of them."""
        return self.depth is not None


def read_picture(path: Path) -> Image.Image:
    """An RGB picture, upright."""
    with reading(path), Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def read_mask(path: Path) -> np.ndarray:
    """(H,W) bool of a picture: whatever is not 0 (of a palette: not its first colour); transparency does not count."""
    with reading(path), Image.open(path) as image:
        values = np.asarray(image)
        transparent = image.mode in ("LA", "PA", "RGBA")
    if values.ndim == 3:
        values = values[..., : -1 if transparent else None].max(axis=2)
    return values != 0


def read_millimetres(path: Path, unit: float) -> np.ndarray:
    """(H,W) float32 depth of a 16 bit PNG that counts `unit` to the metre; 0 where not known."""
    with reading(path), Image.open(path) as image:
        return np.asarray(image).astype(np.float32) / np.float32(unit)


def read_array(path: Path) -> np.ndarray:
    """(H,W) float32 of a .npy file with an array (H,W) or (H,W,1)."""
    with reading(path):
        array = np.load(path, allow_pickle=False)
        array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
        if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
            raise ValueError(f"it holds {array.dtype} of shape {array.shape}, not a map (H,W) of numbers")
        return array.astype(np.float32)
