"""What a system is, what it plans and what it gives."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ..backbones.base import Progress
from ..motion import Motion
from ..options import Options
from ..video import Video


@dataclass(frozen=True)
class SystemCard:
    """A row of the registry: what page, terminal and README say of a system."""

    name: str  # what people type
    label: str  # in menus
    licence: str  # of its weights, in words
    weights: str | None  # hub id; None: it needs none
    download_mb: int  # megabytes fetched on first use
    note: str  # one sentence for the user: what to expect
    on_gpu: tuple[str, int] | None = None  # where there is a GPU: other weights, and megabytes of them

    @property
    def menu(self) -> str:
        """As in a menu: with the licence of its weights."""
        return f"{self.label} ({'weights ' if self.weights else ''}{self.licence})"

    @property
    def row(self) -> str:
        """In the README's table: name, label, note, weights and what is fetched, their licence."""
        size = _sized(self.weights, self.download_mb) if self.weights else "none"
        if self.on_gpu:
            size += f"; on a GPU {_sized(*self.on_gpu)}"
        return f"| `{self.name}` | {self.label} | {self.note} | {size} | {self.licence} |"


def _sized(weights, megabytes):
    return f"`{weights}`, {megabytes / 1000:.1f} GB"


@dataclass(frozen=True)
class Plan:
    """What a run will take, known without loading or fetching anything. Seconds are rough."""

    frames: int
    pairs: int | None  # directed frame pairs; None for systems without pairs
    seconds: float  # on this machine, reading and writing included
    gpu_seconds: float  # to ask for where a GPU is lent
    download_mb: int  # still to be fetched


@dataclass(frozen=True)
class Estimate:
    """What a system makes of T frames of H x W. OpenCV camera frame; world = first camera; unit arbitrary."""

    cam2world: np.ndarray  # (T,4,4) float64, the first one is the identity
    intrinsics: np.ndarray  # (T,3,3) float64, pixels
    depth: np.ndarray  # (T,H,W) float32, z depth, positive
    confidence: np.ndarray  # (T,H,W) float32, 0 = unusable
    motion: Motion
    warnings: tuple[str, ...] = ()  # sentences for the user
    info: dict = field(default_factory=dict)  # network, pairs, objective, seconds per step: what a report says


@dataclass(frozen=True)
class Coarse(Estimate):
    """Cameras and a first guess of depth, to look at while the rest is computed."""


@dataclass(frozen=True)
class Part:
    """What is known of some frames of a long clip, to look at while the rest is computed."""

    known: Motion | Estimate
    numbers: np.ndarray  # (n,) of these frames in the clip, rising


Stage = Motion | Estimate | Part  # what is known while a system computes: what moves; cameras, `Coarse`; the whole


@dataclass(frozen=True)
class NetworkSystem:
    """What recipes over a network have in common; theirs are `plan` and `stages`, see `System`."""

    card: SystemCard
    network: Any
    note: str = ""
    in_windows: ClassVar[bool] = False  # whether a long clip must be solved in windows, see the room `windows`

    @property
    def name(self) -> str:
        """As shown to the user: that of the network."""
        return self.network.name

    @property
    def patch(self) -> int:
        """See `System`, as for the others."""
        return self.network.patch

    @property
    def max_side(self) -> int:
        return self.network.max_side

    @property
    def device(self) -> str:
        return self.network.device

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """What is known of the clip so far, to show it early; the last one is what `run`, as of `System`, gives."""
        raise NotImplementedError

    def run(self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None) -> Estimate:
        """See `System.run`."""
        last = deque(self.stages(video, options, masks, progress), maxlen=1).pop()  # keeps none of the others
        if not isinstance(last, Estimate):
            raise TypeError(f"{type(self).__name__}.stages ended with {type(last).__name__}, not with an Estimate.")
        return last


class System(Protocol):
    """Anything that turns a clip into an `Estimate`. Shared between users and threads: it keeps nothing of a run."""

    @property
    def card(self) -> SystemCard:
        """Its row of the registry."""

    @property
    def name(self) -> str:
        """As shown to the user, with its network's: "Easi3R on DUSt3R"."""

    @property
    def note(self) -> str:
        """For the user: what it is, why it was chosen, the licence of its weights."""

    @property
    def network(self) -> Any:
        """One of the kinds in easi3r/backbones/base.py."""

    @property
    def patch(self) -> int:
        """H and W of the frames are multiples of this, pixels."""

    @property
    def max_side(self) -> int:
        """Long side of the frames, pixels."""

    @property
    def device(self) -> str:
        """ "cpu", "cuda", ..."""

    def plan(self, n_frames: int, options: Options) -> Plan:
        """Of a clip with so many frames. Never loads or fetches anything."""

    def run(self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None) -> Estimate:
        """All frames of `video` are taken; leave out before what does not show the scene.

        masks: what moves, if the user knows it better: (T,H,W) bool, or `OwnMasks`, which may know some frames only.
        progress(fraction, text), fraction in [0,1], may raise to cancel.
        """


def stages(system: System, video: Video, options: Options, masks: Any, progress: Progress) -> Iterator[Stage]:
    """Those of `NetworkSystem.stages`; of a system that has none, what it ends with."""
    if isinstance(system, NetworkSystem):
        yield from system.stages(video, options, masks, progress)
    else:
        yield system.run(video, options, masks, progress)
