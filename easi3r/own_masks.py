"""Masks that the user brings for a clip."""

import numpy as np

from . import video
from .errors import InputError
from .sources import alike


def read_masks(source, clip):
    """Masks (T,H,W) bool of what moves, drawn by the user for a `Video`: white (above half) = moving.

    source: as of `video.read`, the same clip painted black and white, at any size of the same proportions (a grey-level
    video, PNGs in a folder or a list); or an array (T,H,W) bool at working size. Frames are chosen as those of the clip
    were.
    Raises `InputError` if it cannot be read, has fewer frames than the clip or other proportions.
    """
    wanted = clip.frames.shape[:3]
    if isinstance(source, np.ndarray) and source.ndim == 3:
        if source.shape != wanted:
            raise InputError(f"The mask has shape {source.shape}; with this clip it must be {wanted}.")
        return source > (0 if source.dtype == bool else 127)
    masks = video.read(source, wanted[0], max(1024, *clip.framing.size), 1)
    if len(masks.frames) != wanted[0]:
        raise InputError(f"The mask '{masks.name}' has {len(masks.frames)} frames, but {wanted[0]} are used of the clip; "
                         "give one for every frame of the clip.")
    (width, height), (own_width, own_height) = clip.framing.source_size, masks.framing.source_size
    if not alike((own_width, own_height), (width, height)):
        raise InputError(f"The mask '{masks.name}' is {own_width} x {own_height} pixels, the clip {width} x {height}; "
                         "both must have the same proportions.")
    return np.stack([clip.framing.cut(frame).mean(axis=-1) > 127 for frame in masks.frames])
