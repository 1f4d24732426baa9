"""A prediction as files, in the layout of the published programs: written for our own, read for anybody's.

dynamic_mask_N.png (0, 255), pred_traj.txt (index x y z qw qx qy qz, cam2world), pred_intrinsics.txt (K row by row),
frame_NNNN.npy (z depth) and conf_N.npy (log confidence). Source: specification of the evaluation, section 6.
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from .formats import poses_of, reading
from .sequence import read_array, read_mask

_TRAJECTORY, _INTRINSICS = "pred_traj.txt", "pred_intrinsics.txt"


def write_masks(folder: Path, masks: np.ndarray) -> None:
    """Masks (n,H,W) bool."""
    for i, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"dynamic_mask_{i}.png")


def write_geometry(
    folder: Path, cam2world: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray, confidence: np.ndarray
) -> None:
    """Cameras (n,4,4) and (n,3,3), depth and confidence (n,H,W)."""
    quaternions = Rotation.from_matrix(cam2world[:, :3, :3]).as_quat(canonical=True, scalar_first=True)
    rows = np.column_stack([np.arange(len(cam2world)), cam2world[:, :3, 3], quaternions])
    np.savetxt(folder / _TRAJECTORY, rows, fmt=["%d"] + ["%.12g"] * 7)
    np.savetxt(folder / _INTRINSICS, intrinsics.reshape(-1, 9), fmt="%.12g")  # (n,3,3) -> (n,9)
    with np.errstate(divide="ignore"):
        logs = np.log(confidence)
    for i in range(len(depth)):
        np.save(folder / f"frame_{i:04d}.npy", depth[i].astype(np.float32))
        np.save(folder / f"conf_{i}.npy", logs[i].astype(np.float32))


def read_masks(folder: Path, n_frames: int) -> dict[int, np.ndarray]:
    """Masks (H,W) bool by the number of their frame."""
    return {i: read_mask(path) for i, path in _numbers(folder, r"dynamic_mask_(\d+)\.png", n_frames).items()}


def read_depths(folder: Path, n_frames: int) -> dict[int, np.ndarray]:
    """Depth (H,W) float32 by the number of its frame."""
    return {i: read_array(path) for i, path in _numbers(folder, r"frame_(\d+)\.npy", n_frames).items()}


def _numbers(folder, name, n_frames):
    if not folder.is_dir():
        return {}
    found = [(re.fullmatch(name, path.name), path) for path in sorted(folder.iterdir())]
    numbers = {int(match[1]): path for match, path in found if match}
    return {number: path for number, path in sorted(numbers.items()) if number < n_frames}


def read_cameras(folder: Path, n_frames: int) -> dict[int, np.ndarray]:
    """Poses (4,4) cam2world by the number of their frame.

    A trajectory of as many lines as frames is in their order, whatever its first column says; else that is the number.
    """
    path = folder / _TRAJECTORY
    if not path.exists():
        return {}
    with reading(path):
        table = np.atleast_2d(np.loadtxt(path))
        if table.size == 0:
            return {}
        if not np.isfinite(table).all():
            raise ValueError("it holds numbers that are not finite")
        poses = poses_of(table[:, 1:4], np.roll(table[:, 4:8], -1, axis=1))
    numbers = np.arange(n_frames) if len(table) == n_frames else np.round(table[:, 0]).astype(int)
    return {int(i): pose for i, pose in sorted(zip(numbers, poses), key=lambda pair: pair[0]) if 0 <= i < n_frames}


def read_intrinsics(folder: Path, numbers: list[int], n_frames: int) -> dict[int, np.ndarray]:
    """K (3,3) of the frames `numbers` that have a pose: a line for every frame, or one for each of these, or one."""
    path = folder / _INTRINSICS
    with reading(path):
        table = np.loadtxt(path, ndmin=2).reshape(-1, 3, 3)  # (n,9) -> (n,3,3)
        lines = range(n_frames) if len(table) == n_frames else numbers
        if len(table) not in (1, len(lines)) or not np.isfinite(table).all():
            raise ValueError(f"it holds {len(table)} lines for {n_frames} frames, or numbers that are not finite")
        return {i: table[k if len(table) > 1 else 0] for k, i in enumerate(lines)}
