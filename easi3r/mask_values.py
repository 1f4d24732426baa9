"""What one mask says: from a PNG, a JPEG, an array to the pixels that move."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import stills
from .errors import InputError

_LOSSLESS = ("PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP")  # read here, as exact values count; the others are photos
_BLACK_AND_WHITE = {(0, 0, 0), (255, 255, 255)}
_TRACE = 12 / 255  # of the full range: how near to black and to white the levels are that tell of lossy coding
_TINT = 48  # levels of 255 between the strongest and the weakest colour; codecs leave 4 where all was grey


class Levels:
    """Cuts masks into what moves, looking at all of them before it decides how.

    A label, a palette index or 0 and 1 move where they are not 0; grey levels and probabilities where they are above
    half. Greys that came out of lossy coding lie just above black and also just below white; labels do not, as they
    count up from 1, and 255 stands alone (for "void"). Soft edges are a few greys around much white.
    """

    def __init__(self) -> None:
        self._low = self._high = self._lossy = False
        self._between = self._white = self._all = 0  # pixels of clear grey, of white and nearly white, in total

    def cut(self, values: np.ndarray, top: int, lossy: bool) -> tuple[np.ndarray, np.ndarray]:
        """(what is not 0, what is above half), both (H,W) bool. values: (H,W) of any type, `top` for white."""
        self._lossy |= lossy
        if values.dtype != bool:
            white = values >= (1 - _TRACE) * top
            clear = values > _TRACE * top
            self._low |= bool(((values > 0) & ~clear).any())
            self._high |= bool((white & (values < top)).any())
            self._between += int(np.count_nonzero(clear & ~white))
            self._white += int(np.count_nonzero(white))
            self._all += values.size
        return values > 0, values > top / 2

    @property
    def grey(self) -> bool:
        """Whether what is above half is meant."""
        return self._lossy or (self._low and self._high) or 0 < self._between < self._white

    @property
    def photo(self) -> bool:
        """Whether most is neither black nor white where only these can be meant."""
        return self._lossy and self._between > self._all / 2


def of_picture(path: Path, number: int = 0) -> tuple[np.ndarray, int, bool]:
    """Values (H,W), that of white, and whether lossy, of an upright image file, or of frame `number` of an animation.

    The index in pictures with a palette, but of one of just black and white the colour; the opacity where it varies;
    else the strongest of the colours over black. Raises `InputError` if unreadable.
    """
    try:
        with path.open("rb") as file:
            start = file.read(128)
            with Image.open(file, formats=_LOSSLESS) as opened:
                lossy = opened.format == "WEBP" and b"VP8L" not in start
                if getattr(opened, "is_animated", False):
                    opened.seek(stills.frame_numbers(opened)[number])
                image = ImageOps.exif_transpose(opened)
                if image.mode == "P" and {*zip(*[iter(image.getpalette() or ())] * 3)} == _BLACK_AND_WHITE:
                    image = image.convert("L")
                plain = image.mode in ("P", "1", "L", "F") or image.mode.startswith("I")
                channels = image if plain else image.convert("RGBA" if image.has_transparency_data else "RGB")
                pixels = np.asarray(channels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # another kind, or damaged: this one tells
        _, pixels, _ = next(stills.frames(path, [number])) if number else (0, *stills.load(path))
        plain, lossy = False, True
    return *(_ranged(pixels) if plain else strongest(pixels)), lossy


def of_array(masks: np.ndarray) -> tuple[np.ndarray, int]:
    """Values (T,H,W) and that of white, of masks (T,H,W) or (T,H,W,C) of any type of number.

    Floats: probabilities 0 to 1, or, where some are negative, logits; or 0 to 255. Raises `InputError` for others.
    """
    if masks.dtype.kind not in "buif":
        raise InputError(f"The mask is an array of {masks.dtype}; give bool, whole numbers, or numbers from 0 to 1.")
    if not np.isfinite(masks).all():
        raise InputError("The mask has values that are no numbers (NaN or infinite); give 0 for still, 1 for moving.")
    return strongest(masks) if masks.ndim == 4 else _ranged(masks)


def strongest(colours: np.ndarray) -> tuple[np.ndarray, int]:
    """Values (...) and that of white, of grey or RGB (..., 1 or 3), or with opacity (..., 2 or 4).

    The opacity where it varies; else the strongest colour, and white where it is not grey: colours are labels.
    """
    if colours.shape[-1] in (2, 4):
        opacity = colours[..., -1]
        if opacity.min() != opacity.max():
            return _ranged(opacity)
        colours = colours[..., :-1] * (opacity[..., None] > 0)
    values = colours.max(axis=-1)
    if colours.dtype == np.uint8 and colours.shape[-1] == 3:
        values[values - colours.min(axis=-1) > _TINT] = 255
    return _ranged(values)


def _ranged(values):
    """`values`, and what white is among them."""
    if values.dtype == bool:
        return values, 1
    if values.dtype in (np.uint8, np.uint16):
        return values, np.iinfo(values.dtype).max
    low, high = values.min(), values.max()
    is_float = values.dtype.kind == "f"
    if is_float and low < 0:  # logits: 0 is as sure of moving as of still
        return values > 0, 1
    if low < 0:
        raise InputError(f"The mask has values from {low} to {high}; give 0 for what is still and 1 for what moves.")
    if is_float and high <= 1:
        return values > 0.5, 1
    return values, 255 if high <= 255 else 65535
