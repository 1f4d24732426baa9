"""Cameras, pair similarities and focal by Gauss-Newton on the re-weighted objective, with the depths eliminated.

Ordered along the clip the system is banded, so cost and memory grow linearly with the frames and no windows are needed.
README.md derives it.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from .normal_equations import normal_equations
from .problem import Problem, State, retract

ROUNDS = 11  # at most; distances along the rays weighed less make the last ones slow, for little
REFITTING = 4  # rounds for the pairs and depths alone
COARSE_ROUNDS = 4  # usual number of rounds that look at every fourth sample only
COARSE = 4  # of so many samples one is looked at in these
CONVERGED = 3e-4  # largest change of a rotation (radians) or of a log scale at which to stop
RISE = 1.02  # the value may rise by this factor in a round: the weights change with the distances
DAMPING, DAMPING_AFTER, DAMPING_FACTOR = 1e-9, 1e-4, 1e5  # least; at least after a failed round; growth with each


def refine(
    problem: Problem,
    state: State,
    pool: Executor,
    fix_focal: bool = False,
    fix_cameras: bool = False,
    coarse: int = COARSE_ROUNDS,
    rounds: int = ROUNDS,
    report: Callable[[int], None] | None = None,
) -> State:
    """The state improved, nearest minimum of the objective from `state` on.

    pool: from `threads.workers`. fix_focal, fix_cameras: leave them as they are. coarse: that many of at most `rounds`
    rounds look at fewer samples, and not at the flow. `report(k)` is called before round k and may raise to cancel.
    """
    damping, before, last = DAMPING, np.inf, state
    for k in range(rounds):
        if report is not None:
            report(k)
        if k == coarse:
            before = np.inf  # another set of pixels: values cannot be compared
        equations, state = normal_equations(problem, state, pool, COARSE if k < coarse else 1, flow=k >= coarse)
        if not np.isfinite(equations.value) or equations.value > RISE * before:
            state, before = last, np.inf  # the step was too long: go back and take a shorter one
            damping = max(damping * DAMPING_FACTOR, DAMPING_AFTER)
            continue
        last, before, damping = state, equations.value, max(damping / 10, DAMPING)
        try:
            step = equations.solve(damping, fix_focal, fix_cameras)
        except np.linalg.LinAlgError:  # nothing holds some of the unknowns
            damping = max(damping * DAMPING_FACTOR, DAMPING_AFTER)
            continue
        state, change = retract(problem, state, step)
        if change < CONVERGED and k > min(coarse, COARSE_ROUNDS):
            break
    return state if state.is_finite() else last


def fitted(problem: Problem, state: State, pool: Executor, coarse: bool = False) -> tuple[Problem, State]:
    """Pairs and depths fitted once more with cameras and focal held, to all of the distances alike; and that problem.

    For the cameras distances along the rays count less, which leaves scales and depths less sure. coarse: a part of the
    samples only.
    """
    problem = replace(problem, matches=(), along=1.0)  # the flow has no say where the cameras are held
    rounds = REFITTING // 2 if coarse else REFITTING
    return problem, refine(problem, state, pool, True, True, coarse=rounds if coarse else 0, rounds=rounds)
