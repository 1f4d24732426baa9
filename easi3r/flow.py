"""Dense optical flow between frames, and where the way there and the way back agree."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Flow:
    """Where the pixels of frame i went in frame j."""

    target: np.ndarray  # (H,W,2) float32, pixel (u,v) in frame j of every pixel of frame i
    consistent: np.ndarray  # (H,W) bool, target inside frame j and confirmed by the flow back
    error: np.ndarray  # (H,W) float32, distance in pixels between a pixel and the image of its image


def pixel_grid(height: int, width: int) -> np.ndarray:
    """(H,W,2) float32 pixel coordinates (u,v)."""
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=-1)


def sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`image` (H,W[,C]) read bilinearly at `points` (H,W,2); outside: the nearest border pixel."""
    points = points.astype(np.float32)
    return cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whether points (..., 2) lie in an image of this size, bool (...)."""
    u, v = points[..., 0], points[..., 1]
    return (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)


def measure(first: np.ndarray, second: np.ndarray, full_resolution: bool = False) -> np.ndarray:
    """Where the pixels of a grey image (H,W) uint8 went in a second one: (H,W,2) float32 pixels.

    Inverse-search flow (DIS; Kroeger et al. 2016), medium preset, which stops at half the resolution;
    `full_resolution` goes on, which halves the error for four times the time.
    """
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if full_resolution:
        engine.setFinestScale(0)
    return pixel_grid(*first.shape) + engine.calc(first, second, None)  # type: ignore[call-overload]  # no start


def confirm(there: np.ndarray, back: np.ndarray, slack: float, share: float) -> Flow:
    """The `Flow` of targets `there`, checked with those of the way back, (H,W,2) pixels each.

    A pixel is consistent if its target lies in the image and the way back misses the pixel by less than `slack` pixels
    plus this `share` of the way: long ways are followed less exactly.
    """
    height, width = there.shape[:2]
    grid = pixel_grid(height, width)
    error = np.linalg.norm(sample(back, there) - grid, axis=-1)
    tolerance = slack + share * np.linalg.norm(there - grid, axis=-1)
    return Flow(there, inside(there, height, width) & (error < tolerance), error.astype(np.float32))


def texture(grey: np.ndarray, window: int) -> np.ndarray:
    """Least eigenvalue (H,W) float32 of the structure tensor of a grey image (H,W), averaged over window x window.

    Mean squared change, in grey levels per pixel, in the direction in which a pixel's surroundings vary least.
    """
    x, y = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.boxFilter(product, -1, (window, window)) for product in (x * x, y * y, x * y))
    return (xx + yy) / 2 - np.sqrt((xx - yy) ** 2 / 4 + xy**2)
