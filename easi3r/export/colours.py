"""Vertex colours for glTF: linear light, and what makes Gradio's 3D viewer show the picture's own colours."""

import numpy as np


def linear_light(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) uint8 -> linear light as uint16, 65535 = 1: what glTF asks for.

    sRGB transfer function, IEC 61966-2-1.
    """
    srgb = np.arange(256) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 65535).astype(np.uint16)[rgb]


def for_babylon(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) uint8 -> COLOR_0 (..., 3) uint8 that Gradio's Model3D (Babylon viewer) displays as `rgb`.

    That viewer sends linear colours through the Khronos PBR Neutral tone mapper and a gamma of 2.2; this undoes both.
    Greys up to about 239 come back within one level, brighter ones are shown a little darker. Formula of the mapper:
    https://github.com/KhronosGroup/ToneMapping/blob/main/PBR_Neutral/README.md
    """
    target = ((np.arange(256) / 255) ** 2.2).astype(np.float32)[rgb]  # what must come out of the mapper
    peak = target.max(axis=-1, keepdims=True)
    high = peak > 0.76  # the mapper compresses peaks above this one ...
    expanded = 0.0576 / (1 - np.minimum(peak, 0.985)) - 0.24 + 0.76
    grey = np.where(high, 1 - 1 / (0.15 * (expanded - peak) + 1), 0)  # ... and mixes in this much of the peak as grey
    restored = np.maximum((target - peak * grey) / (1 - grey) * expanded / np.maximum(peak, 1e-6), 0)
    colour = np.where(high, restored, target)
    low = colour.min(axis=-1, keepdims=True)
    lifted = np.where(low < 0.04, np.sqrt(low / 6.25), low + 0.04)  # what the mapper takes off
    return np.round(np.clip(colour + lifted - low, 0, 1) * 255).astype(np.uint8)
