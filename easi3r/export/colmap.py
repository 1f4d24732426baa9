"""Cameras and points as a COLMAP model in text form.

Format: https://colmap.github.io/format.html. COLMAP counts pixels from the corner of the picture: the centre of the top
left pixel is (0.5, 0.5) there and (0, 0) in the rest of this project.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import invert, transform
from ..large import frames_of
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
    random, n_points = np.random.default_rng(0), len(points)
    lots = np.full((_TRACK, n_points), 2.0)  # what the marks of each point so far have drawn; the lowest stay
    frames, places = np.zeros((_TRACK, n_points), np.int32), np.zeros((_TRACK, n_points, 2), np.float32)
    for t in frames_of(result):
        drawn = random.random(n_points)
        numbers, pixels = _projections(result, t, intrinsics[t], points)
        worst = lots[:, numbers].argmax(axis=0)
        better = drawn[numbers] < lots[worst, numbers]
        worst, numbers = worst[better], numbers[better]
        lots[worst, numbers], frames[worst, numbers], places[worst, numbers] = drawn[numbers], t, pixels[better]
    slot, number = np.nonzero(lots < 2)
    order = np.lexsort([number, frames[slot, number]])
    slot, number = slot[order], number[order]
    marks, tracks = [[] for _ in result.frames], [[] for _ in points]
    for t, k, (x, y) in zip(frames[slot, number].tolist(), number.tolist(), (places[slot, number] + 0.5).tolist()):
        tracks[k].append(f"{t + 1} {len(marks[t])}")
        marks[t].append(f"{x:.2f} {y:.2f} {k + 1}")
    return marks, tracks


def _projections(result, t, intrinsics, points):
    """Which of the points (N,3) frame t shows, (n,) int, and where a picture with these intrinsics (3,3) has them:
    pixels (n,2) float32.
    """
    height, width = result.depth.shape[1:]
    seen_from = transform(invert(result.cam2world[t]), points)
    z = np.maximum(seen_from[:, 2], 1e-9)  # points behind the camera land far outside the picture
    rays = np.column_stack([seen_from[:, :2] / z[:, None], np.ones(len(z))])
    column, row = np.round(rays @ result.intrinsics[t, :2].T).T
    inside = np.flatnonzero((column >= 0) & (row >= 0) & (column < width) & (row < height))
    at = row[inside].astype(int), column[inside].astype(int)
    same = np.abs(result.depth[t][at] - z[inside]) < _SAME * z[inside]
    seen = inside[same & ~result.dynamic[t][at]]
    return seen, (rays[seen] @ intrinsics[:2].T).astype(np.float32)
