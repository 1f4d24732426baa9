"""Global alignment: `solve` takes pairwise predictions as they stream in and returns one world."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..camera import focal_of, invert
from ..errors import InputError
from ..threads import workers
from .depth import solve_depth
from .flow_term import measure_matches
from .graph import chosen_pairs, connected_parts
from .initial import USUAL_FOV, start
from .problem import FLOOR, Problem, State, pose_problem
from .refine import ROUNDS, fitted, refine
from .similarity import register, scale_of
from .smooth import smooth_path
from .store import Store, View

if TYPE_CHECKING:
    from ..backbones.base import PairPrediction

FOCALS = (0.03, 12.0)  # widths: range of the focal, a field of view of 173 to 5 degrees
CAMERAS_SHARE = 0.6  # of the progress; the rest is the depth


@dataclass(frozen=True)
class Alignment:
    """Cameras and geometry of T frames of H x W. OpenCV camera frame; world = first camera; unit arbitrary."""

    cam2world: np.ndarray  # (T,4,4) float64, the first one is the identity
    focal: float  # pixels, shared by all frames (the first one's where they zoom); principal point at (W/2, H/2)
    depth: np.ndarray  # (T,H,W) float32, z depth, positive everywhere
    confidence: np.ndarray  # (T,H,W) float32, maximum over the pairs, before any clean-up; 0 = unusable
    objective: float  # mean over pairs and pixels of log(conf) * distance, both views, mean log pair scale = log 0.5
    warnings: list[str] = field(default_factory=list)  # sentences for the user


@dataclass(frozen=True)
class _Clip:
    """What is known of the clip besides its pairs."""

    n_frames: int
    masks: np.ndarray | None  # (T,H,W) bool
    frames: np.ndarray | None  # (T,H,W,3) uint8
    zoom: np.ndarray  # (T,) float64
    device: str


def solve(
    predictions: Iterable[PairPrediction] | Store,
    n_frames: int,
    masks: np.ndarray | None = None,
    fov: float | None = None,
    progress: Callable[[float, str], None] | None = None,
    *,
    smooth: bool = True,
    frames: np.ndarray | None = None,
    zoom: np.ndarray | None = None,
    device: str = "cpu",
) -> Alignment:
    """Align pairwise point maps into one world.

    predictions: iterable of PairPrediction, consumed once, or a `Store` that has been filled and stays open. n_frames:
    T. masks: (T,H,W) bool of moving pixels, or None. Moving pixels do not influence cameras, and mainly get the depth
    their own frame predicts. fov: horizontal, degrees, or None to estimate the focal. smooth: take noise out of the
    camera path, see `smooth`. frames: (T,H,W,3) uint8 RGB, or None; if given, the cameras also follow the optical flow
    of what is static, see `flow_term`. zoom (T,): focal of every frame over that of the first one, None: one focal for
    all; fov and the focal that comes out are the first frame's. device: torch's name of where the heavy sums are
    computed; "cpu" is NumPy. progress(fraction, text), fraction in [0,1], is called
    once the predictions are used up and may raise to cancel.

    Returns an `Alignment`; anything doubtful about the predictions is a sentence in its `warnings`. The objective
    counts all pixels, moving ones too. Raises InputError when predictions differ in size, name a frame outside the
    clip, or are none, and when masks, frames or zoom do not have their size. Method: objective of DUSt3R's global
    alignment with a shared focal, solved by Gauss-Newton; README.md derives it.
    """
    if not isinstance(predictions, Store):
        with Store() as store:
            store.add_all(predictions)
            how = functools.partial(solve, smooth=smooth, frames=frames, zoom=zoom, device=device)
            return how(store, n_frames, masks, fov, progress)
    store, size = predictions, (n_frames, *predictions.shape)
    masks = None if masks is None else np.asarray(masks, bool)
    zoom = np.ones(n_frames) if zoom is None else np.asarray(zoom, float)
    expected = (("masks", masks, size), ("frames", frames, (*size, 3)), ("zoom", zoom, (n_frames,)))
    for name, given, shape in expected:
        if given is not None and given.shape != shape:
            raise InputError(f"The shape of {name} is {given.shape}, but the predictions need {shape}.")
    clip = _Clip(n_frames, masks, frames, zoom, "cpu" if device == "mps" else device)  # MPS has no float64
    with workers() as pool:
        return _align(store, clip, fov, smooth, progress or (lambda fraction, text: None), pool)


def _align(
    store: Store,
    clip: _Clip,
    fov: float | None,
    smooth: bool,
    progress: Callable[[float, str], None],
    pool: Executor,
) -> Alignment:
    warnings = []
    if store.dropped:
        count = store.dropped + len(store.ends)
        warnings.append(f"Of {count} frame pairs {store.dropped} gave no usable points and were left out.")
    (height, width), n_frames = store.shape, clip.n_frames
    focal = None if fov is None else float(focal_of(fov, width))
    cam2world, similarity, focal, said = _solve_cameras(store, clip, focal, smooth, progress, pool)
    warnings += said
    world2cam, views = invert(cam2world), store.views(n_frames)

    def place(v: int) -> tuple[np.ndarray, np.ndarray, float]:
        mask = None if clip.masks is None else clip.masks[v]
        return solve_depth(store, views[v], world2cam[v], similarity, focal * clip.zoom[v], mask, clip.device)

    depth, total = np.empty((n_frames, height, width), np.float32), 0.0
    confidence = np.empty_like(depth)
    for v, (depth[v], confidence[v], part) in enumerate(pool.map(place, range(n_frames))):
        progress(CAMERAS_SHARE + (1 - CAMERAS_SHARE) * v / n_frames, f"Depth of frame {v + 1} of {n_frames}")
        total += part
    depth, said = _filled(depth)
    warnings += said
    blind = sum(1 for c in confidence if 0 < c.max() <= 1)
    if blind:
        warnings.append(f"In {blind} of {n_frames} frames nothing could be measured for sure; their depth is a guess.")
    cam2world = world2cam[0] @ cam2world
    cam2world[0] = np.eye(4)
    progress(1.0, "Aligned")
    return Alignment(cam2world, focal, depth, confidence, total / max(1, len(store.ends) * height * width), warnings)


def _solve_cameras(
    store: Store,
    clip: _Clip,
    focal: float | None,
    smooth: bool,
    progress: Callable[[float, str], None],
    pool: Executor,
) -> tuple[np.ndarray, np.ndarray, float, list[str]]:
    """cam2world (T,4,4), similarities of all pairs (E,4,4), focal, and warnings; mean log pair scale log 0.5."""
    ends, views, warnings = store.ends, store.views(clip.n_frames), []
    cam2world, similarity = np.tile(np.eye(4), (clip.n_frames, 1, 1)), np.tile(np.eye(4), (len(ends), 1, 1))
    parts, middle = connected_parts(ends, clip.n_frames), {}
    for number, frames in enumerate(parts):
        if not views[frames[0]]:
            continue  # a frame without predictions

        def report(k: int, number: int = number) -> None:
            progress(CAMERAS_SHARE * (number + k / ROUNDS) / len(parts), "Solving cameras")

        report(0)
        state, crowded = _solve_part(store, clip, frames, focal, smooth, report, pool)
        focal = state.focal  # the largest part comes first and decides for the others
        if crowded:
            share = f"{crowded} of {len(frames)}"
            warnings.append(f"In {share} frames nearly everything moves; their cameras rest on moving pixels too.")
        pairs = _pairs(frames, views)
        cam2world[frames], similarity[pairs] = state.cam2world[frames], state.similarity[pairs]
        middle.update({v: float(np.median(state.depth[v])) for v in frames})
    count = sum(frames[0] in middle for frames in parts)
    if count > 1:
        warnings.append(f"The frames fall into {count} groups that no pair connects; how they relate is a guess.")
    if len(parts) > 1:
        cam2world, similarity = _joined(cam2world, similarity, parts, middle, views)
    return cam2world, similarity, float(focal_of(USUAL_FOV, store.shape[1])) if focal is None else focal, warnings


def _solve_part(
    store: Store,
    clip: _Clip,
    frames: list[int],
    focal: float | None,
    smooth: bool,
    report: Callable[[int], None],
    pool: Executor,
) -> tuple[State, int]:
    """State of one connected part, its mean log pair scale log 0.5, and in how many frames nearly everything moves."""
    used = chosen_pairs(store.ends, frames)
    problem = pose_problem(store, used, frames, clip.n_frames, clip.masks, clip.zoom, clip.device)
    state = _in_range(start(problem, focal, pool), problem)
    if clip.frames is not None:
        ends = [store.ends[e] for e in sorted(used)]
        matches = measure_matches(clip.frames, clip.masks, ends, store.grid, clip.zoom, pool)
        problem = replace(problem, matches=matches)
    state = refine(problem, state, pool, fix_focal=focal is not None, report=report)
    if smooth:
        state = smooth_path(problem, state, pool)
    _, state = fitted(problem, state, pool)
    state = _in_range(state, problem)
    views = store.views(clip.n_frames)
    similarity = _with_other_pairs(store, problem, state, views, used)
    pairs = _pairs(frames, views)
    unit = 0.5 / np.exp(np.mean(np.log(scale_of(similarity[pairs]) / np.array(store.unit)[pairs])))
    cam2world = state.cam2world.copy()
    cam2world[frames, :3, 3] *= unit
    similarity[pairs, :3] *= unit
    return State(cam2world, similarity, {v: z * unit for v, z in state.depth.items()}, state.focal), problem.crowded


def _in_range(state: State, problem: Problem) -> State:
    """The state with its focal within `FOCALS`."""
    least, most = np.array(FOCALS) * problem.shape[1]
    return replace(state, focal=float(np.clip(state.focal, least, most)))


def _pairs(frames: list[int], views: list[list[View]]) -> list[int]:
    return sorted({e for v in frames for e, _ in views[v]})


def _with_other_pairs(
    store: Store, problem: Problem, state: State, views: list[list[View]], used: set[int]
) -> np.ndarray:
    """Similarities (E,4,4), now also of the pairs that are not `used`, from the points of their first frame."""
    similarity = state.similarity.copy()
    for v in problem.frames:
        others = [view for view in views[v] if view[0] not in used and view[1] == 0]
        if others:
            planes = np.stack([store.sample(view) for view in others]).astype(np.float32)
            weight = np.log(np.maximum(planes[:, 3], 1)) + FLOOR * (planes[:, 3] > 0)
            target = problem.rays(v, state.focal) * state.depth[v][:, None]
            matrices, _ = register(planes[:, :3].transpose(0, 2, 1), target, weight)
            similarity[[e for e, _ in others]] = state.cam2world[v] @ matrices
    return similarity


def _joined(
    cam2world: np.ndarray,
    similarity: np.ndarray,
    parts: list[list[int]],
    middle: dict[int, float],
    views: list[list[View]],
) -> tuple[np.ndarray, np.ndarray]:
    """Poses and similarities with each further part where the nearest frame in time of those already placed is.

    It gets the scale at which the two frames have the same median depth; middle: of every frame that has one.
    """
    cam2world, similarity, placed = cam2world.copy(), similarity.copy(), list(parts[0])
    for frames in parts[1:]:
        here, there = min(((a, b) for a in frames for b in placed), key=lambda ab: (abs(ab[0] - ab[1]), ab))
        scale = middle[there] / middle[here] if here in middle and there in middle else 1.0
        move = cam2world[there] @ np.diag([scale, scale, scale, 1]) @ invert(cam2world[here])
        cam2world[frames] = move @ cam2world[frames]
        cam2world[frames, :3, :3] /= scale
        pairs = _pairs(frames, views)
        similarity[pairs] = move @ similarity[pairs]
        placed += frames
    return cam2world, similarity


def _filled(depth: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Depth (T,H,W) without NaN, and warnings.

    Unknown pixels get their frame's median depth, unknown frames that of the nearest known one.
    """
    depth, n_frames, warnings = depth.copy(), len(depth), []
    middle = np.array([np.median(d[np.isfinite(d)]) if np.isfinite(d).any() else np.nan for d in depth])
    known = np.flatnonzero(np.isfinite(middle))
    if not len(known):
        warnings.append("The predictions held nothing usable; the result is flat.")
        middle, known = np.ones(n_frames), np.arange(n_frames)
    elif len(known) < n_frames:
        share = f"{n_frames - len(known)} of {n_frames}"
        warnings.append(f"Nothing usable was predicted for {share} frames; they are copies of their neighbours.")
    for v in range(n_frames):
        nearest = known[np.argmin(np.abs(known - v))]
        depth[v][~np.isfinite(depth[v])] = middle[nearest]
    return depth, warnings
