"""The published systems that Easi3R is compared with: the network's one pass, and masks of their own, as published.

Their masks go into our aligner, whose flow term and smoothing stand for theirs (`Options.flow`, `Options.smooth`, both
on as in the published demos). Specification of the baselines, sections 2 and 3.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import cv2
import numpy as np

from .. import pairs
from ..alignment import Store
from ..backbones.base import PairPrediction, Progress
from ..motion import Motion, shifted
from ..motion.flow_residual import MeasuredFlows, frame_error
from ..motion.mask_heads import mean_probability
from ..options import Options
from ..video import Video
from ..zoom import find_zoom
from .base import Stage
from .pairwise import ONE_PASS, Pairwise


class OnePass(Pairwise):
    """The pairs go to the aligner, and as they pass by something is told from them about what moves.

    Masks are what lies above a fixed `cut`, as published: their edges are not made to follow those of the image,
    whatever `Options.refine` says. `Options.sensitivity` moves the cut, which is the published one at 0.5.
    """

    cut: ClassVar[float]
    shown: ClassVar[str]  # name of the evidence, for display
    shares = ONE_PASS

    def evidence(self, predictions: Iterable[PairPrediction], frames: np.ndarray) -> np.ndarray:
        """(T,H,W) float32 in [0,1], high = moves, of frames (T,H,W,3) uint8 RGB; uses up the predictions."""
        raise NotImplementedError

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """See `NetworkSystem.stages`."""
        frames = video.frames
        clock, edges, given = self._start(video, options, masks, progress)
        clock.start("encode", f"Looking at {len(frames)} frames")
        features = self.network.encode(frames, clock.progress)
        clock.start("geometry", "Measuring depth and cameras")
        with Store() as store:
            found = self.network.predict(features, pairs.mirrors_together(edges), None, clock.progress)
            values = self.evidence(_stored(found.pairs, store), frames)
            clock.start("alignment", "Solving cameras")
            moving = given.over(values > shifted(self.cut, options.sensitivity))
            motion = Motion(moving, values, {self.shown: _per_token(values, self.patch)})
            zoom, info = find_zoom(frames, moving), self._info(edges, clock)
            yield motion
            result = self.align(store, frames, motion, options, options.fov, zoom, clock, info, device=self.device)
        clock.stop()
        yield result


class Monst3r(OnePass):
    """MonST3R: what moves is what flow contradicts, with the cameras of each pair in closed form (arXiv 2410.03825)."""

    cut, shown = 0.35, "flow_residual"

    def evidence(self, predictions: Iterable[PairPrediction], frames: np.ndarray) -> np.ndarray:
        """See `OnePass`; flow is ours, as the published one needs a network with weights of its own."""
        return frame_error(predictions, MeasuredFlows(frames), len(frames))


class Das3r(OnePass):
    """DAS3R: MonST3R with heads that say for every pair what moves (arXiv 2412.19584)."""

    cut, shown = 0.5, "mask_heads"

    def evidence(self, predictions: Iterable[PairPrediction], frames: np.ndarray) -> np.ndarray:
        """See `OnePass`."""
        return mean_probability(predictions, len(frames))


def _stored(predictions: Iterable[PairPrediction], store: Store) -> Iterator[PairPrediction]:
    for pair in predictions:
        store.add(pair)
        yield pair


def _per_token(values, patch):
    """(T,H,W) -> (T,H/patch,W/patch)."""
    size = values.shape[2] // patch, values.shape[1] // patch
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in values])
