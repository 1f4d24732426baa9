"""Cameras as Depth Anything 3 writes them, and cameras from the rays that it sees.

Source: specification da3.md, sections 6 and 7. Matrices are float64; intrinsics in pixels, in which the centre of the
first pixel is at (0.5, 0.5), as everywhere in this network.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from ...camera import invert, pose

_FLATTEST = 1e-6  # least tangent of half a field of view
_NEAR = 0.1  # least distance, of the cameras from the first, that known cameras are divided by

# Of cameras from rays, as published: samples of so many rays among this share of the most confident; what agrees
_SAMPLES, _OF, _SHARE, _INLIER = 100, 8, 0.3, 0.2
_MOST = 8000  # inliers that the last fit uses
_SIDEWAYS = 1e-4  # rays whose z is not longer than that take no part


def decoded(encoded: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """cam2world (B,4,4) and intrinsics (B,3,3) of cameras (B,9), see `CameraDecoder`; size: (H, W) pixels."""
    position, quaternion, fov = np.split(np.asarray(encoded, np.float64), [3, 7], axis=1)
    rotation = Rotation.from_quat(quaternion).as_matrix()
    cam2world = np.stack([pose(r, t) for r, t in zip(rotation, position)])
    half = np.array(size) / 2
    intrinsics = np.tile(np.eye(3), (len(fov), 1, 1))
    intrinsics[:, (1, 0), (1, 0)] = half / np.maximum(np.tan(fov / 2), _FLATTEST)
    intrinsics[:, (1, 0), 2] = half
    return cam2world, intrinsics


def encoded(cam2world: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Known cameras (S,4,4), (S,3,3) as the encoder takes them: (S,9) float64, seen from the first, in a unit of their
    own. size: (H, W) pixels.
    """
    seen = invert(cam2world[0]) @ cam2world
    distances = np.sort(np.linalg.norm(seen[:, :3, 3], axis=1))
    position = seen[:, :3, 3] / max(distances[(len(seen) - 1) // 2], _NEAR)  # by the lower median
    quaternion = Rotation.from_matrix(seen[:, :3, :3]).as_quat(canonical=True)
    fov = 2 * np.arctan(np.array(size) / 2 / intrinsics[:, (1, 0), (1, 0)])
    return np.concatenate([position, quaternion, fov], axis=1)


def points_of(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points (H,W,3) in the camera's own frame of a z depth map (H,W), of its dtype."""
    height, width = depth.shape
    x = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([depth * x.astype(depth.dtype), depth * y.astype(depth.dtype)[:, None], depth], axis=-1)


def of_rays(rays: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The camera of rays (h,w,6), direction and origin in the world, and their confidence (h,w): its cam2world (4,4),
    focal (2,) and centre (2,), x and y, in halves of the picture's sides.

    A homography A from the picture (x, y in [-1, 1]) to directions, by RANSAC; A = R K^-1. As published, it is taken
    apart into a rotation and a *lower* triangle, which is right for a centre in the middle of the picture only. The
    seed is fixed.
    """
    height, width = confidence.shape
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (width, height))
    source = np.stack([*np.broadcast_arrays(x, y[:, None]), np.ones((height, width))], axis=-1).reshape(-1, 3)
    rays = rays.reshape(-1, 6).astype(np.float64)
    usable = np.abs(rays[:, 2]) > _SIDEWAYS
    target = rays[:, :3] / np.where(usable, rays[:, 2], 1)[:, None]
    weights = np.where(usable, confidence.ravel().astype(np.float64), 0)
    matrix = _homography(source, target, weights)
    rotation, lower = _rotation_and_lower(matrix)
    origin = (confidence.ravel()[:, None] * rays[:, 3:]).sum(axis=0) / confidence.sum(dtype=np.float64)
    return pose(rotation, origin), 1 / np.diag(lower)[:2], 1 + lower[2, :2]


def _homography(source, target, weights):
    """A (3,3) with target ~ A source, (n,3) each with z = 1, weights (n,)."""
    random = np.random.default_rng(0)
    sure = np.argsort(-weights, kind="stable")[: max(_OF, int(_SHARE * len(weights)))]
    samples = np.stack([random.choice(sure, _OF, replace=False) for _ in range(_SAMPLES)])
    candidates = _direct(source[samples], target[samples], np.ones((_SAMPLES, _OF)))
    agrees = np.stack([_distance(matrix, source, target) < _INLIER for matrix in candidates])
    inliers = np.flatnonzero(agrees[(agrees * weights).sum(axis=1).argmax()] & (weights > 0))
    if len(inliers) > _MOST:
        inliers = random.choice(inliers, _MOST, replace=False)
    matrix = _direct(source[None, inliers], target[None, inliers], np.sqrt(weights[None, inliers]))[0]
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def _distance(matrix, source, target):
    seen = source @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.linalg.norm(seen[:, :2] / seen[:, 2:] - target[:, :2], axis=1)


def _direct(source, target, weights):
    """Homographies (m,3,3), by the direct linear transform of m sets (m,n,3), its rows times weights (m,n)."""
    zero = np.zeros_like(source)
    rows = np.stack(
        [
            np.concatenate([source, zero, -target[..., :1] * source], axis=-1),
            np.concatenate([zero, source, -target[..., 1:2] * source], axis=-1),
        ],
        axis=2,
    )  # (m, n, 2, 9)
    rows = (rows * weights[..., None, None]).reshape(len(source), -1, 9)
    _, vectors = np.linalg.eigh(np.swapaxes(rows, 1, 2) @ rows)
    return vectors[:, :, 0].reshape(-1, 3, 3)


def _rotation_and_lower(matrix):
    """Q and L / L22 of A = Q L, the diagonal of L positive: a QR decomposition from the last column to the first."""
    q, r = np.linalg.qr(matrix[::-1, ::-1])
    q, lower = q[::-1, ::-1], r[::-1, ::-1]
    signs = np.sign(np.diag(lower))
    lower = signs[:, None] * lower
    return q * signs, lower / lower[2, 2]
