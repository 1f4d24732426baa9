"""The frames between those that were solved: in a slow clip each shows what its solved neighbours do, from a camera
that is told by where their points are seen. What moves, and depth, follow flow, so nothing flickers between frames.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from ..backbones.base import Progress
from ..bundle.observations import still_target
from ..camera import Camera, invert, pose, transform
from ..flow import Flow, both_ways, nearest, sample
from ..large import give_back
from ..motion import Motion
from ..own_masks import OwnMasks
from ..reconstruction import only_turns
from ..spans import Maps
from ..system.base import Estimate, Part
from ..threads import in_order
from .joined import way

GRID = 6  # pixels between those that tell a camera, in rows and columns
FEWEST = 30  # of them, for a camera not to be the one in the middle of its neighbours'
ROUNDS, INLIERS, LEAST = 3, 3.0, 0.3  # fits; a pixel counts if it is off by so many medians, or by so few pixels
MISSED = 3.0  # pixels by which half of them may be off
SEEN = 0.3  # share of a frame that must be known from its neighbours; chance finds .2 of noise in them
# Of two neighbours' masks that counts more which looks the same, in grey levels, over so many pixels. Of a street seen
# by a camera that stands, true masks of every fourth of 96 frames of 4 (8) seconds give the others J .90 (.78), without
# .89 (.73); levels of 2 to 5 differ by .003.
ALIKE, BLUR = 4.0, 1.0
SAME = 0.05  # share by which two neighbours may disagree about a depth that both have
EDGE = 0.02  # share by which depth may change within a pixel of where it is read


@dataclass(frozen=True)
class _Solved:
    """A solved frame, as the frames near it take from it."""

    number: int
    grey: np.ndarray  # (H,W) uint8
    cam2world: np.ndarray  # (4,4)
    intrinsics: np.ndarray  # (3,3)
    depth: np.ndarray  # (H,W)
    confidence: np.ndarray
    moving: np.ndarray  # (H,W) bool
    values: np.ndarray  # (H,W) float32
    maps: dict[str, np.ndarray]  # (h,w), of the evidence


@dataclass(frozen=True)
class _Seen:
    """What a frame sees of a solved one, by pixel (H,W)."""

    solved: _Solved
    flow: Flow  # from the frame to that one
    points: np.ndarray  # (H,W,3) in the world
    known: np.ndarray  # (H,W) bool, the flow is confirmed and the depth there known


def filled(frames: np.ndarray, solved: Part, given: OwnMasks, progress: Progress) -> Estimate:
    """All frames (T,H,W,3) uint8 of a clip, of which some are `solved`, the first and the last among them; given: the
    user's masks.
    """
    began, found, numbers, n_frames = time.perf_counter(), solved.known, solved.numbers, len(frames)
    assert isinstance(found, Estimate)
    maps, cameras, intrinsics = Maps(n_frames), np.zeros((n_frames, 4, 4)), np.zeros((n_frames, 3, 3))
    maps.take(found.motion, numbers, np.arange(len(numbers)), depth=found.depth, confidence=found.confidence)
    cameras[numbers], intrinsics[numbers] = found.cam2world, found.intrinsics
    turns = only_turns(found.cam2world, found.depth)

    def neighbours() -> Iterator[tuple[int, _Solved, _Solved]]:
        before = None
        for k, after in pairwise(range(len(numbers))):
            before = before or _solved(frames, found, numbers, k)
            here = _solved(frames, found, numbers, after)
            yield from ((t, before, here) for t in range(before.number + 1, here.number))
            before = here

    def work(each: tuple[int, _Solved, _Solved]) -> tuple:
        t, own = each[0], given.masks[each[0]] if given.known[each[0]] else None
        return _between(_grey(frames[t]), *each, own, turns)

    rest = np.setdiff1d(np.arange(n_frames), numbers)
    for done, (t, one) in enumerate(zip(rest, in_order(work, neighbours())), 1):
        cameras[t], intrinsics[t], motion, depth, confidence = one
        maps.take(motion, np.array([t]), np.array([0]), depth=depth[None], confidence=confidence[None])
        progress(done / len(rest), f"Following the frames between: {done} of {len(rest)}")
    give_back([frames])
    seconds = {**found.info.get("seconds", {}), "between": round(time.perf_counter() - began, 3)}
    info = {**found.info, "solved": len(numbers), "seconds": seconds}
    if "seen_again" in info:
        info["seen_again"] = [[int(numbers[k]) for k in pair] for pair in info["seen_again"]]
    arrays = maps.arrays
    return Estimate(cameras, intrinsics, arrays["depth"], arrays["confidence"], maps.motion, found.warnings, info)


def _solved(frames, found, numbers, k):
    motion = found.motion
    return _Solved(
        int(numbers[k]),
        _grey(frames[numbers[k]]),
        found.cam2world[k],
        found.intrinsics[k],
        np.array(found.depth[k]),
        np.array(found.confidence[k]),
        np.array(motion.dynamic[k]),
        np.array(motion.values[k]),
        {name: np.array(array[k]) for name, array in motion.maps.items()},
    )


def _grey(frame):
    return cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2GRAY)


def _between(grey, t, before, after, own, turns):
    """cam2world (4,4), intrinsics (3,3), `Motion`, depth and confidence (H,W) of frame t; own: its mask, or None."""
    share = (t - before.number) / (after.number - before.number)
    weights = 1 - share, share
    intrinsics = weights[0] * before.intrinsics + weights[1] * after.intrinsics
    camera = Camera(intrinsics, grey.shape[::-1])
    seen = [_seen(grey, one) for one in (before, after)]
    cam2world = way(before.cam2world, after.cam2world, share)
    cam2world = (_turned if turns else _resected)(camera, _told(seen, own), cam2world)
    # depth: of what is followed; of neither, of the nearest that is
    depths = [transform(invert(cam2world), one.points)[..., 2] for one in seen]
    counts = np.stack([w * (one.known & (z > 0)) for w, one, z in zip(weights, seen, depths)])
    apart = np.abs(depths[0] - depths[1]) > SAME * np.minimum(*depths)
    nearer = counts.max(axis=0) == counts
    counts = np.where(apart & counts.all(axis=0) & ~nearer, 0, counts)
    whole = counts.sum(axis=0)
    known = whole > 0
    mean = lambda values: np.einsum("nhw,nhw->hw", counts, values) / np.where(known, whole, 1)
    depth = mean(np.stack(depths))
    confidence = mean(np.stack([nearest(one.solved.confidence, one.flow.target) for one in seen]))
    if known.mean() < SEEN:  # of a frame that shows something else
        depth, known = seen[int(share > 0.5)].solved.depth, np.zeros_like(known)
    depth = _spread(depth, known)
    motion = _moving(grey, seen, weights)
    if own is not None:
        motion = motion.with_masks(own[None])
    return cam2world, intrinsics, motion, depth.astype(np.float32), np.where(known, confidence, 0).astype(np.float32)


def _seen(grey, solved):
    there, _ = both_ways(grey, solved.grey)
    depth = nearest(solved.depth, there.target)
    smooth = sample(solved.depth, there.target)
    depth = np.where(np.abs(smooth - depth) < EDGE * depth, smooth, depth)
    plane = there.target - solved.intrinsics[:2, 2]
    rays = np.concatenate([plane / solved.intrinsics[[0, 1], [0, 1]], np.ones_like(plane[..., :1])], axis=-1)
    points = transform(solved.cam2world, rays * depth[..., None].astype(np.float64))
    known = there.consistent & (nearest(solved.confidence, there.target) > 0)
    return _Seen(solved, there, points, known)


def _told(seen, own):
    """Pixels (N,2) and points (N,3) of what stands still and is known, on a grid."""
    at = np.s_[GRID // 2 :: GRID, GRID // 2 :: GRID]
    pixels, points = [], []
    for one in seen:
        mine = np.zeros_like(one.known) if own is None else own
        v, u = np.nonzero((one.known & still_target(one.flow, mine, one.solved.moving))[at])
        v, u = GRID // 2 + GRID * v, GRID // 2 + GRID * u
        pixels.append(np.stack([u, v], axis=1).astype(np.float64))
        points.append(one.points[v, u])
    return np.concatenate(pixels), np.concatenate(points)


def _resected(camera, told, start):
    """cam2world (4,4) of a frame that sees points of its neighbours, from `start` on."""
    pixels, points = told
    world2cam = invert(start)
    for _ in range(ROUNDS):
        off = np.linalg.norm(camera.project(transform(world2cam, points))[0] - pixels, axis=1)
        if len(off) < FEWEST or not np.isfinite(off).all():
            return start
        near = off <= max(LEAST, INLIERS * np.median(off))
        turn, shift = cv2.Rodrigues(world2cam[:3, :3])[0], world2cam[:3, 3:].copy()
        turn, shift = cv2.solvePnPRefineLM(points[near], pixels[near], camera.intrinsics, None, turn, shift)
        world2cam = pose(cv2.Rodrigues(turn)[0], shift)
    off = np.linalg.norm(camera.project(transform(world2cam, points))[0] - pixels, axis=1)
    return invert(world2cam) if np.median(off) < MISSED else start


def _turned(camera, told, start):
    """As `_resected`, of a camera that only turns."""
    pixels, points = told
    turned, place = start[:3, :3], start[:3, 3]
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(camera.intrinsics).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    ways = points - place
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
    for _ in range(ROUNDS):
        off = np.linalg.norm(ways - rays @ turned.T, axis=1)
        if len(off) < FEWEST:
            return start
        near = off <= max(LEAST / camera.intrinsics[0, 0], INLIERS * np.median(off))
        turned = Rotation.align_vectors(ways[near], rays[near])[0].as_matrix()
    return pose(turned, place)


def _moving(grey, seen, weights):
    """The `Motion` (1,H,W) of a frame: what its neighbours have where it went, those first that look the same there."""
    differ = [np.abs(sample(one.solved.grey.astype(np.float32), one.flow.target) - grey) for one in seen]
    smooth = [cv2.GaussianBlur(off, (0, 0), BLUR) for off in differ]
    counts = np.stack([w / (1 + (off / ALIKE) ** 2) for w, off in zip(weights, smooth)])
    counts *= np.where([one.flow.consistent for one in seen], 1.0, 0.05)
    counts /= counts.sum(axis=0)
    mean = lambda arrays: sum(c * sample(array, one.flow.target) for c, one, array in zip(counts, seen, arrays))
    moving = mean([one.solved.moving.astype(np.float32) for one in seen]) > 0.5
    values = mean([one.solved.values for one in seen]).astype(np.float32)
    near = seen[int(weights[1] > weights[0])]
    maps = {name: _on_tokens(array, near.flow.target)[None] for name, array in near.solved.maps.items()}
    return Motion(moving[None], values[None], maps)


def _on_tokens(array, flow):
    """A map (h,w) of a solved frame, through the flow (H,W,2) that leads to it."""
    share = array.shape[1] / flow.shape[1], array.shape[0] / flow.shape[0]
    there = cv2.resize(flow, array.shape[::-1], interpolation=cv2.INTER_AREA)
    return nearest(array, (there + 0.5) * np.float32(share) - 0.5)


def _spread(values, known):
    """`values` (H,W) where they are `known`, elsewhere that of the nearest pixel where they are."""
    if known.all() or not known.any():
        return values
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[rows, columns]
