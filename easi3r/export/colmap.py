"""Cameras and points as a COLMAP model in text form.

Format: https://colmap.github.io/format.html. COLMAP counts pixels from the corner of the picture: the centre of the top
left pixel is (0.5, 0.5) there and (0, 0) in the rest of this project.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import invert, transform
from ..reconstruction import Reconstruction
from ..scale import in_words
from .views import Views

_TRACK = 6  # views in which a point is marked, at most; chosen at random so that all pairs of frames share points
_SAME = 0.05  # relative difference of depth up to which a frame shows the point itself and not something before it


def write_colmap(result: Reconstruction, views: Views, folder: Path, points: np.ndarray, colours: np.ndarray) -> None:
    """Write cameras.txt, images.txt and points3D.txt into `folder`: PINHOLE cameras, world to camera, qw first.

    views: `Views` of the result, the pictures that the cameras are for. points (N,3) world, colours (N,3) uint8. Every
    point is marked in up to six frames that show it (at its projection, so the stated reprojection error is 0):
    COLMAP's window hides points with fewer than three marks, and dense stereo picks its frames by them. Image NAMEs are
    00000.jpg and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width, height = views.size
    pinholes = views.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]] + [0, 0, 0.5, 0.5]
    pinholes, camera = np.unique(pinholes, axis=0, return_inverse=True)
    with open(folder / "cameras.txt", "w", encoding="ascii") as file:
        file.write(f"# {in_words(result.info)}\n# CAMERA_ID, MODEL, WIDTH, HEIGHT, FX, FY, CX, CY\n")
        file.writelines(
            f"{k} PINHOLE {width} {height} {_words(numbers)}\n" for k, numbers in enumerate(pinholes.tolist(), 1)
        )
    marks, tracks = _marks(result, views.intrinsics, points)
    with open(folder / "images.txt", "w", encoding="ascii") as file:
        file.write("# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n# POINTS2D[] as (X, Y, POINT3D_ID)\n")
        for t, (world2cam, marked) in enumerate(zip(invert(result.cam2world), marks)):
            x, y, z, w = Rotation.from_matrix(world2cam[:3, :3]).as_quat(canonical=True)
            file.write(f"{t + 1} {_words([w, x, y, z, *world2cam[:3, 3]])} {camera.ravel()[t] + 1} {t:05d}.jpg\n")
            file.write(" ".join(marked) + "\n")
    with open(folder / "points3D.txt", "w", encoding="ascii") as file:
        file.write("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n")
        file.writelines(
            f"{k} {x:.7g} {y:.7g} {z:.7g} {red} {green} {blue} 0 {' '.join(track)}\n"
            for k, ((x, y, z), (red, green, blue), track) in enumerate(
                zip(points.tolist(), colours.tolist(), tracks), 1
            )
        )


def _words(numbers):
    return " ".join(f"{number:.12g}" for number in numbers)


def _marks(result, intrinsics, points):
    """Where pictures with these intrinsics (T,3,3) show the points. Returns the marks of each frame, "x y point", and
    the track of each point, "image mark", as lists of strings per frame and per point."""
    pixels, seen = _projections(result, intrinsics, points)
    order = np.where(seen, np.random.default_rng(0).random(seen.shape), 2.0)
    chosen = np.zeros_like(seen)
    np.put_along_axis(chosen, np.argsort(order, axis=0)[:_TRACK], True, axis=0)
    marks, tracks = [], [[] for _ in points]
    for t, marked in enumerate(chosen & seen):
        numbers = np.flatnonzero(marked).tolist()
        places = (pixels[t, numbers] + 0.5).tolist()
        marks.append([f"{x:.2f} {y:.2f} {k + 1}" for (x, y), k in zip(places, numbers)])
        for mark, k in enumerate(numbers):
            tracks[k].append(f"{t + 1} {mark}")
    return marks, tracks


def _projections(result, intrinsics, points):
    """Pixels (T,N,2) float32 of the points (N,3), and whether the frame shows the point there: (T,N) bool."""
    height, width = result.depth.shape[1:]
    pixels = np.zeros((len(result.frames), len(points), 2), np.float32)
    seen = np.zeros(pixels.shape[:2], bool)
    for t, world2cam in enumerate(invert(result.cam2world)):
        seen_from = transform(world2cam, points)
        z = np.maximum(seen_from[:, 2], 1e-9)  # points behind the camera land far outside the picture
        rays = np.column_stack([seen_from[:, :2] / z[:, None], np.ones(len(z))])
        column, row = np.round(rays @ result.intrinsics[t, :2].T).T
        inside = np.flatnonzero((column >= 0) & (row >= 0) & (column < width) & (row < height))
        at = row[inside].astype(int), column[inside].astype(int)
        same = np.abs(result.depth[t][at] - z[inside]) < _SAME * z[inside]
        pixels[t, inside] = rays[inside] @ intrinsics[t, :2].T
        seen[t, inside] = same & ~result.dynamic[t][at]
    return pixels, seen
