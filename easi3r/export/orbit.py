"""A video of the scene seen from new places: the way to look at it that works where 3D does not.

Points are drawn into a depth buffer by numpy; each pixel then takes its colour from the source frame its point came
from, between the frame's pixels, so that surfaces stay sharp however many points there are.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from .. import video
from ..camera import invert, pose, transform
from ..errors import InputError
from .surfaces import choose_pixels, moving_objects, static_scene
from .videos import playback_fps

_FPS = 24
_SHORTEST, _LONGEST = 4.0, 6.0  # seconds
_SIDEWAYS, _UP, _BACK = np.radians(15), np.radians(4), 0.1  # how far the camera circles; back as a share of the depth
_VIEWS = 8  # frames that the static scene is taken from
_VERTICES = 200_000  # of the static scene, and of the moving objects of one time
_CUT = 0.05  # share of static pixels left out, the least confident
_APART, _MOST_PARTS = 2.5, 8  # most pixels between neighbouring points, most parts that an edge is cut into for that
_BACKGROUND = (22, 24, 29)
_SAME = 0.05  # relative difference of depth within one surface
# The camera that filmed a moving object saw it, and the video's is close by: only what is nearer than this share of the
# object's depth hides it, so that rough depth does not sink feet into the ground.
_IN_FRONT = 0.4
_SPRAY = 0.12  # share of the pixels around that must be known; sparser points are strays
_HOLE = 0.05  # width of the holes that are filled, as a share of the longer side
_WIDTH = 640  # pixels of the longer side
_INDICES = 2.0**24  # a buffer entry is depth level * _INDICES + index of the point, exact in float64
_LEVELS = 2.0**28


def write_orbit(result, path, width=None):
    """mp4 of the scene while time plays: the camera glides along the filmed path and circles about what it sees.

    The first picture is the first frame's own view; the circle (15 degrees to either side, up to 8 up) closes when the
    clip ends. 4 to 6 seconds at 24 frames per second; a shorter clip is slowed down, a longer one quickened. What no
    frame has seen is dark. width: pixels of the longer side, 64 to 1920; None: 640, but at most twice that of the
    frames. Proportions as the clip's. Raises `InputError` if `width` is out of range.
    """
    width = max(64, min(_WIDTH, 2 * max(result.depth.shape[1:]))) if width is None else width
    if not 64 <= width <= 1920:
        raise InputError(f"width is {width!r}; it must lie between 64 and 1920 pixels.")
    seconds = len(result.frames) / playback_fps(result.timestamps)
    count = round(_FPS * float(np.clip(seconds, _SHORTEST, _LONGEST)))
    video.write(path, _pictures(result, int(width), count), _FPS)


def _pictures(result, longer_side, count):
    """The `count` pictures (h,w,3) uint8 of the video, one after the other."""
    n_frames, height, width = result.depth.shape
    scale = longer_side / max(height, width)
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
    intrinsics = result.cameras[0].scaled(*size).intrinsics
    static, moving = choose_pixels(result, _CUT)
    cameras = _cameras(result, static, moving, count)
    seen_from = [_projection(camera, intrinsics) for camera in cameras]
    views = np.unique(np.linspace(0, n_frames - 1, min(n_frames, _VIEWS)).round().astype(int))
    surroundings = _static_points(result, static, views, seen_from[:: max(1, count // 6)], size)
    now = None
    for k, projection in enumerate(seen_from):
        if k * n_frames // count != now:
            now = k * n_frames // count
            objects = _moving_points(result, moving, now, len(views), [projection], size)
            everything = surroundings.with_(objects)
            textures = np.concatenate([*result.frames[views], result.frames[now]])
        yield _render(everything, textures, height, projection, intrinsics[0, 0], size)


# ---- what is drawn


@dataclass(frozen=True)
class _Points:
    """N points and where their colours are: column, row in frame number `slot` of the textures."""

    places: np.ndarray  # (3,N) float32 world
    source: np.ndarray  # (3,N) float32 column, row, slot
    grain: np.ndarray  # (N,) float32 distance of neighbouring source pixels at the point, world units
    nearer: np.ndarray  # (N,) float32 factor on the depth when it is compared

    def with_(self, other):
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return _Points(*(np.concatenate(pair, axis=-1) for pair in pairs))


def _static_points(result, static, views, seen_from, size):
    height, width = result.depth.shape[1:]
    tags = np.stack([_tags(height, width, slot) for slot in range(len(views))])
    # The meshes carry where each vertex came from in place of its colour.
    tagged = replace(
        result,
        frames=tags,
        depth=result.depth[views],
        cam2world=result.cam2world[views],
        intrinsics=result.intrinsics[views],
    )
    patches = static_scene(tagged, static[views], _VERTICES)
    return _points(result, patches, dict(enumerate(views)), 1.0, seen_from, size)


def _moving_points(result, moving, t, slot, seen_from, size):
    height, width = result.depth.shape[1:]
    tagged = replace(result, frames=np.broadcast_to(_tags(height, width, slot), (*result.depth.shape, 3)))
    patches = moving_objects(tagged, moving, [t], _VERTICES)
    return _points(result, patches, {slot: t}, _IN_FRONT, seen_from, size)


def _tags(height, width, slot):
    """(H,W,3) float32: column, row, slot of every pixel."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([columns, rows, np.full_like(rows, slot)], axis=-1).astype(np.float32)


def _points(result, patches, frames, nearer, seen_from, size):
    """`_Points` of tagged patches, dense enough for `seen_from`; `frames` slot -> index of the frame."""
    places = np.concatenate([np.empty((0, 3), np.float32), *(p.points for p in patches)])
    source = np.concatenate([np.empty((0, 3), np.float32), *(p.colours for p in patches)])
    starts = np.cumsum([0, *(len(p.points) for p in patches)])
    triangles = np.concatenate([np.empty((0, 3), np.int64), *(p.triangles + s for p, s in zip(patches, starts))])
    grain = np.ones(len(places), np.float32)
    for slot, t in frames.items():
        chosen = source[:, 2] == slot
        depth = transform(invert(result.cam2world[t]), places[chosen])[:, 2]
        grain[chosen] = np.maximum(depth, 1e-9) / result.intrinsics[t][0, 0]
    points = _Points(places.T.copy(), source.T.copy(), grain, np.full(len(places), nearer, np.float32))
    return _densify(points, triangles, seen_from, size)


def _densify(points, triangles, seen_from, size):
    """More points along the edges that a view of `seen_from` stretches: surfaces that were filmed from the side."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[edges[:, 0] < edges[:, 1]]  # once, as neighbouring triangles run along it in opposite directions
    longest = np.zeros(len(edges), np.float32)
    for projection in seen_from:
        x, y, z = _project(points.places, projection)
        visible = (x > 0) & (x < size[0]) & (y > 0) & (y < size[1]) & (z > 1e-6)
        first, second = edges.T
        length = np.hypot(x[first] - x[second], y[first] - y[second])
        longest = np.maximum(longest, length * (visible[first] & visible[second]))
    parts = np.clip(np.ceil(longest / _APART), 1, _MOST_PARTS).astype(int)
    between = np.repeat(np.arange(len(edges)), parts - 1)
    number = np.arange(len(between)) - np.repeat(np.cumsum(parts - 1) - (parts - 1), parts - 1) + 1
    share = (number / parts[between]).astype(np.float32)
    first, second = edges[between].T
    mixed = (
        (1 - share) * values[..., first] + share * values[..., second]
        for values in (getattr(points, name) for name in points.__dataclass_fields__)
    )
    return points.with_(_Points(*mixed))


# ---- from where


def _cameras(result, static, moving, count):
    """Where the video is taken from: `count` cam2world (4,4)."""
    depths = [float(np.median(result.depth[shown])) for shown in (static, moving) if shown.any()]
    pivot = float(np.exp(np.mean(np.log(depths)))) if depths else 1.0  # between the scene and what moves in it
    places, turns = _glide(result)
    index, cameras = np.arange(len(places)), []
    for k in range(count):
        at = min(k * len(places) / count, len(places) - 1)
        place, turn = (np.array([np.interp(at, index, column) for column in track.T]) for track in (places, turns))
        cameras.append(pose(Rotation.from_quat(turn).as_matrix(), place) @ _circle(2 * np.pi * k / count, pivot))
    return cameras


def _glide(result):
    """The filmed path without its shaking: places (T,3) and quaternions (T,4); the ends stay as they are."""
    quaternions = Rotation.from_matrix(result.cam2world[:, :3, :3]).as_quat()
    for previous, current in pairwise(quaternions):
        current *= 1 if previous @ current >= 0 else -1  # q and -q are one rotation; neighbours are to be close
    n_frames = len(quaternions)

    def smooth(track):
        if n_frames < 3:
            return track
        mirrored = np.pad(track, [(n_frames - 1,) * 2, (0, 0)], mode="reflect", reflect_type="odd")
        return gaussian_filter1d(mirrored, n_frames / 8, axis=0)[n_frames - 1 : 2 * n_frames - 1]

    return smooth(result.cam2world[:, :3, 3]), smooth(quaternions)


def _circle(phase, depth):
    """(4,4): the camera moved on its circle about the point `depth` in front of it; the identity at phase 0."""
    up = (1 - np.cos(phase)) * _UP
    turn = Rotation.from_euler("yx", [_SIDEWAYS * np.sin(phase), -up]).as_matrix()
    back = depth * (1 + _BACK * (1 - np.cos(phase)) / 2)
    return pose(turn, np.array([0, 0, depth]) - turn @ [0, 0, back])


# ---- drawing


def _projection(camera, intrinsics):
    """(3,4) float32 from cam2world (4,4)."""
    return (intrinsics @ invert(camera)[:3]).astype(np.float32)


def _project(places, projection):
    """World (3,N) -> columns, rows and z depth, (N,) each; z is at least 1e-9."""
    # Written out: a BLAS product of 3 x 4 by N keeps every core busy for no gain.
    x, y, z = (places[0] * a + places[1] * b + places[2] * c + d for a, b, c, d in projection)
    z = np.maximum(z, 1e-9)
    return x / z, y / z, z


def _render(points, textures, height, projection, focal, size):
    """Picture (h,w,3) uint8 of `size` (w, h) through a (3,4) projection; textures: frames of `height` rows, stacked."""
    x, y, z = _project(points.places, projection)
    inside = np.flatnonzero((x > -0.5) & (x < size[0] - 0.5) & (y > -0.5) & (y < size[1] - 0.5) & (z > 1e-6))
    buffer = _close(_nearest(x[inside], y[inside], (z * points.nearer)[inside], size), size)
    place = np.flatnonzero(np.isfinite(buffer))
    entry = buffer.ravel()[place]
    winner = inside[(entry - np.floor(entry / _INDICES) * _INDICES).astype(np.int64)]
    zoom = z[winner] / (np.float32(focal) * points.grain[winner])  # source pixels per pixel
    column, row, slot = (channel[winner] for channel in points.source)
    u = column + (place % size[0] - x[winner]) * zoom
    v = np.clip(row + (place // size[0] - y[winner]) * zoom, 0, height - 1) + slot * height
    maps = np.full((2, size[1] * size[0]), -1, np.float32)
    maps[:, place] = np.clip(u, 0, textures.shape[1] - 1), v
    maps = maps.reshape(2, size[1], size[0])
    return cv2.remap(textures, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_BACKGROUND)


def _nearest(x, y, depth, size):
    """Depth buffer (h,w) float64: level * _INDICES + index of the nearest point, inf where there is none."""
    buffer = np.full(size[0] * size[1], np.inf)
    if len(depth):
        level = np.floor(depth * np.float64(_LEVELS / (1.001 * float(depth.max()))))
        pixel = np.rint(y).astype(np.int64) * size[0] + np.rint(x).astype(np.int64)
        np.minimum.at(buffer, pixel, level * _INDICES + np.arange(len(depth)))
    return buffer.reshape(size[1], size[0])


def _close(buffer, size):
    """Close the gaps between the points of a surface, then small holes where nothing is known.

    A pixel that is filled takes the entry of a neighbour; as textures are looked up beside that point, it shows what
    the frame shows there.
    """
    density = cv2.boxFilter(np.isfinite(buffer).astype(np.float32), -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    buffer = np.where(density > _SPRAY, buffer, np.inf)
    # Grey opening: the depth of the nearer surface where its gap is narrower than the kernel.
    near = _extreme(cv2.erode, buffer, 3)
    buffer = np.where(buffer > _extreme(cv2.dilate, near, 3) * (1 + _SAME), near, buffer)
    width = 2 * round(max(size) * _HOLE / 2) + 1
    seen = np.isfinite(buffer).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, disc)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - closed)  # what is left of a hole inside looks odd
    left = stats[:, cv2.CC_STAT_AREA] >= 2 * width * width
    holes = ((closed > 0) | ~left[labels]) & (seen == 0)
    for reach in (1, 1, 2, 4, 8, 16):  # what was hidden belongs to the surface behind, so the farther neighbour goes on
        far = _extreme(cv2.dilate, np.where(np.isfinite(buffer), buffer, -1), 2 * reach + 1)
        filled = holes & (far >= 0)
        buffer[filled] = far[filled]
        holes &= ~filled
        if not holes.any():
            break
    return buffer


def _extreme(operation, image, width):
    return operation(image, np.ones((width, width), np.uint8), borderType=cv2.BORDER_REPLICATE)
