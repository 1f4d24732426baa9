"""The preview's recipe: flow tells what moves, bundle adjustment on flow gives cameras and depth."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from .. import alignment, cleanup, pairs
from ..alignment.graph import connected_parts
from ..backbones.base import Features, Progress
from ..backbones.preview import PreviewNetwork
from ..backbones.preview.network import Flows
from ..backbones.preview.two_view import Focal
from ..bundle.adjust import Adjusted, State, adjust, explained
from ..bundle.depth import frame_depth
from ..bundle.ground_guess import guess_depth
from ..bundle.observations import Observations, observe
from ..camera import Camera, focal_of, invert
from ..cleanup.objects import place_objects
from ..motion import Motion, Volume, outline_pixels
from ..motion.background import against_background
from ..motion.epipolar import OFFSETS, epipolar_evidence
from ..motion.evidence import Evidence
from ..motion.stride import STEP, shift_of, stride_of
from ..options import Options
from ..threads import in_order, workers
from ..video import Video
from ..zoom import find_zoom
from .base import Coarse, Estimate, Stage
from .pairwise import Pairwise
from .steps import FLAT, GUESSED, Clock, sharpened, turning_sentence, zoom_sentence

LONG_LENS = 28.0  # horizontal field of view in degrees below which parallax is too little to tell movers from the scene
# Through a long lens a camera is said to turn only if that explains this share of what the best solution does: there
# parallax and the turns of a mover look alike. .95 on a mover over two thirds of the picture, .99 on a clip that pans.
AS_TURNING = 0.9
CHANGED = 1e-3  # share of a frame by which its mask must change for its depth to be measured anew
SHRINK = 4  # the start is made from point maps of so many times fewer rows and columns
NEAR = 5  # frames, and from pairs that lie no farther apart, where these connect the clip
ENOUGH = 0.9  # share of what is seen that a solution must explain for no other start to be tried; good ones have .96 on
OTHER_FIELDS = (30.0, 60.0)  # horizontal fields of view, degrees, that the other starts begin with
# Of the other starts: pairs so many frames apart at most, what counts as an outlier, and whether the focal is held.
STAGES = ((1, 30.0, True), (3, 10.0, True), (9999, 10.0, False))
STAGE_ROUNDS = 8
# Cameras and depth also have pairs so wide, as shares of the clip: of 96 frames of a street the focal is 30 % off
# without, 4 % with. Over one the picture shifts by so much of its width at most: in 24 frames of a goat by .3.
WIDE, FAR = (0.2, 0.375), 0.3
# Where so small a share of the clip's pixels is found to move, frames so many times further apart are compared too, if
# the picture shifts by no more of its width between them: 32 frames of an orbit and 64 of a street, 160 pixels wide,
# had no mask (J 0), and have .86 and .54; without movers, of these and a room .0007 are marked at most, as before.
LITTLE, FURTHER, FURTHEST = 0.002, 2, 2 * STEP
GROUND = 2.0  # confidence that a guess of ground has while what moves is put on it; nothing of it is known


class Preview(Pairwise):
    """Optical flow and two-view geometry: what the camera's motion does not explain moves."""

    network: PreviewNetwork
    # Of 96 frames of rendered street, room and orbit, all or every third of which are solved: J .66, .81, .75 or .68,
    # .82, .77, ATE .20, .20, .06 or .19, .21, .09 % of the path, in 32 or 10 seconds.
    each = 48

    def stages(
        self, video: Video, options: Options, masks: Any = None, progress: Progress | None = None
    ) -> Iterator[Stage]:
        """See `NetworkSystem.stages`."""
        frames = video.frames
        clock, edges, given = self._start(video, options, masks, progress)
        clock.start("encode", f"Looking at {len(frames)} frames")
        features = self.network.encode(frames, clock.progress)
        clock.start("motion", "Looking for what moves")
        flows = self.network.flows(features, pairs.apart(len(frames), [1]), clock.part(0, 0.1))
        shift = shift_of(flows)
        stride = stride_of(shift, len(frames))
        flows = self.network.flows(features, edges + _strided(stride, len(frames)), clock.part(0.1, 0.7), flows)
        looked = lambda done: clock.progress(0.7 + 0.3 * done)
        evidence = epipolar_evidence(frames, flows, features.grid, looked, stride)
        clock.start("masks", "Outlining what moves")
        volume = Volume(frames, flows)

        def outlined(evidence: Evidence, progress: Progress) -> Motion:
            how = options.sensitivity, options.refine
            found = outline_pixels(evidence, volume, *how, lambda done: progress(done, "Outlining what moves"))
            return found.with_masks(given.over(found.dynamic))

        motion = outlined(evidence, clock.part(0, 0.6))
        further = FURTHER * stride
        can = further * shift < FURTHEST and further * OFFSETS[-1] < len(frames) and not given.known.all()
        if can and motion.dynamic.mean() < LITTLE:
            flows = self.network.flows(features, _strided(further, len(frames)), clock.part(0.6, 0.8), flows)
            wider = epipolar_evidence(frames, flows, features.grid, None, further)
            other = outlined(wider, clock.part(0.8, 1))
            if other.dynamic.sum() > motion.dynamic.sum():
                motion, evidence = other, wider
        clock.progress(1)
        yield motion
        clock.start("geometry", "Solving cameras")
        moving = motion.dynamic
        wide = _wide(edges, len(frames), shift)
        wanted = {frozenset(pair) for pair in edges + wide}
        flows = {pair: flow for pair, flow in flows.items() if frozenset(pair) in wanted}  # each takes its room
        flows = self.network.flows(features, wide, clock.part(0, 0.1), flows)
        zoom = find_zoom(frames, moving, flows)
        clock.progress(0.1)
        seen = observe(flows, moving, zoom)
        solved, focal = self._solve(features, flows, seen, moving, zoom, options, clock)
        clock.start("alignment", "Measuring depth")
        state, n_frames = solved.state, len(frames)
        focals = state.focal * (np.ones(n_frames) if zoom is None else zoom)
        cameras = [Camera.centred(f, *video.framing.size) for f in focals]
        intrinsics = np.stack([camera.intrinsics for camera in cameras])
        depth, confidence = np.ones((2, *moving.shape), np.float32)
        if focal.turns_only:  # all directions are equally far away
            depth[:] = [1 / np.linalg.norm(camera.rays(), axis=-1) for camera in cameras]
        else:
            coarse = place_objects(_coarse(seen, state, moving), np.where(moving, 1, GROUND), moving)
            yield Coarse(state.cam2world, intrinsics, coarse, confidence, motion)

        def measure(which: np.ndarray, progress: Progress) -> None:
            if focal.turns_only:
                return
            grey, moves = features.data, motion.dynamic
            found = in_order(lambda i: frame_depth(flows, seen, state, i, grey[i], moves, zoom), which)
            for done, (i, (depth[i], confidence[i])) in enumerate(zip(which, found)):
                progress((done + 1) / len(which), f"Measuring depth: frame {i + 1} of {n_frames}")

        measure(np.arange(n_frames), clock.part(0, 0.5))
        if not given.known.all():
            geometry = depth, state.cam2world, intrinsics, moving
            evidence = against_background(evidence, frames, *geometry, lambda done: clock.progress(0.5 + 0.2 * done))
            if evidence.sure is not None and evidence.sure.any():
                motion = outlined(evidence, clock.part(0.7, 0.9))
        motion, sharp, told = sharpened(motion, frames, options, clock)
        changed = (motion.dynamic != moving).mean(axis=(1, 2)) > CHANGED
        measure(np.flatnonzero(changed), clock.part(0.9, 0.95))
        guess, moves = None, motion.dynamic
        if focal.turns_only:
            turns = state.cam2world[:, :3, :3]
            guess = guess_depth(frames, turns, cameras, moves, lambda done: clock.progress(0.95 + 0.05 * done))
        if guess is not None:
            depth, confidence = guess, np.where(moves, 1, GROUND).astype(np.float32)
        depth, confidence = cleanup.apply(depth, confidence, state.cam2world, cameras, moves)
        if guess is not None:  # what moves stands on it by now
            confidence = np.ones_like(depth)
        clock.stop()
        how = "given" if options.fov is not None else "estimated" if focal.known else "assumed"
        info = self._info(edges, clock, focal=how, flow_cost=round(float(solved.cost), 4))
        said = _said(focal, cameras[0].fov[0], zoom, options, guess is not None) + sharp
        yield Estimate(state.cam2world, intrinsics, depth, confidence, motion, said, {**info, **told})

    def _solve(
        self,
        features: Features,
        flows: Flows,
        seen: Observations,
        moving: np.ndarray,
        zoom: np.ndarray | None,
        options: Options,
        clock: Clock,
    ) -> tuple[Adjusted, Focal]:
        """Cameras, and whether they only turn and their focal is known."""
        focal = self.network.find_focal(features, flows, moving, options.fov, zoom, clock.part(0.1, 0.4))
        focal = replace(focal, turns_only=focal.turns_only or not seen.count)
        if focal.turns_only:
            return _turning(seen, focal, options, clock.part(0.4, 1)), focal
        start = self._aligned(features, flows, moving, focal, zoom, seen, clock.part(0.4, 0.7))
        solved, focal = _best(seen, start, focal, options, clock.part(0.7, 0.9))
        if solved.state.focal > focal_of(LONG_LENS, moving.shape[2]):
            turning = _turning(seen, focal, options, clock.part(0.9, 1))
            if explained(seen, turning.state) > AS_TURNING * explained(seen, solved.state):
                return turning, replace(focal, turns_only=True)
        return solved, focal

    def _aligned(
        self,
        features: Features,
        flows: Flows,
        moving: np.ndarray,
        focal: Focal,
        zoom: np.ndarray | None,
        seen: Observations,
        progress: Progress,
    ) -> State:
        """A start from pairs of near frames, aligned at low resolution."""
        n_frames, height, width = moving.shape
        near = [(i, j) for i, j in flows if abs(i - j) <= NEAR]
        if len(connected_parts(near, n_frames)) > 1:
            near = list(flows)
        found = self.network.predict(features, near, moving, progress, flows, focal, zoom, SHRINK)
        world = alignment.solve(found.pairs, n_frames, None, found.fov, smooth=False, zoom=zoom)
        at = np.ix_(seen.rows, seen.columns)
        depth = np.stack([cv2.resize(d, (width, height))[at].ravel() for d in world.depth])
        return State(invert(world.cam2world), 1 / depth.astype(np.float64), focal.pixels)


def _strided(stride: int, n_frames: int) -> list[tuple[int, int]]:
    """Pairs that tell what moves from frames a stride apart."""
    return pairs.apart(n_frames, [stride * offset for offset in OFFSETS])


def _wide(edges: list[tuple[int, int]], n_frames: int, shift: float) -> list[tuple[int, int]]:
    """Pairs of frames further apart than those of `edges`, see `WIDE`."""
    widest = max(abs(i - j) for i, j in edges)
    gaps = [round(share * n_frames) for share in WIDE]
    return pairs.apart(n_frames, [gap for gap in gaps if gap > widest and gap * shift < FAR])


def _coarse(seen: Observations, state: State, moving: np.ndarray) -> np.ndarray:
    """Depth (T,H,W) float32 between the points that cameras were solved with; moving (T,H,W) bool."""
    height, width = moving.shape[1:]
    shape = len(seen.rows), len(seen.columns)
    maps = [cv2.resize(grid.reshape(shape), (width, height)) for grid in state.inverse.astype(np.float32)]
    return (1 / np.stack(maps)).astype(np.float32)


def _fixed(focal: Focal, options: Options) -> bool:
    """Whether bundle adjustment must leave the focal alone: it was given, or nothing tells it."""
    return options.fov is not None or not focal.known


def _flat(seen: Observations, focal: float) -> State:
    """Cameras that stand still before a wall."""
    n_frames, n_points = seen.points.shape[:2]
    return State(np.tile(np.eye(4), (n_frames, 1, 1)), np.ones((n_frames, n_points)), float(focal))


def _best(seen: Observations, start: State, focal: Focal, options: Options, report: Progress) -> tuple[Adjusted, Focal]:
    """The solution that explains most, and whether its focal is known.

    Where the pairs mislead (a long lens, a mover over half of the picture), the one that they lead to explains little;
    then others are tried that begin with a turning camera and learn from ever wider pairs.
    """

    def told(fraction: float) -> None:
        report(fraction, "Solving cameras")

    with workers() as pool:
        solved = adjust(seen, start, pool, focal_known=_fixed(focal, options), report=told)
        if explained(seen, solved.state) >= ENOUGH:
            return solved, focal
        width = 2 * np.abs(seen.points[0, :, 0]).max()
        for fov in OTHER_FIELDS:
            pixels = focal.pixels if options.fov is not None else focal_of(fov, round(width))
            state = _turned(seen, STAGES[0], _flat(seen, pixels), pool)
            for gap, loose, held in STAGES:
                held = held or options.fov is not None
                state = adjust(
                    seen.within(gap), state, pool, focal_known=held, loose=loose, rounds=STAGE_ROUNDS, report=told
                ).state
            other = adjust(seen, state, pool, focal_known=options.fov is not None, report=told)
            if other.cost < solved.cost:
                solved, focal = other, replace(focal, known=True)
    return solved, focal


def _turning(seen: Observations, focal: Focal, options: Options, report: Progress) -> Adjusted:
    """Rotations, and the focal if they tell it, of a camera that stays where it is: from near pairs to far ones, as
    these turn by more than a first guess may be wrong.
    """
    with workers() as pool:
        state = _flat(seen, focal.pixels)
        for stage in STAGES:
            state = _turned(seen, stage, state, pool)
        report(0.5, "Solving cameras")
        return adjust(seen, state, pool, turns_only=True, focal_known=_fixed(focal, options))


def _turned(seen: Observations, stage: tuple[int, float, bool], state: State, pool: Executor) -> State:
    """`state` after a stage in which only the rotations change."""
    gap, loose, _ = stage
    near = seen.within(gap)
    return adjust(near, state, pool, turns_only=True, focal_known=True, loose=loose, rounds=STAGE_ROUNDS).state


def _said(focal: Focal, fov: float, zoom: np.ndarray | None, options: Options, guessed: bool) -> tuple[str, ...]:
    """Sentences for the user; fov: horizontal, degrees, as found; guessed: depth of a turning camera."""
    said = []
    if fov < LONG_LENS:
        said.append(
            f"The lens is long (about {fov:.0f} degrees), so little depth can be told, and something large that moves "
            "may have been taken for the scene: cameras and depth are unsure."
        )
    if zoom is not None:
        said.append(zoom_sentence(zoom))
    if not focal.known and options.fov is None:
        said.append("The field of view could not be told from this clip; 60 degrees are assumed.")
    if focal.turns_only:
        said.append(turning_sentence(GUESSED if guessed else FLAT))
    return tuple(said)
