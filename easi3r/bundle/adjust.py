"""Bundle adjustment on optical flow: cameras, focal and the inverse depth of grid points, by Levenberg-Marquardt.

Unknowns: world2cam of every frame but the first, the focal that all share, and one inverse depth per grid point of each
frame. A point with ray r and inverse depth w in frame i is seen in frame j at the projection of R r + w t, with R, t
the relative pose; inverse depth lets a point be as far away as it likes, and a camera that only turns (t = 0) is
nothing special. The inverse depths are eliminated (Schur complement): each belongs to one point, so that only cameras
are left in the system (Triggs et al. 2000, Bundle Adjustment - A Modern Synthesis).
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import invert, skew
from .observations import Observations

LOOSE = 3.0  # standard deviations from which on an observation counts as an outlier (Cauchy loss)
NEAREST = 0.05  # a point must stay this far before the other camera, in units of its distance
# Scale of the inverse depths of all points about their median, 1, taken for granted (Cauchy): what little parallax
# leaves open does not run away. Where there is parallax it has no say.
SPREAD = 2.0
FOCAL_PRIOR = 0.2  # cost per observation of a focal that is e times that of the start
LONGEST = 3.0  # a step may change an inverse depth by this factor
DAMPING, LEAST_DAMPING, ATTEMPTS = 1e-3, 1e-7, 6
CONVERGED = 1e-4  # relative gain of a round at which to stop
ROUNDS = 40
PIXELS, SHARE = 2.0, 0.1  # of `explained`: what a viewer forgives


@dataclass(frozen=True)
class State:
    """World2cam poses (T,4,4), inverse z depths (T,N) of the grid points, and the focal in pixels."""

    world2cam: np.ndarray
    inverse: np.ndarray
    focal: float

    @property
    def cam2world(self) -> np.ndarray:
        """(T,4,4), the first one the identity."""
        cam2world = self.world2cam[0] @ invert(self.world2cam)
        cam2world[0] = np.eye(4)
        return cam2world


@dataclass(frozen=True)
class Adjusted:
    """A `State` and how well it explains what was seen."""

    state: State
    cost: float  # mean robust cost of an observation, 1 is about one standard deviation


def adjust(
    seen: Observations,
    start: State,
    pool: Executor,
    *,
    focal_known: bool = False,
    turns_only: bool = False,
    loose: float = LOOSE,
    rounds: int = ROUNDS,
    report: Callable[[float], None] = lambda fraction: None,
) -> Adjusted:
    """The nearest minimum from `start` on.

    focal_known: leave the focal as it is. turns_only: only the rotations (and the focal) change, translations are 0.
    report(fraction) is called before each round and may raise to cancel.
    """
    state, damping = _scaled(start), DAMPING
    if turns_only:
        state = replace(state, world2cam=_without_translation(state.world2cam))
    frames = range(len(seen.points))
    prior = FOCAL_PRIOR * seen.count

    def cost_of(state: State) -> float:
        total = sum(pool.map(lambda i: _cost(seen, state, i, loose), frames))
        total += 0 if turns_only else float(np.log1p(((state.inverse - 1) / SPREAD) ** 2).sum())
        return (total + prior * np.log(state.focal / start.focal) ** 2) / max(seen.count, 1)

    cost = cost_of(state)
    for k in range(rounds):
        report(k / rounds)
        parts = list(pool.map(lambda i: _equations(seen, state, i, loose), frames))  # noqa: B023  # used in this round
        system = _System(parts, state, prior, start.focal, focal_known, turns_only)
        for _ in range(ATTEMPTS):
            moved = _scaled(system.step(damping))
            cost_then = cost_of(moved)
            if cost_then < cost:
                break
            damping = max(damping * 10, 1e-5)
        else:
            break
        gain, cost, state = 1 - cost_then / cost, cost_then, moved
        damping = max(damping / 5, LEAST_DAMPING)
        if gain < CONVERGED:
            break
    return Adjusted(state, cost)


def project(state: State, points: np.ndarray, inverse: np.ndarray, i: int, others: np.ndarray) -> tuple:
    """Where points (N,2) of frame i with inverse depths (N,) are in `others` (n,): pixels (n,N,2) from the centre, z
    (n,N) in units of their distance, and the relative poses (n,4,4).
    """
    relative = state.world2cam[others] @ invert(state.world2cam[i])
    rays = np.column_stack([points / state.focal, np.ones(len(points))])
    x = rays @ relative[:, :3, :3].transpose(0, 2, 1) + inverse[:, None] * relative[:, None, :3, 3]
    z = np.maximum(x[..., 2], NEAREST)
    return state.focal * x[..., :2] / z[..., None], x[..., 2], relative


def prior_weight(inverse: np.ndarray) -> np.ndarray:
    """Weight with which inverse depths (...) are drawn to 1, see `SPREAD`."""
    return 1 / (SPREAD**2 + (inverse - 1) ** 2)


def explained(seen: Observations, state: State) -> float:
    """Share of what was followed that goes where the state says, within `PIXELS` or `SHARE` of the way."""
    good = 0
    for i, others in enumerate(seen.others):
        pixels, z, _ = project(state, seen.points[i], state.inverse[i], i, others)
        error, way = (np.linalg.norm(seen.targets[i] - x, axis=-1) for x in (pixels, seen.points[i]))
        good += int((np.isfinite(seen.spread[i]) & (z > NEAREST) & (error < np.maximum(PIXELS, SHARE * way))).sum())
    return good / max(seen.count, 1)


def _cost(seen, state, i, loose):
    pixels, _, _ = project(state, seen.points[i], state.inverse[i], i, seen.others[i])
    square = ((pixels - seen.targets[i]) ** 2).sum(-1) / seen.spread[i] ** 2
    return float((loose**2 * np.log1p(square / loose**2)).sum())


@dataclass(frozen=True)
class _Part:
    """Normal equations of what is seen from one frame: unknowns are poses, focal (last) and its inverse depths."""

    index: np.ndarray  # (k,) unknowns that occur
    matrix: np.ndarray  # (k,k)
    right: np.ndarray  # (k,)
    mixed: np.ndarray  # (N,k)
    own: np.ndarray  # (N,) of the inverse depths
    own_right: np.ndarray  # (N,)


def _equations(seen, state, i, loose):
    others, targets = seen.others[i], seen.targets[i]
    points, inverse, focal = seen.points[i], state.inverse[i], state.focal
    pixels, z, relative = project(state, points, inverse, i, others)
    error = targets - pixels
    square = (error**2).sum(-1) / seen.spread[i] ** 2
    weight = (z > NEAREST) / (1 + square / loose**2) / seen.spread[i] ** 2  # (n,N); 0 where not seen
    z = np.maximum(z, NEAREST)
    a, b = pixels[..., 0] / focal, pixels[..., 1] / focal
    none, near = np.zeros_like(a), focal * inverse / z
    # derivative of the projection by a small motion (rotation, translation) of camera j, and by the focal
    turned = points / focal @ relative[:, :3, :2].transpose(0, 2, 1)  # of the ray, the part that has the focal in it
    by_u = [-a * b * focal, (1 + a * a) * focal, -b * focal, near, none, -near * a]
    by_v = [-(1 + b * b) * focal, a * b * focal, a * focal, none, near, -near * b]
    by_u.append(a - (turned[..., 0] - a * turned[..., 2]) / z)
    by_v.append(b - (turned[..., 1] - b * turned[..., 2]) / z)
    jacobian = np.stack([np.stack(by_u, -1), np.stack(by_v, -1)], axis=2)  # (n,N,2,7)
    shift = relative[:, None, :3, 3]
    by_depth = focal / z[..., None] * (shift[..., :2] - np.stack([a, b], -1) * shift[..., 2:])  # (n,N,2)
    weighted = jacobian * weight[..., None, None]
    flat, flat_weighted = (m.reshape(len(others), 2 * len(points), 7) for m in (jacobian, weighted))
    matrices = flat_weighted.transpose(0, 2, 1) @ flat
    rights = (flat_weighted.transpose(0, 2, 1) @ error.reshape(len(others), 2 * len(points), 1))[..., 0]
    mixed = (weighted * by_depth[..., None]).sum(2)  # (n,N,7)
    own = (weight * (by_depth**2).sum(-1)).sum(0)
    own_right = (weight * (by_depth * error).sum(-1)).sum(0)
    return _placed(i, others, relative, len(state.world2cam), matrices, rights, mixed, own, own_right)


def _placed(i, others, relative, n_frames, matrices, rights, mixed, own, own_right):
    """The `_Part` in the motions of the cameras themselves: that of camera i acts on j by minus the adjoint."""
    count, unknowns = len(others), np.append(i, others)
    rotation, shift = relative[:, :3, :3], relative[:, :3, 3]
    carry = np.zeros((count, 7, 13))  # motions of i and j, and the focal -> relative motion and the focal
    carry[:, :3, :3] = carry[:, 3:6, 3:6] = -rotation
    carry[:, 3:6, :3] = -skew(shift) @ rotation
    carry[:, :6, 6:12], carry[:, 6, 12] = np.eye(6), 1
    back = carry.transpose(0, 2, 1)
    each, pull, mixes = back @ matrices @ carry, (back @ rights[..., None])[..., 0], mixed @ carry
    size = 6 * (count + 1) + 1
    matrix, right, mixing = np.zeros((size, size)), np.zeros(size), np.zeros((len(own), size))
    blocks = np.zeros((count + 1, 6, count + 1, 6))  # first the motion of i, then those of the others
    blocks[0, :, 0] = each[:, :6, :6].sum(0)
    blocks[0, :, 1:] = each[:, :6, 6:12].transpose(1, 0, 2)
    blocks[1:, :, 0] = each[:, 6:12, :6]
    blocks[range(1, count + 1), :, range(1, count + 1)] = each[:, 6:12, 6:12]
    matrix[:-1, :-1] = blocks.reshape(size - 1, size - 1)
    for line in (matrix[:-1, -1], matrix[-1, :-1]):
        line[:6], line[6:] = each[:, :6, 12].sum(0), each[:, 6:12, 12].ravel()
    matrix[-1, -1] = each[:, 12, 12].sum()
    right[:6], right[6:-1], right[-1] = pull[:, :6].sum(0), pull[:, 6:12].ravel(), pull[:, 12].sum()
    mixing[:, :6], mixing[:, -1] = mixes[..., :6].sum(0), mixes[..., 12].sum(0)
    mixing[:, 6:-1] = mixes[..., 6:12].transpose(1, 0, 2).reshape(len(own), -1)
    index = np.append((6 * unknowns[:, None] + np.arange(6)).ravel(), 6 * n_frames)
    return _Part(index, matrix, right, mixing, own, own_right)


class _System:
    """The equations of all frames, ready to be solved with several dampings."""

    def __init__(self, parts, state, prior, usual_focal, focal_known, turns_only):
        self._parts, self._state, self._turns_only = parts, state, turns_only
        size = 6 * len(state.world2cam) + 1
        self._matrix, self._right = np.zeros((size, size)), np.zeros(size)
        for part in parts:
            self._matrix[np.ix_(part.index, part.index)] += part.matrix
            self._right[part.index] += part.right
        self._matrix[-1, -1] += prior / state.focal**2
        self._right[-1] -= prior * np.log(state.focal / usual_focal) / state.focal
        self._free = np.arange(6, size - bool(focal_known))
        if turns_only:
            self._free = self._free[(self._free % 6 < 3) | (self._free == size - 1)]

    def step(self, damping):
        """The state after a step."""
        matrix, right, state = self._matrix.copy(), self._right.copy(), self._state
        matrix[np.diag_indices_from(matrix)] += damping * np.diag(self._matrix) + 1e-9
        pulls = []
        for i, part in enumerate(self._parts):
            usual = prior_weight(state.inverse[i])
            own = part.own * (1 + damping) + usual
            pull = part.own_right + (1 - state.inverse[i]) * usual
            pulls.append((own, pull))
            if not self._turns_only:
                over = part.mixed / own[:, None]
                matrix[np.ix_(part.index, part.index)] -= over.T @ part.mixed
                right[part.index] -= over.T @ pull
        x = np.zeros(len(right))
        x[self._free] = np.linalg.solve(matrix[np.ix_(self._free, self._free)], right[self._free])
        world2cam = _moved(state.world2cam, x[:-1].reshape(-1, 6))
        focal = float(state.focal * np.exp(np.clip(x[-1] / state.focal, -0.2, 0.2)))
        if self._turns_only:
            return replace(state, world2cam=world2cam, focal=focal)
        inverse = np.stack(
            [
                state.inverse[i] + (pull - part.mixed @ x[part.index]) / own
                for i, (part, (own, pull)) in enumerate(zip(self._parts, pulls))
            ]
        )
        least, most = state.inverse / LONGEST, state.inverse * LONGEST
        return State(world2cam, np.clip(inverse, least, most), focal)


def _moved(world2cam, motions):
    """Poses (T,4,4) after small motions (T,6) of their cameras, rotation before translation."""
    moved, turn = world2cam.copy(), Rotation.from_rotvec(motions[:, :3]).as_matrix()
    moved[:, :3, :3] = turn @ world2cam[:, :3, :3]
    moved[:, :3, 3] = (turn @ world2cam[:, :3, 3:])[..., 0] + motions[:, 3:]
    return moved


def _scaled(state):
    """The state with median inverse depth 1, which nothing observed fixes."""
    scale, world2cam = float(np.median(state.inverse)), state.world2cam.copy()
    world2cam[:, :3, 3] *= scale
    return State(world2cam, np.maximum(state.inverse / scale, 1e-4), state.focal)


def _without_translation(world2cam):
    turning = world2cam.copy()
    turning[:, :3, 3] = 0
    return turning
