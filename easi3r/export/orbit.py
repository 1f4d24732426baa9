"""A video of the scene seen from new places: the way to look at it that works where 3D does not."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from .. import video
from ..camera import pose
from ..errors import InputError
from .drawing import pictures
from .scene import Scene
from .videos import playback_fps

_FPS = 24
_SHORTEST, _LONGEST = 4.0, 6.0  # seconds
_SIDEWAYS, _UP, _BACK = np.radians(15), np.radians(4), 0.1  # how far the camera circles; back as a share of the depth
_CALM = 0.3  # share of the circle before a panorama: of a mere picture there is no side to see, only its rim
_CUT = 0.05  # share of the static pixels left out: at the scene's .1 the dark rim is 9.3 % of the picture, not 8.3
# The camera that filmed a moving object saw it, and the video's is close by: only what is nearer than this share of the
# object's depth hides it, so that rough depth does not sink feet into the ground.
_IN_FRONT = 0.4
_WIDTH = 640  # pixels of the longer side


def write_orbit(scene: Scene, path: str | Path, width: int | None = None) -> None:
    """mp4 of the scene while time plays: the camera glides along the filmed path and circles about what it sees.

    The first picture is the first frame's own view; the circle (15 degrees to either side, up to 8 up; a third of that
    before a panorama) closes when the clip ends. 4 to 6 seconds at 24 frames per second; a shorter clip is slowed down,
    a longer one quickened. What no frame has seen is dark. width: pixels of the longer side, 64 to 1920; None: 640, but
    at most twice that of the frames. Proportions as the clip's. Raises `InputError` if `width` is out of range.
    """
    scene = replace(scene, cut=_CUT)
    result = scene.result
    width = max(64, min(_WIDTH, 2 * max(result.depth.shape[1:]))) if width is None else width
    if not 64 <= width <= 1920:
        raise InputError(f"width is {width!r}; it must lie between 64 and 1920 pixels.")
    seconds = len(result.frames) / playback_fps(result.timestamps)
    count = round(_FPS * float(np.clip(seconds, _SHORTEST, _LONGEST)))
    video.write(path, _pictures(scene, int(width), count), _FPS)


def _pictures(scene: Scene, longer_side: int, count: int) -> Iterator[np.ndarray]:
    """The `count` pictures (h,w,3) uint8 of the video, one after the other."""
    n_frames, height, width = scene.result.depth.shape
    scale = longer_side / max(height, width)
    size = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    intrinsics = [scene.result.cameras[0].scaled(*size).intrinsics] * count
    steps = [k * n_frames // count for k in range(count)]
    return pictures(scene, _cameras(scene, count), intrinsics, size, steps, _IN_FRONT)


# ---- from where


def _cameras(scene, count):
    """Where the video is taken from: `count` cam2world (4,4)."""
    result = scene.result
    depths = [
        float(np.median(z)) for z in (scene.shown_values("depth", each) for each in ("static", "moving")) if len(z)
    ]
    pivot = float(np.exp(np.mean(np.log(depths)))) if depths else 1.0  # between the scene and what moves in it
    swing = _CALM if scene.is_panorama else 1.0
    places, turns = _glide(result)
    index, cameras = np.arange(len(places)), []
    for k in range(count):
        at = min(k * len(places) / count, len(places) - 1)
        place, turn = (np.array([np.interp(at, index, column) for column in track.T]) for track in (places, turns))
        cameras.append(pose(Rotation.from_quat(turn).as_matrix(), place) @ _circle(2 * np.pi * k / count, pivot, swing))
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


def _circle(phase, depth, swing):
    """(4,4): the camera moved on its circle, of the size `swing`, about the point `depth` in front of it; the identity
    at phase 0.
    """
    up = swing * (1 - np.cos(phase)) * _UP
    turn = Rotation.from_euler("yx", [swing * _SIDEWAYS * np.sin(phase), -up]).as_matrix()
    back = depth * (1 + swing * _BACK * (1 - np.cos(phase)) / 2)
    return pose(turn, np.array([0, 0, depth]) - turn @ [0, 0, back])
