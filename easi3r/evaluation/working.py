"""The size that the published programs compute at: how pictures and labels come to it, and a mask back."""

import numpy as np
from PIL import Image

from ..camera import Framing
from ..video import Video
from .sequence import Sequence

LONG_SIDE, PATCH = 512, 16  # pixels


def published_framing(size: tuple[int, int], stretched: bool = False) -> Framing:
    """Of pictures (width, height): long side 512, then the largest centred box with sides of multiples of 16, which is
    4:3 of a square one. stretched: resized to the size of that box instead, so that nothing is cut off.
    """
    resized = tuple(round(side * LONG_SIDE / max(size)) for side in size)
    half = [(side // 2 * 2) // PATCH * (PATCH // 2) for side in resized]
    if size[0] == size[1] and not stretched:
        half[1] = 3 * half[1] // 4
    width, height = 2 * half[0], 2 * half[1]
    if stretched:
        return Framing(size, (width, height), (0, 0), (width, height))
    offset = resized[0] // 2 - half[0], resized[1] // 2 - half[1]
    return Framing(size, (resized[0], resized[1]), offset, (width, height))


def placed(mask: np.ndarray, framing: Framing) -> np.ndarray:
    """(H,W) bool of the working size from a mask of the whole picture, of any size: Pillow's nearest, whose ties differ
    from others', then the crop.
    """
    whole = Image.fromarray(mask.astype(np.uint8)).resize(framing.resized, Image.Resampling.NEAREST)
    (left, top), (width, height) = framing.offset, framing.size
    return np.asarray(whole)[top : top + height, left : left + width] > 0


def working_video(sequence: Sequence, name: str) -> Video:
    """The frames of a sequence at working size, resized by Lanczos; frame i has the time i."""
    frames = []
    for picture in sequence.pictures:
        image = picture()
        framing = published_framing(image.size, sequence.stretched)
        (left, top), (width, height) = framing.offset, framing.size
        resized = image.resize(framing.resized, Image.Resampling.LANCZOS)
        frames.append(np.asarray(resized.crop((left, top, left + width, top + height))))
    numbers = np.arange(len(frames))
    return Video(
        frames=np.stack(frames),
        timestamps=numbers.astype(np.float64),
        framing=framing,
        n_source_frames=len(frames),
        positions=numbers,
        name=name,
        span=(0.0, float(numbers[-1])),
        shows=np.ones(len(frames), bool),
    )
