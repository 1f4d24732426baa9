"""From a scene to frames with exact cameras, depth and masks."""

from dataclasses import replace

import numpy as np

from ..camera import Camera, invert, pose, transform
from ..errors import InputError
from .scenes import SCENES, SECONDS, Scene, turn
from .textures import TEXELS, sample
from .trials import TRIALS
from .truth import Clip

_LIGHT = np.array([0.45, 0.8, 0.4])  # direction towards the light, world
# Rotated-grid offsets of the four colour samples of a pixel: no two share a row or a column.
_SAMPLES = [(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)]
# Moments of an exposure, one colour sample each: what crosses 20 pixels meanwhile leaves a smear and no row of copies.
_MOMENTS = 12
_NEAR = 0.05  # metres before the camera, nothing nearer is seen
_SHADOW = 0.35  # metres that the shadow around the foot of large things reaches


def render(
    scene: str | Scene,
    n_frames: int,
    width: int,
    height: int,
    seed: int = 0,
    seconds: float = SECONDS,
    moving: bool = True,
    camera: str = "moves",
    movers: bool = True,
) -> Clip:
    """Render frames at times k * seconds / n_frames. Returns a `Clip`; the same arguments give the same clip.

    scene: a name in `SCENES` or `TRIALS`, or a `Scene`. seed varies textures, focal length and camera path.
    moving=False freezes the objects, movers=False leaves them out. camera: "moves", "still", or "rotates" (turns about
    its own centre, no parallax). A scene with an exposure has motion blur; its truth is that of the middle of the
    exposure, which every pixel belongs to that an object covers for more than half of the time.
    Raises `InputError` for an unknown scene or camera.
    """
    known = SCENES | TRIALS
    if isinstance(scene, str) and scene not in known:
        raise InputError(f"The scene {scene!r} is unknown; use one of {', '.join(known)}.")
    if camera not in ("moves", "still", "rotates"):
        raise InputError(f"The camera {camera!r} is unknown; use moves, still or rotates.")
    rng = np.random.default_rng(seed)
    scene = known[scene](rng) if isinstance(scene, str) else scene
    if not movers:
        scene = replace(scene, solids=[solid for solid in scene.solids if not callable(solid.place)])
    times = np.arange(n_frames) * (seconds / n_frames)
    intrinsics = Camera.centred(scene.focal * width, width, height).intrinsics

    def view(at):
        placed = [(solid, solid.at(at if moving else 0.0)) for solid in scene.solids]
        return _View(placed, _camera_at(scene, at, camera), intrinsics, width, height)

    images = [_frame(view, t, scene.exposure, seed) for t in times]
    frames, depth, dynamic = (np.stack(column) for column in zip(*images))
    cameras = [_camera_at(scene, t, camera) for t in times]
    cam2world = invert(cameras[0]) @ np.stack(cameras)
    cam2world[0] = np.eye(4)  # exactly
    return Clip(
        frames=frames,
        timestamps=times,
        cam2world=cam2world,
        intrinsics=intrinsics,
        depth=depth,
        dynamic=dynamic & moving,
    )


def _camera_at(scene, seconds, mode):
    eye, target = scene.camera(seconds if mode == "moves" else 0.0)
    matrix = _look_at(np.asarray(eye, float), np.asarray(target, float))
    if mode == "still":
        return matrix
    if mode == "rotates":
        return matrix @ turn("y", 0.3 * np.sin(0.9 * seconds))
    sway = 0.012 * np.sin(2.1 * seconds + np.array([0.0, 1.3, 2.9]))  # a hand-held camera is never quite level
    return matrix @ turn("x", sway[0]) @ turn("y", sway[1]) @ turn("z", sway[2])


def _look_at(eye, target):
    """Camera to scene (4, 4), OpenCV axes, upright."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return pose(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


class _View:
    """What the camera sees at one moment."""

    def __init__(self, placed, cam2scene, intrinsics, width, height):
        self.turn, self.eye, self.focal = cam2scene[:3, :3], cam2scene[:3, 3], intrinsics[0, 0]
        self.placed = [(solid, place) for solid, place in placed if self._sees(solid, place[:3, 3])]
        self.boxes = [_screen_box(solid, place, cam2scene, intrinsics, width, height) for solid, place in self.placed]
        self.centre = Camera(intrinsics, (width, height)).rays() @ self.turn.T

    def _sees(self, solid, centre):
        """Whether any of it, or of the shadow around its foot, may lie before the camera."""
        return (centre - self.eye) @ self.turn[:, 2] > -np.linalg.norm(solid.size) - _SHADOW

    def hits(self):
        """Depth (H, W) and index of the solid (H, W) at the pixel centres."""
        return _trace(self.placed, self.boxes, self.centre, self.eye)

    def colours(self, offsets, seed):
        """Colours (N, H, W, 3) in 0..255 at N offsets from the pixel centres; together, as solids are many."""
        apart = np.array([(*offset, 0.0) for offset in offsets]) @ self.turn.T / self.focal
        rays = self.centre + apart[:, None, None]
        distance, hit = _trace(self.placed, self.boxes, rays, self.eye)
        return _shade(self.placed, hit, rays, distance, self.eye, self.focal, seed)


def _frame(view, seconds, exposure, seed):
    """One frame: image (H, W, 3) uint8; depth (H, W) float32 and dynamic (H, W) bool at the pixel centres, in the
    middle of the exposure.
    """
    middle = view(seconds)
    depth, winner = middle.hits()
    if exposure:
        shifts = exposure * ((np.arange(_MOMENTS) + 0.5) / _MOMENTS - 0.5)
        offsets = [_SAMPLES[k % len(_SAMPLES)] for k in range(_MOMENTS)]
        samples = [view(seconds + s).colours([offset], seed)[0] for s, offset in zip(shifts, offsets)]
    else:
        samples = middle.colours(_SAMPLES, seed)
    image = (sum(samples) / len(samples)).clip(0, 255).round().astype(np.uint8)
    moves = np.array([callable(solid.place) for solid, _ in middle.placed])
    return image, depth.astype(np.float32), moves[winner]


def _screen_box(solid, place, cam2scene, intrinsics, width, height):
    """Slices of the image that can see the solid: its corners projected, and where its box is cut by a plane just
    before the camera.
    """
    corners = np.stack(np.meshgrid(*[(-s, s) for s in solid.size]), axis=-1).reshape(8, 3)
    seen = transform(invert(cam2scene), transform(place, corners))
    ahead = seen[:, 2] >= _NEAR
    if not ahead.any():
        return slice(0, 0), slice(0, 0)
    one, two = np.repeat(seen[ahead], (~ahead).sum(), axis=0), np.tile(seen[~ahead], (ahead.sum(), 1))
    cut = one + (two - one) * ((one[:, 2:] - _NEAR) / (one[:, 2:] - two[:, 2:]))
    seen = np.concatenate([seen[ahead], cut])
    uv = (seen @ intrinsics.T)[:, :2] / seen[:, 2:]
    (left, top), (right, bottom) = uv.min(axis=0) - 1, uv.max(axis=0) + 2
    return (slice(*np.clip([top, bottom], 0, height).astype(int)), slice(*np.clip([left, right], 0, width).astype(int)))


def _trace(placed, boxes, rays, eye):
    """First hit along rays (..., H, W, 3): distance (..., H, W) in units of the ray, which is z depth, and index of the
    solid.
    """
    distance = np.full(rays.shape[:-1], np.inf)
    winner = np.zeros(rays.shape[:-1], dtype=int)
    for index, ((solid, place), (rows, columns)) in enumerate(zip(placed, boxes)):
        box = ..., rows, columns
        if not distance[box].size:
            continue
        inverse = invert(place)
        seen = rays[..., rows, columns, :] @ inverse[:3, :3].T / solid.size
        hit = _hit(solid.shape, transform(inverse, eye) / solid.size, seen)
        closer = hit < distance[box]
        distance[box][closer] = hit[closer]
        winner[box][closer] = index
    return distance, winner


def _hit(shape, origin, rays):
    """Distance (...) along rays (..., 3) to the unit shape, infinite where missed; from inside, to its far side."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if shape == "box":
            near, far = _slab(origin, rays)
            # numpy reduces an axis of length three slowly, so the axes are taken one by one.
            near = np.maximum(np.maximum(near[..., 0], near[..., 1]), near[..., 2])
            far = np.minimum(np.minimum(far[..., 0], far[..., 1]), far[..., 2])
        else:
            axes = [0, 2] if shape == "rod" else [0, 1, 2]
            o, d = origin[axes], rays[..., axes]
            a, b, c = np.einsum("...k,...k", d, d), d @ o, o @ o - 1
            root = np.sqrt(b * b - a * c)  # NaN where the ray misses; NaN compares as a miss below
            near, far = (-b - root) / a, (-b + root) / a
            if shape == "rod":
                ends = _slab(origin[1], rays[..., 1])
                near, far = np.maximum(near, ends[0]), np.minimum(far, ends[1])
        first = np.where(near > 1e-6, near, far)
        return np.where((near <= far) & (first > 1e-6), first, np.inf)


def _slab(origin, rays):
    """Where rays cross the planes -1 and +1: (entry, exit)."""
    one, two = (-1 - origin) / rays, (1 - origin) / rays
    return np.minimum(one, two), np.maximum(one, two)


def _shade(placed, winner, rays, distance, eye, focal, seed):
    """Colours (..., H, W, 3) in 0..255 of the hits: texture, mild light from one side, soft contact shadows."""
    colour = np.zeros((winner.size, 3))
    points = eye + rays * distance[..., None]
    spots, rays, distance = points.reshape(-1, 3), rays.reshape(-1, 3), distance.ravel()  # (...,H,W,3) -> (N,3)
    order = np.argsort(winner, axis=None, kind="stable")
    seen, starts = np.unique(winner.ravel()[order], return_index=True)
    for index, pixels in zip(seen, np.split(order, starts[1:])):
        solid, place = placed[index]
        local = transform(invert(place), spots[pixels]) / solid.size
        normal, u, v, metres = _surface(solid, local)
        normal = normal @ place[:3, :3].T
        ray = rays[pixels]
        facing = np.abs(np.einsum("nk,nk->n", normal, ray)) / np.sqrt(np.einsum("nk,nk->n", ray, ray))
        # Half a pixel's footprint on the surface (four samples share a pixel), in texels.
        footprint = 0.5 * distance[pixels] / focal / np.sqrt(facing.clip(0.05)) / metres * TEXELS
        light = 0.68 + 0.34 * (normal @ (_LIGHT / np.linalg.norm(_LIGHT))).clip(0) - 0.06 * (normal[:, 0] > 0.5)
        colour[pixels] = sample(solid.texture, seed, u, v, footprint) * light[:, None]
    return colour.reshape(points.shape) * _contact(placed, winner, points)[..., None]


def _surface(solid, local):
    """Of points (N, 3) on the unit shape: normals (N, 3) in its own frame, texture u, v (N,), metres per texture."""
    size = np.asarray(solid.size, float)
    side = np.abs(local).argmax(axis=1)
    if solid.shape == "rod":
        side = np.where(np.abs(local[:, 1]) > 1 - 1e-6, 1, 0)
    if solid.shape == "ball":
        normal = local / size
    elif solid.shape == "rod":
        normal = np.where((side == 1)[:, None], local * [0, 1, 0], local * [1, 0, 1] / size)
    else:
        normal = np.sign(local) * (np.arange(3) == side[:, None])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rows = np.arange(len(local))
    across, up = np.array([2, 0, 0])[side], np.array([1, 2, 1])[side]
    u, v, span_u, span_v = local[rows, across], -local[rows, up], 2 * size[across], 2 * size[up]
    if solid.shape != "box":
        round_side = side == 0 if solid.shape == "rod" else np.ones(len(local), bool)
        around = np.arctan2(local[:, 0], local[:, 2]) / np.pi
        u, span_u = np.where(round_side, around, u), np.where(round_side, 2 * np.pi * size[0], span_u)
        if solid.shape == "ball":
            v, span_v = 2 * np.arccos(local[:, 1].clip(-1, 1)) / np.pi, np.full(len(local), np.pi * size[1])
    if solid.tile is None:
        return normal, (u + 1) / 2, (v + 1) / 2, np.sqrt(span_u * span_v)
    return normal, u * span_u / 2 / solid.tile, v * span_v / 2 / solid.tile, solid.tile


def _contact(placed, winner, points):
    """Factor (..., H, W) that darkens upward ground near the foot of things, so that they stand instead of float."""
    factor = np.ones(winner.shape)
    ground = np.isin(winner, [k for k, (solid, _) in enumerate(placed) if solid.shape == "box" and solid.size[1] < 0.1])
    spots = points[ground]
    dark = np.zeros(len(spots))
    for solid, place in placed:
        if not solid.contact:
            continue
        reach = _SHADOW * min(1.0, 2 * min(solid.size))  # small things cast small shadows
        apart = spots - place[:3, 3]
        near = np.einsum("nk,nk->n", apart, apart) < (np.linalg.norm(solid.size) + reach) ** 2
        if not near.any():
            continue
        away = (np.abs(apart[near] @ place[:3, :3]) - solid.size).clip(0)
        dark[near] = np.maximum(dark[near], 0.4 * np.exp(-3 / reach**2 * np.einsum("nk,nk->n", away, away)))
    factor[ground] -= dark
    return factor
