"""What every two-view predictor offers. Everything after it (masks, alignment, export, page) sees only this."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass
class Features:
    """What `encode` learnt about the frames; lives for one run and is the only place where a run keeps state."""

    frames: np.ndarray  # (T,H,W,3) uint8 RGB
    data: Any  # the backbone's own
    warnings: list = field(default_factory=list)  # sentences for the user, why the result may be weak
    info: dict = field(default_factory=dict)  # what goes into Reconstruction.info["backbone"]
    fov: float | None = (
        None  # horizontal, degrees: given by the user, or what `geometry` settled on; None: the alignment finds it
    )
    zoom: np.ndarray | None = None  # (T,) focal of every frame over that of the first; None: it does not change
    flows: dict | None = None  # (i, j) -> Flow, filled by `motion`, where a backbone measures it anyway
    reweighted: "MotionEvidence | None" = None  # evidence of pass 2, set when `geometry` with masks has been exhausted


@dataclass
class MotionEvidence:
    """What a pass says about motion, on a grid of h x w tokens per frame."""

    # name -> (T,h,w) float32 in [0,1], for display: A_src_mean, A_src_std, A_ref_mean, A_ref_std or counterparts
    maps: dict
    dynamic: np.ndarray  # (T,h,w) float32 in [0,1], high = moves
    tokens: np.ndarray  # (T,h,w,C) float32 features for clustering
    cluster_weight: float = 1.0  # share of a token's value that comes from its cluster; less where features tell little
    limits: tuple | None = (
        None  # (below is noise, above surely moves); None: only differences within a frame mean anything
    )


@dataclass(frozen=True)
class PairPrediction:
    """Geometry of the directed pair (i, j); both point maps are in the camera frame of frame i, scale free per pair."""

    i: int
    j: int
    pts1: np.ndarray  # (H,W,3) float16 or float32, points of frame i's pixels
    pts2: np.ndarray  # (H,W,3), points of frame j's pixels
    conf1: np.ndarray  # (H,W) confidence >= 1 of pts1; 1 = no information
    conf2: np.ndarray  # (H,W)


class Backbone(Protocol):
    """A two-view predictor. Frames are (T,H,W,3) uint8 RGB at working size, H and W multiples of `patch`.

    An instance is shared between users and threads: methods keep everything of a run in the `Features` they are given.
    """

    name: str  # as shown to the user
    patch: int  # H and W of the frames are multiples of this, pixels
    max_side: int  # long side of the frames, pixels
    device: str  # "cpu", "cuda", ...
    note: str  # for the user: what this backbone is, why it was chosen, the licence of its weights

    def encode(self, frames, progress=None) -> Features: ...

    def motion(self, features, edges, progress=None) -> MotionEvidence:
        """Pass 1: what moves, without geometry."""

    def geometry(self, features, edges, masks=None, progress=None) -> Iterator[PairPrediction]:
        """Pass 2: geometry per edge; masks (T,H,W) bool of moving pixels re-weight it, None = no re-weighting."""
