"""Smooths the camera path by as much as its own noise warrants, and no more.

How noisy the solved path is, is found by solving it again with half of the pairs weighted up and half down, and the
other way round (a weighted bootstrap): how far the two paths lie apart is noise. Where noise explains much of the
path's jolts (its second differences), the path in truth is smooth, and is smoothed; a path that jolts more than its
noise, like a hand-held camera's, is left as it is.
"""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import invert
from .problem import Problem, State
from .refine import refine

FEWEST = 6  # frames below which nothing is smoothed
REPLICA_ROUNDS = 5  # of solving again, from where the path was found
SWING = 0.5  # weights of the pairs are multiplied by 1 +- this in the two replicas
REFITTING = 4  # rounds for the pairs and depths once the cameras have been smoothed
STRONGEST = 0.3  # of the smoothing: more lowers the errors of noisy clips further, but raises the objective past 1 %


def smooth_path(problem: Problem, state: State, pool: Executor) -> State:
    """The state with its camera path smoothed, and pairs and depths fitted to it again; pool from `threads.workers`.

    Rotations and positions are smoothed apart by Whittaker's method (1923): least squares of
    (x - y)^2 + strength * (second difference of x)^2, where strength is the noise variance of y over the mean squared
    second difference of the path without its noise. A part that is short or misses frames stays as it is.
    """
    frames = problem.frames
    if len(frames) < FEWEST or frames[-1] - frames[0] != len(frames) - 1:
        return state
    before = state.cam2world[frames]
    rotations, positions = _coordinates(before)
    rotation_noise, position_noise = _bootstrap(problem, state, pool)
    after = before.copy()
    turned = Rotation.from_rotvec(_smoothed(rotations, rotation_noise) - rotations).as_matrix()
    after[:, :3, :3] = before[:, :3, :3] @ turned
    after[:, :3, 3] = _smoothed(positions, position_noise)
    if not np.isfinite(after).all():
        return state
    cam2world, similarity = state.cam2world.copy(), state.similarity.copy()
    cam2world[frames] = after
    move = dict(zip(frames, after @ invert(before)))
    for e in problem.unknowns.pairs:
        similarity[e] = move[problem.ends[e][0]] @ similarity[e]
    moved = State(cam2world, similarity, state.depth, state.focal)
    problem = replace(problem, matches=())  # the flow has no say where the cameras are held
    return refine(problem, moved, pool, fix_focal=True, fix_cameras=True, coarse=0, rounds=REFITTING)


def _bootstrap(problem: Problem, state: State, pool: Executor) -> tuple[float, float]:
    """What noise adds to the `_jolt` of the path's rotations (radians^2) and positions, from two weighted replicas."""
    _, positions = _coordinates(state.cam2world[problem.frames])
    odd = np.arange(len(problem.ends)) % 2
    sway = np.random.default_rng(0).permutation(np.where(odd, SWING, -SWING))
    paths = []
    for factor in (1 + sway, 1 - sway):
        weights = {
            v: (w * factor[[e for e, _ in problem.views[v]], None]).astype(np.float32)
            for v, w in problem.weights.items()
        }
        swayed = replace(problem, weights=weights)
        other = refine(swayed, state, pool, fix_focal=True, coarse=REPLICA_ROUNDS, rounds=REPLICA_ROUNDS)
        rotations, moved = _coordinates(other.cam2world[problem.frames])
        paths.append((rotations, moved * (_spread(positions) / max(_spread(moved), 1e-12))))
    rotation_noise, position_noise = (_jolt(one - two) / (2 * SWING) ** 2 for one, two in zip(*paths))
    return rotation_noise, position_noise


def _coordinates(cam2world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T,3), those from frame to frame summed up in the cameras' own axes (radians), and positions (T,3)."""
    rotations = Rotation.from_matrix(cam2world[:, :3, :3])
    steps = (rotations[:-1].inv() * rotations[1:]).as_rotvec()
    return np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)]), cam2world[:, :3, 3]


def _spread(positions: np.ndarray) -> float:
    """Size of a path (T,3)."""
    return float(np.linalg.norm(positions - positions.mean(0)))


def _jolt(path: np.ndarray) -> float:
    """Mean squared second difference."""
    return float((np.diff(path, 2, axis=0) ** 2).mean())


def _smoothed(path: np.ndarray, noise: float) -> np.ndarray:
    """Smoothed path (T,3); noise: what noise adds to its `_jolt`, six times its variance."""
    true = _jolt(path) - noise
    strength = STRONGEST if true * STRONGEST * 6 <= noise else noise / 6 / true
    second = np.diff(np.eye(len(path)), 2, axis=0)
    return np.linalg.solve(np.eye(len(path)) + strength * second.T @ second, path)
