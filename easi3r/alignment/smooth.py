"""Smooths the camera path by as much as its own noise warrants, and no more.

How noisy the solved path is, is found by solving it again with half of the pairs weighted up and half down, and the
other way round (a weighted bootstrap): how far the two paths lie apart is noise. Where noise explains much of the
path's jolts (its second differences), the path in truth is smooth, and is smoothed; a path that jolts more than its
noise, like a hand-held camera's, is left as it is.
"""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.spatial.transform import Rotation

from ..camera import invert
from .problem import Problem, State
from .refine import refine

FEWEST = 6  # frames below which nothing is smoothed
REPLICA_ROUNDS = 5  # of solving again, from where the path was found
SWING = 0.5  # weights of the pairs are multiplied by 1 +- this in the two replicas
REFITTING = 4  # rounds for the pairs and depths once the cameras have been smoothed
RATIOS = np.geomspace(1e-8, 1e4, 49)  # looked at: of what the true path varies over what its errors do


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
    smoother = _Smoother(np.array([problem.ends[e] for e in problem.unknowns.pairs]) - frames[0], len(frames))
    rotation_errors, position_errors = _bootstrap(problem, state, pool)
    after = before.copy()
    turned = Rotation.from_rotvec(smoother(rotations, smoother.variance(rotation_errors)) - rotations).as_matrix()
    after[:, :3, :3] = before[:, :3, :3] @ turned
    after[:, :3, 3] = smoother(positions, smoother.variance(position_errors))
    if not np.isfinite(after).all():
        return state
    cam2world, similarity = state.cam2world.copy(), state.similarity.copy()
    cam2world[frames] = after
    move = dict(zip(frames, after @ invert(before)))
    for e in problem.unknowns.pairs:
        similarity[e] = move[problem.ends[e][0]] @ similarity[e]
    moved = State(cam2world, similarity, state.depth, state.focal)
    problem = replace(problem, matches=(), along=1.0)  # the flow has no say where the cameras are held
    return refine(problem, moved, pool, fix_focal=True, fix_cameras=True, coarse=0, rounds=REFITTING)


def _bootstrap(problem: Problem, state: State, pool: Executor) -> tuple[np.ndarray, np.ndarray]:
    """Errors like those of the path's rotations (T,3) in radians and positions (T,3), from two weighted replicas."""
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
    rotation_errors, position_errors = ((one - two) / (2 * SWING) for one, two in zip(*paths))
    return rotation_errors, position_errors


def _coordinates(cam2world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T,3), those from frame to frame summed up in the cameras' own axes (radians), and positions (T,3)."""
    rotations = Rotation.from_matrix(cam2world[:, :3, :3])
    steps = (rotations[:-1].inv() * rotations[1:]).as_rotvec()
    return np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)]), cam2world[:, :3, 3]


def _spread(positions: np.ndarray) -> float:
    """Size of a path (T,3)."""
    return float(np.linalg.norm(positions - positions.mean(0)))


class _Smoother:
    """Smooths paths (T,3) whose errors are those of a graph of relative measurements, pairs of frames `ends` (E,2).

    What a pair says of the way between its frames errs by a variance that grows with their gap, so that errors add up
    along the clip; a path of errors e costs e'Le / variance, L being the Laplacian of the graph with weights 1 / gap.
    """

    def __init__(self, ends: np.ndarray, n_frames: int) -> None:
        gap = np.abs(ends[:, 0] - ends[:, 1])
        ends, gap = ends[gap > 0], gap[gap > 0]
        self._laplacian = np.zeros((max(2, gap.max()) + 1, n_frames))  # lower band: [k, c] is row c + k, column c
        np.add.at(self._laplacian[0], ends.ravel(), np.repeat(1 / gap, 2))
        np.subtract.at(self._laplacian, (gap, ends.min(1)), 1 / gap)
        self._jolts = np.zeros_like(self._laplacian)  # D'D, D the second differences
        for k, row in ((0, (1, 4, 1)), (1, (-2, -2)), (2, (1,))):
            for at, value in enumerate(row):
                self._jolts[k, at : at + n_frames - 2] += value

    def variance(self, errors: np.ndarray) -> float:
        """That of a measurement between neighbours, from errors (T,3) of a path."""
        return float((errors * self._by_laplacian(errors)).sum()) / (3 * (len(errors) - 1))

    def __call__(self, path: np.ndarray, variance: float) -> np.ndarray:
        """The path (T,3), least of (x - path)' L (x - path) + x'D'Dx / ratio: the most likely one.

        The ratio, variance of the true path's second differences over `variance`, is the most likely one too.
        """
        moved = path - path[0]  # neither term sees where the path lies: its start is held
        pulled, best = self._by_laplacian(moved)[1:], (np.inf, path)
        for ratio in RATIOS:
            factor = cholesky_banded((self._jolts + ratio * self._laplacian)[:, 1:], lower=True)
            smooth = np.concatenate([np.zeros((1, 3)), cho_solve_banded((factor, True), ratio * pulled)])
            cost = 3 * (2 * np.log(factor[0]).sum() - np.log(ratio))  # that of a steady path costs nothing
            cost += (moved - smooth)[1:].ravel() @ pulled.ravel() / max(variance, 1e-30)
            best = min(best, (cost, path[0] + smooth), key=lambda found: found[0])
        return best[1]

    def _by_laplacian(self, path: np.ndarray) -> np.ndarray:
        found = self._laplacian[0, :, None] * path
        for k, diagonal in enumerate(self._laplacian[1:, :, None], 1):
            found[k:] += diagonal[:-k] * path[:-k]
            found[:-k] += diagonal[:-k] * path[k:]
        return found
