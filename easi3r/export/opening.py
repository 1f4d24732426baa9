"""From where the scene is looked at when a viewer opens: a little beside the cameras, and filled by the scene."""

from dataclasses import dataclass

import numpy as np

from ..camera import transform
from ..large import choice
from .scene import Scene

# Standing aside shows depth at once, but opens gaps beside near things: angles about the middle of the scene, times the
# distance of near things over that of the middle.
_ASIDE, _ABOVE = np.radians(7), np.radians(4)
_BEHIND = 0.12  # share of the same product: how far behind the cameras a viewer stands that can narrow its field
_FARTHEST = 0.75  # share of the distance of the scene: no farther behind the cameras, or walls there come between
_NEAREST = 0.75  # share of the distance of near things: no closer to them, or a long lens makes them huge
_NEAR = 0.05  # quantile of the distance of near things
_RIM = 0.015  # share of what is seen that may lie outside at each of the four sides
_FILL = 0.92  # share of the width or height that is filled by what lies between these quantiles
_STEPS = 17  # of a bisection: to a hundred-thousandth of what is seen
_ALIKE = np.cos(np.radians(45))  # cameras turned farther than this from the middle one show what is left for later
_REACH = 4  # times the median depth: what is farther from the first camera is a later part of a long way, or astray
_FRAMES, _PIXELS = 9, 250  # that are looked at, and of each: .05 s


@dataclass(frozen=True)
class Opening:
    """Where a viewer stands, in world coordinates and upright as the first camera was."""

    target: np.ndarray  # (3,) float64, the middle of what is seen
    yaw: float  # radians; 0 looks as the first camera did, more to its right
    pitch: float  # radians, more to below
    away: float  # distance of the eye from the target
    field: tuple[float, float]  # tangents of half the field of view, x and y: the scene fills it one way or the other

    @property
    def axes(self) -> np.ndarray:
        """(3,3): right, down and forward as columns."""
        return _axes(self.yaw, self.pitch)

    @property
    def eye(self) -> np.ndarray:
        """(3,) world."""
        return self.target - self.away * self.axes[:, 2]


def find_opening(scene: Scene, field: tuple[float, float], narrows: bool = False) -> Opening:
    """The `Opening` for a viewer whose field of view is `field`, tangents of half of it, x and y.

    It looks as most cameras do, from a little to the side and above, and stands where the scene fills the field in
    width or height, counted by the pixels of frames spread over the clip; 1.5 % may lie outside at every side.
    narrows: the viewer can narrow its field, so it stays behind the first camera; the `field` returned fits the scene.
    """
    poses, parts = _sample(scene)
    forwards = poses[:, :3, 2]
    likeness = forwards @ forwards.T
    middle = likeness.sum(axis=1).argmax()
    points = np.concatenate([part for part, alike in zip(parts, likeness[middle] > _ALIKE) if alike])
    ahead, places = forwards[middle], poses[[0, middle], :3, 3]
    depth = (points - places[1]) @ ahead
    depth = depth[depth > 0]
    if not len(depth):  # nothing is known
        points = (places[1] + scene.median_depth * ahead)[None]
        depth = np.full(1, scene.median_depth)
    near, distance = np.quantile(depth, [_NEAR, 0.5])
    yaw, pitch = float(np.arctan2(ahead[0], ahead[2])), float(np.arcsin(np.clip(ahead[1], -1, 1)))
    yaw += _ASIDE * near / distance * (-1 if yaw > 0 else 1)  # towards the first camera, which looks along yaw 0
    pitch += _ABOVE * near / distance
    axes = _axes(yaw, pitch)
    points, camera = points @ axes, (places @ axes[:, 2]).min()
    foremost = camera - _BEHIND * near if narrows else camera + _NEAREST * near
    eye = float(np.clip(_filling(points, np.array(field)), camera - _FARTHEST * distance, foremost))
    place, extent = _centred(points, eye)
    away = max(float(np.median(points[:, 2])) - eye, near)
    fitted = np.clip(extent / _FILL, 0.1 * np.array(field), field) if narrows else field
    return Opening(axes @ [*place, eye + away], yaw, pitch, away, (float(fitted[0]), float(fitted[1])))


def _axes(yaw, pitch):
    sine, cosine = np.sin([yaw, pitch]), np.cos([yaw, pitch])
    forward = np.array([sine[0] * cosine[1], sine[1], cosine[0] * cosine[1]])
    right = np.array([cosine[0], 0, -sine[0]])
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _sample(scene):
    """Poses (K,4,4) of frames spread over the clip, and world points (N,3) of what each of them shows in reach."""
    result, reach = scene.result, _REACH * scene.median_depth
    n_frames, height, width = scene.static.shape
    index = choice(n_frames, _FRAMES)
    step = max(1, round(np.sqrt(height * width / _PIXELS)))
    thin = (slice(step // 2, None, step),) * 2
    way = np.linalg.norm(result.cam2world[index, :3, 3] - result.cam2world[0, :3, 3], axis=1)
    index, cameras, parts = index[way < reach], result.cameras, []
    for t, matrix in zip(index, result.cam2world[index]):
        kept = (scene.static[t] | scene.moving[t])[thin]
        places = transform(matrix, cameras[t].rays()[thin][kept] * result.depth[t][thin][kept][:, None])
        parts.append(places[np.linalg.norm(places - result.cam2world[0, :3, 3], axis=1) < reach])
    return result.cam2world[index], parts


def _filling(points, field):
    """The z from which points (N,3), axes of the viewer, fill its field; found by bisection, as they shrink on the way
    back.
    """
    low, high = np.quantile(points[:, 2], [0, _RIM])
    reach = np.ptp(points, axis=0).sum() + 1e-6
    low = high - 2 * reach / (_FILL * field.min())
    for _ in range(_STEPS):
        at = (low + high) / 2
        low, high = (at, high) if (_centred(points, at)[1] <= _FILL * field).all() else (low, at)
    return low


def _centred(points, z):
    """Where an eye at this z has points (N,3) in its middle: x and y (2,), and tangents of half their extent (2,)."""
    depth = np.maximum(points[:, 2] - z, 1e-9)  # what is behind the eye lands far outside
    across = np.ascontiguousarray(points[:, :2].T)
    low, high = across.min(axis=1), across.max(axis=1)
    outside = int(_RIM * (len(points) - 1))  # not `np.quantile`, which takes five times as long, 300 times
    ends = [outside, len(points) - 1 - outside]
    for _ in range(_STEPS):
        place = (low + high) / 2
        rims = np.sort((across - place[:, None]) / depth)[:, ends]
        right = rims.sum(axis=1) > 0
        low, high = np.where(right, place, low), np.where(right, high, place)
    return place, np.abs(rims).max(axis=1)
