"""Image files of one picture each."""

import numpy as np
from PIL import Image, ImageOps

from .decode import over_black
from .errors import InputError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


def load(path):
    """Upright RGB (H,W,3) uint8 of an image file; transparency over black. Raises `InputError` if it cannot be read."""
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                return over_black(np.asarray(image.convert("RGBA")))
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        raise InputError(f"The image '{path.name}' cannot be read; it is damaged or not an image. "
                         "Save it anew or leave it out.") from None
