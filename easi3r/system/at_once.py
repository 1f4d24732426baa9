"""The recipe over a network that looks at all frames at once: a long clip goes through it in parts that share frames.

Source: specification da3.md, section 10.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..alignment.overlap import overlap_weights, similarity
from ..alignment.similarity import rigid_part, scale_of
from ..backbones.base import AtOnceNetwork, FramePrediction, Progress
from ..camera import transform
from ..options import Options
from .base import Plan
from .planning import plan_at_once
from .sequence import Sequence

# Frames of a part, at most, by device. Parts should be long: the authors have a path's error of .087 m with 120 frames,
# .127 with 60, .227 with 30; ours, of 96 rendered frames with depth disturbed by 5 %, focals by 3 % and poses, is .9 %
# of the path at once, 2.2 % in parts of 64, 2.4 % of 32, 3.4 % of 16 that share 4. Work grows with their square: by its
# count two cores take 50 minutes for 300 frames at once, 21 in parts of 96, 16 of 64.
_MOST = {"cpu": 96, "mps": 96, "cuda": 120}
_SHARED = 0.25  # of a part's frames are also in the next; in the same trial an eighth did as well, a half hardly better
_STRIDE = 4  # pixels between those that are compared, in rows and columns
_REFERENCE = "middle"  # which frame is told to be the first: of a video the authors recommend this one
_HALF = 0.5  # pixels: where the centre of the network's first pixel is; ours is at 0


@dataclass(frozen=True)
class AtOnce(Sequence):
    """Cameras and depth are the network's own; what moves is told by optical flow that they do not explain."""

    network: AtOnceNetwork
    finds_motion: ClassVar[bool] = True

    def plan(self, n_frames: int, options: Options) -> Plan:
        """See `System.plan`."""
        return plan_at_once(self.card, n_frames, options, self.device, loaded=True)

    def predictions(self, frames: np.ndarray, progress: Progress) -> Iterator[FramePrediction]:
        """See `Sequence.predictions`; each frame as the last part that has it says."""
        parts = parts_of(len(frames), self._most(frames))
        world, before = np.eye(4), list[FramePrediction]()
        for number, (begin, end) in enumerate(parts):
            share = _share(progress, number, len(parts))
            stream = self.network.predict(frames[begin:end], share, world=False, reference=_REFERENCE)
            again = list(itertools.islice(stream, len(before)))
            if before:
                world = world @ link(again, before)
            before, rest = [], parts[number + 1][0] if number + 1 < len(parts) else end
            for i, found in enumerate(itertools.chain(again, stream), begin):
                if i < rest:
                    yield _moved(found, world)
                else:
                    before.append(found)

    def _most(self, frames):
        """Frames that are looked at at once: as many as fit into half of the memory that is free."""
        fitting = self.network.fitting(*frames.shape[1:3]) // 2
        return max(2, min(_MOST.get(self.device.split(":")[0], 96), fitting))


def parts_of(count: int, most: int) -> list[tuple[int, int]]:
    """(begin, end) of parts of `count` frames, of about equal lengths up to `most`, at least two."""
    if count <= most:
        return [(0, count)]
    shared = max(1, round(_SHARED * most))
    number = math.ceil((count - shared) / (most - shared))
    length = math.ceil((count + (number - 1) * shared) / number)
    return [(k * (length - shared), min(k * (length - shared) + length, count)) for k in range(number)]


def link(again: list[FramePrediction], before: list[FramePrediction]) -> np.ndarray:
    """The similarity (4,4) from the world of a part into that of the one before, by frames that are in both."""
    picked = [[_points_of(found) for found in part] for part in (again, before)]
    (source, sure), (target, sure_before) = ([np.concatenate(arrays) for arrays in zip(*part)] for part in picked)
    return similarity(source, target, overlap_weights(sure, sure_before))


def _points_of(found):
    """Points in the world (n,3) and confidence (n,) of some pixels."""
    points = transform(found.cam2world, found.points[::_STRIDE, ::_STRIDE])
    return points.reshape(-1, 3), found.confidence[::_STRIDE, ::_STRIDE].ravel()


def _moved(found, world):
    """In another world, to which the similarity leads; the principal point where this house has it."""
    intrinsics = found.intrinsics.copy()
    intrinsics[:2, 2] -= _HALF
    points = np.float32(scale_of(world)) * found.points
    return replace(found, cam2world=rigid_part(world @ found.cam2world), intrinsics=intrinsics, points=points)


def _share(progress, number, count):
    return lambda fraction, text: progress((number + fraction) / count, text)
