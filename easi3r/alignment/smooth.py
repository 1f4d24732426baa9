"""Smooths the camera path by as much as its own noise warrants, and no more.

How noisy the solved path is, is found by solving it again with half of the pairs weighted up and half down, and the
other way round (a weighted bootstrap): how far the two paths lie apart is noise. Where noise explains much of the
path's jolts (its second differences), the path in truth is smooth, and is smoothed; a path that jolts more than its
noise, like a hand-held camera's, is left as it is.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import invert
from .refine import refine

FEWEST = 6  # frames below which nothing is smoothed
REPLICA_ROUNDS = 5  # of solving again, from where the path was found
SWING = 0.5  # weights of the pairs are multiplied by 1 +- this
STRONGEST = 0.3  # of the smoothing: more lowers the errors of noisy clips further, but raises the objective past 1 %


def smooth_path(state, samples, weights, views, frames, ends, pixels, pool):
    """Smooth the cameras of one connected part of `state` in place, then fit pairs and focal to them again.

    Arguments as of `initial.start`; pool from `threads.workers`. Rotations and positions are smoothed apart by
    Whittaker's method (1923): least squares of (x - y)^2 + strength * (second difference of x)^2, where strength is
    the noise variance of y over the mean squared second difference of the path without its noise.
    """
    if len(frames) < FEWEST or frames[-1] - frames[0] != len(frames) - 1:
        return
    before = state.cam2world[frames]
    turns, places = _coordinates(before)
    factor = np.random.default_rng(0).permutation(np.where(np.arange(len(ends)) % 2, SWING, -SWING))
    paths = []
    for sway in (1 + factor, 1 - factor):
        swayed = [
            w if w is None else (w * sway[[e for e, _ in views[v]], None]).astype(np.float32)
            for v, w in enumerate(weights)
        ]
        other = state.copy()
        refine(
            other,
            samples,
            swayed,
            views,
            frames,
            ends,
            pixels,
            pool,
            fix_focal=True,
            coarse=REPLICA_ROUNDS,
            rounds=REPLICA_ROUNDS,
        )
        moved_turns, moved_places = _coordinates(other.cam2world[frames])
        paths.append((moved_turns, moved_places * (_spread(places) / max(_spread(moved_places), 1e-12))))
    noise = [_jolt(one - two) / (2 * SWING) ** 2 for one, two in zip(*paths)]
    after = before.copy()
    after[:, :3, :3] = before[:, :3, :3] @ Rotation.from_rotvec(_smoothed(turns, noise[0]) - turns).as_matrix()
    after[:, :3, 3] = _smoothed(places, noise[1])
    if not np.isfinite(after).all():
        return
    state.cam2world[frames] = after
    move = dict(zip(frames, after @ invert(before)))
    for e in {e for v in frames for e, _ in views[v]}:
        state.similarity[e] = move[ends[e][0]] @ state.similarity[e]
    refine(
        state, samples, weights, views, frames, ends, pixels, pool, fix_focal=True, fix_cameras=True, coarse=0, rounds=4
    )


def _coordinates(cam2world):
    """Turns (T,3), the rotations from frame to frame summed up in the cameras' own axes (radians); positions (T,3)."""
    rotations = Rotation.from_matrix(cam2world[:, :3, :3])
    steps = (rotations[:-1].inv() * rotations[1:]).as_rotvec()
    return np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)]), cam2world[:, :3, 3]


def _spread(places):
    return np.linalg.norm(places - places.mean(0))


def _jolt(path):
    """Mean squared second difference."""
    return (np.diff(path, 2, axis=0) ** 2).mean()


def _smoothed(path, noise):
    """Smoothed path (T,3); noise: what noise adds to its `_jolt`, six times its variance."""
    true = _jolt(path) - noise
    strength = STRONGEST if true * STRONGEST * 6 <= noise else noise / 6 / true
    second = np.diff(np.eye(len(path)), 2, axis=0)
    return np.linalg.solve(np.eye(len(path)) + strength * second.T @ second, path)
