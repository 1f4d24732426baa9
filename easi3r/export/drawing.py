"""Pictures of a scene from any camera at any moment, drawn without a GPU: for the videos.

Points are drawn into a depth buffer by numpy; each pixel then takes its colour from the source frame its point came
from, between the frame's pixels, so that surfaces stay sharp however many points there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from ..camera import invert, transform
from ..threads import in_order
from .scene import Scene

BACKGROUND = (22, 24, 29)  # where nothing is known
_VIEWS, _PANORAMA_VIEWS = 9, 24  # frames that the static scene is taken from; of a turn none shows much again
_VERTICES = 200_000  # of the static scene, and of the moving objects of one time
_APART, _MOST_PARTS = 2.5, 8  # most pixels between neighbouring points, most parts that an edge is cut into for that
_SAME = 0.05  # relative difference of depth within one surface
_SPRAY = 0.12  # share of the pixels around that must be known; sparser points are strays
_HOLE = 0.05  # width of the holes that are filled, as a share of the longer side
_INDICES = 2**24  # a buffer entry is depth level * _INDICES + index of the point, exact in float64
_LEVELS = 2.0**28


def pictures(
    scene: Scene,
    cameras: Sequence[np.ndarray],
    intrinsics: Sequence[np.ndarray],
    size: tuple[int, int],
    steps: Sequence[int],
    in_front: float,
) -> Iterator[np.ndarray]:
    """Pictures (h,w,3) uint8 RGB of `size` (w, h) in pixels, one after the other; what no frame has seen is dark.

    cameras: cam2world (4,4) of each, OpenCV axes, world of the result; intrinsics: K (3,3) of each in its pixels;
    steps: which frame's moving objects each shows. in_front: only what is nearer than this share of a moving object's
    depth hides it.
    """
    result, height = scene.result, scene.result.depth.shape[1]
    seen_from = [_projection(*view) for view in zip(cameras, intrinsics)]
    surfaces = scene.surfaces(_VERTICES, _PANORAMA_VIEWS if scene.is_panorama else _VIEWS)
    some = seen_from[:: max(1, len(seen_from) // 6)] + seen_from[-1:]  # a turn shows new sides up to its end
    surroundings = _points(result, surfaces, 1.0, some, size)
    frames = [scene.pictured.frames[patch.t] for patch in surfaces]

    def views():  # what is drawn in each: all of one moment share it
        now = None
        for step, projection, matrix in zip(steps, seen_from, intrinsics):
            if step != now:
                now, patches = step, scene.objects([step], _VERTICES)
                objects = _points(result, patches, in_front, [projection], size, len(frames))
                everything = _Points.joined([surroundings, objects])
                textures = np.concatenate([*frames, result.frames[step]])
            yield everything, textures, height, projection, matrix[0, 0], size

    return in_order(lambda view: _render(*view), views())


# ---- what is drawn


@dataclass(frozen=True)
class _Points:
    """N points and where their colours are: column, row in frame number `slot` of the textures."""

    places: np.ndarray  # (N,3) float32 world
    column: np.ndarray  # (N,) float32
    row: np.ndarray
    slot: np.ndarray
    zoom: np.ndarray  # (N,) float32 source pixels per pixel of the picture, per unit of z depth and of its focal
    nearer: np.ndarray  # (N,) float32 factor on the depth when it is compared

    @classmethod
    def joined(cls, parts: "list[_Points]") -> "_Points":
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def _points(result, patches, nearer, seen_from, size, slot=0):
    """`_Points` of patches, dense enough for `seen_from`; their frames have the slots from `slot` on."""
    parts = [_Points(np.empty((0, 3), np.float32), *np.empty((5, 0), np.float32))]
    for k, patch in enumerate(patches, slot):
        row, column = np.divmod(patch.pixels, result.depth.shape[2])
        depth = transform(invert(result.cam2world[patch.t]), patch.points)[:, 2]
        zoom = result.intrinsics[patch.t][0, 0] / np.maximum(depth, 1e-9)
        numbers = np.broadcast_arrays(column, row, k, zoom, nearer)
        whole = _Points(patch.points, *np.array(numbers, np.float32))
        parts += [whole, _between(whole, patch.triangles, seen_from, size)]
    return _Points.joined(parts)


def _between(points, triangles, seen_from, size):
    """More points along the edges that a view of `seen_from` stretches: surfaces that were filmed from the side."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[edges[:, 0] < edges[:, 1]]  # once, as neighbouring triangles run along it in opposite directions
    first, second = edges.T.copy()
    longest = np.zeros(len(edges), np.float32)
    for projection in seen_from:
        x, y, z = _project(points.places, projection)
        visible = (x > 0) & (x < size[0]) & (y > 0) & (y < size[1]) & (z > 1e-6)
        x[~visible] = y[~visible] = np.nan
        np.fmax(longest, (x[first] - x[second]) ** 2 + (y[first] - y[second]) ** 2, out=longest)
    stretched = np.flatnonzero(longest > _APART**2)
    parts = np.clip(np.ceil(np.sqrt(longest[stretched]) / _APART), 1, _MOST_PARTS).astype(int)
    between = np.repeat(stretched, parts - 1)
    number = np.arange(len(between)) - np.repeat(np.cumsum(parts - 1) - (parts - 1), parts - 1) + 1
    share = (number / np.repeat(parts, parts - 1)).astype(np.float32)
    first, second = edges[between].T
    columns = (getattr(points, f.name).T for f in fields(points))
    return _Points(*(((1 - share) * values[..., first] + share * values[..., second]).T for values in columns))


# ---- drawing


def _projection(camera, intrinsics):
    """(3,4) float32 from cam2world (4,4)."""
    return (intrinsics @ invert(camera)[:3]).astype(np.float32)


def _project(places, projection):
    """World (N,3) float32 -> columns, rows and z depth, (N,) each; z is at least 1e-9."""
    if not len(places):
        return np.empty((3, 0), np.float32)
    # Not a BLAS product, which keeps every core busy for no gain.
    x, y, z = cv2.transform(places[:, None], projection)[:, 0].T
    z = np.maximum(z, np.float32(1e-9))
    return x / z, y / z, z


def _render(points, textures, height, projection, focal, size):
    """Picture (h,w,3) uint8 of `size` (w, h) through a (3,4) projection of this focal; textures: frames of `height`
    rows, stacked."""
    x, y, z = _project(points.places, projection)
    buffer = _close(_nearest(x, y, z, z * points.nearer, size), size)
    if not (buffer >= 0).any():
        return np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    winner = np.maximum(buffer, 0).astype(np.int64) & (_INDICES - 1)
    zoom = z * (points.zoom / np.float32(focal))
    zooms = zoom.take(winner)
    u = (points.column - x * zoom).take(winner) + zooms * np.arange(size[0], dtype=np.float32)
    v = (points.row - y * zoom).take(winner) + zooms * np.arange(size[1], dtype=np.float32)[:, None]
    u, v = np.clip(u, 0, textures.shape[1] - 1), np.clip(v, 0, height - 1)
    v += (points.slot * np.float32(height)).take(winner)
    u[buffer < 0] = -1
    return cv2.remap(textures, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=BACKGROUND)


def _nearest(x, y, z, depth, size):
    """Depth buffer (h,w) float64: level * _INDICES + index of the nearest point, inf where there is none."""
    width, height = size
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5) & (z > 1e-6)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    pixel = np.rint(y).astype(np.int32) * width + np.rint(x).astype(np.int32)
    pixel[~inside] = width * height  # which is left out
    entry = np.floor(depth * np.float64(_LEVELS / (1.001 * float(depth.max(initial=1e-9)))))
    entry *= _INDICES
    entry += np.arange(len(depth))
    buffer = np.full(width * height + 1, np.inf)
    np.minimum.at(buffer, pixel, entry)
    return buffer[:-1].reshape(height, width)


def _close(buffer, size):
    """Close the gaps between the points of a surface, then small holes where nothing is known, which becomes -1.

    A pixel that is filled takes the entry of a neighbour; as textures are looked up beside that point, it shows what
    the frame shows there.
    """
    density = cv2.boxFilter(np.isfinite(buffer).astype(np.float32), -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    buffer[density <= _SPRAY] = np.inf
    # Grey opening: the depth of the nearer surface where its gap is narrower than the kernel.
    near = _extreme(cv2.erode, buffer, 3)
    np.copyto(buffer, near, where=buffer > _extreme(cv2.dilate, near, 3) * (1 + _SAME))
    unseen = np.isinf(buffer)
    buffer[unseen] = -1
    # Wide holes are found and filled on every second row and column: a third of the time.
    holes = cv2.resize(_holes(~unseen[::2, ::2], max(size) * _HOLE / 4), size, interpolation=cv2.INTER_NEAREST) > 0
    holes &= unseen
    for _ in range(2):
        buffer = _fill(buffer, holes, 1)
    if (buffer[holes] < 0).any():
        coarse = _extreme(cv2.dilate, buffer, 2)[::2, ::2]
        unknown = coarse < 0
        for reach in (1, 2, 4, 8):
            coarse = _fill(coarse, unknown, reach)
        np.copyto(buffer, cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST), where=holes & (buffer < 0))
    return buffer


def _fill(buffer, holes, reach):
    """What was hidden belongs to the surface behind, so the farthest neighbour goes on where nothing is known."""
    far = _extreme(cv2.dilate, buffer, 2 * reach + 1)
    return np.where(holes & (buffer < 0), far, buffer)


def _holes(seen, reach):
    """(h,w) uint8: 1 in holes of seen (h,w) bool at most twice `reach` wide, and in what little is left of such holes,
    which looks odd."""
    closed = _distance(_distance(seen) > reach) > reach
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~closed).astype(np.uint8))
    left = stats[:, cv2.CC_STAT_AREA] >= 2 * (2 * reach) ** 2
    left[0] = False
    return (~left[labels]).astype(np.uint8)


def _distance(covered):
    """(h,w) float32: pixels to the nearest one that is covered, (h,w) bool; thousands if none is."""
    return cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, 5)


def _extreme(operation, image, width):
    return operation(image, np.ones((width, width), np.uint8), borderType=cv2.BORDER_REPLICATE)
