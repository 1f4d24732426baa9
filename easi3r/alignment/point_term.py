"""The point term: distances between the pixels' points and the pairs' point maps, with the depths eliminated.

The residual of pixel p of frame v in a view is d r - Q X: d the depth of the pixel, r its ray, Q = cam2world^-1
similarity what takes the pair's point X into the camera of the frame. README.md derives the equations.
"""

import numpy as np

from ..camera import invert, skew
from .problem import Problem, State
from .similarity import adjoint
from .store import View
from .unknowns import FRAME, PAIR, Columns

NEAR = 1e-4  # distances are softened by this, in units of the median depth: exact predictions do not divide by zero
DEPTH_ROUNDS = 2  # IRLS steps of the depths per linearisation; the next one goes on from there


def frame_equations(
    problem: Problem, state: State, v: int, every: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """What frame v adds to the normal equations, from every so many of its samples.

    Returns matrix (n+1,n+1) and right side (n+1,) in `problem.unknowns.columns[v].index` and the log focal, last; the
    depths (N',) float32 of these samples after `DEPTH_ROUNDS`; and the sum of weighted distances.
    """
    thin = slice(None, None, every)
    rays = problem.rays(v, state.focal).T[:, thin].astype(np.float32)
    near = NEAR * float(np.median(state.depth[v]))
    world2cam = invert(state.cam2world[v])
    placed = (world2cam @ state.similarity[[e for e, _ in problem.views[v]]]).astype(np.float32)
    points = placed[:, :3, :3] @ problem.samples[v][..., thin].astype(np.float32) + placed[:, :3, 3:]
    weights, depth = problem.weights[v][:, thin], state.depth[v][thin]
    matrix, right, depth, value = _reduced(points, weights, depth, rays, near, problem.along**2)
    first = [problem.ends[e][0] for e, _ in problem.views[v]]
    chain = _chain(problem.views[v], problem.unknowns.columns[v], world2cam @ state.cam2world[first])
    return chain.T @ matrix @ chain, chain.T @ right, depth, value


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
    points: np.ndarray, weights: np.ndarray, depth: np.ndarray, rays: np.ndarray, near: float, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Normal equations of one frame in the motions of its n views and the log focal: Schur complement of the depths.

    points (n,3,N) in the frame's camera, weights (n,N), depth (N,), rays (3,N); float32; share: of the squared
    distances along the rays that counts. Returns matrix (7n+1, 7n+1)
    and right side (7n+1,) float64, the depths improved, and the sum of weighted distances.
    """
    ray_ray = np.einsum("cp,cp->p", rays, rays)
    along = np.einsum("ncp,cp->np", points, rays) / ray_ray  # depth at which the ray passes closest
    off = np.einsum("ncp,ncp->np", points, points) - along**2 * ray_ray  # squared distance from the ray
    off = np.maximum(off, 0) + np.float32(near**2)
    lengths = np.float32(share) * ray_ray
    for _ in range(DEPTH_ROUNDS):
        irls = weights / np.sqrt((depth - along) ** 2 * lengths + off)
        total = irls.sum(0)  # zero where all pixels move: their depth stays, or it would pull `near` to nothing
        mean = np.einsum("np,np->p", irls, along) / np.maximum(total, np.float32(1e-20))
        depth = np.where(total > 0, np.maximum(mean, np.float32(10 * near)), depth)
    distance = np.sqrt((depth - along) ** 2 * lengths + off)
    irls = weights / distance
    sideways = depth * rays[:2]  # derivative of `depth * rays` by the log focal, negated

    matrix, right = _unreduced(points, irls, depth, rays, sideways)
    coupling = _coupling(points, irls, along, rays, ray_ray, sideways)
    if share < 1:
        less_matrix, less_right = _along(coupling, irls, depth - along, ray_ray, (sideways * rays[:2]).sum(0))
        matrix -= (1 - share) * less_matrix
        right -= (1 - share) * less_right
    total = irls.sum(0)
    depth_depth = np.maximum(total * ray_ray, np.float32(1e-20))  # this, its right side and the coupling: times `share`
    depth_right = (irls * (depth - along)).sum(0) * ray_ray
    scaled = coupling / np.sqrt(depth_depth)
    matrix -= share * (scaled @ scaled.T).astype(np.float64)
    right -= share * (coupling @ (depth_right / depth_depth)).astype(np.float64)
    return matrix, right, depth, float((weights * distance).sum(dtype=np.float64))


def _coupling(
    points: np.ndarray, irls: np.ndarray, along: np.ndarray, rays: np.ndarray, ray_ray: np.ndarray, sideways: np.ndarray
) -> np.ndarray:
    """Off-diagonal block (7n+1, N) float32: motions of the views and the log focal, by the depths."""
    n, _, count = points.shape
    weighted = irls[:, None] * points
    coupling = np.empty((PAIR * n + 1, count), np.float32)
    motion = coupling[:-1].reshape(n, PAIR, count)
    np.subtract(weighted[:, 1] * rays[2], weighted[:, 2] * rays[1], out=motion[:, 0])
    np.subtract(weighted[:, 2] * rays[0], weighted[:, 0] * rays[2], out=motion[:, 1])
    np.subtract(weighted[:, 0] * rays[1], weighted[:, 1] * rays[0], out=motion[:, 2])
    np.multiply(irls[:, None], rays, out=motion[:, 3:6])
    np.multiply(irls * along, ray_ray, out=motion[:, 6])
    np.multiply(irls.sum(0), (sideways * rays[:2]).sum(0), out=coupling[-1])
    return coupling


def _along(
    coupling: np.ndarray, irls: np.ndarray, ahead: np.ndarray, ray_ray: np.ndarray, focal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What distances along the rays are in the matrix and right side of `_unreduced`.

    coupling: of `_coupling`; ahead (n,N): depths less those of the points; focal (N,): derivative by the log focal,
    along the ray.
    """
    n, count = irls.shape
    motion = coupling[:-1].reshape(n, PAIR, count)
    weighted = irls / np.maximum(irls, np.float32(1e-20)) ** 2  # reciprocal; 0 where it does not count
    by = np.empty((n, PAIR + 2, count), np.float32)
    np.multiply(motion, (weighted / ray_ray)[:, None], out=by[:, :PAIR])
    by[:, PAIR], by[:, PAIR + 1] = focal / ray_ray, ahead
    sums = (motion @ by.transpose(0, 2, 1)).astype(np.float64)
    matrix, right = np.zeros((PAIR * n + 1, PAIR * n + 1)), np.zeros(PAIR * n + 1)
    for k in range(n):
        rows = slice(PAIR * k, PAIR * k + PAIR)
        matrix[rows, rows] = sums[k, :, :PAIR]
        matrix[rows, -1] = matrix[-1, rows] = sums[k, :, PAIR]
        right[rows] = sums[k, :, PAIR + 1]
    matrix[-1, -1] = float((irls.sum(0) * focal**2 / ray_ray).sum(dtype=np.float64))
    right[-1] = float((irls * ahead * focal).sum(dtype=np.float64))
    return matrix, right


def _unreduced(
    points: np.ndarray, irls: np.ndarray, depth: np.ndarray, rays: np.ndarray, sideways: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (7n+1, 7n+1) and right side (7n+1,) float64 with the depths held; arguments as in `_reduced`."""
    n, _, count = points.shape
    # sums over pixels of irls * (1, x, y, z) * (1, x, y, z, sideways, residual): all that the blocks consist of
    basis = np.empty((n, 9, count), np.float32)
    basis[:, 0], basis[:, 1:4], basis[:, 4:6], basis[:, 6:] = 1, points, sideways, depth * rays - points
    sums = ((basis[:, :4] * irls[:, None]) @ basis.transpose(0, 2, 1)).astype(np.float64)
    blocks, rights = _blocks(sums)
    matrix, right = np.zeros((PAIR * n + 1, PAIR * n + 1)), np.zeros(PAIR * n + 1)
    for k in range(n):
        rows = slice(PAIR * k, PAIR * k + PAIR)
        matrix[rows, rows] = blocks[k, :, :PAIR]
        matrix[rows, -1] = matrix[-1, rows] = blocks[k, :, PAIR]
        right[rows] = rights[k]
    matrix[-1, -1] = float((irls.sum(0) * (sideways**2).sum(0)).sum(dtype=np.float64))
    right[-1] = float((irls[:, None] * sideways * basis[:, 6:8]).sum(dtype=np.float64))
    return matrix, right


def _blocks(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks (n,7,8) by motion x (motion, log focal) and right sides (n,7) from the sums (n,4,9).

    The derivative of a point q by a motion is (w x q, t, l q), and by the log focal the ray moves by -sideways.
    """
    n = len(sums)
    weight, first = sums[:, 0, 0], sums[:, 0, 1:4]
    second, sideways, residual = sums[:, 1:, 1:4], sums[:, 1:, 4:6], sums[:, 1:, 6:]
    square = np.trace(second, axis1=1, axis2=2)
    blocks = np.zeros((n, 7, 8))
    blocks[:, :3, :3] = square[:, None, None] * np.eye(3) - second
    blocks[:, :3, 3:6] = skew(first)
    blocks[:, 3:6, :3] = -skew(first)
    blocks[:, 3:6, 3:6] = weight[:, None, None] * np.eye(3)
    blocks[:, 3:6, 6] = blocks[:, 6, 3:6] = first
    blocks[:, 6, 6] = square
    blocks[:, 0, 7], blocks[:, 1, 7] = -sideways[:, 2, 1], sideways[:, 2, 0]
    blocks[:, 2, 7] = sideways[:, 0, 1] - sideways[:, 1, 0]
    blocks[:, 3:5, 7] = sums[:, 0, 4:6]
    blocks[:, 6, 7] = sideways[:, 0, 0] + sideways[:, 1, 1]
    rights = np.zeros((n, 7))
    rights[:, 0] = residual[:, 1, 2] - residual[:, 2, 1]
    rights[:, 1] = residual[:, 2, 0] - residual[:, 0, 2]
    rights[:, 2] = residual[:, 0, 1] - residual[:, 1, 0]
    rights[:, 3:6] = sums[:, 0, 6:]
    rights[:, 6] = np.trace(residual, axis1=1, axis2=2)
    return blocks, rights
