"""What is known about motion: evidence on the tokens of the frames, and what is cut from it."""

from dataclasses import dataclass, replace

import numpy as np

from ..large import zeros

BEFORE_SAM2 = "before_sam2"  # among the maps of a `Motion`: its masks before SAM 2 drew them, (T,H,W), 0 or 1


@dataclass(frozen=True)
class Evidence:
    """What speaks for motion, on a grid of h x w tokens per frame."""

    maps: dict[str, np.ndarray]  # name -> (T,h,w) float32 in [0,1], what `values` was made from, for display
    values: np.ndarray  # (T,h,w) float32 in [0,1], high = moves
    # The same per pixel of a finer grid (T,y,x), float32 in [0,1], on a scale that is the same in every clip, and how
    # well each pixel is known, in [0,1]; None: only differences within a frame mean anything, and only per token.
    pixels: np.ndarray | None = None
    weight: np.ndarray | None = None
    # How surely a pixel moves whatever its neighbours and colours say, (T,y,x) float32 in [0,1]; None: never.
    sure: np.ndarray | None = None
    # Where something is laid over all frames, (H,W) bool, see `overlays`; None: nothing.
    overlay: np.ndarray | None = None


@dataclass(frozen=True)
class Motion:
    """What moves in T frames of H x W, and why it was taken for moving."""

    dynamic: np.ndarray  # (T,H,W) bool, moving pixels
    values: np.ndarray  # (T,H,W) float32 in [0,1], what `dynamic` was cut from
    # name -> (T,h,w) float32, for display: those of the evidence, `fused` and, if these decide, `clusters`
    maps: dict[str, np.ndarray]

    def with_masks(self, dynamic: np.ndarray) -> "Motion":
        """The same evidence with other masks (T,H,W) bool, such as the user's."""
        return replace(self, dynamic=dynamic)

    @classmethod
    def none(cls, shape: tuple[int, int, int]) -> "Motion":
        """Of T frames of H x W, `shape`, in which nothing was looked for."""
        return cls(zeros(shape, bool), zeros(shape, np.float32), {})
