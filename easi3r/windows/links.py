"""How one window's world lies in another's, by frames that are in both."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import pose
from ..spans import Span
from ..system.base import Estimate

STRIDE = 4  # pixels between those whose depth is compared, in rows and columns


@dataclass(frozen=True)
class View:
    """Some frames as one window has them: n frames of h x w compared pixels."""

    cam2world: np.ndarray  # (n,4,4)
    depth: np.ndarray  # (n,h,w) z depth
    sure: np.ndarray  # (n,h,w) bool: still, and of known depth

    @classmethod
    def of_estimate(cls, found: Estimate, frames: slice) -> "View":
        """Of some frames of what a system found."""
        moving = found.motion.dynamic[frames]
        return cls.of(found.cam2world[frames], found.depth[frames], found.confidence[frames], moving)

    @classmethod
    def of(cls, cam2world: np.ndarray, depth: np.ndarray, confidence: np.ndarray, moving: np.ndarray) -> "View":
        """Of cameras (n,4,4) and maps (n,H,W) as of an `Estimate`."""
        at = np.s_[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        depth = np.array(depth[at], np.float64)
        return cls(cam2world, depth, (confidence[at] > 0) & ~moving[at] & (depth > 0))


@dataclass(frozen=True)
class Window:
    """What is remembered of a window once its maps are on the disk."""

    span: Span
    cam2world: np.ndarray  # (n,4,4)
    intrinsics: np.ndarray  # (n,3,3)
    last: View  # the frames that are also in the next one
    size: float  # median depth
    turns: bool  # the camera only turns or stands: nothing tells how large the scene is
    warnings: tuple[str, ...]
    info: dict


@dataclass(frozen=True)
class Link:
    """The similarity (4,4) from one world into another, and how far the frames disagree about it."""

    matrix: np.ndarray
    turn: float  # radians, in the middle
    shift: float  # of the median depth
    scale: float  # log ratio

    @property
    def holds(self) -> bool:
        """Whether the frames agree as well as those of one scene do, see `TURN`."""
        return self.turn < TURN and self.shift < SHIFT and self.scale < SCALE


# Disagreement of frames about a link that is still put up with: wrong loops are beyond one of these by far.
TURN, SHIFT, SCALE = np.radians(3.0), 0.1, 0.15


def link(source: View, target: View) -> Link:
    """The `Link` from the world of `source` into that of `target`, of the same frames.

    Rotation: mean of the cameras' (chordal). Scale: median ratio of depth, which says more than how far apart cameras
    are that may hardly move. Shift: median over the cameras.
    """
    turns = target.cam2world[:, :3, :3] @ np.swapaxes(source.cam2world[:, :3, :3], 1, 2)
    rotation = Rotation.from_matrix(turns).mean()
    both = source.sure & target.sure
    ratios = [np.median(np.log(t[k] / s[k])) for s, t, k in zip(source.depth, target.depth, both) if k.any()]
    ratio = float(np.median(ratios)) if ratios else 0.0
    turned = np.exp(ratio) * rotation.as_matrix()
    shifts = target.cam2world[:, :3, 3] - source.cam2world[:, :3, 3] @ turned.T
    shift = np.median(shifts, axis=0)
    size = np.median(target.depth[target.sure]) if target.sure.any() else 1.0
    return Link(
        pose(turned, shift),
        float(np.median((Rotation.from_matrix(turns) * rotation.inv()).magnitude())),
        float(np.median(np.linalg.norm(shifts - shift, axis=1)) / size),
        float(np.median(np.abs(np.array(ratios or [np.inf]) - ratio))),
    )
