"""What a dataset shows, frame by frame: at working size, or at the size of the source, which is read anew for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..large import frames_of
from ..reconstruction import Reconstruction
from ..sources import open_source

# Standard deviation, in working pixels, of what rounds the steps of a mask before it is enlarged. The outline of discs
# and boxes is then off by 0.14 working pixels on average and by 0.21 without; more would swallow lines of one pixel.
_ROUNDING = 0.7
_ALIKE = 12  # mean difference, of 255 levels, up to which a frame is the one it was; coding it anew makes 1 to 3


@dataclass(frozen=True)
class Views:
    """T pictures of one size. `frames` and `used` are gone through once, in order; one picture at a time is held."""

    size: tuple[int, int]  # (width, height) in pixels
    intrinsics: np.ndarray  # (T,3,3) float64, pixels of this size
    frames: Iterable[np.ndarray]  # (height, width, 3) uint8 RGB each
    used: Iterable[np.ndarray]  # (height, width) bool each: what stands still, and is not outside of what was processed


def working_views(result: Reconstruction) -> Views:
    """`Views` of what was processed."""
    frames = (result.frames[t] for t in frames_of(result))
    return Views(result.framing.size, result.intrinsics, frames, (~dynamic for dynamic in result.dynamic))


def source_views(result: Reconstruction, source: Any) -> Views:
    """`Views` of the whole source at its size. Raises `InputError`, also when gone through, if it is another one."""
    numbers, n_frames = result.info.get("frame_numbers"), result.info.get("source_frames")
    if numbers is None or n_frames is None:
        raise InputError("This result does not say which frames of its source it shows; run the clip again.")
    opened = open_source(source)
    if len(opened.seconds) != n_frames:
        raise InputError(
            f"'{opened.name}' has {len(opened.seconds)} frames, the clip of this result had {n_frames}; give that clip."
        )
    used = (_enlarged(~dynamic, result.framing) for dynamic in result.dynamic)
    return Views(result.framing.source_size, result.source_intrinsics, _read_again(result, opened, numbers), used)


def _read_again(result, opened, numbers):
    expected = iter(zip(numbers, result.frames))
    for position, image, size in opened.read(np.array(numbers)):
        number, frame = next(expected, (None, None))
        if number == numbers[0] and tuple(size) != tuple(result.framing.source_size):
            raise InputError(
                "'{}' is {} x {} pixels, the clip of this result was {} x {}; give that clip.".format(
                    opened.name, *size, *result.framing.source_size
                )
            )
        if position != number or cv2.absdiff(result.framing.cut(image), frame).mean() > _ALIKE:
            raise InputError(
                f"Frame {position} of '{opened.name}' is not the one in this result; give the clip it was made from."
            )
        yield image if image.shape[1::-1] == tuple(result.framing.source_size) else _resized(image, result.framing)
    if next(expected, None):
        raise InputError(
            f"Not all frames of this result can be read from '{opened.name}' again; give the clip it was made from."
        )


def _resized(image, framing):
    """Pixels that are not square, or a clip whose size changes: as the first frame is shown."""
    return cv2.resize(image, framing.source_size, interpolation=cv2.INTER_LINEAR)


def _enlarged(mask, framing):
    mask = np.where(mask, np.uint8(255), np.uint8(0))
    return framing.uncut(cv2.GaussianBlur(mask, (0, 0), _ROUNDING, borderType=cv2.BORDER_REPLICATE)) >= 128
