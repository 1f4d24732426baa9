"""Frames, masks and cameras in one folder that COLMAP, nerfstudio and trainers of Gaussian splats open as it is."""

from .colmap import write_colmap
from .images import write_frames, write_static_masks
from .nerfstudio import write_nerfstudio
from .points import static_points

_POINTS = 20_000  # with their tracks about 4 MB of text; such programs work with this many or fewer


def write_dataset(result, folder):
    """Write `images/`, `masks/` (black = moving), the COLMAP model `sparse/0/` and nerfstudio's `transforms.json`.

    Both descriptions share the pictures, which are at working size; the intrinsics are those of the working size.
    World and unit are those of the result (OpenCV axes, first camera, arbitrary scale).
    """
    write_frames(result, folder / "images")
    write_static_masks(result, folder / "masks")
    cloud = static_points(result, _POINTS)
    write_colmap(result, folder / "sparse" / "0", *cloud)
    write_nerfstudio(result, folder, *cloud)
