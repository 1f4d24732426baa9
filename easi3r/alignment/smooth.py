"""Smooths the camera path by as much as its own noise warrants, and no more.

How noisy the solved path is, is found by solving it again with half of the pairs weighted up and half down, and the
other way round (a weighted bootstrap): how far the two paths lie apart is noise. It adds up along the clip, as pairs
measure ways between near frames. Where it explains the path's jolts (its second differences), the path in truth is
smooth, and is smoothed; a path that jolts more than its noise, like a hand-held camera's, is left as it is. README.md
derives it.
"""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.spatial.transform import Rotation

from ..camera import invert
from .normal_equations import normal_equations
from .problem import Problem, State
from .refine import COARSE, fitted, refine

FEWEST = 6  # frames below which nothing is smoothed
REPLICA_ROUNDS = 5  # of solving again, from where the path was found
SWING = 0.5  # weights of the pairs are multiplied by 1 +- this in the two replicas
# Share by which smoothing may raise the objective, per frame: errors add up along a clip, so the longer it is the more
# is gained for the same rise. Of the golden clips, 12 and 16 frames, a higher one takes the objective past 1 %.
RISE = 0.00035
LIKELY = 2.0  # a ratio is, up to so much more than the least of -2 log likelihood: it keeps what may be true
RATIOS = np.geomspace(1e-8, 1e4, 49)  # looked at: of what the true path varies over what its errors do


def smooth_path(problem: Problem, state: State, pool: Executor) -> State:
    """The state with its camera path smoothed; pairs ride on their first cameras, depths stay. pool: `threads.workers`.

    Rotations and positions are smoothed apart, see `_Smoother`. A part that is short or misses frames stays as it is.
    """
    frames = problem.frames
    if len(frames) < FEWEST or frames[-1] - frames[0] != len(frames) - 1:
        return state
    smoother = _Smoother(np.array([problem.ends[e] for e in problem.unknowns.pairs]) - frames[0], len(frames))
    found, errors = _coordinates(state.cam2world[frames]), _bootstrap(problem, state, pool)
    turns, shifts = (smoother(path, smoother.variance(error)) - path for path, error in zip(found, errors))
    if not (np.isfinite(turns).all() and np.isfinite(shifts).all()):
        return state
    smooth = _moved(problem, state, turns, shifts)
    before, after = (_objective(problem, moved, pool) for moved in (state, smooth))
    allowed = RISE * len(frames) * before
    if after - before <= allowed:
        return smooth
    share = np.sqrt(allowed / (after - before))  # near its minimum it rises by the square of the way
    return _moved(problem, state, share * turns, share * shifts)


def _moved(problem: Problem, state: State, turns: np.ndarray, shifts: np.ndarray) -> State:
    """The state with its cameras turned in their own axes, rotation vectors (T,3), and shifted (T,3) in the world."""
    frames = problem.frames
    before, cam2world, similarity = state.cam2world[frames], state.cam2world.copy(), state.similarity.copy()
    after = before.copy()
    after[:, :3, :3] = before[:, :3, :3] @ Rotation.from_rotvec(turns).as_matrix()
    after[:, :3, 3] += shifts
    cam2world[frames] = after
    move = dict(zip(frames, after @ invert(before)))
    for e in problem.unknowns.pairs:
        similarity[e] = move[problem.ends[e][0]] @ similarity[e]
    return replace(state, cam2world=cam2world, similarity=similarity)


def _objective(problem: Problem, state: State, pool: Executor) -> float:
    """The objective of the cameras, with pairs and depths that fit them, from a part of the samples."""
    return normal_equations(*fitted(problem, state, pool, coarse=True), pool, COARSE)[0].value


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

        The ratio, variance of the true path's second differences over `variance`, is the largest likely one.
        """
        moved = path - path[0]  # neither term sees where the path lies: its start is held
        pulled, costs, paths = self._by_laplacian(moved)[1:], [], []
        for ratio in RATIOS:
            factor = cholesky_banded((self._jolts + ratio * self._laplacian)[:, 1:], lower=True)
            smooth = np.concatenate([np.zeros((1, 3)), cho_solve_banded((factor, True), ratio * pulled)])
            cost = 3 * (2 * np.log(factor[0]).sum() - np.log(ratio))  # that of a steady path costs nothing
            cost += (moved - smooth)[1:].ravel() @ pulled.ravel() / max(variance, 1e-30)
            costs.append(cost)
            paths.append(path[0] + smooth)
        return paths[np.flatnonzero(np.array(costs) <= min(costs) + LIKELY)[-1]]

    def _by_laplacian(self, path: np.ndarray) -> np.ndarray:
        found = self._laplacian[0, :, None] * path
        for k, diagonal in enumerate(self._laplacian[1:, :, None], 1):
            found[k:] += diagonal[:-k] * path[:-k]
            found[:-k] += diagonal[:-k] * path[k:]
        return found
