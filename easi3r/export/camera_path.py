"""A camera move that a visitor has drawn in the player: camera_path.json, and the video that it makes.

The format is nerfstudio's (https://docs.nerf.studio, get_path_from_json of nerfstudio/cameras/camera_paths.py), whose
reader takes render_width, render_height, camera_type, seconds and of each entry of camera_path camera_to_world, fov
and, if all have it, render_time. Its cameras have OpenGL axes (x right, y up, z backward); the world is that of the
result, which nerfstudio keeps if it is told to neither turn, centre nor scale the poses of our folder dataset.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import video
from ..backbones.base import Progress
from ..camera import Camera, focal_of, invert, transform
from ..errors import InputError, shown
from ..paths import check_name, check_path, quoted, try_writing
from ..reconstruction import Reconstruction
from .drawing import pictures
from .nerfstudio import AXES
from .scene import Scene

LONGEST = 60.0  # seconds
_FASTEST = 60.0  # pictures per second
_SIDES = 64, 1920  # pixels
_FIELDS = 1.0, 170.0  # degrees
_FARTHEST = 1e6  # units of the result: numbers beyond are no place
_LARGEST = 20  # MB; the longest path has 2
_CUT = 0.05  # share of the static pixels that is left out, as in the orbit video
# Unlike the orbit's, a view may be far from where it was filmed, so that walls do hide what moves behind them: what is
# nearer than this share of a moving object's depth does. At .4 to .85 people of `street` keep their feet alike.
_IN_FRONT = 0.85
_POINTS, _VIEWS = 5000, 50  # of the scene and of a path: in one of these something of it is to be seen
_DOT = 0.02  # of the picture's longer side: as wide is what a view sees of the scene at least


@dataclass(frozen=True, eq=False)
class CameraPath:
    """N views of a move, evenly spaced in time; see `read_camera_path`."""

    cam2world: np.ndarray  # (N,4,4) float64, OpenCV axes, world of the result
    fov: np.ndarray  # (N,) float64 degrees, from the upper to the lower rim
    times: np.ndarray  # (N,) float64 in [0,1]: which moment of the clip, 0 its first frame and 1 its last
    size: tuple[int, int]  # width, height in pixels
    fps: float  # pictures per second

    @property
    def intrinsics(self) -> np.ndarray:
        """(N,3,3) float64: K of every view, in pixels of `size`."""
        width, height = self.size
        return np.stack(
            [Camera.centred(focal, width - 1, height - 1).intrinsics for focal in focal_of(self.fov, height)]
        )


def read_camera_path(source: str | Path | Mapping[str, Any]) -> CameraPath:
    """The `CameraPath` of a camera_path.json, or of the document in it.

    Raises `InputError` if it is no such document, has fewer than two views, numbers that are none, a view that is no
    camera's, or is longer than 60 seconds. Without render_time in every view the clip runs evenly.
    """
    document = source if isinstance(source, Mapping) else _load(Path(source))
    views = document.get("camera_path")
    if not isinstance(views, list) or not all(isinstance(view, Mapping) for view in views):
        raise _none("it has no list camera_path")
    if document.get("camera_type", "perspective") != "perspective":
        raise _none(f"its camera_type is {shown(document['camera_type'])}, only perspective can be rendered")
    if len(views) < 2:
        raise InputError("The camera path has fewer than two views; add a second view first.")
    size = tuple(int(_number(document, name, *_SIDES)) for name in ("render_width", "render_height"))
    seconds = _number(document, "seconds", 0.01, LONGEST)
    if len(views) > _FASTEST * seconds + 1:
        raise _none(f"{len(views)} views in {seconds:g} seconds are more than {_FASTEST:g} pictures a second")
    fov = np.array([_number(view, "fov", *_FIELDS) for view in views])
    timed = all("render_time" in view for view in views)
    times = [_number(view, "render_time", 0, 1) for view in views] if timed else np.linspace(0, 1, len(views))
    cam2world = np.stack([_pose(view.get("camera_to_world"), k) for k, view in enumerate(views)])
    return CameraPath(cam2world, fov, np.array(times), (size[0], size[1]), len(views) / seconds)


def check_out(file: str | Path) -> Path:
    """`file` as a Path, if a video can be written there; else `InputError`."""
    file = Path(check_name(file))
    unusable = file.suffix.lower() != ".mp4" or file.is_dir()
    try:
        try_writing(file.parent)
    except OSError:
        unusable = True
    if unusable:
        raise InputError(
            f"No video can be written to {quoted(file)}; give a name that ends in .mp4, in a folder that is there and "
            "that you may write to."
        )
    return file


def render_camera_path(
    scene: Scene | Reconstruction, path: CameraPath, out: str | Path, progress: Progress | None = None
) -> None:
    """Write the mp4 of the scene as the path sees it, with what moves at the path's moments of the clip.

    What no frame has seen is dark. progress(fraction, text) is called before every picture, and ends it by raising:
    then no file is left. Raises `InputError` if none of the views has any of the scene before it.
    """
    scene = replace(scene, cut=_CUT) if isinstance(scene, Scene) else Scene(scene, _CUT)
    if not _sees(scene, path):
        raise InputError(
            "The camera path sees nothing of the scene; it must be of the same result, as Camera move in its player "
            "writes it."
        )
    steps = np.rint(path.times * (len(scene.result.frames) - 1)).astype(int).tolist()
    drawn = pictures(scene, list(path.cam2world), list(path.intrinsics), path.size, steps, _IN_FRONT)
    video.write(out, _told(drawn, len(steps), progress or (lambda fraction, text: None)), path.fps)


def _sees(scene, path):
    """Whether some view has more of the scene before it than a dot."""
    points = np.concatenate([scene.static_points(_POINTS)[0], *(each[1] for each in scene.moving_points(_POINTS))])
    for k in np.unique(np.linspace(0, len(path.times) - 1, _VIEWS).astype(int)):
        at, _ = Camera(path.intrinsics[k], path.size).project(transform(invert(path.cam2world[k]), points))
        seen = at[((at >= 0) & (at < path.size)).all(axis=-1)]
        if len(seen) and np.ptp(seen, axis=0).max() > _DOT * max(path.size):
            return True
    return not len(points)


def _told(drawn: Iterator[np.ndarray], count: int, progress: Progress) -> Iterator[np.ndarray]:
    for k in range(count):
        progress(k / count, f"Rendering picture {k + 1} of {count}")
        yield next(drawn)


def _load(file):
    if check_path(file):
        raise _none(f"{quoted(file)} is a folder")
    if file.stat().st_size > _LARGEST * 1e6:
        raise _none(f"{quoted(file)} is larger than {_LARGEST} MB, ten times what the longest path has")
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):  # bytes that are no text, text that is no JSON
        document = None
    if not isinstance(document, dict):
        raise _none(f"{quoted(file)} is not JSON with an object in it")
    return document


def _number(holder, name, least, most):
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _none(f"its {name} is {shown(value)}, it must be a number between {least:g} and {most:g}")
    return float(value)


def _pose(value, k):
    """cam2world (4,4) of OpenCV axes from 16 numbers, or four rows of four, of OpenGL camera axes."""
    try:
        matrix = np.array(value, np.float64).reshape(4, 4)
    except (ValueError, TypeError, OverflowError):
        raise _none(f"camera_to_world of view {k + 1} is not 16 numbers") from None
    turn, known = matrix[:3, :3], (np.abs(matrix) < _FARTHEST).all()  # also not NaN
    if not known or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise _none(f"camera_to_world of view {k + 1} holds numbers that are no place")
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise _none(f"camera_to_world of view {k + 1} does more than turn and move the camera")
    return matrix @ AXES


def _none(why):
    return InputError(f"This is no camera path: {why}; take one from Camera move in the player, or from nerfstudio.")
