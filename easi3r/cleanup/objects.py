"""Depth of moving objects that no pair knows: on the ground, and steady over time."""

import numpy as np

from ..large import frames_of, zeros
from .ground import stand_on_ground

KNOWN = 1.01  # depth of this confidence or less is a guess: 1 is no information, 1.001 the preview's filled holes
REACH = 3  # frames before and after that say how far away an object is
IN_FRONT = 0.97  # share of its distance: it must not sink into a wall that is as far away as its feet


def place_objects(depth: np.ndarray, confidence: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The depth (T,H,W), a new array, with moving objects of unknown depth on the ground.

    confidence (T,H,W): `KNOWN` or less where the depth is a guess; masks (T,H,W) bool of moving pixels. An object is a
    connected part of a frame's mask. It is put where the ground around its feet is, and then moved along the rays to
    where a straight line through its distance over a few frames puts it, as this guess jumps.
    """
    placed, distance, guessed = zeros(depth.shape, depth.dtype), zeros(depth.shape, depth.dtype), []
    for t in frames_of([depth, confidence, masks]):
        placed[t], known = depth[t], confidence[t] > KNOWN
        weight = np.where(known, np.log(np.maximum(confidence[t], 1)), 0)
        guessed.append(stand_on_ground(placed[t], weight, masks[t], known))
        distance[t] = np.where(masks[t], np.log(np.maximum(placed[t], 1e-12)), np.nan)
    for t in frames_of([placed]):
        for box, inside in guessed[t]:
            placed[t][box][inside] = IN_FRONT * np.exp(_steady(distance, t, box))
    return placed


def _steady(distance: np.ndarray, t: int, box: tuple[slice, slice]) -> float:
    """Log depth at frame t of what moves inside a box, by a line through the medians of the frames around t.

    The line has the least sum of absolute errors, so that a few frames with a wrong depth do not count.
    """
    frames = np.arange(max(0, t - REACH), min(len(distance), t + REACH + 1))
    seen = np.array([np.isfinite(distance[s][box]).any() for s in frames])
    at = frames[seen] - t
    value = np.array([np.nanmedian(distance[s][box]) for s in frames[seen]])
    design, weight = np.stack([np.ones(len(at)), at], 1), np.ones(len(at))
    for _ in range(20):
        line = np.linalg.lstsq(design * weight[:, None], value * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.abs(value - design @ line) + 1e-3)
    return float(line[0])
