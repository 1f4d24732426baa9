"""Which way is down, for a camera that only turns: from upright edges, and from how people hold cameras."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..camera import Camera

# How cameras are held, standard deviations in degrees: level from left to right, less so up and down. Edges that stand
# upright say more: with them down is right to .3 degrees on four rendered clips, one of which looks 11 degrees down.
ROLL, PITCH = 2.0, 10.0
LEAN = 25.0  # degrees from the picture's own vertical up to which an edge may stand upright
OFF = 2.0  # degrees by which an edge may be off and count half
SHORTEST = 0.06  # share of the height of the picture
SAYS = 10.0  # what upright edges as long as a picture is high count over the picture, as independent measurements
FRAMES = 8  # that are asked, spread over the clip: they show much the same
ROUNDS = 20


def find_down(frames: np.ndarray, rotations: np.ndarray, cameras: Sequence[Camera], moving: np.ndarray) -> np.ndarray:
    """The direction of gravity, (3,) float64 of length 1, in world coordinates.

    frames (T,H,W,3) uint8 RGB; rotations (T,3,3) camera to world; cameras: T of them; moving (T,H,W) bool: edges there
    are not asked. The direction that is most nearly upright in all pictures and lies in the planes through the camera
    and upright edges; edges that contradict most others count little (Cauchy weights).
    """
    right, below, ahead = np.moveaxis(rotations, 2, 0)
    held = [axis.T @ axis / len(frames) / np.radians(off) ** 2 for axis, off in ((right, ROLL), (ahead, PITCH))]
    known = held[0] + held[1]
    index = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    edges = [_upright_edges(frames[t], cameras[t], moving[t]) for t in index]
    normals = np.concatenate([found @ rotations[t].T for t, (found, _) in zip(index, edges)])
    lengths = np.concatenate([length for _, length in edges]) / len(index)
    down = _least(known, below)
    for _ in range(ROUNDS):
        off = np.radians(OFF)
        weight = SAYS * lengths / (off**2 + (normals @ down) ** 2)
        down = _least(known + (weight[:, None] * normals).T @ normals, below)
    return down


def _least(information: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The direction (3,) with the least squared error by `information` (3,3), towards most of `below` (T,3)."""
    down = np.linalg.eigh(information)[1][:, 0]
    return down * (1 if below.sum(axis=0) @ down > 0 else -1)


def _upright_edges(frame: np.ndarray, camera: Camera, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (N,3), camera frame, of the planes through the camera and edges that may stand upright; and their
    lengths (N,) in heights of the picture.
    """
    height, width = moving.shape
    found = cv2.createLineSegmentDetector().detect(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0]
    ends = np.zeros((0, 2, 2)) if found is None else found.reshape(-1, 2, 2).astype(np.float64)  # (N,4) -> (N,2,2)
    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=1)
    column, row = np.clip(np.rint(ends.mean(axis=1)).astype(int), 0, (width - 1, height - 1)).T
    upright = np.abs(along[:, 0]) < np.tan(np.radians(LEAN)) * np.abs(along[:, 1])
    kept = upright & (length > SHORTEST * height) & ~moving[row, column]
    rays = np.insert(ends[kept], 2, 1, axis=2) @ np.linalg.inv(camera.intrinsics).T
    normals = np.cross(rays[:, 0], rays[:, 1])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), length[kept] / height
