"""Global alignment: `solve` takes pairwise predictions as they stream in and returns one world."""

from dataclasses import dataclass, field

import numpy as np

from ..camera import focal_of, invert
from . import refine as refinement
from .depth import FLOOR, solve_depth
from .flow_term import FlowTerm
from .initial import USUAL_FOV, start
from .similarity import register, scale_of
from .smooth import smooth_path
from .store import Store
from .threads import workers

# Predictions err more the farther apart the two frames are, and confidence does not say so; and their errors fall
# faster than the reciprocal of log confidence. On 12 rendered and 3 golden problems both powers lower ATE and AbsRel at
# a cost of at most 0.5 % of the objective.
GAP_POWER = -0.3
CONFIDENCE_POWER = 2
STATIC_SHARE = 0.02  # a frame with less of its pixels static lets all of them speak
PAIRS_PER_FRAME = 16  # the cameras are solved from about this many pairs per frame; further ones only shape the depth


@dataclass
class Alignment:
    """Cameras and geometry of T frames of H x W. OpenCV camera frame; world = first camera; unit arbitrary."""

    cam2world: np.ndarray  # (T,4,4) float64, the first one is the identity
    focal: float  # pixels, shared by all frames (the first one's where they zoom); principal point at (W/2, H/2)
    depth: np.ndarray  # (T,H,W) float32, z depth, positive everywhere
    confidence: np.ndarray  # (T,H,W) float32, maximum over the pairs, before any clean-up; 0 = unusable
    objective: float  # mean over pairs and pixels of log(conf) * distance, both views, mean log pair scale = log 0.5
    warnings: list = field(default_factory=list)  # sentences for the user


def solve(predictions, n_frames, masks=None, fov=None, progress=None, smooth=True, frames=None, zoom=None):
    """Align pairwise point maps into one world.

    predictions: iterable of PairPrediction, consumed once. n_frames: T. masks: (T,H,W) bool of moving pixels, or a
    function without arguments that returns it and is called when the predictions are used up, or None. Moving pixels do
    not influence cameras, and mainly get the depth their own frame predicts. fov: horizontal, degrees, or None to
    estimate the focal. smooth: take noise out of the camera path, see `smooth`. frames: (T,H,W,3) uint8 RGB, or None;
    if given, the cameras also follow the optical flow of what is static, see `flow_term`. zoom (T,): focal of every
    frame over that of the first one, None: one focal for all; fov and the focal that comes out are the first frame's.
    progress(fraction, text) is called once the predictions are used up and may raise to cancel.

    Returns an `Alignment`; anything doubtful about the predictions is a sentence in its `warnings`. The objective
    counts all pixels, moving ones too. Raises ValueError when predictions differ in size, name a frame outside the
    clip, or are none. Method: objective of DUSt3R's global alignment with a shared focal, solved by Gauss-Newton (see
    `refine`).
    """
    progress = progress or (lambda fraction, text: None)
    given = isinstance(predictions, Store)
    store = predictions if given else Store()
    try:
        for pair in () if given else predictions:
            if not (0 <= pair.i < n_frames and 0 <= pair.j < n_frames):
                raise ValueError(f"pair ({pair.i}, {pair.j}) names a frame outside 0 to {n_frames - 1}")
            store.add(pair)
        if store.shape is None:
            raise ValueError("there are no predictions to align")
        masks = masks() if callable(masks) else masks
        with workers() as pool:
            masks = None if masks is None else np.asarray(masks, bool)
            zoom = np.ones(n_frames) if zoom is None else np.asarray(zoom, float)
            return _align(store, n_frames, masks, fov, progress, pool, smooth, frames, zoom)
    finally:
        if not given:
            store.close()


def _align(store, n_frames, masks, fov, progress, pool, smooth, images, zoom):
    height, width = store.shape
    if masks is not None and masks.shape != (n_frames, height, width):
        raise ValueError(f"masks have shape {masks.shape}, expected {(n_frames, height, width)}")
    if images is not None and images.shape != (n_frames, height, width, 3):
        raise ValueError(f"frames have shape {images.shape}, expected {(n_frames, height, width, 3)}")
    warnings = []
    if store.dropped:
        count = store.dropped + len(store.ends)
        warnings.append(f"Of {count} frame pairs {store.dropped} gave no usable points and were left out.")
    focal = None if fov is None else focal_of(fov, width)
    cam2world, similarity, focal = _solve_cameras(
        store, n_frames, masks, focal, warnings, progress, pool, smooth, images, zoom
    )
    depth = np.empty((n_frames, height, width), np.float32)
    confidence = np.empty_like(depth)
    views, total = store.views(n_frames), 0.0
    world2cam = invert(cam2world)

    def place(v):
        return solve_depth(
            store, views[v], (world2cam[v], similarity, focal * zoom[v]), None if masks is None else masks[v]
        )

    for v, (depth[v], confidence[v], part) in enumerate(pool.map(place, range(n_frames))):
        progress(0.6 + 0.4 * v / n_frames, f"Depth of frame {v + 1} of {n_frames}")
        total += part
    _fill_unknown(depth, n_frames, warnings)
    blind = sum(1 for c in confidence if 0 < c.max() <= 1)
    if blind:
        warnings.append(f"In {blind} of {n_frames} frames nothing could be measured for sure; their depth is a guess.")
    cam2world = world2cam[0] @ cam2world
    cam2world[0] = np.eye(4)
    progress(1.0, "Aligned")
    return Alignment(cam2world, focal, depth, confidence, total / max(1, len(store.ends) * height * width), warnings)


def _solve_cameras(store, n_frames, masks, focal, warnings, progress, pool, smooth, images, zoom):
    """cam2world (T,4,4), similarities of the pairs (E,4,4) and focal, scaled to a mean log pair scale of log 0.5."""
    ends, views = store.ends, store.views(n_frames)
    cam2world, similarity = np.tile(np.eye(4), (n_frames, 1, 1)), np.tile(np.eye(4), (len(ends), 1, 1))
    parts = _connected_parts(ends, n_frames)
    height, width = store.shape
    pixels = np.stack([store.grid % width - width / 2, store.grid // width - height / 2], 1).astype(np.float64)
    pixels = pixels / zoom[:, None, None]  # (T,N,2): where a frame without zoom would see them
    fixed, middle = focal is not None, {}
    for number, frames in enumerate(parts):
        if not views[frames[0]]:
            continue  # a frame without predictions

        def report(k, number=number):
            progress(0.6 * (number + k / refinement.ROUNDS) / len(parts), "Solving cameras")

        report(0)
        used = _chosen_pairs(ends, frames)
        chosen = [[view for view in views[v] if view[0] in used] for v in range(n_frames)]
        samples, weights = _samples(store, chosen, frames, masks, warnings)
        state = start(samples, weights, chosen, frames, ends, pixels, store.shape, focal)
        state.focal = float(np.clip(state.focal, 0.03 * width, 12 * width))
        flow = (
            None if images is None else FlowTerm(images, masks, [ends[e] for e in sorted(used)], store.grid, pool, zoom)
        )
        refinement.refine(state, samples, weights, chosen, frames, ends, pixels, pool, fixed, report=report, flow=flow)
        if smooth:
            smooth_path(state, samples, weights, chosen, frames, ends, pixels, pool)
        state.focal = focal = float(np.clip(state.focal, 0.03 * width, 12 * width))
        fixed = True  # the largest part comes first and decides for the others
        _register_rest(store, state, views, used, frames, masks, pixels)
        pairs = sorted({e for v in frames for e, _ in views[v]})
        unit = 0.5 / np.exp(np.mean(np.log(scale_of(state.similarity[pairs]) / np.array(store.unit)[pairs])))
        cam2world[frames], similarity[pairs] = state.cam2world[frames], state.similarity[pairs]
        cam2world[frames, :3, 3] *= unit
        similarity[pairs, :3] *= unit
        middle.update({v: float(np.median(state.depth[v]) * unit) for v in frames})
    if focal is None:
        focal = focal_of(USUAL_FOV, width)
    count = sum(frames[0] in middle for frames in parts)
    if count > 1:
        warnings.append(f"The frames fall into {count} groups that no pair connects; how they relate is a guess.")
    if len(parts) > 1:
        _join(cam2world, similarity, parts, middle, views)
    return cam2world, similarity, focal


def _connected_parts(ends, n_frames):
    """Lists of frames joined by pairs, the largest first."""
    group = list(range(n_frames))
    for i, j in ends:
        a, b = group[i], group[j]
        if a != b:
            group = [a if g == b else g for g in group]
    parts = {}
    for v, g in enumerate(group):
        parts.setdefault(g, []).append(v)
    return sorted(parts.values(), key=lambda part: (-len(part), part[0]))


def _chosen_pairs(ends, frames):
    """Pairs the cameras are solved from: all, or of a dense graph those of nearest frames that keep it connected."""
    inside = set(frames)
    pairs = sorted((e for e in range(len(ends)) if ends[e][0] in inside), key=lambda e: abs(ends[e][0] - ends[e][1]))
    most = PAIRS_PER_FRAME * len(frames)
    for count in range(most, len(pairs), most):
        if len(_connected_parts([ends[e] for e in pairs[:count]], max(frames) + 1)[0]) == len(frames):
            return set(pairs[:count])
    return set(pairs)


def _samples(store, views, frames, masks, warnings):
    """Per frame the sampled points (n,3,N) float16 and their weights (n,N) float32."""
    samples, weights, crowded = [None] * len(views), [None] * len(views), 0
    for v in frames:
        planes = np.stack([store.sample(view) for view in views[v]])
        confidence = planes[:, 3].astype(np.float32)
        known = confidence > 0
        gap = np.array([max(1, abs(np.subtract(*store.ends[e]))) for e, _ in views[v]], np.float32)
        weight = np.log(np.maximum(confidence, 1)) ** CONFIDENCE_POWER + FLOOR * known
        weight *= gap[:, None] ** np.float32(GAP_POWER)
        if masks is not None:
            static = ~masks[v].ravel()[store.grid]
            if static.mean() >= STATIC_SHARE:
                weight *= static
            else:
                crowded += 1
        samples[v], weights[v] = np.ascontiguousarray(planes[:, :3]), weight
    if crowded:
        share = f"{crowded} of {len(frames)}"
        warnings.append(f"In {share} frames nearly everything moves; their cameras rest on moving pixels too.")
    return samples, weights


def _register_rest(store, state, views, used, frames, masks, pixels):
    """Similarities of the pairs that were left out of the camera solution, from the points of their first frame."""
    for v in frames:
        rest = [view for view in views[v] if view[0] not in used and view[1] == 0]
        if rest:
            rays = np.concatenate([pixels[v] / state.focal, np.ones((pixels.shape[1], 1))], 1)
            planes = np.stack([store.sample(view) for view in rest]).astype(np.float32)
            weight = np.log(np.maximum(planes[:, 3], 1)) + FLOOR * (planes[:, 3] > 0)
            matrices, _ = register(planes[:, :3].transpose(0, 2, 1), rays * state.depth[v][:, None], weight)
            state.similarity[[e for e, _ in rest]] = state.cam2world[v] @ matrices


def _join(cam2world, similarity, parts, middle, views):
    """Put each further part where the nearest frame in time of those already placed is, with the same median depth."""
    placed = list(parts[0])
    for frames in parts[1:]:
        here, there = min(((a, b) for a in frames for b in placed), key=lambda ab: (abs(ab[0] - ab[1]), ab))
        scale = middle[there] / middle[here] if here in middle and there in middle else 1.0
        move = cam2world[there] @ np.diag([scale, scale, scale, 1]) @ invert(cam2world[here])
        cam2world[frames] = move @ cam2world[frames]
        cam2world[frames, :3, :3] /= scale
        pairs = sorted({e for v in frames for e, _ in views[v]})
        similarity[pairs] = move @ similarity[pairs]
        placed += frames


def _fill_unknown(depth, n_frames, warnings):
    """Unknown pixels get their frame's median depth, unknown frames that of the nearest known one."""
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
