"""The aligner's matrix and right side against finite differences, with residuals written down a second time here."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from easi3r.alignment.flow_term import CUT, SHARP, STRENGTH
from easi3r.alignment.normal_equations import normal_equations
from easi3r.alignment.problem import ALONG, FlowMatches, Problem, State, retract
from easi3r.camera import invert, pose, transform
from easi3r.threads import workers

N, FOCAL = 12, 40.0
FRAMES, ENDS = [1, 2, 3, 4], [(1, 2), (2, 1), (0, 0), (2, 3), (4, 2), (3, 4)]  # frame 0, pair 2: not of this part


def random_problem(seed=0):
    """A `Problem` of four of five frames and a `State` that is far from fitting it."""
    rng = np.random.default_rng(seed)
    views = {v: [(e, side) for e, ends in enumerate(ENDS) for side in (0, 1) if ends[side] == v] for v in FRAMES}
    samples, weights = {}, {}
    for v in FRAMES:
        n = len(views[v])
        points = np.concatenate([rng.uniform(-1, 1, (n, 2, N)), rng.uniform(1, 3, (n, 1, N))], 1)
        samples[v], weights[v] = points.astype(np.float16), rng.uniform(0.1, 2, (n, N)).astype(np.float32)
        weights[v][rng.random((n, N)) < 0.2] = 0
        weights[v][0, :] = 0.5  # every depth is held by something
    pixels = rng.uniform(-30, 30, (5, N, 2))
    turns = Rotation.from_rotvec(0.1 * rng.standard_normal((11, 3))).as_matrix()
    rigid = np.stack([pose(turn, 0.2 * rng.standard_normal(3)) for turn in turns])
    cam2world, similarity = rigid[:5], np.tile(np.eye(4), (6, 1, 1))
    for e, (i, _) in enumerate(ENDS):
        scale = np.exp(0.2 * rng.standard_normal())
        similarity[e] = cam2world[i] @ rigid[5 + e] @ np.diag([scale, scale, scale, 1])
    depth = {v: rng.uniform(1, 3, N).astype(np.float32) for v in FRAMES}
    return Problem(FRAMES, ENDS, views, samples, weights, pixels, (64, 64)), State(cam2world, similarity, depth, FOCAL)


def with_matches(problem, state, seed=1):
    """The problem with flow that misses the projected points by a part of a pixel to a few pixels, and once by far."""
    rng, matches = np.random.default_rng(seed), []
    for i, j in ((1, 2), (2, 1), (3, 4)):
        samples = np.flatnonzero(rng.random(N) < 0.7)
        empty = FlowMatches(i, j, samples, np.zeros((len(samples), 2)))
        miss = rng.choice([0.03, 1.0, 4.0], (len(samples), 1)) * rng.standard_normal((len(samples), 2))
        matches.append(replace(empty, targets=reprojection_errors(problem, state, empty) + miss))
    matches[0].targets[0] += 3 * CUT
    return replace(problem, matches=tuple(matches))


def residuals(problem, state, held=None):
    """(M,3) of all frames, views and pixels: d r - Q X; and their weights (M,).

    What of them lies along the rays at the state `held`, or `state`, is times `Problem.along`.
    """
    found = []
    for v in FRAMES:
        rays = np.column_stack([problem.pixels[v] / state.focal, np.ones(N)])
        for (e, _), points in zip(problem.views[v], problem.samples[v]):
            seen = transform(invert(state.cam2world[v]) @ state.similarity[e], points.T.astype(float))
            error = rays * state.depth[v].astype(float)[:, None] - seen
            unit = np.column_stack([problem.pixels[v] / (held or state).focal, np.ones(N)])
            unit /= np.linalg.norm(unit, axis=1, keepdims=True)
            found.append(error - (1 - problem.along) * (error * unit).sum(1, keepdims=True) * unit)
    return np.concatenate(found), np.concatenate([problem.weights[v].ravel() for v in FRAMES]).astype(float)


def reprojection_errors(problem, state, match):
    """(n,2) pixels: where frame j sees the points of the matched samples, less where the flow saw them."""
    depth = state.depth[match.i][match.samples].astype(float)[:, None]
    rays = np.column_stack([problem.pixels[match.i][match.samples] / state.focal, np.ones(len(depth))])
    seen = transform(invert(state.cam2world[match.j]) @ state.cam2world[match.i], rays * depth)
    return state.focal * seen[:, :2] / seen[:, 2:] - match.targets


def by_step(problem, state, function, length=1e-5):
    """Derivative (..., size + 1) of function(state) by the step of `retract`, by central differences."""
    columns = []
    for unit in np.eye(problem.unknowns.size + 1):
        there, back = (function(retract(problem, state, sign * length * unit)[0]) for sign in (1, -1))
        columns.append((there - back) / (2 * length))
    return np.stack(columns, -1)


def by_depth(problem, state):
    """Derivative (M,3,4 N) of the residuals by the depths; they are linear in them."""
    columns = []
    for v in FRAMES:
        for k in range(N):
            moved = state.depth[v].astype(float)
            moved[k] += 1
            columns.append(residuals(problem, replace(state, depth={**state.depth, v: moved}))[0])
    return np.stack(columns, -1) - residuals(problem, state)[0][..., None]


def dense(equations):
    """Matrix (size + 1, size + 1) and right side, log focal last."""
    size = len(equations.right)
    matrix = np.zeros((size + 1, size + 1))
    for k, diagonal in enumerate(equations.band):
        at = np.arange(size - k)
        matrix[at + k, at] = matrix[at, at + k] = diagonal[: size - k]
    matrix[:-1, -1] = matrix[-1, :-1] = equations.focal
    matrix[-1, -1] = equations.focal_focal
    return matrix, np.append(equations.right, equations.focal_right)


def close(ours, expected, share):
    np.testing.assert_allclose(ours, expected, atol=share * np.abs(expected).max(), rtol=0)


@pytest.fixture
def pool():
    with workers() as pool:
        yield pool


@pytest.mark.parametrize("seed, along", [(0, 1.0), (1, ALONG), (2, ALONG)])
def test_point_term_is_the_schur_complement_of_gauss_newton(pool, seed, along):
    problem, state = random_problem(seed)
    problem = replace(problem, along=along)
    equations, state = normal_equations(problem, state, pool)
    residual, weights = residuals(problem, state)
    irls = weights / np.linalg.norm(residual, axis=1)
    jacobian = np.concatenate(
        [by_step(problem, state, lambda s: residuals(problem, s, state)[0]), by_depth(problem, state)], -1
    )
    full = np.einsum("mca,m,mcb->ab", jacobian, irls, jacobian)
    right = -np.einsum("mca,m,mc->a", jacobian, irls, residual)
    step, depth = slice(0, problem.unknowns.size + 1), slice(problem.unknowns.size + 1, None)
    eliminate = full[step, depth] @ np.linalg.inv(full[depth, depth])
    matrix, ours = dense(equations)
    close(matrix, full[step, step] - eliminate @ full[depth, step], 1e-5)
    close(ours, right[step] - eliminate @ right[depth], 1e-5)
    assert equations.value == pytest.approx((weights * np.linalg.norm(residual, axis=1)).sum(), rel=1e-5)


def test_right_side_is_the_descent_of_the_objective(pool):
    problem, state = random_problem()
    problem = replace(problem, along=1.0)
    for _ in range(100):  # until the depths are where the objective is least
        equations, state = normal_equations(problem, state, pool)

    def objective(moved):
        residual, weights = residuals(problem, moved)
        return (weights * np.linalg.norm(residual, axis=1)).sum()

    close(dense(equations)[1], -by_step(problem, state, objective), 1e-4)


def test_flow_term_against_finite_differences(pool):
    problem, state = random_problem()
    _, state = normal_equations(problem, state, pool)
    problem = with_matches(problem, state)
    points, _ = normal_equations(problem, state, pool, flow=False)
    both, after = normal_equations(problem, state, pool)
    matrix, right, value = 0, 0, 0
    for match in problem.matches:
        pixel = np.median(after.depth[match.i]) / FOCAL
        strength = STRENGTH * problem.weights[match.i].mean() * pixel
        error = reprojection_errors(problem, after, match)
        size = np.abs(error)
        norm = np.where(size < SHARP, size**2 / (2 * SHARP), size - SHARP / 2)
        irls = np.where(norm < CUT, 1 / np.maximum(size, SHARP), 0)
        jacobian = by_step(problem, after, lambda s, match=match: reprojection_errors(problem, s, match))
        matrix = matrix + strength * np.einsum("nca,nc,ncb->ab", jacobian, irls, jacobian)
        right = right - strength * np.einsum("nca,nc,nc->a", jacobian, irls, error)
        value += strength * norm[norm < CUT].sum()
    ours = [with_flow - without for with_flow, without in zip(dense(both), dense(points))]
    close(ours[0], matrix, 1e-6)
    close(ours[1], right, 1e-6)
    assert both.value - points.value == pytest.approx(value, rel=1e-6)


def test_flow_that_is_far_off_is_left_out(pool):
    problem, state = random_problem()
    problem = with_matches(problem, state)
    wrong = replace(problem, matches=tuple(replace(m, targets=m.targets + 45) for m in problem.matches))
    without, _ = normal_equations(wrong, state, pool, flow=False)
    with_flow, _ = normal_equations(wrong, state, pool)
    np.testing.assert_array_equal(with_flow.band, without.band)
    assert with_flow.value == without.value


@pytest.mark.parametrize("fix_focal, fix_cameras", [(False, False), (True, False), (True, True)])
def test_the_step_solves_the_equations_within_the_gauge(pool, fix_focal, fix_cameras):
    problem, state = random_problem()
    unknowns = problem.unknowns
    equations, _ = normal_equations(problem, state, pool)
    matrix, right = dense(equations)
    held = [unknowns.frame_at[v] + k for v in (FRAMES if fix_cameras else FRAMES[:1]) for k in range(6)]
    held += [unknowns.size] if fix_focal else []
    rows = np.eye(unknowns.size + 1)[held]
    scales = np.zeros(unknowns.size + 1)
    scales[unknowns.log_scales] = 1
    constraints = np.vstack([rows, scales])
    zero = np.zeros((len(constraints), len(constraints)))
    kkt = np.block([[matrix, constraints.T], [constraints, zero]])
    expected = np.linalg.solve(kkt, np.append(right, np.zeros(len(constraints))))[: unknowns.size + 1]
    step = equations.solve(1e-12, fix_focal, fix_cameras)
    close(step, expected, 1e-4)
    moved, _ = retract(problem, state, step)
    np.testing.assert_allclose(moved.cam2world[FRAMES[0]], state.cam2world[FRAMES[0]], atol=1e-6)
    assert (moved.focal == state.focal) == fix_focal
