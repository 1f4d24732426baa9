"""Frames, masks and cameras in one folder that COLMAP, nerfstudio and trainers of Gaussian splats open as it is."""

from pathlib import Path
from typing import Any

from .colmap import write_colmap
from .images import write_frames, write_static_masks
from .nerfstudio import write_nerfstudio
from .scene import Scene
from .views import source_views, working_views

_POINTS = 20_000  # with their tracks about 4 MB of text; such programs work with this many or fewer


def write_dataset(scene: Scene, folder: Path, source: Any = None) -> None:
    """Write `images/`, `masks/` (black = moving), the COLMAP model `sparse/0/` and nerfstudio's `transforms.json`.

    Both descriptions share the pictures, which are at working size unless the `source` of the result is given: a path,
    list or array as `video.read` takes it. Then frames are read from it anew, one at a time, and pictures, masks and
    intrinsics are of its (upright) size; what was cut from it for the result counts as static. World and unit are those
    of the result (OpenCV axes, first camera).
    Raises `InputError` if the source is gone or is not the one that the result was made from.
    """
    result = scene.result.showing()  # pictures without the scene teach nothing
    if result is not scene.result:
        scene = Scene(result, scene.cut)
    views = working_views(result) if source is None else source_views(result, source)
    write_frames(views, folder / "images")
    write_static_masks(views, folder / "masks")
    cloud = scene.static_points(_POINTS)
    write_colmap(result, views, folder / "sparse" / "0", *cloud)
    write_nerfstudio(result, views, folder, *cloud)
