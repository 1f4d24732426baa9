"""Point clouds as PLY files, which MeshLab, CloudCompare, Blender and most libraries read.

Format: G. Turk, The PLY polygon file format (1994); binary, little endian.
"""

from pathlib import Path

import numpy as np

from ..large import MANY
from ..scale import in_words
from .scene import Scene

_STATIC, _MOVING = 200_000, 200_000  # points at most; the moving ones over `MANY` time steps
_VERTEX = [("xyz", "<f4", 3), ("rgb", "u1", 3)]
_HEADER = """ply
format binary_little_endian 1.0
comment world as in cameras.json: x right, y down, z forward
comment {said}
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
"""


def write_static(scene: Scene, path: Path) -> None:
    """PLY file of what stands still: points in world coordinates (OpenCV axes, unit of the result) with sRGB colours.

    At most 200 000 points. Writes nothing if nothing stands still.
    """
    points, colours = scene.static_points(_STATIC)
    if len(points):
        write_points(path, points, colours, in_words(scene.result.info))


def write_moving(scene: Scene, folder: Path) -> None:
    """A PLY file per frame, 00000.ply and so on, of what moves at that moment; axes as in `write_static`. The property
    `mover` says which of the movers a point belongs to; programs that do not know it show the points all the same.

    Frames without a moving point get no file; writes nothing, not even the folder, if nothing moves.
    """
    budget = _MOVING * max(1.0, len(scene.result.frames) / MANY)
    for t, points, colours, movers in scene.moving_points(budget):
        folder.mkdir(parents=True, exist_ok=True)
        write_points(folder / f"{t:05d}.ply", points, colours, in_words(scene.result.info), movers)


def write_points(
    path: Path, points: np.ndarray, colours: np.ndarray, said: str, movers: np.ndarray | None = None
) -> None:
    """One PLY file from points (N,3) and sRGB colours (N,3) uint8; said: of their unit, ASCII; movers (N,) uint8: which
    mover each belongs to.
    """
    vertices = np.empty(len(points), np.dtype(_VERTEX if movers is None else [*_VERTEX, ("mover", "u1")]))
    vertices["xyz"], vertices["rgb"] = points, colours
    header = _HEADER.format(said=said, count=len(points))
    if movers is not None:
        vertices["mover"] = movers
        header += "property uchar mover\n"
    with open(path, "wb") as file:
        file.write(f"{header}end_header\n".encode("ascii"))
        file.write(vertices.tobytes())
