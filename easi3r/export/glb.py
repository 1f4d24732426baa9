"""The 3D scene as one GLB file: static surroundings, moving objects playing in it, the camera's path."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..camera import transform
from ..large import choice
from .colours import linear_light
from .gltf import LINES, TRIANGLES, GlbWriter
from .opening import find_opening
from .scene import PLAYER_MB, Scene
from .surfaces import Patch
from .videos import playback_fps

AXES = np.diag([1.0, -1.0, -1.0])  # OpenCV (x right, y down, z forward) -> glTF (x right, y up, z backward)
_STATIC_VERTICES, _MOVING_VERTICES = 120_000, 100_000  # in 12 MB, of which they take 10; a phone stays fluent
_LESS = 0.9  # of the vertices that would just fit: their bytes are not quite in proportion to their number
_FIELD = 1.75 * np.tan(0.4), np.tan(0.4)  # tangents of half of what viewers show, which mostly have 0.8 rad upright
_MOST_STEPS = 60  # time steps of the animation; every one is a node of its own


def write_scene(scene: Scene, path: str | Path) -> None:
    """GLB file: the static scene with the moving objects playing in it, and the camera's path with a small frustum for
    the time step shown.

    Nodes: "static", "camera path", "frame 7" (the frustum of that frame), and below "mover 2" its "mover 2, frame 7".
    Axes of the file: x right, y up, z towards the viewer, origin = first camera. Lengths are those of the result times
    `extras.units_per_world_unit` of the scene, chosen so that the first frame's median depth is 5; those of a result in
    metres stay metres. It has at most `scene.player_mb`; of more than 60 frames, so many moments of what moves, evenly
    spread. Each surface is an unlit triangle mesh with vertex colours in linear light. The bounding box is
    centred (by two invisible points) in the middle of what is seen at first, about which viewers turn.
    """
    share, excess = scene.player_mb / PLAYER_MB, 1.0
    while excess > 0:
        file = _filled(scene, share)
        excess = file.size / (scene.player_mb * 1e6) - 1
        share *= _LESS / (1 + excess)
    steps, result = _time_steps(len(scene.result.frames)), scene.result
    file.write(path, playback_fps(result.timestamps) * len(steps) / len(result.frames))


def _filled(scene, share):
    """The `_File` of a scene with this share of the vertices."""
    result = scene.result
    steps = _time_steps(len(result.frames))
    file = _File(scene, find_opening(scene, _FIELD).target)
    surroundings = scene.surfaces(int(share * _STATIC_VERTICES))
    if surroundings:
        file.add("static", surroundings)
    if len(result.frames) > 1:
        file.add("camera path", lines=[_path(result)])
    for k, (t, patch) in enumerate(zip(steps, scene.objects(steps, int(share * _MOVING_VERTICES)))):
        step = k if len(steps) > 1 else None
        file.add(f"frame {t}", lines=[_frustum(result, t, 0.04 * scene.median_depth)], step=step)
        for mover, part in patch.split(scene.movers[t]).items():
            file.add(f"mover {mover}, frame {t}", [part], step=step, group=f"mover {mover}")
    return file


def _time_steps(n_frames):
    """Frames that get a node, spread over the clip."""
    return choice(n_frames, _MOST_STEPS).tolist()


@dataclass(frozen=True)
class _Lines:
    points: np.ndarray  # (N,3) world
    colours: np.ndarray  # (N,3) uint8 sRGB
    segments: np.ndarray  # (M,2) into points


def _time_colours(t, n_frames):
    """Blue at the start of the clip, over magenta, to orange at its end; (..., 3) uint8."""
    stops = np.array([[70, 130, 255], [225, 80, 200], [255, 160, 50]])
    position = np.asarray(t) / max(n_frames - 1, 1) * 2
    return np.stack([np.interp(position, [0, 1, 2], channel) for channel in stops.T], axis=-1).astype(np.uint8)


def _path(result):
    index = np.arange(len(result.frames))
    segments = np.stack([index[:-1], index[1:]], axis=1)
    return _Lines(result.cam2world[:, :3, 3], _time_colours(index, len(index)), segments)


def _frustum(result, t, depth):
    """Pyramid from the camera's centre to its picture at the given depth, with a tip that marks the upper side."""
    height, width = result.depth.shape[1:]
    left, right, top, bottom = -0.5, width - 0.5, -0.5, height - 0.5
    tip = width / 2, top - 0.2 * height
    pixels = np.array([[left, top], [right, top], [right, bottom], [left, bottom], tip])
    rays = np.column_stack([pixels, np.ones(5)]) @ np.linalg.inv(result.intrinsics[t]).T * depth
    corners = transform(result.cam2world[t], np.concatenate([np.zeros((1, 3)), rays]))
    colours = np.repeat(_time_colours([t], len(result.frames)), len(corners), axis=0)
    segments = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1], [1, 5], [5, 2]]
    return _Lines(corners, colours, np.array(segments))


class _File:
    """Brings parts from world coordinates and sRGB into those of the file and keeps their bounds."""

    def __init__(self, scene: Scene, centre: np.ndarray) -> None:
        self._writer, self._scale = GlbWriter(), scene.units_per_world_unit
        self._extras = scene.gltf_extras
        self._centre = centre @ AXES * self._scale
        # half the size of the box about the centre that holds everything
        self._reach = np.full(3, 0.01 * scene.median_depth * self._scale)

    def add(
        self,
        name: str,
        patches: Sequence[Patch] = (),
        lines: Sequence[_Lines] = (),
        step: int | None = None,
        group: str | None = None,
    ) -> None:
        """One node of surfaces and lines, below the node `group` if given; with `step` in that time step only.

        At other times it is collapsed into the first camera: within the scene, but behind a viewer that starts there
        and so need not draw it.
        """
        parts = [(p.points, p.colours, p.triangles, TRIANGLES) for p in patches]
        parts += [(p.points, p.colours, p.segments, LINES) for p in lines]
        places = [self._place(points) for points, *_ in parts]
        primitives = [
            self._writer.primitive(place, linear_light(colours), indices, mode)
            for place, (_, colours, indices, mode) in zip(places, parts)
        ]
        self._writer.node(name, primitives, step, group)

    def _place(self, points):
        place = points @ AXES * self._scale
        self._reach = np.maximum(self._reach, np.abs(place - self._centre).max(axis=0))
        return place

    @property
    def size(self) -> int:
        """Bytes of its geometry; names and the like take one per cent of them."""
        return self._writer.size

    def write(self, path: str | Path, fps: float) -> None:
        corners = np.stack([self._centre - self._reach, self._centre + self._reach])
        self._writer.node("bounds", [self._writer.bounds(corners)])
        self._writer.write(path, fps, self._extras)
