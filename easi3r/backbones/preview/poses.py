"""Relative poses of many frame pairs at once, from rays to what stands still; X_j = R X_i + t, |t| = 1.

Each is of the least robust Sampson error, found by Levenberg-Marquardt. With arrays over all pairs a clip's focal takes
.3 to .5 s, and 1.7 s where much seems to lie behind the camera; SciPy's least squares, one after the other, took 1.4 to
3 and 6 s for the same.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ...camera import skew
from ...threads import in_order
from .rays import PerPair, Rays, columns, epipolar, parallax, parallax_slope, products, slopes_of

NOISE = 0.3  # pixels, flow error taken for granted
BEHIND, BEHIND_SHARE = 1.0, 0.1  # parallax in pixels on the wrong side, and the share of matches, that are put up with
_SCALE = 2.0  # of the Cauchy loss, in units of `NOISE`
_ROUNDS = 30  # of Levenberg-Marquardt at most; most pairs take 6
_ENOUGH = 1e-5  # relative gain of a round below which a fit has ended
_LEAST, _MOST = 1e-9, 1e6  # damping, share of the curvature


@dataclass(frozen=True)
class Poses(PerPair):
    """Of B pairs."""

    rotation: np.ndarray  # (B,3,3)
    translation: np.ndarray  # (B,3)
    cost: np.ndarray  # (B,) mean robust error, in units of `NOISE` squared


def fit_rotations(rays: Rays, focals: np.ndarray) -> np.ndarray:
    """Robust rotations (B,3,3) with b ~ R a, by re-weighted Kabsch."""
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (rays.a, rays.b))
    weight, there = rays.weight, rays.weight > 0
    for _ in range(10):
        left, _, right = np.linalg.svd((b * weight[..., None]).swapaxes(1, 2) @ a)
        left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
        rotation = left @ right
        error = np.linalg.norm(a @ rotation.swapaxes(1, 2) - b, axis=-1) * focals[:, None]
        usual = np.maximum(NOISE, _median(error, there))
        weight = rays.weight / (1 + (error / usual[:, None]) ** 2)
    return rotation


def mean_cost(pixels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean robust cost (B,) of residuals (B,N) in pixels, as of `Poses`."""
    return (weight * _loss(pixels / NOISE)).sum(axis=1) / weight.sum(axis=1)


def initial_pose(a: np.ndarray, b: np.ndarray, focal: float, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rotation, unit translation) of a pair with rays (n,3) from an essential matrix, by MAGSAC.

    Of its two rotations the one nearest to `turn`, a mere turn of the camera, is right: the other one is turned half
    round about the baseline, and with little parallax counting points in front of the cameras does not tell them apart.
    """
    try:
        essential, _ = cv2.findEssentialMat(
            a[:, :2].copy(), b[:, :2].copy(), np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=2 * NOISE / focal
        )
    except cv2.error:  # OpenCV raises on degenerate samples
        essential = None
    if essential is None or essential.shape != (3, 3):
        return turn, np.array([1.0, 0, 0])
    *rotations, translation = cv2.decomposeEssentialMat(essential)
    return max(rotations, key=lambda r: np.trace(r.T @ turn)), translation.ravel()


def initial_poses(rays: Rays, focals: np.ndarray, turns: np.ndarray) -> Poses:
    """`initial_pose` of all pairs, with a cost of 0."""
    found = list(in_order(lambda k: initial_pose(*rays.one(k), focals[k], turns[k]), range(len(focals))))
    return Poses(np.array([f[0] for f in found]), np.array([f[1] for f in found]), np.zeros(len(found)))


def fit_poses(start: Poses, rays: Rays, focals: np.ndarray) -> Poses:
    """Those of the least robust Sampson error near `start`."""
    return _Problem().solved(start, np.zeros(len(focals)), rays, focals).poses(rays)


def fit_zooms(
    start: Poses, zoom: np.ndarray, rays: Rays, focals: np.ndarray, prior: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log (B,) of the second focal over the first one, its deviation, and the cost, of the least robust Sampson error.

    start, zoom (B,): near what. rays: of both frames with the first focal; focals (B,) pixels. prior: deviation of the
    log zoom where the matches do not tell.
    """
    problem = _Problem(prior=prior)
    found = problem.solved(start, zoom, rays, focals)
    basis = np.linalg.svd(found.translation[:, None])[2][:, 1:]
    curvature, _ = problem.equations(found, basis, rays, focals, products(rays), bent=True)
    return found.zoom, np.sqrt(np.linalg.pinv(curvature)[:, 5, 5]), found.cost


def before_camera(found: Poses, rays: Rays, focals: np.ndarray) -> Poses:
    """The poses that `fit_poses` found, with the scene in front of the camera.

    Where parallax is small the Sampson error hardly tells a scene from one of which a part lies behind the camera, near
    things inside out. If a good part of the matches does, both signs of the translation are tried with the parallax of
    a match as a further error where it is on the wrong side.
    """
    shift, there = parallax(found.rotation, found.translation, rays), rays.weight > 0
    wrong = _median(shift, there) < 0
    shift = np.where(wrong[:, None], -shift, shift)
    translation = np.where(wrong[:, None], -found.translation, found.translation)
    found = Poses(found.rotation.copy(), translation, found.cost.copy())
    behind = (there & (shift * focals[:, None] < -BEHIND)).sum(axis=1) / there.sum(axis=1)
    unsure = np.flatnonzero(behind > BEHIND_SHARE)
    if not len(unsure):
        return found
    start, some, lengths = found.at(unsure), rays.at(unsure), focals[unsure]
    one, other = (
        _Problem(in_front=True)
        .solved(Poses(start.rotation, sign * start.translation, start.cost), np.zeros(len(unsure)), some, lengths)
        .poses(some)
        for sign in (1, -1)
    )
    found.put(unsure, one.where(other.cost < one.cost, other))
    return found


# ---- Levenberg-Marquardt


@dataclass(frozen=True)
class _State(PerPair):
    """Poses on the way, and what their errors and slopes are made of."""

    rotation: np.ndarray
    translation: np.ndarray
    zoom: np.ndarray  # (B,) log of the second focal over the first one
    cost: np.ndarray  # (B,) sum of the robust errors
    errors: np.ndarray  # (B,N) Sampson distance in units of `NOISE`
    behind: np.ndarray  # (B,N) parallax on the wrong side in these, negative; 0 where that does not count
    distance: np.ndarray  # what `epipolar` gives
    length: np.ndarray
    line_b: np.ndarray
    line_a: np.ndarray

    def poses(self, rays: Rays) -> Poses:
        """Without the rest."""
        return Poses(self.rotation, self.translation, self.cost / rays.weight.sum(axis=1))


@dataclass(frozen=True)
class _Problem:
    """What is to be as small as can be: the Sampson error, and what else counts."""

    in_front: bool = False  # negative parallax
    prior: float | None = None  # deviation of the log zoom; None: there is no zoom

    def state(
        self, rotation: np.ndarray, translation: np.ndarray, zoom: np.ndarray, rays: Rays, focals: np.ndarray
    ) -> _State:
        """The state there."""
        lines = epipolar(_zooming(zoom) @ skew(translation) @ rotation, rays)
        unit = focals[:, None] / NOISE
        errors, behind = lines[0] * unit, np.zeros_like(rays.weight)
        if self.in_front:
            behind = np.minimum(0, parallax(rotation, translation, rays) * unit + BEHIND / 2 / NOISE)
        cost = (rays.weight * (_loss(errors) + _loss(behind))).sum(axis=1)
        if self.prior is not None:
            cost += _loss(zoom / self.prior)
        return _State(rotation, translation, zoom, cost, errors, behind, *lines)

    def solved(self, start: Poses, zoom: np.ndarray, rays: Rays, focals: np.ndarray) -> _State:
        """The state of the least cost near the start."""
        found = now = self.state(start.rotation.copy(), start.translation.copy(), zoom.copy(), rays, focals)
        number, outer, damping = np.arange(len(focals)), products(rays), np.full(len(focals), 1e-3)
        for _ in range(_ROUNDS):
            turn, place, zoom, hoped = self._step(now, rays, focals, outer, damping)
            then = self.state(turn, place, zoom, rays, focals)
            better = then.cost < now.cost
            gain = np.where(better, np.minimum(hoped, now.cost - then.cost), hoped)
            going = (gain > _ENOUGH * now.cost) & (damping < _MOST)
            damping = np.where(better, np.maximum(damping / 10, _LEAST), damping * 10)
            now = now.where(better, then)
            if not going.all():
                found.put(number[~going], now.at(~going))
                now, rays = now.at(going), rays.at(going)
                number, focals, outer, damping = number[going], focals[going], outer[going], damping[going]
            if not len(number):
                break
        found.put(number, now)
        return found

    def _step(self, now, rays, focals, outer, damping):
        """Rotations, translations and zooms a step on, and by how much the costs should fall."""
        basis = np.linalg.svd(now.translation[:, None])[2][:, 1:]  # (B,2,3), across the translation
        curvature, gradient = self.equations(now, basis, rays, focals, outer)
        size = curvature.shape[1]
        held = curvature + 1e-12 * np.eye(size)
        held[:, range(size), range(size)] *= 1 + damping[:, None]
        step = -np.linalg.solve(held, gradient)[..., 0]
        turn = np.stack([cv2.Rodrigues(x)[0] for x in step[:, :3]]) @ now.rotation
        place = now.translation + (step[:, None, 3:5] @ basis)[:, 0]
        zoom = now.zoom if self.prior is None else now.zoom + step[:, 5]
        return turn, place / np.linalg.norm(place, axis=1, keepdims=True), zoom, -(gradient[..., 0] * step).sum(axis=1)

    def equations(
        self, now: _State, basis: np.ndarray, rays: Rays, focals: np.ndarray, outer: np.ndarray, bent: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Curvature (B,k,k) and gradient (B,k,1) of the cost by a turn (3), a move along the basis (2) and the zoom.

        bent: with the bend of the loss (Triggs et al. 1999, Bundle Adjustment: A Modern Synthesis, section 4.3).
        """
        unit = (focals / NOISE)[:, None, None]
        turning = skew(now.translation)[:, None] @ skew(np.eye(3)) @ now.rotation[:, None]
        ways = np.concatenate([turning, skew(basis) @ now.rotation[:, None]], axis=1)
        if self.prior is not None:
            still = (skew(now.translation) @ now.rotation)[:, None]
            ways = _zooming(now.zoom)[:, None] @ np.concatenate([ways, -np.diag([1.0, 1, 0]) @ still], axis=1)
        way = columns(ways) * unit  # (B,9,k)
        slopes = slopes_of(outer, rays, now.distance, now.length, now.line_b, now.line_a)  # (B,N,9)
        curvature, gradient = _summed(slopes, now.errors, rays, bent)
        curvature, gradient = way.swapaxes(1, 2) @ curvature @ way, way.swapaxes(1, 2) @ gradient
        if self.in_front:
            slopes = parallax_slope(now.rotation, now.translation, basis, rays) * unit
            more = _summed(slopes * (now.behind < 0)[..., None], now.behind, rays, bent)
            curvature, gradient = curvature + more[0], gradient + more[1]
        if self.prior is not None:
            weight = 1 / (1 + (now.zoom / self.prior / _SCALE) ** 2) / self.prior**2
            curvature[:, 5, 5] += weight
            gradient[:, 5, 0] += weight * now.zoom
        return curvature, gradient


def _zooming(zoom):
    """(B,3,3): what an essential matrix is multiplied by, so that the second rays may stay as they are."""
    smaller = np.exp(-zoom)
    return np.stack([smaller, smaller, np.ones_like(zoom)], axis=1)[..., None] * np.eye(3)


def _loss(errors):
    return _SCALE**2 * np.log1p((errors / _SCALE) ** 2)


def _summed(slopes, errors, rays, bent):
    """Curvature (B,k,k) and gradient (B,k,1) of the cost, of slopes (B,N,k); errors are re-weighted."""
    square = (errors / _SCALE) ** 2
    weighted = slopes * (rays.weight / (1 + square))[..., None]
    gradient = weighted.swapaxes(1, 2) @ errors[..., None]
    if bent:
        weighted *= np.maximum((1 - square) / (1 + square), 0)[..., None]
    return weighted.swapaxes(1, 2) @ slopes, gradient


def _median(values, there):
    """Of values (B,N) where `there` (B,N) bool, (B,)."""
    ordered, count = np.sort(np.where(there, values, np.inf), axis=1), there.sum(axis=1)
    rows = np.arange(len(values))
    return (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
