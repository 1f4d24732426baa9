"""Sizes of pictures, (width, height) in pixels."""

from collections.abc import Generator

import numpy as np

Size = tuple[int, int]  # (width, height), pixels
# Of each: position in the source, upright RGB (H,W,3) uint8, size of the full picture with square pixels.
ReadFrames = Generator[tuple[int, np.ndarray, Size], None, None]


def reduced(size: Size, side: int) -> Size:
    """(width, height) with the proportions of `size` and a long side of at most `side`; never larger than `size`."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
