"""Camera arithmetic: projection, intrinsics through resizing and cropping, poses.

Conventions of the whole project: OpenCV camera frame (x right, y down, z forward); cam2world 4 x 4 maps camera to world
coordinates; integer pixel coordinates name pixel centres; intrinsics K are in pixels of the image they belong to.
"""

from dataclasses import dataclass
from typing import overload

import cv2
import numpy as np


@dataclass(frozen=True)
class Framing:
    """How the working image was cut from the (upright) source image: cut off bars, resize, crop.

    `source_size` (width, height) of the upright source; `resized` (width, height) after the resize; `offset` (left,
    top) of the crop in the resized image; `size` (width, height) of the working image; `inner` (left, top, width,
    height): the part of the source that shows the scene, which is what is resized. All in pixels.
    """

    source_size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]
    inner: tuple[int, int, int, int] = (0, 0, 0, 0)  # of no size: the whole source

    def __post_init__(self) -> None:
        if not all(self.inner[2:]):
            object.__setattr__(self, "inner", (0, 0, *self.source_size))

    @classmethod
    def fit(
        cls, source_size: tuple[int, int], max_side: int, patch: int, inner: tuple[int, int, int, int] | None = None
    ) -> "Framing":
        """Long side at most `max_side` (never enlarged), then centre crop to multiples of `patch`.

        The short side becomes at least one patch; where that needs a larger scale, the crop takes more off the long
        side, so that the pixels stay square.
        """
        inner = inner or (0, 0, *source_size)
        width, height = inner[2:]
        scale = max(min(1.0, max_side / max(width, height)), patch / min(width, height))
        resized = (round(width * scale), round(height * scale))
        size = (min(resized[0], max_side) // patch * patch, min(resized[1], max_side) // patch * patch)
        offset = ((resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2)
        return cls(source_size, resized, offset, size, inner)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The working frame (H,W[,C]) of an upright source image of any resolution; shrinking averages over areas."""
        scale = np.array(image.shape[1::-1]) / self.source_size
        left, top = np.round(self.inner[:2] * scale).astype(int)
        width, height = np.maximum(np.round(self.inner[2:] * scale).astype(int), 1)
        image = image[top : top + height, left : left + width]
        shrinks = image.shape[1] >= self.resized[0] and image.shape[0] >= self.resized[1]
        image = cv2.resize(image, self.resized, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        (left, top), (width, height) = self.offset, self.size
        return image[top : top + height, left : left + width]

    def uncut(self, image: np.ndarray) -> np.ndarray:
        """The whole source image (height, width[, C]) of a working image (H,W[,C]), linear between pixel centres; 0 in
        what `cut` leaves out. One dtype, uint8 or float32."""
        to_source = self.to_source(np.eye(3))
        image = cv2.warpAffine(image, to_source[:2], self.source_size, borderMode=cv2.BORDER_REPLICATE)
        corners = np.array([[-0.5, -0.5, 1], [self.size[0] - 0.5, self.size[1] - 0.5, 1]])
        (left, top), (right, bottom) = np.round(corners @ to_source[:2].T + 0.5).astype(int)  # counted from the corner
        image[:top], image[bottom:], image[:, :left], image[:, right:] = 0, 0, 0, 0
        return image

    def to_source(self, intrinsics: np.ndarray) -> np.ndarray:
        """K (..., 3, 3) of the working image -> K of the source image, in source pixels."""
        whole = np.array(intrinsics, np.float64)
        whole[..., :2, :] += np.array(self.offset)[:, None] * whole[..., 2:, :]
        whole = _stretched(whole, np.array(self.inner[2:]) / np.array(self.resized))
        whole[..., :2, :] += np.array(self.inner[:2])[:, None] * whole[..., 2:, :]
        return whole

    def from_source(self, pixels: np.ndarray) -> np.ndarray:
        """Pixel coordinates (..., 2) (u, v) in the source image -> in the working image; float64."""
        scale = np.array(self.resized) / np.array(self.inner[2:])
        return (np.asarray(pixels) - self.inner[:2] + 0.5) * scale - 0.5 - self.offset


@overload
def focal_of(fov: float, side: int) -> np.float64: ...
@overload
def focal_of(fov: np.ndarray, side: int) -> np.ndarray: ...
def focal_of(fov: np.ndarray | float, side: int) -> np.ndarray | np.float64:
    """Focals in pixels of fields of view (...) in degrees that span `side` pixels, float64."""
    return side / 2 / np.tan(np.radians(fov) / 2)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: how points (x, y, z) of its own frame (OpenCV) and pixels (u, v) of its picture correspond."""

    intrinsics: np.ndarray  # K (3,3) float64, pixels
    size: tuple[int, int]  # (width, height), pixels

    @classmethod
    def centred(cls, focal: float | np.ndarray, width: int, height: int) -> "Camera":
        """With square pixels and the principal point at (width / 2, height / 2); focal in pixels."""
        matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)
        return cls(matrix, (width, height))

    @property
    def fov(self) -> tuple[float, float]:
        """Field of view in degrees, horizontal and vertical, of a centred picture of this size and focal."""
        focals = self.intrinsics[[0, 1], [0, 1]]
        horizontal, vertical = np.degrees(2 * np.arctan(np.array(self.size) / 2 / focals)).tolist()
        return horizontal, vertical

    def rays(self) -> np.ndarray:
        """Rays (H,W,3) float64 through the pixel centres, z = 1."""
        width, height = self.size
        u, v = np.meshgrid(np.arange(width), np.arange(height))
        return np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(self.intrinsics).T

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and z depth (...) of points (..., 3); what is behind the camera lands far outside."""
        depth = np.asarray(points[..., 2])
        plane = points[..., :2] / np.maximum(depth, 1e-9)[..., None]
        return plane @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2], depth

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """Points (H,W,3) float64 of a z depth map (H,W)."""
        return self.rays() * depth[..., None]

    def scaled(self, width: int, height: int) -> "Camera":
        """The camera of the whole picture resized to width x height pixels."""
        return Camera(_stretched(self.intrinsics, np.array([width, height]) / self.size), (width, height))

    def cropped(self, left: int, top: int, width: int, height: int) -> "Camera":
        """The camera of a part of the picture, or of more than it (left, top below 0)."""
        matrix = self.intrinsics.copy()
        matrix[:2, 2] -= left, top
        return Camera(matrix, (width, height))


def _stretched(intrinsics: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """K (..., 3, 3) of an image for the image resized by `scale` (x, y): u' + 1/2 = (u + 1/2) * scale."""
    stretch = np.diag([scale[0], scale[1], 1.0])
    stretch[:2, 2] = (scale - 1) / 2
    return stretch @ intrinsics


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (4, 4) rigid or similarity transform to points (..., 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(4, 4) float64 from rotation (3, 3) and translation (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.ravel(translation)
    return matrix


def invert(matrix: np.ndarray) -> np.ndarray:
    """Inverse of rigid transform(s) (..., 4, 4)."""
    inverse = np.zeros_like(matrix)
    rotation_t = np.swapaxes(matrix[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ matrix[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def skew(vectors: np.ndarray) -> np.ndarray:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    if np.ndim(vectors) == 1:  # thousands of times in a fit: in a seventh of the time
        x, y, z = vectors
        return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, -1).reshape(*x.shape, 3, 3)
