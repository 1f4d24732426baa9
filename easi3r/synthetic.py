"""Small rendered clips with ground truth: textured scenes, moving objects, a moving camera; and predictions of them.

A ray caster in numpy over three shapes (box, ball, rod). It serves the bundled examples, the tests and the alignment
benchmark. Scenes are built in metres with x right, y up, z towards the viewer; what leaves this module follows the
conventions of `easi3r.camera`, with the first camera as the world.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable

import cv2
import numpy as np

from .backbones.base import PairPrediction
from .camera import intrinsic_matrix, invert, pixel_rays, pose, transform
from .errors import InputError

DEPTH_STEP = 4  # saved truth keeps every fourth pixel of every fourth row
SECONDS = 2.5  # length of a clip unless told otherwise; the motions below are paced for it
_TEXELS = 512  # side of a texture
_LIGHT = np.array([0.45, 0.8, 0.4])  # direction towards the light, world
# Rotated-grid offsets of the four colour samples of a pixel: no two share a row or a column.
_SAMPLES = [(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)]


@dataclass(frozen=True)
class Truth:
    """What is known about a clip of T frames of H x W pixels.

    timestamps (T,) float64 seconds, first 0; cam2world (T, 4, 4) float64 metres, first = identity; intrinsics (3, 3)
    float64 pixels of the clip, principal point (W / 2, H / 2); dynamic (T, H, W) bool, pixels of moving objects;
    depth (T, ceil(H / step), ceil(W / step)) float32 z depth in metres: entry [t, r, c] belongs to the centre of the
    clip's pixel (row r * step, column c * step); step: 1 as rendered, `DEPTH_STEP` once saved.
    """

    timestamps: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray
    depth: np.ndarray
    dynamic: np.ndarray
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Clip(Truth):
    """A rendered clip: frames (T, H, W, 3) uint8 RGB with their `Truth` at full resolution."""

    frames: np.ndarray


@dataclass(frozen=True)
class Solid:
    """One shape, scaled by `size`: box, ball, or rod (an upright cylinder)."""

    shape: str
    size: tuple  # half extents along its own x, y, z, metres
    place: np.ndarray | Callable  # (4, 4) own frame -> scene, or a function of the time in seconds; then it moves
    texture: str  # a name in TEXTURES
    tile: float | None = 1.0  # metres covered by the texture; None = once per face
    contact: bool = True  # darkens the ground around its foot

    def at(self, seconds):
        return self.place(seconds) if callable(self.place) else self.place


@dataclass(frozen=True)
class Scene:
    solids: list
    camera: Callable  # seconds -> (eye (3,), target (3,)) in scene metres
    focal: float  # in image widths


# ---------------------------------------------------------------------------------------------------------- rendering


def render(scene, n_frames, width, height, seed=0, seconds=SECONDS, moving=True, camera="moves"):
    """Render frames at times k * seconds / n_frames. Returns a `Clip`; the same arguments give the same clip.

    scene: a name in `SCENES` or a `Scene`. seed varies textures, focal length and camera path. moving=False freezes the
    objects. camera: "moves", "still", or "rotates" (turns about its own centre, no parallax).
    Raises `InputError` for an unknown scene or camera.
    """
    if isinstance(scene, str) and scene not in SCENES:
        raise InputError(f"The scene {scene!r} is unknown; use one of {', '.join(SCENES)}.")
    if camera not in ("moves", "still", "rotates"):
        raise InputError(f"The camera {camera!r} is unknown; use moves, still or rotates.")
    rng = np.random.default_rng(seed)
    scene = SCENES[scene](rng) if isinstance(scene, str) else scene
    times = np.arange(n_frames) * (seconds / n_frames)
    intrinsics = intrinsic_matrix(scene.focal * width, width, height)
    cameras = [_camera_at(scene, t, camera) for t in times]
    images = [_frame(scene.solids, t if moving else 0.0, c, intrinsics, width, height, seed)
              for t, c in zip(times, cameras)]
    frames, depth, dynamic = (np.stack(column) for column in zip(*images))
    cam2world = invert(cameras[0]) @ np.stack(cameras)
    cam2world[0] = np.eye(4)  # exactly
    return Clip(frames=frames, timestamps=times, cam2world=cam2world, intrinsics=intrinsics, depth=depth,
                dynamic=dynamic & moving)


def _camera_at(scene, seconds, mode):
    eye, target = scene.camera(seconds if mode == "moves" else 0.0)
    matrix = _look_at(np.asarray(eye, float), np.asarray(target, float))
    if mode == "still":
        return matrix
    if mode == "rotates":
        return matrix @ _turn("y", 0.3 * np.sin(0.9 * seconds))
    sway = 0.012 * np.sin(2.1 * seconds + np.array([0.0, 1.3, 2.9]))  # a hand-held camera is never quite level
    return matrix @ _turn("x", sway[0]) @ _turn("y", sway[1]) @ _turn("z", sway[2])


def _look_at(eye, target):
    """Camera to scene (4, 4), OpenCV axes, upright."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return pose(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


def _frame(solids, seconds, cam2scene, intrinsics, width, height, seed):
    """One frame: image (H, W, 3) uint8; depth (H, W) float32 and dynamic (H, W) bool at the pixel centres."""
    placed = [(solid, solid.at(seconds)) for solid in solids]
    boxes = [_screen_box(solid, place, cam2scene, intrinsics, width, height) for solid, place in placed]
    centre = pixel_rays(intrinsics, width, height) @ cam2scene[:3, :3].T
    depth, winner = _trace(placed, boxes, centre, cam2scene[:3, 3])
    colour = np.zeros((height, width, 3))
    for du, dv in _SAMPLES:
        step = cam2scene[:3, :3] @ np.array([du, dv, 0.0]) / intrinsics[0, 0]
        rays = centre + step
        distance, hit = _trace(placed, boxes, rays, cam2scene[:3, 3])
        colour += _shade(placed, hit, rays, distance, cam2scene[:3, 3], intrinsics[0, 0], seed)
    image = (colour / len(_SAMPLES)).clip(0, 255).round().astype(np.uint8)
    moves = np.array([callable(solid.place) for solid in solids])
    return image, depth.astype(np.float32), moves[winner]


def _screen_box(solid, place, cam2scene, intrinsics, width, height):
    """Slices of the image that can see the solid: its corners projected, or everything if one is behind the camera."""
    corners = np.stack(np.meshgrid(*[(-s, s) for s in solid.size]), axis=-1).reshape(8, 3)
    seen = transform(invert(cam2scene), transform(place, corners))
    if seen[:, 2].min() < 0.05:
        return slice(0, height), slice(0, width)
    uv = (seen @ intrinsics.T)[:, :2] / seen[:, 2:]
    (left, top), (right, bottom) = uv.min(axis=0) - 1, uv.max(axis=0) + 2
    return (slice(*np.clip([top, bottom], 0, height).astype(int)), slice(*np.clip([left, right], 0, width).astype(int)))


def _trace(placed, boxes, rays, eye):
    """First hit along rays (H, W, 3): distance (H, W) in units of the ray, which is z depth, and index of the solid."""
    distance = np.full(rays.shape[:2], np.inf)
    winner = np.zeros(rays.shape[:2], dtype=int)
    for index, ((solid, place), box) in enumerate(zip(placed, boxes)):
        inverse = invert(place)
        hit = _hit(solid.shape, transform(inverse, eye) / solid.size, rays[box] @ inverse[:3, :3].T / solid.size)
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
    """Colours (H, W, 3) in 0..255 of the hits: texture, mild light from one side, soft contact shadows."""
    colour = np.zeros(rays.shape)
    points = eye + rays * distance[..., None]
    for index in np.unique(winner):
        solid, place = placed[index]
        mask = winner == index
        local = transform(invert(place), points[mask]) / solid.size
        normal, u, v, metres = _surface(solid, local)
        normal = normal @ place[:3, :3].T
        ray = rays[mask]
        facing = np.abs(np.einsum("nk,nk->n", normal, ray)) / np.sqrt(np.einsum("nk,nk->n", ray, ray))
        # Half a pixel's footprint on the surface (four samples share a pixel), in texels.
        footprint = 0.5 * distance[mask] / focal / np.sqrt(facing.clip(0.05)) / metres * _TEXELS
        light = 0.68 + 0.34 * (normal @ (_LIGHT / np.linalg.norm(_LIGHT))).clip(0) - 0.06 * (normal[:, 0] > 0.5)
        colour[mask] = _sample(solid.texture, seed, u, v, footprint) * light[:, None]
    return colour * _contact(placed, winner, points)[..., None]


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
    """Factor (H, W) that darkens upward ground near the foot of things, so that they stand instead of float."""
    factor = np.ones(winner.shape)
    ground = np.isin(winner, [k for k, (solid, _) in enumerate(placed) if solid.shape == "box" and solid.size[1] < 0.1])
    spots = points[ground]
    dark = np.zeros(len(spots))
    for solid, place in placed:
        reach = 0.35 * min(1.0, 2 * min(solid.size))  # small things cast small shadows
        apart = spots - place[:3, 3]
        near = np.einsum("nk,nk->n", apart, apart) < (np.linalg.norm(solid.size) + reach) ** 2
        if not solid.contact or not near.any():
            continue
        away = (np.abs(apart[near] @ place[:3, :3]) - solid.size).clip(0)
        dark[near] = np.maximum(dark[near], 0.4 * np.exp(-3 / reach**2 * np.einsum("nk,nk->n", away, away)))
    factor[ground] -= dark
    return factor


# ----------------------------------------------------------------------------------------------------------- textures


def _sample(name, seed, u, v, footprint):
    """Trilinear texture look-up: colours (N, 3) at u, v (N,), 1 = one period, blurred to `footprint` (N,) texels."""
    texels, starts, sides = _pyramid(name, seed)
    level = np.log2(np.maximum(footprint, 1.0)).clip(0, len(sides) - 1.001)
    low = level.astype(int)
    blend = (level - low)[:, None]
    return (_bilinear(texels, starts[low], sides[low], u, v) * (1 - blend)
            + _bilinear(texels, starts[low + 1], sides[low + 1], u, v) * blend)


def _bilinear(texels, start, side, u, v):
    x, y = (u % 1) * side - 0.5, (v % 1) * side - 0.5
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    row0, row1, x0, x1 = start + y0 % side * side, start + (y0 + 1) % side * side, x0 % side, (x0 + 1) % side
    return ((texels[row0 + x0] * (1 - fx) + texels[row0 + x1] * fx) * (1 - fy)
            + (texels[row1 + x0] * (1 - fx) + texels[row1 + x1] * fx) * fy)


@lru_cache(maxsize=64)
def _pyramid(name, seed):
    """A texture and its halvings in one array: texels (N, 3) uint8, start of each level, side of each level."""
    image = TEXTURES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    levels = [np.clip(image, 0, 255).astype(np.uint8)]
    while len(levels[-1]) > 4:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    sides = np.array([len(level) for level in levels])
    return np.concatenate([level.reshape(-1, 3) for level in levels]), np.cumsum(sides**2) - sides**2, sides


def _rgb(*colours):
    """Hex colours, space-separated or single -> (N, 3) float."""
    return np.array([[int(c[k:k + 2], 16) for k in (0, 2, 4)] for c in " ".join(colours).split()], dtype=float)


def _noise(rng, slope=1.0, stretch=1.0):
    """Periodic noise (S, S) of all scales, unit deviation: white noise with its spectrum divided by f ** slope."""
    f = np.fft.fftfreq(_TEXELS) * _TEXELS
    f = np.hypot(*np.meshgrid(f * stretch, f / stretch)).clip(1) ** slope
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_TEXELS, _TEXELS))) / f).real
    return (field - field.mean()) / field.std()


def _grain(rng, image, strength, **kind):
    return image * (1 + strength * _noise(rng, **kind).clip(-2.5, 2.5))[..., None]


def _courses(rng, colours, across, down, shift=0.5, jitter=0.1, joint=0.08, grain=0.1, stretch=1.0):
    """Bricks, planks, tiles or books: `down` rows of `across` pieces, each row shifted by `shift` pieces."""
    y, x = (np.mgrid[:_TEXELS, :_TEXELS] + 0.5) / _TEXELS
    row = (y * down).astype(int)
    place = x * across + shift * row
    piece = place.astype(int) % across
    palette = _rgb(colours)
    table = palette[rng.integers(len(palette), size=(down, across))]
    table = table * (1 + jitter * rng.standard_normal((down, across, 1)))
    edge = np.minimum(np.minimum(place % 1, 1 - place % 1) / across, np.abs(y * down - np.round(y * down)) / down)
    gap = np.where(edge < joint * 0.5 / max(across, down), 0.55, 1.0)
    return _grain(rng, table[row, piece] * gap[..., None], grain, stretch=stretch)


def _patches(rng, colours, slope=1.2, grain=0.1):
    """Flat blotches of every size: noise cut into as many levels as there are colours."""
    field, palette = _noise(rng, slope), _rgb(colours)
    level = np.searchsorted(np.quantile(field, np.linspace(0, 1, len(palette) + 1)[1:-1]), field)
    return _grain(rng, palette[level], grain)


def _collage(rng, colours, pieces=60, largest=110, grain=0.08):
    """Rectangles, discs and strokes over each other; the first colour is the background."""
    palette = _rgb(colours)
    canvas = np.full((_TEXELS, _TEXELS, 3), palette[0])
    for k in range(pieces):
        x, y = (int(n) for n in rng.integers(0, _TEXELS, 2))
        w, h = (int(n) for n in rng.integers(12, max(14, largest * (pieces - k) // pieces + 14), 2))
        colour = [float(c) for c in palette[rng.integers(1, len(palette))] * rng.uniform(0.85, 1.1)]
        for x_wrapped in (x, x - _TEXELS):  # periodic across, where a ball or a rod closes
            if k % 3 == 0:
                cv2.circle(canvas, (x_wrapped, y), w // 2, colour, -1, cv2.LINE_AA)
            elif k % 3 == 1:
                cv2.rectangle(canvas, (x_wrapped, y), (x_wrapped + w, y + h), colour, -1)
            else:
                cv2.line(canvas, (x_wrapped, y), (x_wrapped + w, y + h), colour, 7, cv2.LINE_AA)
    return _grain(rng, canvas, grain)


def _facade(rng, wall, frame, columns=3, storeys=2):
    """Brickwork with windows, no two alike."""
    canvas = _courses(rng, wall, 14, 36, jitter=0.07, grain=0.12)
    w, h = _TEXELS // columns, _TEXELS // storeys
    for x, y in [(c * w, s * h) for c in range(columns) for s in range(storeys)]:
        left, right, top, bottom = x + w // 4, x + w - w // 4, y + h // 5, y + h - h // 4
        cv2.rectangle(canvas, (left - 7, top - 7), (right + 7, bottom + 12), _rgb(frame)[0].tolist(), -1)
        cv2.rectangle(canvas, (left, top), (right, bottom), (_rgb("35475a")[0] * rng.uniform(0.7, 1.5)).tolist(), -1)
        blind = top + int((bottom - top) * rng.uniform(0.1, 0.7))
        cv2.rectangle(canvas, (left, top), (right, blind), (_rgb("d8c9a8")[0] * rng.uniform(0.6, 1.1)).tolist(), -1)
        cv2.line(canvas, ((left + right) // 2, top), ((left + right) // 2, bottom), _rgb(frame)[0].tolist(), 5)
        cv2.line(canvas, (left, (top + bottom) // 2), (right, (top + bottom) // 2), _rgb(frame)[0].tolist(), 5)
    return _grain(rng, canvas, 0.06)


TEXTURES = {  # name -> recipe(rng) -> (S, S, 3) colours in 0..255
    "planks": lambda r: _courses(r, "b98a58 a87848 c79a68 9a6c42", 2, 9, 0.37, grain=0.12, stretch=3.0),
    "wood": lambda r: _courses(r, "8a5a34 946440", 1, 4, 0.3, 0.05, 0.03, 0.2, stretch=4.0),
    "wallpaper": lambda r: _collage(r, "dcd3bf c9b48e b7c2b0 a9b9c4 d9a58c", 220, 40, 0.06),
    "plaster": lambda r: _patches(r, "cfc7b8 d6cfc2 c6bcab dad4c8", 1.3, 0.08),
    "rug": lambda r: _collage(r, "7d2f35 c9a15a 274b63 e0d2b4 a84b3c 3d6b60", 160, 90, 0.12),
    "books": lambda r: _courses(r, "a63d40 e9b872 90a959 6494aa 3d405b e07a5f 81b29a f2cc8f", 22, 4, 0.4, 0.12, 0.1),
    "fabric": lambda r: _patches(r, "4f6f8f 5b7da0 466382 6f8fae", 0.9, 0.15),
    "cushion": lambda r: _collage(r, "e0a458 c8553d f4d58d 588b8b 2d3047", 70, 90),
    "picture": lambda r: _collage(r, "1f3a4d e4572e f3a712 a8c686 669bbc efe9d8", 50, 220),
    "poster": lambda r: _collage(r, "efe6d5 c8553d 28536b 7ea8be f6b26b 4b3f72", 45, 200),
    "leaves": lambda r: _patches(r, "2f5d34 3f7a3f 57974a 234a2b 7fae5a", 0.7, 0.18),
    "clay": lambda r: _patches(r, "b5603c c4724a a85434", 1.0, 0.12),
    "metal": lambda r: _patches(r, "6c7076 5a5e64 7c8188", 1.0, 0.1),
    "lamp": lambda r: _patches(r, "f2dfae f7e9c4 ead39a", 1.0, 0.08),
    "beachball": lambda r: _collage(r, "f4f1e8 e63946 ffb703 2a9d8f 1d5fa0 8338ec", 46, 120, 0.05),
    "parcel": lambda r: _collage(r, "c49a6c a87b4f f1faee d62828 264653 e9c46a", 34, 130),
    "asphalt": lambda r: _patches(r, "5c5d60 66676a 525356 717275", 0.7, 0.16),
    "paving": lambda r: _courses(r, "a9a39a b5afa5 9c968d bdb4a6", 5, 5, 0.5, 0.05, 0.05, 0.12),
    "brick_red": lambda r: _facade(r, "a4553f b0614a 94493a", "efe6d8"),
    "brick_sand": lambda r: _facade(r, "cfae7d d8ba8c c2a06f", "6b4a36"),
    "brick_blue": lambda r: _facade(r, "7d93a3 8aa0ae 70869a", "f2f0ea", 4),
    "shop": lambda r: _collage(r, "2f4858 f6ae2d f26419 86bbd8 e8e4d8 33658a", 90, 130),
    "awning": lambda r: _courses(r, "c8452f f3ead8", 8, 1, 0, 0.05, 0.02),
    "sky": lambda r: _rgb("bcdcff") + (36 * _noise(r, 1.6).clip(-1, 2.2))[..., None] * [1.0, 0.8, 0.45],
    "paint": lambda r: _patches(r, "2f7f86 388c93 28727a 46989e", 1.3, 0.08),
    "glass": lambda r: _patches(r, "2a3640 3a4a58 4a5c6c 202a33", 1.3, 0.06),
    "rubber": lambda r: _patches(r, "26272a 3a3b3f 1c1d1f 6a6b70", 0.8, 0.12),
    "jacket": lambda r: _collage(r, "d1495b edae49 00798c f4f1de 30638e", 60, 100),
    "denim": lambda r: _patches(r, "2b3f5e 37507a 22324c 4a668f", 0.8, 0.16),
    "skin": lambda r: _patches(r, "d9a583 e0b192 cf9873", 1.3, 0.06),
    "hair": lambda r: _patches(r, "3b2a20 4c3628 2c1f18", 0.7, 0.15),
    "fur": lambda r: _patches(r, "c69c6d f3e9d6 8a5a33 a9784a", 1.0, 0.15),
    "fruit": lambda r: _patches(r, "c8372d d9532f e8a33a b22a2a", 1.1, 0.08),
    "mug": lambda r: _courses(r, "f4efe4 2b6f77 e0a33e f4efe4", 8, 5, 0.5, 0.05, 0.04),
    "engine": lambda r: _collage(r, "d62828 fcbf49 f7f3e3 003049 f77f00", 55, 120, 0.06),
    "wagon": lambda r: _collage(r, "1d6fa3 fcbf49 f7f3e3 2a9d8f e76f51", 55, 120, 0.06),
    "cloth": lambda r: _collage(r, "e9e2d0 b8c4a8 d9a79c 8fa9b8 c9b27c", 200, 60, 0.08),
}


# ------------------------------------------------------------------------------------------------------------- scenes


def _turn(axis, angle):
    """(4, 4) rotation about one axis, radians."""
    vector = np.zeros(3)
    vector["xyz".index(axis)] = angle
    return pose(cv2.Rodrigues(vector)[0], [0, 0, 0])


def _move(x, y, z):
    return pose(np.eye(3), [x, y, z])


def _box(foot, size, texture, tile=1.0, yaw=0.0, contact=True, shape="box"):
    """A standing thing: centre of its underside, full size (width, height, depth)."""
    x, y, z = foot
    half = tuple(s / 2 for s in size)
    return Solid(shape, half, _move(x, y + half[1], z) @ _turn("y", yaw), texture, tile, contact)


def _rod(foot, radius, height, texture, tile=1.0):
    return _box(foot, (2 * radius, height, 2 * radius), texture, tile, shape="rod")


def _ball(foot, radius, texture, tile=None, stretch=(1.0, 1.0, 1.0)):
    return _box(foot, tuple(2 * radius * s for s in stretch), texture, tile, contact=False, shape="ball")


def _part(frame, offset, size, texture, tile=None, shape="box", contact=False):
    """A piece of a moving thing: `frame` seconds -> (4, 4), the piece's constant (4, 4) in it, full size."""
    return Solid(shape, tuple(s / 2 for s in size), lambda t: frame(t) @ offset, texture, tile, contact)


def _loop(centre, radii, pace, start):
    """seconds -> frame (4, 4) that rides an ellipse on the ground, facing along +z; `pace` in radians per second."""
    def frame(seconds):
        angle = start + pace * (seconds - SECONDS / 2)
        x, z = radii[0] * np.sin(angle), radii[1] * np.cos(angle)
        along = np.sign(pace) * np.array([radii[0] * np.cos(angle), -radii[1] * np.sin(angle)])
        return _move(centre[0] + x, centre[1], centre[2] + z) @ _turn("y", np.arctan2(*along))
    return frame


def _swing(seconds, size, pace):
    """Smooth to and fro, fastest in the middle of a clip."""
    return size * np.sin(pace * (seconds - SECONDS / 2))


def _room(rng):
    """A living room: the camera arcs, a ball rolls one way, a parcel slides the other."""
    reach, tilt = rng.uniform(1.0, 1.3), rng.uniform(-0.1, 0.1)
    roll = _loop((0.1, 0.0, 0.0), (1.8, 0.35), 0.62, 0.0)
    slide = _loop((0.0, 0.0, -0.9), (1.6, 0.25), -0.65, 0.0)
    ball = Solid("ball", (0.31,) * 3, lambda t: roll(t) @ _move(0, 0.31, 0) @ _turn("x", 3.6 * t) @ _turn("z", 0.9),
                 "beachball", None)
    solids = [
        _box((0, -0.05, 0), (8, 0.05, 9), "planks", 2.2, contact=False),
        _box((0, 2.8, 0), (8, 0.1, 9), "plaster", 3.0, contact=False),
        _box((0, 0, -2.9), (8, 2.8, 0.2), "wallpaper", 2.4), _box((0, 0, 4.4), (8, 2.8, 0.2), "plaster", 2.5),
        _box((-3.2, 0, 0), (0.2, 2.8, 9), "plaster", 2.6), _box((3.2, 0, 0), (0.2, 2.8, 9), "plaster", 2.6),
        _box((0, 0, -0.2), (3.4, 0.02, 2.4), "rug", None, contact=False),
        _box((-0.2, 0, -2.35), (2.1, 0.42, 0.8), "fabric"), _box((-0.2, 0.42, -2.62), (2.1, 0.45, 0.25), "fabric"),
        _box((-1.2, 0, -2.3), (0.22, 0.62, 0.9), "fabric", 0.8), _box((0.8, 0, -2.3), (0.22, 0.62, 0.9), "fabric", 0.8),
        _box((-0.75, 0.42, -2.35), (0.42, 0.4, 0.16), "cushion", None, 0.3),
        _box((0.35, 0.42, -2.35), (0.42, 0.4, 0.16), "picture", None, -0.25),
        _box((-2.3, 0, -2.55), (1.0, 2.0, 0.4), "books", 1.3), _box((-2.3, 2.0, -2.55), (1.1, 0.06, 0.5), "wood"),
        _box((2.15, 0, -2.45), (1.2, 0.75, 0.5), "wood", 0.8),
        _box((1.95, 0.75, -2.45), (0.4, 0.3, 0.25), "parcel", None, 0.4),
        _rod((2.5, 0.75, -2.45), 0.1, 0.22, "clay", 0.5), _ball((2.5, 0.9, -2.45), 0.24, "leaves"),
        _box((-0.2, 1.25, -2.78), (1.2, 0.85, 0.05), "picture", None),
        _box((2.1, 1.45, -2.78), (0.7, 0.9, 0.05), "poster", None),
        _box((-3.08, 1.1, -0.9), (0.05, 0.9, 1.3), "poster", None),
        _box((3.08, 1.0, -0.8), (0.05, 1.1, 1.5), "picture", None),
        _rod((1.3, 0, -2.4), 0.15, 0.04, "metal"), _rod((1.3, 0, -2.4), 0.025, 1.5, "metal"),
        _rod((1.3, 1.4, -2.4), 0.2, 0.32, "lamp"),
        _rod((-2.6, 0, -1.2), 0.2, 0.4, "clay"), _ball((-2.6, 0.35, -1.2), 0.45, "leaves", None, (1, 1.2, 1)),
        _box((2.6, 0, -1.0), (0.6, 0.45, 0.6), "fabric", 0.9, 0.3),
        ball, _part(slide, _move(0, 0.27, 0) @ _turn("y", 0.5), (0.62, 0.54, 0.5), "parcel", contact=True)]

    def camera(t):
        return ((_swing(t, reach, 0.75), 1.5 + _swing(t, tilt, 1.3), 3.2 - 0.3 * np.cos(0.75 * (t - SECONDS / 2))),
                (_swing(t, -0.25, 0.75), 0.7, -1.0))
    return Scene(solids, camera, rng.uniform(0.82, 0.95))


def _walker(frame, pace=7.0):
    """A figure of boxes that walks along `frame`: legs and arms swing, knees and elbows bend."""
    def limb(hip, side, lower_bend, stride, length, width, upper, lower):
        def top(t):
            return frame(t) @ _move(*hip) @ _turn("x", side * stride * np.sin(pace * t))

        def joint(t):
            bend = lower_bend * (0.55 + 0.45 * np.cos(pace * t + (np.pi if side > 0 else 0)))
            return top(t) @ _move(0, -length, 0) @ _turn("x", bend)
        foot = _part(joint, _move(0, -length, 0.05), (width, 0.09, 1.6 * width), "rubber", contact=True)
        hand = _part(joint, _move(0, -length - 0.04, 0), (0.09, 0.12, 0.1), "skin", shape="ball")
        end = foot if upper == "denim" else hand
        return [_part(top, _move(0, -length / 2, 0), (width, length, width), upper),
                _part(joint, _move(0, -length / 2, 0), (0.85 * width, length, 0.85 * width), lower),
                end]
    body = [_part(frame, _move(0, 1.17, 0), (0.46, 0.62, 0.27), "jacket"),
            _part(frame, _move(0, 1.62, 0.02), (0.23, 0.28, 0.25), "skin", shape="ball"),
            _part(frame, _move(0, 1.68, -0.02), (0.25, 0.24, 0.25), "hair", shape="ball"),
            _part(frame, _move(0, 1.2, -0.2), (0.34, 0.46, 0.18), "cushion")]
    for side in (-1, 1):
        body += limb((side * 0.12, 0.86, 0), side, 0.6, 0.5, 0.41, 0.18, "denim", "denim")
        body += limb((side * 0.3, 1.42, 0), -side, -0.5, 0.5, 0.3, 0.13, "jacket", "jacket")
    return body


def _dog(frame, pace=11.0):
    def leg(x, z, side):
        def hip(t):
            return frame(t) @ _move(x, 0.3, z) @ _turn("x", side * 0.45 * np.sin(pace * t))
        return _part(hip, _move(0, -0.15, 0), (0.08, 0.3, 0.09), "fur", contact=True)
    return [_part(frame, _move(0, 0.4, 0), (0.24, 0.26, 0.6), "fur"),
            _part(frame, _move(0, 0.57, 0.37), (0.2, 0.22, 0.26), "fur"),
            _part(frame, _move(0, 0.52, 0.54), (0.11, 0.11, 0.14), "hair"),
            _part(frame, _move(0, 0.56, -0.34) @ _turn("x", 0.8), (0.06, 0.28, 0.06), "fur"),
            leg(-0.09, 0.22, 1), leg(0.09, 0.22, -1), leg(-0.09, -0.22, -1), leg(0.09, -0.22, 1)]


def _street(rng):
    """A street: the camera drifts sideways and forwards while someone crosses the picture with a dog."""
    side = rng.choice([-1, 1])  # the way they walk and the camera drifts
    drift = side * rng.uniform(1.3, 1.7)
    path = _loop((0.0, 0.0, -4.2), (side * 3.0, 3.0), 0.45, 0.0)
    lead = _loop((0.0, 0.0, -4.2), (side * 3.4, 3.0), 0.45, 0.33)
    solids = [
        Solid("ball", (70.0,) * 3, _move(0, 0, 0), "sky", 40.0, False),
        _box((0, -0.06, 0), (90, 0.06, 90), "asphalt", 2.5, contact=False),
        _box((0, 0, -6.6), (40, 0.09, 3.2), "paving", 2.0, contact=False),
        _box((-7.6, 0, -10.2), (7.2, 7.0, 4), "brick_sand", 4.0),
        _box((-1.2, 0, -10.4), (5.6, 3.9, 4), "brick_red", 4.2),
        _box((8.2, 0, -10.0), (7.6, 6.6, 4), "brick_blue", 4.4), _box((4.5, 0, -30), (16, 4.6, 4), "brick_sand", 5.0),
        _box((-1.2, 3.9, -10.2), (5.9, 0.25, 4.6), "plaster"), _box((-7.6, 7.0, -10.2), (7.5, 0.3, 4.5), "plaster"),
        _box((-1.6, 0.09, -8.35), (3.4, 2.3, 0.15), "shop", 2.6),
        _box((-1.6, 2.3, -8.0), (3.8, 0.12, 1.1), "awning", 1.6),
        _box((6.4, 0.09, -7.95), (1.2, 2.3, 0.15), "wood", 1.5), _box((9.6, 0.09, -7.9), (3.0, 2.2, 0.2), "shop", 2.2),
        _box((-5.8, 0.09, -8.1), (1.1, 2.2, 0.2), "wood", 1.5),
        _rod((2.6, 0, -6.1), 0.13, 2.2, "wood"), _ball((2.6, 1.8, -6.1), 1.0, "leaves", 2.4),
        _ball((3.1, 2.5, -6.3), 0.75, "leaves", 2.4), _ball((2.0, 2.6, -5.9), 0.7, "leaves", 2.4),
        _rod((-4.3, 0, -6.0), 0.06, 3.6, "metal"), _ball((-4.3, 3.5, -6.0), 0.2, "lamp"),
        _box((-0.6, 0.45, -6.6), (1.6, 0.08, 0.5), "wood", 0.8),
        _box((-0.6, 0.6, -6.85), (1.6, 0.4, 0.07), "wood", 0.8),
        _box((-1.2, 0.09, -6.6), (0.1, 0.36, 0.45), "metal"), _box((0.0, 0.09, -6.6), (0.1, 0.36, 0.45), "metal"),
        _rod((0.7, 0.09, -6.2), 0.2, 0.8, "paint"), _rod((-2.4, 0.09, -5.5), 0.13, 0.65, "fruit"),
        _ball((-2.4, 0.66, -5.5), 0.13, "fruit"),
        _box((4.6, 0.25, -4.9), (3.6, 0.6, 1.5), "paint", 1.5), _box((4.7, 0.85, -4.9), (2.0, 0.5, 1.35), "glass", 1.2),
        _box((4.7, 1.35, -4.9), (2.0, 0.06, 1.4), "paint", 1.0)]
    for x in (3.45, 5.75):
        wheel = _move(x, 0.33, -4.16) @ _turn("x", np.pi / 2)
        solids.append(Solid("rod", (0.33, 0.1, 0.33), wheel, "rubber", 0.7, False))
    solids += _walker(path) + _dog(lead)

    def camera(t):
        return ((_swing(t, drift, 0.55), 1.55, 2.3 - _swing(t, 0.8, 0.6)),
                (_swing(t, 0.35 * drift, 0.55) + 0.3, 1.12, -4.0))
    return Scene(solids, camera, rng.uniform(0.82, 0.95))


def _orbit(rng):
    """A table in a room: the camera goes round it, a toy train goes round the other way."""
    sweep, start = rng.uniform(0.32, 0.4), rng.uniform(-0.4, 0.4)
    train = [_loop((0, 0.8, 0), (0.8, 0.8), 0.75, start + 0.1 - gap) for gap in (0.0, 0.46, 0.92)]
    solids = [
        _box((0, -0.05, 0), (9, 0.05, 9), "planks", 2.0, contact=False), _box((0, 3.0, 0), (9, 0.1, 9), "plaster", 2.5),
        _box((0, 0, -3.6), (9, 3, 0.2), "wallpaper", 2.2), _box((0, 0, 3.6), (9, 3, 0.2), "wallpaper", 2.4),
        _box((-3.6, 0, 0), (0.2, 3, 9), "plaster", 2.2), _box((3.6, 0, 0), (0.2, 3, 9), "plaster", 2.2),
        _rod((0, 0, 0), 0.14, 0.78, "wood"), _rod((0, 0, 0), 0.5, 0.06, "wood"),
        _box((0, 0.72, 0), (2.5, 0.06, 2.5), "wood", 1.1), _box((0, 0.78, 0), (2.3, 0.02, 2.3), "cloth", 1.15),
        _box((-0.12, 0.8, -0.2), (0.42, 0.07, 0.3), "books", 0.6, 0.3),
        _box((-0.1, 0.87, -0.2), (0.36, 0.06, 0.28), "shop", 0.5, -0.1),
        _box((-0.12, 0.93, -0.21), (0.3, 0.05, 0.24), "rug", 0.5, 0.5), _ball((-0.12, 0.98, -0.2), 0.08, "fruit"),
        _rod((0.28, 0.8, -0.12), 0.1, 0.26, "mug", 0.5), _ball((0.28, 1.02, -0.12), 0.19, "leaves"),
        _rod((0.16, 0.8, 0.26), 0.07, 0.15, "mug", 0.4), _ball((-0.28, 0.8, 0.22), 0.09, "fruit"),
        _ball((-0.13, 0.8, 0.3), 0.075, "beachball"), _box((0.36, 0.8, 0.16), (0.14, 0.14, 0.14), "engine", None, 0.6),
        _box((0, 0, -3.2), (2.2, 0.8, 0.5), "wood", 0.9), _box((-0.5, 0.8, -3.2), (0.8, 0.5, 0.3), "books", 0.9),
        _box((0.7, 0.8, -3.2), (0.4, 0.4, 0.3), "parcel", None, 0.3),
        _box((0.2, 1.7, -3.48), (1.5, 0.9, 0.04), "picture", None),
        _box((-2.4, 0, -3.1), (1.0, 2.0, 0.5), "books", 1.2), _rod((2.4, 0, -2.9), 0.22, 0.45, "clay"),
        _ball((2.4, 0.4, -2.9), 0.5, "leaves", None, (1, 1.3, 1)),
        _box((3.45, 1.2, -0.6), (0.04, 1.0, 1.4), "poster", None),
        _box((-3.45, 1.2, -0.6), (0.04, 1.0, 1.6), "picture", None),
        _box((1.7, 0, -1.7), (0.45, 0.5, 0.45), "fabric", 0.7, 0.5),
        _box((-1.8, 0, -1.6), (0.45, 0.5, 0.45), "cushion", None, 0.2),
        _box((0, 0.0, 0), (4.4, 0.015, 4.2), "rug", 2.4, contact=False)]
    for k, frame in enumerate(train):
        solids += _wagon(frame, "engine" if k == 0 else "wagon", k == 0)

    def camera(t):
        angle = _swing(t, 1.0, sweep) + 0.1
        return (2.4 * np.sin(angle), 1.75 + _swing(t, 0.12, 1.1), 2.4 * np.cos(angle)), (0.0, 0.85, 0.0)
    return Scene(solids, camera, rng.uniform(0.88, 1.0))


def _wagon(frame, texture, is_engine):
    """A wooden toy wagon, 0.32 m long; the engine has a boiler and a cabin."""
    parts = [_part(frame, _move(0, 0.08, 0), (0.2, 0.06, 0.33), texture, contact=True)]
    if is_engine:
        parts += [_part(frame, _move(0, 0.19, 0.06) @ _turn("x", np.pi / 2), (0.15, 0.2, 0.15), texture, shape="rod"),
                  _part(frame, _move(0, 0.22, -0.1), (0.19, 0.24, 0.13), texture),
                  _part(frame, _move(0, 0.35, -0.1), (0.23, 0.03, 0.17), "wood"),
                  _part(frame, _move(0, 0.29, 0.11), (0.06, 0.1, 0.06), "rubber", shape="rod")]
    else:
        parts += [_part(frame, _move(0, 0.18, 0), (0.19, 0.16, 0.29), texture)]
    for x in (-0.1, 0.1):
        for z in (-0.1, 0.1):
            wheel = _move(x, 0.055, z) @ _turn("z", np.pi / 2)
            parts.append(_part(frame, wheel, (0.11, 0.03, 0.11), "rubber", shape="rod"))
    return parts


SCENES = {"room": _room, "street": _street, "orbit": _orbit}  # name -> builder(rng) -> Scene


# -------------------------------------------------------------------------------------------------------- predictions


def predictions(clip, edges, noise=0.03, seed=0):
    """What a two-view network would say about the directed pairs `edges` of a clip: yields a `PairPrediction` per edge.

    Point maps (H, W, 3) float16 in the camera of frame i, moving things where they are at their own frame's time. Wrong
    as networks are: z depth off by `noise` (relative, deviation; two thirds smooth over the image, the rest per pixel),
    0.5 % of the pixels far off, the second view's pose off by an angle and a shift that grow with the square root of
    the gap, a free scale per pair. Confidence (H, W) float16 in 1..12 falls with the error, loosely. Nothing is kept
    between edges, and a pair's values depend on (seed, i, j) only. noise = 0 gives exact points up to float16.
    """
    height, width = clip.depth.shape[1:]
    rays = pixel_rays(clip.intrinsics, width, height).astype(np.float32)
    typical = float(np.median(clip.depth))
    for i, j in edges:
        rng = np.random.default_rng([seed, i, j])
        scale = np.exp(0.25 * rng.standard_normal()) / typical
        slip = 0.12 * noise * np.sqrt(abs(i - j))
        wrong = pose(cv2.Rodrigues(slip * rng.standard_normal(3))[0], slip * typical * rng.standard_normal(3))
        relative = wrong @ invert(clip.cam2world[i]) @ clip.cam2world[j]
        pts1, conf1 = _predict_view(rng, rays, clip.depth[i], np.eye(4), scale, noise)
        pts2, conf2 = _predict_view(rng, rays, clip.depth[j], relative, scale, noise)
        yield PairPrediction(i, j, pts1, pts2, conf1, conf2)


def _predict_view(rng, rays, depth, matrix, scale, noise):
    """Points (H, W, 3) and confidence (H, W), float16, of one view moved by `matrix` and scaled."""
    height, width = depth.shape
    smooth = cv2.resize(rng.standard_normal((6, 9), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    error = noise * (smooth + 0.5 * rng.standard_normal(depth.shape, np.float32))
    doubt = np.abs(error) / max(noise, 1e-6) - 0.25 * rng.standard_normal(depth.shape, np.float32)
    if noise > 0:
        strays = rng.integers(depth.size, size=depth.size // 200)
        error.reshape(-1)[strays] = rng.uniform(-0.6, 0.8, len(strays))  # outliers look as sure as their neighbours
    points = transform((scale * matrix).astype(np.float32), rays * (depth * (1 + error))[..., None])
    return points.astype(np.float16), (1 + 5 * np.exp(-doubt)).clip(1, 12).astype(np.float16)


# -------------------------------------------------------------------------------------------------------- saved truth


def save_truth(path, clip):
    """Write the `Truth` of a clip to a compressed .npz (depth thinned, as float16); `load_truth` reads it."""
    np.savez_compressed(path, timestamps=clip.timestamps, cam2world=clip.cam2world, intrinsics=clip.intrinsics,
                        depth=clip.depth[:, ::DEPTH_STEP, ::DEPTH_STEP].astype(np.float16),
                        dynamic=np.packbits(clip.dynamic), shape=clip.dynamic.shape)


def load_truth(path):
    """Read what `save_truth` wrote, for instance `examples/room.npz`. Returns a `Truth` with step = `DEPTH_STEP`."""
    with np.load(path) as stored:
        shape = tuple(stored["shape"])
        dynamic = np.unpackbits(stored["dynamic"], count=int(np.prod(shape))).astype(bool).reshape(shape)
        return Truth(stored["timestamps"], stored["cam2world"], stored["intrinsics"],
                     stored["depth"].astype(np.float32), dynamic, DEPTH_STEP)
