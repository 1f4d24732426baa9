"""Image files of one picture each."""

import cv2
import numpy as np
from PIL import Image, ImageOps

from .decode import over_black, reduced
from .errors import InputError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
ORIENTATION = 0x0112  # EXIF tag


def load(path, side=None):
    """Upright RGB (H,W,3) uint8 of an image file, and the (width, height) of the whole; transparency over black.

    With `side` the array is reduced to that long side, quickly. Raises `InputError` if the file cannot be read."""
    try:
        with Image.open(path) as image:
            size = image.size
            if side:
                image.draft(None, (side, side))  # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time
                image.thumbnail((side, side), Image.Resampling.BILINEAR)
            if image.getexif().get(ORIENTATION, 1) >= 5:  # shown turned by a quarter
                size = size[::-1]
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                return over_black(np.asarray(image.convert("RGBA"))), size
            return np.asarray(image.convert("RGB")), size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        raise InputError(f"The image '{path.name}' cannot be read; it is damaged or not an image. "
                         "Save it anew or leave it out.") from None


def shrink(image, side):
    """`image` (H,W,3) uint8 averaged down to a long side of `side`; as it is if that is None or not smaller."""
    height, width = image.shape[:2]
    if side is None or side >= max(width, height):
        return image
    return cv2.resize(image, reduced((width, height), side), interpolation=cv2.INTER_AREA)
