"""Cameras, pair similarities and focal: Gauss-Newton on the re-weighted objective, with the depths eliminated.

The objective is a sum of weighted distances |d r - Q X| over the views of all frames: d the depth of a pixel, r its
ray, Q = cam2world^-1 similarity what takes the pair's points into the frame's camera. With weights w / distance
(iteratively re-weighted least squares) it is quadratic to first order; every pixel's depth is eliminated by hand, which
leaves 7 unknowns per pair, 6 per frame and the focal. Ordered along the clip the system is banded, so cost and memory
grow linearly with the frames and no windows are needed.

Unknowns: per pair a small motion of its points seen from its first camera, per frame a small motion of the camera in
its own frame (`similarity` describes small motions), the relative change of the focal. The first frame of the part is
held, and the mean log scale of the pairs is constrained.
"""

import numpy as np
from scipy.linalg import solveh_banded
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from ..camera import invert
from .similarity import carry, from_motion, skew

ROUNDS = 14  # at most; usually eight
COARSE_ROUNDS = 4  # usual number of rounds that look at every fourth sample only
CONVERGED = 3e-4  # largest change of a rotation (radians) or of a log scale at which to stop
NEAR = 1e-4  # distances are cut here, in units of the median depth, so that exact predictions do not divide by zero


def refine(
    state,
    samples,
    weights,
    views,
    frames,
    ends,
    pixels,
    pool,
    fix_focal=False,
    fix_cameras=False,
    coarse=COARSE_ROUNDS,
    rounds=ROUNDS,
    report=None,
    flow=None,
):
    """Improve `state` (initial.State) in place for one connected part; arguments as of `initial.start`.

    pool: from `threads.workers`. fix_focal, fix_cameras: leave them as they are.
    coarse: that many of at most `rounds` rounds look at every fourth sample only. `report(k)` is called before round k.
    flow: a `FlowTerm` or None; it takes part after the coarse rounds.
    """
    layout = _Layout(views, frames, ends)
    damping, before, last = 1e-9, np.inf, state.copy()
    for k in range(rounds):
        if report is not None:
            report(k)
        thin = slice(None, None, 4) if k < coarse else slice(None)
        if k == coarse:
            before = np.inf  # another set of pixels: values cannot be compared
        system, value = _linearise(state, samples, weights, views, layout, ends, pixels, thin, pool)
        if flow is not None and k >= coarse:
            value += flow.add(system, layout, state, weights, pixels)
        if not np.isfinite(value) or value > 1.02 * before:
            state.__dict__.update(last.__dict__)  # the step was too long: go back and take a shorter one
            damping, before = max(damping * 1e5, 1e-4), np.inf
            continue
        last, before, damping = state.copy(), value, max(damping / 10, 1e-9)
        try:
            solved = system.solve(layout, damping, fix_focal, fix_cameras)
        except np.linalg.LinAlgError:  # nothing holds some of the unknowns: rounding made the matrix indefinite
            damping = max(damping * 1e5, 1e-4)
            continue
        change = _apply(state, layout, ends, solved)
        if change < CONVERGED and k > min(coarse, COARSE_ROUNDS):
            break
    if not all(np.isfinite(a).all() for a in (state.cam2world, state.similarity, state.focal)):
        state.__dict__.update(last.__dict__)


class _Layout:
    """Where the unknowns of frames and pairs lie in the banded system."""

    def __init__(self, views, frames, ends):
        self.frames, self.views = frames, views
        self.used = np.array(sorted({e for v in frames for e, _ in views[v]}))
        position = {v: k for k, v in enumerate(frames)}
        links = np.array([(position[ends[e][0]], position[ends[e][1]]) for e in self.used])
        graph = coo_matrix((np.ones(len(links)), links.T), shape=(len(frames),) * 2)
        order = reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True)
        rank = np.empty(len(frames), int)
        rank[order] = np.arange(len(frames))
        by_rank = [[] for _ in frames]
        for e, (a, b) in zip(self.used, links):
            by_rank[(rank[a] + rank[b]) // 2].append(e)
        self.frame_at, self.pair_at, self.size = {}, {}, 0
        for k in range(len(frames)):
            self.frame_at[frames[order[k]]] = self.size
            self.size += 6
            for e in by_rank[k]:
                self.pair_at[e] = self.size
                self.size += 7
        self.scales = np.array([self.pair_at[e] + 6 for e in self.used])
        self.band = 0
        self.columns = {v: self._columns(v, ends) for v in frames}

    def _columns(self, v, ends):
        """Unknowns that the views of frame v depend on: indices (n,), and where frame u's start among them {u: k}."""
        pairs = sorted({e for e, _ in self.views[v]})
        others = sorted({v} | {ends[e][0] for e in pairs})
        blocks = [self.pair_at[e] + np.arange(7) for e in pairs] + [self.frame_at[u] + np.arange(6) for u in others]
        index = np.concatenate(blocks)
        self.band = max(self.band, int(np.ptp(index)))
        return index, {e: 7 * k for k, e in enumerate(pairs)}, {u: 7 * len(pairs) + 6 * k for k, u in enumerate(others)}


class _System:
    """Normal equations: banded part in LAPACK's lower form, and the focal's column."""

    def __init__(self, layout):
        self.band = np.zeros((layout.band + 1, layout.size))
        self.right = np.zeros(layout.size)
        self.focal = np.zeros(layout.size)
        self.focal_focal, self.focal_right = 0.0, 0.0

    def add(self, index, matrix, right):
        """`matrix`, `right` in the unknowns `index` followed by the focal."""
        row, column = np.meshgrid(index, index, indexing="ij")
        lower = row >= column
        np.add.at(self.band, (row[lower] - column[lower], column[lower]), matrix[:-1, :-1][lower])
        self.right[index] += right[:-1]
        self.focal[index] += matrix[:-1, -1]
        self.focal_focal += matrix[-1, -1]
        self.focal_right += right[-1]

    def solve(self, layout, damping, fix_focal, fix_cameras):
        """Changes of all unknowns, the focal last; log scales of the pairs sum to zero, the first frame stays."""
        held = layout.frames if fix_cameras else layout.frames[:1]
        diagonal = self.band[0]
        self.band[0] = diagonal * (1 + damping) + 1e-10 * diagonal.max()
        hold = 1e8 * diagonal.max()
        for v in held:
            self.band[0, layout.frame_at[v] + np.arange(6)] += hold
        sum_scales = np.zeros(layout.size)
        sum_scales[layout.scales] = 1
        border = [sum_scales] if fix_focal else [sum_scales, self.focal]
        sides = np.stack([self.right, *border], 1)
        solved = solveh_banded(self.band, sides, lower=True, overwrite_ab=True, check_finite=False)
        free, border = solved[:, 0], np.stack(border)
        corner, wanted = border @ solved[:, 1:], border @ free
        if not fix_focal:
            corner[1, 1] -= self.focal_focal * (1 + damping)
            wanted[1] -= self.focal_right
        factor = np.linalg.lstsq(corner, wanted, rcond=1e-14)[0]
        return np.append(free - solved[:, 1:] @ factor, 0.0 if fix_focal else factor[1])


def _linearise(state, samples, weights, views, layout, ends, pixels, thin, pool):
    """The normal equations at `state` and the value of the weighted objective; the depths in `state` are improved."""
    system, value = _System(layout), 0.0
    world2cam = invert(state.cam2world)

    def one(v):
        pairs = [e for e, _ in views[v]]
        rays = np.concatenate([pixels[v] / state.focal, np.ones((pixels.shape[1], 1))], 1).T[:, thin].astype(np.float32)
        near = NEAR * float(np.median(state.depth[v]))
        placed = (world2cam[v] @ state.similarity[pairs]).astype(np.float32)
        points = placed[:, :3, :3] @ samples[v][..., thin].astype(np.float32) + placed[:, :3, 3:]
        depth = state.depth[v][thin]
        matrix, right, depth[:], part = _frame_equations(points, weights[v][:, thin], depth, rays, near)
        chain = _chain(v, views[v], layout, ends, world2cam[v] @ state.cam2world)
        return v, chain.T @ matrix @ chain, chain.T @ right, part

    for v, matrix, right, part in pool.map(one, layout.frames):
        system.add(layout.columns[v][0], matrix, right)
        value += part
    return system, value


def _chain(v, views, layout, ends, relative):
    """Motions of the views of frame v, and the focal, by the system's unknowns; relative (T,4,4): cameras seen by v."""
    index, pair_at, frame_at = layout.columns[v]
    chain = np.zeros((7 * len(views) + 1, len(index) + 1))
    chain[-1, -1] = 1
    first = [ends[e][0] for e, _ in views]
    through = carry(relative[first])
    for k, (e, side) in enumerate(views):
        rows, pair, camera = slice(7 * k, 7 * k + 7), pair_at[e], frame_at[first[k]]
        if side == 0:
            chain[rows, pair : pair + 7] = np.eye(7)
        else:
            chain[rows, pair : pair + 7] = through[k]
            chain[rows, camera : camera + 6] += through[k][:, :6]
            chain[rows, frame_at[v] : frame_at[v] + 6] -= np.eye(7)[:, :6]
    return chain


def _frame_equations(points, weights, depth, rays, near):
    """Normal equations of one frame in the small motions of its views (7 n) and the focal, depths eliminated.

    points (n,3,N) in the frame's camera, weights (n,N), depth (N,), rays (3,N); float32. Returns matrix (7n+1, 7n+1)
    and right side (float64), the depths improved by two re-weighted means, and the value of the objective.
    """
    n, _, count = points.shape
    ray_ray = np.einsum("cp,cp->p", rays, rays)
    along = np.einsum("ncp,cp->np", points, rays) / ray_ray
    off = np.einsum("ncp,ncp->np", points, points) - along**2 * ray_ray  # squared distance from the ray
    off = np.maximum(off, 0) + np.float32(near**2)
    for _ in range(2):
        robust = weights / np.sqrt((depth - along) ** 2 * ray_ray + off)
        total = robust.sum(0)  # zero where all pixels move: their depth stays, or it would pull `near` to nothing
        mean = np.einsum("np,np->p", robust, along) / np.maximum(total, np.float32(1e-20))
        depth = np.where(total > 0, np.maximum(mean, np.float32(10 * near)), depth)
    distance = np.sqrt((depth - along) ** 2 * ray_ray + off)
    robust = weights / distance
    sideways = depth * rays[:2]  # derivative of `depth * rays` by the log focal, negated

    # sums over pixels of robust * (1, x, y, z) * (1, x, y, z, sideways, gap): all that the blocks of the views consist
    # of
    basis = np.empty((n, 9, count), np.float32)
    basis[:, 0], basis[:, 1:4], basis[:, 4:6], basis[:, 6:] = 1, points, sideways, depth * rays - points
    sums = ((basis[:, :4] * robust[:, None]) @ basis.transpose(0, 2, 1)).astype(np.float64)
    blocks, pulls = _blocks(sums)

    # coupling of the depths with (rotation, translation, log scale) of the views, and with the focal
    pull_z = robust[:, None] * points
    coupling = np.empty((7 * n + 1, count), np.float32)
    motion = coupling[:-1].reshape(n, 7, count)
    np.subtract(pull_z[:, 1] * rays[2], pull_z[:, 2] * rays[1], out=motion[:, 0])
    np.subtract(pull_z[:, 2] * rays[0], pull_z[:, 0] * rays[2], out=motion[:, 1])
    np.subtract(pull_z[:, 0] * rays[1], pull_z[:, 1] * rays[0], out=motion[:, 2])
    np.multiply(robust[:, None], rays, out=motion[:, 3:6])
    np.multiply(robust * along, ray_ray, out=motion[:, 6])
    total = robust.sum(0)
    np.multiply(total, (sideways * rays[:2]).sum(0), out=coupling[-1])
    depth_depth = np.maximum(total * ray_ray, np.float32(1e-20))
    depth_pull = (robust * (depth - along)).sum(0) * ray_ray
    scaled = coupling / np.sqrt(depth_depth)
    matrix = -(scaled @ scaled.T).astype(np.float64)
    right = -(coupling @ (depth_pull / depth_depth)).astype(np.float64)
    for k in range(n):
        rows = slice(7 * k, 7 * k + 7)
        matrix[rows, rows] += blocks[k, :, :7]
        matrix[rows, -1] += blocks[k, :, 7]
        matrix[-1, rows] += blocks[k, :, 7]
        right[rows] += pulls[k]
    matrix[-1, -1] += float((total * (sideways**2).sum(0)).sum(dtype=np.float64))
    right[-1] += float((robust[:, None] * sideways * basis[:, 6:8]).sum(dtype=np.float64))
    return matrix, right, depth, float((weights * distance).sum(dtype=np.float64))


def _blocks(sums):
    """Second derivatives (n,7,8) by motion x (motion, log focal) and right sides (n,7) from the sums (n,4,9).

    The derivative of a point q by a motion is (w x q, t, l q), and by the log focal the ray moves by -sideways.
    """
    n = len(sums)
    weight, first = sums[:, 0, 0], sums[:, 0, 1:4]
    second, sideways, gap = sums[:, 1:, 1:4], sums[:, 1:, 4:6], sums[:, 1:, 6:]
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
    pulls = np.zeros((n, 7))
    pulls[:, 0] = gap[:, 1, 2] - gap[:, 2, 1]
    pulls[:, 1] = gap[:, 2, 0] - gap[:, 0, 2]
    pulls[:, 2] = gap[:, 0, 1] - gap[:, 1, 0]
    pulls[:, 3:6] = sums[:, 0, 6:]
    pulls[:, 6] = np.trace(gap, axis1=1, axis2=2)
    return blocks, pulls


def _apply(state, layout, ends, change):
    """Move `state` by the solved changes; returns the largest change of a rotation or log scale."""
    camera = np.zeros((len(state.cam2world), 7))
    for v in layout.frames:
        camera[v, :6] = change[layout.frame_at[v] : layout.frame_at[v] + 6]
    pair = np.stack([change[layout.pair_at[e] : layout.pair_at[e] + 7] for e in layout.used])
    camera[:, :3], pair[:, :3], pair[:, 6] = (np.clip(a, -0.5, 0.5) for a in (camera[:, :3], pair[:, :3], pair[:, 6]))
    first = [ends[e][0] for e in layout.used]
    own = invert(state.cam2world[first]) @ state.similarity[layout.used]
    state.cam2world = state.cam2world @ from_motion(camera)
    state.similarity[layout.used] = state.cam2world[first] @ from_motion(pair) @ own
    state.focal *= float(np.exp(np.clip(change[-1], -0.2, 0.2)))
    return max(np.abs(camera[:, :3]).max(), np.abs(pair[:, :3]).max(), np.abs(pair[:, 6]).max())
