"""What networks turn pixels into, and what every network offers. Systems (easi3r/system) are made of these.

Frames are (T,H,W,3) uint8 RGB at working size, H and W multiples of a network's `patch`. A network is shared between
users and threads: it keeps nothing of a run, and all values below are frozen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import InputError, shown

Progress = Callable[[float, str], None]  # (fraction in [0,1], what is being done); may raise to cancel
Edges = Iterable[tuple[int, int]]  # directed frame pairs (i, j)


def check_progress(progress: Progress | None) -> Progress:
    """`progress`, one that does nothing for None; `InputError` for what cannot be called."""
    if progress is None:
        return lambda fraction, text: None
    if not callable(progress):
        raise InputError(f"progress is {shown(progress)}; give a function of a fraction and a text, or leave it out.")
    return progress


@dataclass(frozen=True)
class Features:
    """What `encode` learnt about the frames."""

    frames: np.ndarray  # (T,H,W,3) uint8 RGB
    tokens: np.ndarray  # (T,h,w,C) float32, in the computer's own memory: what clusters are made of
    data: Any = None  # what the network itself goes on with, such as the tokens on its device

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w): tokens per column and row of a frame."""
        return self.tokens.shape[1], self.tokens.shape[2]


@dataclass(frozen=True)
class PairAttention:
    """Cross-attention logits of the directed pair (i, j), averaged over the queries, C = layers * heads channels."""

    i: int
    j: int
    source: np.ndarray  # (h,w,C) float32, per token of frame j: what decoder 1 (of frame i) looks at
    reference: np.ndarray  # (h,w,C) float32, per token of frame i: what decoder 2 (of frame j) looks at


@dataclass(frozen=True)
class PairPrediction:
    """Geometry of the directed pair (i, j); both point maps are in the camera frame of frame i, scale free per pair."""

    i: int
    j: int
    pts1: np.ndarray  # (H,W,3) float16 or float32, points of frame i's pixels
    pts2: np.ndarray  # (H,W,3), points of frame j's pixels
    conf1: np.ndarray  # (H,W) confidence >= 1 of pts1; 1 = no information
    conf2: np.ndarray  # (H,W)
    attention: PairAttention | None = None  # of this pass, where it was re-weighted by masks
    moving1: np.ndarray | None = None  # (H,W) probability that a pixel of frame i moves, of networks that say so
    moving2: np.ndarray | None = None  # (H,W), of frame j


@dataclass(frozen=True)
class Predictions:
    """A stream of pairs, and what is known before the first of them."""

    pairs: Iterator[PairPrediction]
    fov: float | None = None  # horizontal field of view in degrees that the points were made with; None: unknown
    warnings: tuple[str, ...] = ()  # sentences for the user, why the result may be weak
    info: dict = field(default_factory=dict)  # what else a report should say


class PairNetwork(Protocol):
    """A two-view predictor."""

    name: str  # as shown to the user
    patch: int  # H and W of the frames are multiples of this, pixels
    max_side: int  # long side of the frames, pixels
    device: str  # "cpu", "cuda", ...
    info: dict  # name, device, precision, weights, hash, license: what a report says

    def encode(self, frames: np.ndarray, progress: Progress | None = None) -> Features:
        """Per frame, once."""

    def predict(
        self, features: Features, edges: Edges, masks: np.ndarray | None = None, progress: Progress | None = None
    ) -> Predictions:
        """A `PairPrediction` per edge, where one can be made; masks (T,H,W) bool: moving pixels, to be ignored."""


class AttentionNetwork(PairNetwork, Protocol):
    """A two-view predictor that lets its cross-attention be read."""

    def attention(self, features: Features, edges: Edges, progress: Progress | None = None) -> Iterator[PairAttention]:
        """A `PairAttention` per edge, without geometry."""


@dataclass(frozen=True)
class FramePrediction:
    """Camera and geometry of one frame as a network gives them: no scaling, no alignment."""

    cam2world: np.ndarray  # (4,4)
    intrinsics: np.ndarray  # (3,3)
    points: np.ndarray  # (H,W,3) in the frame's own camera
    confidence: np.ndarray  # (H,W)
    world_points: np.ndarray | None = None  # (H,W,3)
    world_confidence: np.ndarray | None = None  # (H,W)


class SequenceNetwork(Protocol):
    """A predictor with cameras of its own, frame by frame or all at once."""

    name: str
    patch: int
    max_side: int
    device: str
    info: dict

    def predict(
        self, frames: np.ndarray, progress: Progress | None = None, world: bool = True
    ) -> Iterator[FramePrediction]:
        """A `FramePrediction` per frame, in order; world: also the points in the world, of networks that give them."""


class AtOnceNetwork(SequenceNetwork, Protocol):
    """A `SequenceNetwork` that looks at all frames before it says anything."""

    def predict(
        self, frames: np.ndarray, progress: Progress | None = None, world: bool = True, reference: str = ""
    ) -> Iterator[FramePrediction]:
        """As of the others; reference: which frame is told to be the first, in the network's own words."""

    def fitting(self, height: int, width: int) -> int:
        """How many frames of that size in pixels can be looked at at once in the memory that is free, estimated."""
