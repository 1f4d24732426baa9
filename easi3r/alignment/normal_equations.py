"""The normal equations of all terms: assembled as a band, solved for a step within the gauge."""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from scipy.linalg import solveh_banded

from .flow_term import flow_equations
from .point_term import point_equations
from .problem import Problem, State
from .unknowns import FRAME, Unknowns

GAUGE = 1e8  # of the largest diagonal entry: added to that of a camera to hold it
LEAST_DAMPING = 1e-10  # of the largest diagonal entry: added to all, so that unknowns without residuals stay


def normal_equations(
    problem: Problem, state: State, pool: Executor, every: int = 1, flow: bool = True
) -> tuple["NormalEquations", State]:
    """IRLS normal equations at `state`, and `state` with its depths improved, which is where they hold.

    pool: from `threads.workers`. every: only every so many of the samples. flow: with the problem's flow matches.
    """
    equations, depth = NormalEquations(problem.unknowns), dict(state.depth)

    for v, (matrix, right, improved, value) in point_equations(problem, state, pool, every):
        equations.add(problem.unknowns.columns[v].index, matrix, right, value)
        depth[v] = depth[v].copy()
        depth[v][::every] = improved
    state = replace(state, depth=depth)
    if flow:
        for part in flow_equations(problem, state, pool):
            equations.add(*part)
    return equations, state


class NormalEquations:
    """matrix @ step = right, and the `value` of the objective: the right side is its negative gradient.

    `band` (band + 1, size) is the matrix without the log focal, in LAPACK's lower form: band[k, c] = matrix[c + k, c].
    `focal` (size,) is the log focal's column, `focal_focal` its diagonal entry; `right` (size,), `focal_right`.
    """

    def __init__(self, unknowns: Unknowns) -> None:
        self.unknowns = unknowns
        self.band = np.zeros((unknowns.band + 1, unknowns.size), order="F")  # LAPACK's order: it makes no copy
        self.right = np.zeros(unknowns.size)
        self.focal = np.zeros(unknowns.size)
        self.focal_focal, self.focal_right, self.value = 0.0, 0.0, 0.0

    def add(self, index: np.ndarray, matrix: np.ndarray, right: np.ndarray, value: float) -> None:
        """Add `matrix` (n+1,n+1) and `right` (n+1,) in the different unknowns `index` (n,), then the log focal."""
        here, there = self.unknowns.places(index)
        self.band[there] += matrix[:-1, :-1][here]
        self.right[index] += right[:-1]
        self.focal[index] += matrix[:-1, -1]
        self.focal_focal += matrix[-1, -1]
        self.focal_right += right[-1]
        self.value += value

    def solve(self, damping: float, fix_focal: bool = False, fix_cameras: bool = False) -> np.ndarray:
        """The step (size + 1,), log focal last. Destroys the band.

        Gauge: the first frame stays, or all with `fix_cameras`; the log scales of the pairs sum to zero. damping: share
        of the diagonal that is added to it. Raises LinAlgError where rounding has made the matrix indefinite.
        """
        unknowns = self.unknowns
        diagonal = self.band[0]
        self.band[0] = diagonal * (1 + damping) + LEAST_DAMPING * diagonal.max()
        hold = GAUGE * diagonal.max()
        for at in unknowns.frame_at.values() if fix_cameras else [unknowns.frame_at[unknowns.gauge]]:
            self.band[0, at + np.arange(FRAME)] += hold
        sum_scales = np.zeros(unknowns.size)
        sum_scales[unknowns.log_scales] = 1
        border = [sum_scales] if fix_focal else [sum_scales, self.focal]
        sides = np.stack([self.right, *border], 1)
        solved = solveh_banded(self.band, sides, lower=True, overwrite_ab=True, check_finite=False)
        free, rows = solved[:, 0], np.stack(border)
        corner, wanted = rows @ solved[:, 1:], rows @ free
        if not fix_focal:
            corner[1, 1] -= self.focal_focal * (1 + damping)
            wanted[1] -= self.focal_right
        factor = np.linalg.lstsq(corner, wanted, rcond=1e-14)[0]
        return np.append(free - solved[:, 1:] @ factor, 0.0 if fix_focal else factor[1])
