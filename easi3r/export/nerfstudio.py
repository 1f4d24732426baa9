"""Cameras as nerfstudio's transforms.json, which instant-ngp and trainers of Gaussian splats read too.

Format: https://docs.nerf.studio/quickstart/data_conventions.html. Cameras have OpenGL axes (x right, y up, z backward).
nerfstudio casts the ray of pixel (0, 0) through (0.5, 0.5), so its principal point counts from the picture's corner.
"""

import json
from pathlib import Path

import numpy as np

from ..reconstruction import Reconstruction
from ..scale import in_words, unit
from .ply import write_points
from .views import Views

AXES = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL camera -> OpenCV camera


def write_nerfstudio(
    result: Reconstruction, views: Views, folder: Path, points: np.ndarray, colours: np.ndarray
) -> None:
    """Write transforms.json into `folder`, for the `Views` images/00000.jpg and masks/00000.jpg.png beside it; and
    sparse_pc.ply with points (N,3) world, colours (N,3) uint8, from which splatting starts, unless there are none.

    World axes and unit are those of the result; nerfstudio finds out itself where up is.
    """
    width, height = views.size
    pinholes = [_pinhole(matrix) for matrix in views.intrinsics]
    shared = all(pinhole == pinholes[0] for pinhole in pinholes)
    document = {"camera_model": "OPENCV", "w": width, "h": height, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    if shared:
        document |= pinholes[0]
    if result.info.get("scale"):
        document["unit"] = unit(result.info)
    if len(points):
        document["ply_file_path"] = "sparse_pc.ply"
        write_points(folder / "sparse_pc.ply", points, colours, in_words(result.info))
    document["frames"] = [
        {
            "file_path": f"images/{t:05d}.jpg",
            "mask_path": f"masks/{t:05d}.jpg.png",
            "transform_matrix": (cam2world @ AXES).tolist(),
            **({} if shared else pinhole),
        }
        for t, (cam2world, pinhole) in enumerate(zip(result.cam2world, pinholes))
    ]
    (folder / "transforms.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def _pinhole(intrinsics):
    return {
        "fl_x": float(intrinsics[0, 0]),
        "fl_y": float(intrinsics[1, 1]),
        "cx": float(intrinsics[0, 2]) + 0.5,
        "cy": float(intrinsics[1, 2]) + 0.5,
    }
