"""Recipes over pairs of frames: a network compares them, the aligner makes one world of what it says."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import pairs
from ..alignment import Store
from ..backbones.base import AttentionNetwork, PairNetwork, PairPrediction, Progress
from ..motion import Evidence, Motion, cluster, outline
from ..motion.attention import AttentionStatistics, statistics
from ..options import Options
from ..own_masks import OwnMasks
from ..spans import AT_ONCE
from ..video import Video
from ..zoom import find_zoom
from .base import Coarse, Estimate, NetworkSystem, Plan, Stage
from .by_flow import Geometry, by_flow
from .planning import plan_pairs
from .steps import Clock, align, given_masks

TWO_PASSES = {"encode": 0.05, "motion": 0.32, "masks": 0.1, "geometry": 0.25, "alignment": 0.28}  # of the progress bar
ONE_PASS = {"encode": 0.1, "geometry": 0.5, "alignment": 0.4}


@dataclass(frozen=True)
class Pairwise(NetworkSystem):
    """What these systems have in common; `run` is the recipe."""

    network: PairNetwork
    align: Callable[..., Estimate] = align  # the step after the network; an evaluation of masks alone does without
    in_windows: ClassVar[bool] = True
    each: ClassVar[int] = AT_ONCE  # frames of which each is solved, however slow the clip is
    shares: ClassVar[dict[str, float]] = TWO_PASSES

    def plan(self, n_frames: int, options: Options) -> Plan:
        return plan_pairs(self.card, n_frames, options, self.device, loaded=True)

    def _start(
        self, video: Video, options: Options, masks: Any, progress: Progress | None
    ) -> tuple[Clock, list[tuple[int, int]], OwnMasks]:
        shape = video.frames.shape[:3]
        return Clock(progress, self.shares, options), pairs.build(shape[0], options.graph), given_masks(masks, shape)

    def _info(self, edges: list, clock: Clock, **more: Any) -> dict:
        return {"backbone": {**self.network.info, **more}, "pairs": len(edges), "seconds": clock.seconds}


class Easi3r(Pairwise):
    """Easi3R: attention tells static from moving, a second pass ignores what moves (arXiv 2503.24391)."""

    network: AttentionNetwork

    @property
    def name(self) -> str:
        """As shown to the user."""
        return f"Easi3R on {self.network.name}"

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """See `NetworkSystem.stages`."""
        frames = video.frames
        clock, edges, given = self._start(video, options, masks, progress)
        clock.start("encode", f"Looking at {len(frames)} frames")
        features = self.network.encode(frames, clock.progress)
        clock.start("motion", "Looking for what moves")
        maps, values = statistics(self.network.attention(features, edges, clock.progress), len(frames), features.grid)
        clock.start("masks", "Outlining what moves")
        clusters = cluster(features.tokens, self.device)
        how = options.sensitivity, options.refine
        first = outline(Evidence(maps, values), clusters, frames, *how, progress=clock.progress)
        ignored = given.over(first.dynamic)
        yield first.with_masks(ignored)
        clock.start("geometry", "Measuring depth and cameras")
        again = AttentionStatistics(len(frames), features.grid)
        with Store() as store, ThreadPoolExecutor(1) as beside:
            zoom = beside.submit(find_zoom, frames, ignored)  # the network leaves cores idle where it has a GPU
            found = self.network.predict(features, edges, ignored, clock.progress)
            store.add_all(_noticed(found.pairs, again))
            clock.start("alignment", "Solving cameras")
            # the second pass has looked at motion again (specification, section 4)
            motion = outline(Evidence(*again.result()), clusters, frames, *how)
            motion = motion.with_masks(given.over(motion.dynamic))
            known = options.fov, zoom.result(), clock, self._info(edges, clock)
            result = self.align(store, frames, motion, options, *known, device=self.device)
        clock.stop()
        yield result


def _noticed(predictions: Iterable[PairPrediction], attention: AttentionStatistics) -> Iterator[PairPrediction]:
    for pair in predictions:
        if pair.attention is not None:
            attention.add(pair.attention)
        yield pair


class Plain(Pairwise):
    """The network as it is: nothing is looked for that moves, all of the picture is aligned; with `Options.flow_masks`
    a second time without what optical flow contradicts.
    """

    shares = ONE_PASS

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """See `NetworkSystem.stages`; masks of the user are kept out of the cameras."""
        frames = video.frames
        clock, edges, given = self._start(video, options, masks, progress)
        motion = Motion.none(frames.shape[:3]).with_masks(given.masks)
        clock.start("encode", f"Looking at {len(frames)} frames")
        features = self.network.encode(frames, clock.progress)
        clock.start("geometry", "Measuring depth and cameras")
        with Store() as store:
            store.add_all(self.network.predict(features, edges, None, clock.progress).pairs)
            clock.start("alignment", "Solving cameras")
            zoom, info = find_zoom(frames, motion.dynamic), self._info(edges, clock)
            looking = options.flow_masks and not given.known.all()
            how = (replace(options, sam2=False) if looking else options), options.fov, zoom, clock, info, given.known
            result = self.align(store, frames, motion, *how, device=self.device)
            if looking:  # and once more, without what moves
                yield Coarse(**vars(result))
                geometry = Geometry(result.depth, result.confidence, result.cam2world, result.intrinsics)
                motion, _ = by_flow(frames, geometry, given, replace(options, flow=False), clock.progress)
                yield motion
                result = self.align(store, frames, motion, options, options.fov, zoom, clock, info, device=self.device)
        clock.stop()
        yield result
