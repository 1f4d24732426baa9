"""What is known about a clip, its file, and predictions made from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..backbones.base import Edges, PairPrediction
from ..camera import Camera, invert, pose, transform

DEPTH_STEP = 4  # saved truth keeps every fourth pixel of every fourth row


@dataclass(frozen=True)
class Truth:
    """What is known about a clip of T frames of H x W pixels.

    timestamps (T,) float64 seconds, first 0; cam2world (T, 4, 4) float64 metres, first = identity; intrinsics (3, 3)
    float64 pixels of the clip, principal point (W / 2, H / 2); dynamic (T, H, W) bool, pixels of moving objects;
    depth (T, ceil(H / step), ceil(W / step)) float32 z depth in metres: entry [t, r, c] belongs to the centre of the
    clip's pixel (row r * step, column c * step); step: 1 as rendered, `DEPTH_STEP` once saved.
    """

    timestamps: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray
    depth: np.ndarray
    dynamic: np.ndarray
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Clip(Truth):
    """A rendered clip: frames (T, H, W, 3) uint8 RGB with their `Truth` at full resolution."""

    frames: np.ndarray


def save_truth(path: str | Path, clip: Clip) -> None:
    """Write the `Truth` of a clip to a compressed .npz (depth thinned, as float16); `load_truth` reads it."""
    np.savez_compressed(
        path,
        timestamps=clip.timestamps,
        cam2world=clip.cam2world,
        intrinsics=clip.intrinsics,
        depth=clip.depth[:, ::DEPTH_STEP, ::DEPTH_STEP].astype(np.float16),
        dynamic=np.packbits(clip.dynamic),
        shape=clip.dynamic.shape,
    )


def load_truth(path: str | Path) -> Truth:
    """Read what `save_truth` wrote, for instance `examples/room.npz`. Returns a `Truth` with step = `DEPTH_STEP`."""
    with np.load(path) as stored:
        shape = tuple(stored["shape"])
        dynamic = np.unpackbits(stored["dynamic"], count=int(np.prod(shape))).astype(bool).reshape(shape)
        return Truth(
            stored["timestamps"],
            stored["cam2world"],
            stored["intrinsics"],
            stored["depth"].astype(np.float32),
            dynamic,
            DEPTH_STEP,
        )


def predictions(clip: Clip, edges: Edges, noise: float = 0.03, seed: int = 0) -> Iterator[PairPrediction]:
    """What a two-view network would say about the directed pairs `edges` of a clip: yields a `PairPrediction` per edge.

    Point maps (H, W, 3) float16 in the camera of frame i, moving things where they are at their own frame's time. Wrong
    as networks are: z depth off by `noise` (relative, deviation; two thirds smooth over the image, the rest per pixel),
    0.5 % of the pixels far off, the second view's pose off by an angle and a shift that grow with the square root of
    the gap, a free scale per pair. Confidence (H, W) float16 in 1..12 falls with the error, loosely. Nothing is kept
    between edges, and a pair's values depend on (seed, i, j) only. noise = 0 gives exact points up to float16.
    """
    height, width = clip.depth.shape[1:]
    rays = Camera(clip.intrinsics, (width, height)).rays().astype(np.float32)
    typical = float(np.median(clip.depth))
    for i, j in edges:
        rng = np.random.default_rng([seed, i, j])
        scale = np.exp(0.25 * rng.standard_normal()) / typical
        slip = 0.12 * noise * np.sqrt(abs(i - j))
        wrong = pose(cv2.Rodrigues(slip * rng.standard_normal(3))[0], slip * typical * rng.standard_normal(3))
        relative = wrong @ invert(clip.cam2world[i]) @ clip.cam2world[j]
        pts1, conf1 = _predict_view(rng, rays, clip.depth[i], np.eye(4), scale, noise)
        pts2, conf2 = _predict_view(rng, rays, clip.depth[j], relative, scale, noise)
        yield PairPrediction(i, j, pts1, pts2, conf1, conf2)


def _predict_view(rng, rays, depth, matrix, scale, noise):
    """Points (H, W, 3) and confidence (H, W), float16, of one view moved by `matrix` and scaled."""
    height, width = depth.shape
    smooth = cv2.resize(rng.standard_normal((6, 9), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    error = noise * (smooth + 0.5 * rng.standard_normal(depth.shape, np.float32))
    doubt = np.abs(error) / max(noise, 1e-6) - 0.25 * rng.standard_normal(depth.shape, np.float32)
    if noise > 0:
        strays = rng.integers(depth.size, size=depth.size // 200)
        error.reshape(-1)[strays] = rng.uniform(-0.6, 0.8, len(strays))  # outliers look as sure as their neighbours
    points = transform((scale * matrix).astype(np.float32), rays * (depth * (1 + error))[..., None])
    return points.astype(np.float16), (1 + 5 * np.exp(-doubt)).clip(1, 12).astype(np.float16)
