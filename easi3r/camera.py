"""Camera arithmetic: intrinsics through resizing and cropping, unprojection, poses.

Conventions of the whole project: OpenCV camera frame (x right, y down, z forward); cam2world 4 x 4 maps camera to world
coordinates; integer pixel coordinates name pixel centres; intrinsics K are in pixels of the image they belong to.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Framing:
    """How the working image was cut from the (upright) source image: cut off bars, resize, crop.

    `source_size` (width, height) of the upright source; `resized` (width, height) after the resize; `offset` (left,
    top) of the crop in the resized image; `size` (width, height) of the working image; `inner` (left, top, width,
    height): the part of the source that shows the scene, which is what is resized. All in pixels.
    """

    source_size: tuple
    resized: tuple
    offset: tuple
    size: tuple
    inner: tuple = None  # None: the whole source

    def __post_init__(self):
        if self.inner is None:
            object.__setattr__(self, "inner", (0, 0, *self.source_size))

    @classmethod
    def fit(cls, source_size, max_side, patch, inner=None):
        """Long side at most `max_side` (never enlarged), then centre crop to multiples of `patch`.

        The short side becomes at least one patch; where that needs a larger scale, the crop takes more off the long
        side, so that the pixels stay square.
        """
        width, height = source_size if inner is None else inner[2:]
        scale = max(min(1.0, max_side / max(width, height)), patch / min(width, height))
        resized = (round(width * scale), round(height * scale))
        size = tuple(min(side, max_side) // patch * patch for side in resized)
        offset = tuple((r - s) // 2 for r, s in zip(resized, size))
        return cls(tuple(source_size), resized, offset, size, inner and tuple(inner))

    def cut(self, image):
        """The working frame (H,W[,C]) of an upright source image of any resolution; shrinking averages over areas."""
        scale = np.array(image.shape[1::-1]) / self.source_size
        left, top = np.round(self.inner[:2] * scale).astype(int)
        width, height = np.maximum(np.round(self.inner[2:] * scale).astype(int), 1)
        image = image[top : top + height, left : left + width]
        shrinks = image.shape[1] >= self.resized[0] and image.shape[0] >= self.resized[1]
        image = cv2.resize(image, self.resized, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        (left, top), (width, height) = self.offset, self.size
        return image[top : top + height, left : left + width]

    def uncut(self, image):
        """The whole source image (height, width[, C]) of a working image (H,W[,C]), linear between pixel centres; 0 in
        what `cut` leaves out. One dtype, uint8 or float32."""
        to_source = self.to_source(np.eye(3))
        image = cv2.warpAffine(image, to_source[:2], self.source_size, borderMode=cv2.BORDER_REPLICATE)
        corners = np.array([[-0.5, -0.5, 1], [self.size[0] - 0.5, self.size[1] - 0.5, 1]])
        (left, top), (right, bottom) = np.round(corners @ to_source[:2].T + 0.5).astype(int)  # counted from the corner
        image[:top], image[bottom:], image[:, :left], image[:, right:] = 0, 0, 0, 0
        return image

    def to_source(self, intrinsics):
        """K (..., 3, 3) of the working image -> K of the source image, in source pixels."""
        shift = np.eye(3)
        shift[:2, 2] = self.offset
        scale = np.array(self.inner[2:]) / np.array(self.resized)
        stretch = np.diag([scale[0], scale[1], 1.0])
        stretch[:2, 2] = (scale - 1) / 2 + self.inner[:2]  # pixel centres: u_src + 1/2 - left = (u + 1/2) * scale
        return stretch @ shift @ intrinsics

    def from_source(self, pixels):
        """Pixel coordinates (..., 2) (u, v) in the source image -> in the working image; float64."""
        scale = np.array(self.resized) / np.array(self.inner[2:])
        return (np.asarray(pixels) - self.inner[:2] + 0.5) * scale - 0.5 - self.offset


def intrinsic_matrix(focal, width, height):
    """K (3, 3) float64 with square pixels and the principal point at (width / 2, height / 2), all in pixels."""
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)


def pixel_rays(intrinsics, width, height):
    """Rays (height, width, 3) float64 through the pixel centres, z = 1, in the camera frame. `intrinsics` (3, 3)."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T


def unproject(depth, intrinsics, cam2world=None):
    """Points (H, W, 3) float64 of a z depth map (H, W); in the camera frame, or in the world if `cam2world` (4, 4) is
    given.
    """
    height, width = depth.shape
    points = pixel_rays(intrinsics, width, height) * depth[..., None]
    return points if cam2world is None else transform(cam2world, points)


def transform(matrix, points):
    """Apply a (4, 4) rigid or similarity transform to points (..., 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def pose(rotation, translation):
    """(4, 4) float64 from rotation (3, 3) and translation (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.ravel(translation)
    return matrix


def invert(matrix):
    """Inverse of rigid transform(s) (..., 4, 4)."""
    inverse = np.zeros_like(matrix)
    rotation_t = np.swapaxes(matrix[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ matrix[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse
