"""Vertex colours for glTF."""

import numpy as np


def linear_light(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) uint8 -> linear light as uint16, 65535 = 1: what glTF asks for.

    sRGB transfer function, IEC 61966-2-1.
    """
    srgb = np.arange(256) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 65535).astype(np.uint16)[rgb]
