"""The point term: distances between the pixels' points and the pairs' point maps, with the depths eliminated.

The residual of pixel p of frame v in a view is d r - Q X: d the depth of the pixel, r its ray, Q = cam2world^-1
similarity what takes the pair's point X into the camera of the frame. README.md derives the equations.

Arrays of one frame are NumPy's. Where there is a GPU those of many frames lie there side by side, with a first axis
more, padded with views that weigh nothing: threads for as many cores as such a machine has would wait for each other.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np

from ..camera import invert, skew
from .arrays import Array, empty, module, on_host, to, total
from .problem import Problem, Stack, State
from .similarity import adjoint
from .store import View
from .unknowns import FRAME, PAIR, Columns

NEAR = 1e-4  # distances are softened by this, in units of the median depth: exact predictions do not divide by zero
DEPTH_ROUNDS = 2  # IRLS steps of the depths per linearisation; the next one goes on from there

# Matrix (n+1,n+1) and right side (n+1,) in `problem.unknowns.columns[v].index` and the log focal, last; the depths
# (N',) float32 of the samples after `DEPTH_ROUNDS`; and the sum of weighted distances.
Equations = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def point_equations(problem: Problem, state: State, pool: Executor, every: int = 1) -> Iterator[tuple[int, Equations]]:
    """(v, what frame v adds to the normal equations) of all frames, from every so many of its samples.

    pool: from `threads.workers`.
    """
    if problem.device == "cpu":
        yield from pool.map(lambda v: (v, _of_frame(problem, state, v, every)), problem.frames)
        return
    for stack in problem.stacks:
        yield from zip(stack.frames, _of_stack(problem, state, stack, every))


def _of_frame(problem: Problem, state: State, v: int, every: int) -> Equations:
    thin = slice(None, None, every)
    placed = _placed(problem, state, v).astype(np.float32)
    points = placed[:, :3, :3] @ problem.samples[v][..., thin].astype(np.float32) + placed[:, :3, 3:]
    depth = state.depth[v]
    rays, near = _rays(problem, state, v)[:, thin].astype(np.float32), np.full(1, _near(depth), np.float32)
    found = _reduced(points, problem.weights[v][:, thin], depth[thin], rays, near, problem.along**2)
    return _chained(problem, state, v, *found)


def _of_stack(problem: Problem, state: State, stack: Stack, every: int) -> Iterator[Equations]:
    thin, frames = slice(None, None, every), stack.frames
    placed = np.tile(np.eye(4), (*stack.weights.shape[:2], 1, 1))
    for k, v in enumerate(frames):
        placed[k, : len(problem.views[v])] = _placed(problem, state, v)
    depths = np.stack([state.depth[v] for v in frames])
    near = np.array([[_near(depth)] for depth in depths])
    rays = np.stack([_rays(problem, state, v)[:, thin] for v in frames])
    place, depth, rays, near = (to(problem.device, a) for a in (placed, depths[:, thin], rays, near))
    points = place[:, :, :3, :3] @ stack.samples[..., thin] + place[:, :, :3, 3:]
    found = _reduced(points, stack.weights[..., thin], depth, rays, near, problem.along**2)
    for v, matrix, right, improved, value in zip(frames, *found):
        here = np.r_[: PAIR * len(problem.views[v]), -1]
        yield _chained(problem, state, v, matrix[np.ix_(here, here)], right[here], improved, value)


def _placed(problem, state, v):
    """(n,4,4): the points of each view of frame v -> its camera."""
    return invert(state.cam2world[v]) @ state.similarity[[e for e, _ in problem.views[v]]]


def _rays(problem, state, v):
    return problem.rays(v, state.focal).T


def _near(depth):
    return NEAR * float(np.median(depth))


def _chained(
    problem: Problem, state: State, v: int, matrix: np.ndarray, right: np.ndarray, depth: np.ndarray, value: Any
) -> Equations:
    """The equations in the unknowns, from those in the motions of the views of frame v."""
    first = [problem.ends[e][0] for e, _ in problem.views[v]]
    relative = invert(state.cam2world[v]) @ state.cam2world[first]
    chain = _chain(problem.views[v], problem.unknowns.columns[v], relative)
    return chain.T @ matrix @ chain, chain.T @ right, depth, float(value)


def _chain(views: list[View], columns: Columns, relative: np.ndarray) -> np.ndarray:
    """Derivative (7 views + 1, n + 1) of the motions of a frame's n views, and of the log focal, by the unknowns.

    relative (n,4,4): first camera of each view's pair -> camera of the frame. A view's point moves with its pair and
    against the camera.
    """
    chain = np.zeros((PAIR * len(views) + 1, len(columns.index) + 1))
    chain[-1, -1] = 1
    for k, ((e, _), through) in enumerate(zip(views, adjoint(relative))):
        rows, pair = slice(PAIR * k, PAIR * k + PAIR), columns.pair_at[e]
        chain[rows, pair : pair + PAIR] += through
        chain[rows, -1 - FRAME : -1] -= np.eye(PAIR, FRAME)
    return chain


def _reduced(
    points: Array, weights: Array, depth: Array, rays: Array, near: Array, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normal equations of one frame in the motions of its n views and the log focal: Schur complement of the depths.

    points (n,3,N) in the frame's camera, weights (n,N), depth (N,), rays (3,N), near (1,); float32; share: of the
    squared distances along the rays that counts. Returns matrix (7n+1, 7n+1) and right side (7n+1,) float64, the depths
    improved, and the sum of weighted distances. Of many frames everything has a first axis more.
    """
    xp = module(points)
    ray_ray = xp.einsum("...cp,...cp->...p", rays, rays)
    by_view = ray_ray[..., None, :]
    along = xp.einsum("...ncp,...cp->...np", points, rays) / by_view  # depth at which the ray passes closest
    off = xp.einsum("...ncp,...ncp->...np", points, points) - along**2 * by_view  # squared distance from the ray
    off = off.clip(0) + near[..., None] ** 2
    lengths = share * by_view
    for _ in range(DEPTH_ROUNDS):
        irls = weights / xp.sqrt((depth[..., None, :] - along) ** 2 * lengths + off)
        known = irls.sum(-2)  # zero where all pixels move: their depth stays, or it would pull `near` to nothing
        mean = xp.einsum("...np,...np->...p", irls, along) / known.clip(1e-20)
        depth = xp.where(known > 0, xp.maximum(mean, 10 * near), depth)
    ahead = depth[..., None, :] - along
    distance = xp.sqrt(ahead**2 * lengths + off)
    irls = weights / distance
    sideways = depth[..., None, :] * rays[..., :2, :]  # derivative of `depth * rays` by the log focal, negated

    matrix, right = _unreduced(points, irls, depth, rays, sideways)
    coupling = _coupling(points, irls, along, rays, ray_ray, sideways)
    if share < 1:
        focal = (sideways * rays[..., :2, :]).sum(-2)
        less_matrix, less_right = _along(coupling, irls, ahead, ray_ray, focal)
        matrix -= (1 - share) * less_matrix
        right -= (1 - share) * less_right
    # these two and the coupling: times `share`
    depth_depth = (irls.sum(-2) * ray_ray).clip(1e-20)
    depth_right = (irls * ahead).sum(-2) * ray_ray
    scaled = coupling / xp.sqrt(depth_depth)[..., None, :]
    matrix -= share * on_host(scaled @ xp.swapaxes(scaled, -1, -2))
    right -= share * on_host((coupling @ (depth_right / depth_depth)[..., None])[..., 0])
    improved = on_host(depth).astype(np.float32)
    return matrix, right, improved, total(weights * distance, (-2, -1))


def _coupling(points: Array, irls: Array, along: Array, rays: Array, ray_ray: Array, sideways: Array) -> Array:
    """Off-diagonal block (7n+1, N) float32: motions of the views and the log focal, by the depths."""
    xp = module(points)
    *first, n, _, count = points.shape
    weighted = irls[..., None, :] * points
    x, y, z = (weighted[..., c, :] for c in range(3))
    ray_x, ray_y, ray_z = (rays[..., None, c, :] for c in range(3))
    coupling = empty((*first, PAIR * n + 1, count), points)
    motion = coupling[..., :-1, :].reshape(*first, n, PAIR, count)  # the same memory
    xp.subtract(y * ray_z, z * ray_y, out=motion[..., 0, :])
    xp.subtract(z * ray_x, x * ray_z, out=motion[..., 1, :])
    xp.subtract(x * ray_y, y * ray_x, out=motion[..., 2, :])
    xp.multiply(irls[..., None, :], rays[..., None, :, :], out=motion[..., 3:6, :])
    xp.multiply(irls * along, ray_ray[..., None, :], out=motion[..., 6, :])
    xp.multiply(irls.sum(-2), (sideways * rays[..., :2, :]).sum(-2), out=coupling[..., -1, :])
    return coupling


def _along(coupling: Array, irls: Array, ahead: Array, ray_ray: Array, focal: Array) -> tuple[np.ndarray, np.ndarray]:
    """What distances along the rays are in the matrix and right side of `_unreduced`.

    coupling: of `_coupling`; ahead (n,N): depths less those of the points; focal (N,): derivative by the log focal,
    along the ray.
    """
    xp = module(coupling)
    *first, n, count = irls.shape
    motion = coupling[..., :-1, :].reshape(*first, n, PAIR, count)
    weighted = irls / irls.clip(1e-20) ** 2  # reciprocal; 0 where it does not count
    by = empty((*first, n, PAIR + 2, count), coupling)
    xp.multiply(motion, (weighted / ray_ray[..., None, :])[..., None, :], out=by[..., :PAIR, :])
    by[..., PAIR, :], by[..., PAIR + 1, :] = (focal / ray_ray)[..., None, :], ahead
    sums = on_host(motion @ xp.swapaxes(by, -1, -2))
    corner = total(irls.sum(-2) * focal**2 / ray_ray, (-1,))
    corner_right = total(irls * ahead * focal[..., None, :], (-2, -1))
    return _assembled(sums[..., : PAIR + 1], sums[..., PAIR + 1], corner, corner_right)


def _unreduced(points: Array, irls: Array, depth: Array, rays: Array, sideways: Array) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (7n+1, 7n+1) and right side (7n+1,) float64 with the depths held; arguments as in `_reduced`."""
    xp = module(points)
    *first, n, _, count = points.shape
    # sums over pixels of irls * (1, x, y, z) * (1, x, y, z, sideways, residual): all that the blocks consist of
    basis = empty((*first, n, 9, count), points)
    basis[..., 0, :], basis[..., 1:4, :], basis[..., 4:6, :] = 1, points, sideways[..., None, :, :]
    xp.subtract((depth[..., None, :] * rays)[..., None, :, :], points, out=basis[..., 6:, :])
    sums = on_host((basis[..., :4, :] * irls[..., None, :]) @ xp.swapaxes(basis, -1, -2))
    corner = total(irls.sum(-2) * (sideways**2).sum(-2), (-1,))
    corner_right = total(irls[..., None, :] * sideways[..., None, :, :] * basis[..., 6:8, :], (-3, -2, -1))
    return _assembled(*_blocks(sums), corner, corner_right)


def _assembled(
    blocks: np.ndarray, rights: np.ndarray, corner: np.ndarray, corner_right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (7n+1, 7n+1) and right side (7n+1,) of blocks (n,7,8) by motion x (motion, log focal) and right sides
    (n,7); corner, corner_right: entries of the log focal.
    """
    *first, n, _, _ = blocks.shape
    size = PAIR * n
    matrix, right = np.zeros((*first, size + 1, size + 1)), np.empty((*first, size + 1))
    for k in range(n):
        rows = slice(PAIR * k, PAIR * k + PAIR)
        matrix[..., rows, rows] = blocks[..., k, :, :PAIR]
    matrix[..., -1, :-1] = matrix[..., :-1, -1] = blocks[..., PAIR].reshape(*first, size)
    matrix[..., -1, -1], right[..., :-1], right[..., -1] = corner, rights.reshape(*first, size), corner_right
    return matrix, right


def _blocks(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks (n,7,8) by motion x (motion, log focal) and right sides (n,7) from the sums (n,4,9).

    The derivative of a point q by a motion is (w x q, t, l q), and by the log focal the ray moves by -sideways.
    """
    first = sums.shape[:-2]
    weight, once = sums[..., 0, 0], sums[..., 0, 1:4]
    second, sideways, residual = sums[..., 1:, 1:4], sums[..., 1:, 4:6], sums[..., 1:, 6:]
    square, cross = np.trace(second, axis1=-2, axis2=-1), skew(once)
    blocks = np.zeros((*first, 7, 8))
    blocks[..., :3, :3] = square[..., None, None] * np.eye(3) - second
    blocks[..., :3, 3:6], blocks[..., 3:6, :3] = cross, -cross
    blocks[..., 3:6, 3:6] = weight[..., None, None] * np.eye(3)
    blocks[..., 3:6, 6] = blocks[..., 6, 3:6] = once
    blocks[..., 6, 6] = square
    blocks[..., 0, 7], blocks[..., 1, 7] = -sideways[..., 2, 1], sideways[..., 2, 0]
    blocks[..., 2, 7] = sideways[..., 0, 1] - sideways[..., 1, 0]
    blocks[..., 3:5, 7] = sums[..., 0, 4:6]
    blocks[..., 6, 7] = sideways[..., 0, 0] + sideways[..., 1, 1]
    rights = np.zeros((*first, 7))
    rights[..., 0] = residual[..., 1, 2] - residual[..., 2, 1]
    rights[..., 1] = residual[..., 2, 0] - residual[..., 0, 2]
    rights[..., 2] = residual[..., 0, 1] - residual[..., 1, 0]
    rights[..., 3:6] = sums[..., 0, 6:]
    rights[..., 6] = np.trace(residual, axis1=-2, axis2=-1)
    return blocks, rights
