"""How the data sets write cameras, depth and lists; what cannot be read is named in a sentence."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from ..errors import InputError, shown
from ..paths import check_name, quoted

TOLERANCE = 0.02  # seconds between a picture and its pose, TUM's own
_TAG = 202021.25  # with which Sintel's files begin
# How a COLMAP model's parameters begin, and how many there are: https://colmap.github.io/cameras.html
_ONE_FOCAL, _PARAMETERS = (0, 2, 3, 8, 9), (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong with a file becomes an `InputError` that names it, by its last four parts."""
    name = "/".join(path.parts[-4:])
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{quoted(name)} is missing; download it again, or leave this sequence out.") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, SyntaxError, EOFError) as error:
        raise InputError(f"{quoted(name)} cannot be read ({shown(str(error))}); download it again.") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{quoted(name)} is damaged ({shown(str(error))}); download it again.") from None


def check_folder(folder: str | Path) -> Path:
    """`folder` as a Path, if it is one. Else `InputError`."""
    path = Path(check_name(folder))
    if not path.is_dir():
        raise InputError(f"There is no folder {quoted(folder)}; check the path.")
    return path


def files(folder: Path, pattern: str) -> list[Path]:
    """Files of `folder` that fit the pattern, sorted by name; `InputError` if there is none."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{quoted('/'.join(folder.parts[-3:]))} holds no {pattern}; download it again.")
    return found


def numbered(folder: Path, pattern: str) -> list[Path]:
    """As `files`, sorted by the numbers that are the files' names."""
    return sorted((path for path in files(folder, pattern) if path.stem.isdigit()), key=lambda path: int(path.stem))


def poses_of(centres: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """Poses (n,4,4) float64 of centres (n,3) and quaternions (n,4) x y z w, of any length but 0."""
    poses = np.tile(np.eye(4), (len(centres), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = Rotation.from_quat(quaternions).as_matrix(), centres
    return poses


def orthogonal(poses: np.ndarray) -> np.ndarray:
    """Poses (n,4,4) whose rotations are exact, as if they had been written as unit quaternions; NaN stays."""
    known = np.isfinite(poses).all((1, 2))
    exact = np.full(poses.shape, np.nan)
    if known.any():
        exact[known] = poses_of(poses[known, :3, 3], Rotation.from_matrix(poses[known, :3, :3]).as_quat())
    return exact


def read_list(path: Path) -> list[tuple[float, str]]:
    """(stamp, file) of every line of a list in TUM's format."""
    with reading(path):
        lines = [line.split() for line in path.read_text("utf-8").splitlines()]
        return [(float(line[0]), line[1]) for line in lines if line and not line[0].startswith("#")]


def read_trajectory(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (n,) in seconds and poses (n,4,4) cam2world of lines `t x y z qx qy qz qw`."""
    with reading(path):
        table = np.loadtxt(path, ndmin=2)
        return table[:, 0], poses_of(table[:, 1:4], table[:, 4:8])


def associate(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Which stamps (n,) and (m,) in seconds belong together: pairs (i, j), sorted by i.

    All that lie less than `TOLERANCE` apart, the closest first, each stamp used once; TUM's associate.py.
    """
    order = np.argsort(second, kind="stable")
    near = [np.searchsorted(second[order], first + side * 1.01 * TOLERANCE) for side in (-1, 1)]
    candidates = [
        (abs(first[i] - second[j]), first[i], second[j], i, int(j))
        for i in range(len(first))
        for j in order[near[0][i] : near[1][i]]
        if abs(first[i] - second[j]) < TOLERANCE
    ]
    left, right, found = set(range(len(first))), set(range(len(second))), []
    for *_, i, j in sorted(candidates):
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            found.append((i, j))
    return sorted(found, key=lambda pair: first[pair[0]])


def read_cam(path: Path) -> np.ndarray:
    """Pose (4,4) cam2world of one of Sintel's .cam files."""
    with reading(path):
        data = path.read_bytes()
        _check_tag(data)
        world2cam = np.vstack([np.frombuffer(data, "<f8", 12, 76).reshape(3, 4), [0, 0, 0, 1]])
        return np.linalg.inv(world2cam)


def read_dpt(path: Path) -> np.ndarray:
    """Depth (H,W) float32 of one of Sintel's .dpt files."""
    with reading(path):
        data = path.read_bytes()
        _check_tag(data)
        width, height = np.frombuffer(data, "<i4", 2, 4)
        return np.frombuffer(data, "<f4", int(width) * int(height), 12).reshape(height, width)


def _check_tag(data):
    if struct.unpack_from("<f", data)[0] != np.float32(_TAG):
        raise ValueError("it does not begin as Sintel's files do")


def read_colmap(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """K (3,3) and pose (4,4) cam2world of every picture of a COLMAP model in binary files, by the picture's name.

    Lens distortion is left out; K and world2cam are rounded to float32 first, as published.
    """
    path = folder / "cameras.bin"
    with reading(path):
        stream, matrices = io.BytesIO(path.read_bytes()), {}
        for _ in range(_unpack(stream, "Q")[0]):
            camera, model, _, _ = _unpack(stream, "iiQQ")
            values = _unpack(stream, f"{_PARAMETERS[model]}d")
            fx, fy, cx, cy = (values[0], *values[:3]) if model in _ONE_FOCAL else values[:4]
            matrices[camera] = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32).astype(np.float64)
    path = folder / "images.bin"
    with reading(path):
        stream, found = io.BytesIO(path.read_bytes()), {}
        for _ in range(_unpack(stream, "Q")[0]):
            _, w, x, y, z, *shift, camera = _unpack(stream, "i7di")
            name = b"".join(iter(lambda: _unpack(stream, "c")[0], b"\0")).decode()
            stream.seek(24 * _unpack(stream, "Q")[0], io.SEEK_CUR)  # the points that were seen in it
            world2cam = poses_of(np.array([shift]), np.array([[x, y, z, w]])).astype(np.float32).astype(np.float64)
            found[name] = matrices[camera], np.linalg.inv(world2cam)[0]
    return found


def _unpack(stream, form):
    return struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))
