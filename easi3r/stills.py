"""Image files: photos, and animations and pages as the frames of a clip."""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pi_heif
from PIL import Image, ImageCms, ImageOps

from .colour import UNSPECIFIED, from_wide, is_wide, over_black
from .errors import DamagedError, InputError
from .sizes import ReadFrames, Size, reduced

pi_heif.register_heif_opener()
# Of a damaged TIFF Pillow says so on stderr as well; what is wrong with a file is for `InputError` to say.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
SUFFIXES = (
    ".png",
    ".apng",
    ".jpg",
    ".jpeg",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".heic",
    ".heif",
    ".hif",
    ".avif",
)
# Pillow's readers that read pixels from their own file only; left out are those that start other programs (EPS), or
# read what nobody photographs.
READERS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "HEIF", "AVIF", "GIF", "JPEG2000")
ANIMATED = {"PNG", "WEBP", "TIFF", "AVIF", "GIF"}  # the others keep second pictures as previews or views of the same
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx", b"avif", b"avis"}
LARGEST = 300_000_000  # pixels; decoded that is 0.9 GB
LARGE = 64_000_000  # pixels; above, photos are read reduced by half or more, which no network's working size comes near
ORIENTATION = 0x0112  # EXIF tag
STILL_SECONDS = 1.0  # between pages and frames for which the file states no duration
FAULTS = (  # what Pillow and its plugins raise for damaged files
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    cv2.error,
)


def is_image(path: Path) -> bool:
    """Whether a file is read as an image: by its name, or as a HEIC or AVIF under any name."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with open(path, "rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in HEIF_BRANDS


def load(path: Path, side: int | None = None) -> tuple[np.ndarray, Size]:
    """Upright sRGB (H,W,3) uint8 of an image file, and the (width, height) of the whole; transparency over black.

    Colour profiles, and HDR and wide colours stated otherwise, are applied.
    16-bit codes are cut to their upper 8 bits; floating-point images in 0 to 1 are taken
    for that range, in 0 to 255 for that one, others are stretched from their least to their greatest value. With
    `side` the array is reduced to that long side, quickly; photos of over 64 megapixels come reduced in any case.
    Raises `InputError` if the file cannot be read or has more than 300 megapixels."""
    with opened(path) as image:
        return _picture(image, side)


def frame_times(path: Path) -> np.ndarray:
    """Seconds (n,) float64 at which each frame of an animation or page of a document is shown; one 0 for a photo."""
    with opened(path) as image:
        count = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
        if count == 1:
            return np.zeros(1)
        size = image.size
        lengths: list[float] = []
        for number in frame_numbers(image):
            try:
                image.seek(number)
                if image.format in ("WEBP", "AVIF"):
                    image.load()  # their durations come with the pixels
            except FAULTS:
                if not lengths:
                    raise
                break  # a file that breaks off gives what there is
            if image.size != size:  # a photo and its preview rather than frames
                return np.zeros(1)
            lengths.append(image.info.get("duration", 0) / 1000 or STILL_SECONDS)
        return np.cumsum([0.0, *lengths[:-1]])


def frames(path: Path, positions: Iterable[int], side: int | None = None) -> ReadFrames:
    """(position, image, (width, height)) of the frames of an animation at `positions`, as `load` gives them; those that
    are damaged are missing. Raises `InputError` if all are."""
    with opened(path) as image:
        numbers, read = frame_numbers(image), 0
        for position in positions:
            try:
                image.seek(numbers[position])
                picture = _picture(image.copy(), side)
            except FAULTS:
                continue
            read += 1
            yield position, *picture
        if not read:
            raise SyntaxError("no frame")


def frame_numbers(image: Image.Image) -> range:
    """Where the frames are; an APNG's first picture may be a stand-in for viewers that cannot show the rest."""
    return range(1 if image.info.get("default_image") else 0, getattr(image, "n_frames", 1))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The Pillow image of a file, nothing but its header read."""
    try:
        with open(path, "rb") as file:
            image = _read_header(file, path)
            if image.width * image.height > LARGEST:
                raise InputError(
                    f"The image '{path.name}' is too large: {image.width} x {image.height} pixels; at "
                    f"most {LARGEST // 10**6} megapixels can be read. Save it smaller."
                )
            yield image
    except FAULTS as error:
        if isinstance(error, InputError):
            raise
        raise DamagedError(
            f"The image '{path.name}' cannot be read; it is damaged or not an image. Save it anew or leave it out."
        ) from None


def _read_header(file, path):
    """As `Image.open`, whose own limit on pixels is a setting of the whole process and lower than what phones take."""
    Image.init()
    start = file.read(16)
    for name in READERS:
        reader, accepts = Image.OPEN[name]
        if not accepts or accepts(start) is True:
            file.seek(0)
            try:
                image = reader(file, path.name)
            except (SyntaxError, KeyError):  # a kind that this reader does not know
                continue
            image.info["colours"] = _colours(image, path)
            return image
    floating = _floating(path) if start[:2] in (b"II", b"MM") else None
    if floating is None:
        raise SyntaxError("no reader")
    return Image.fromarray(_to_8_bits(floating[..., 2::-1] if floating.ndim == 3 else floating))


def _colours(image, path):
    """(primaries, transfer), codes of ITU-T H.273, that a HEIC or AVIF states; Pillow passes on only profiles."""
    if image.format == "HEIF" and (stated := image.info.get("nclx_profile")):
        return stated["color_primaries"], stated["transfer_characteristics"]
    if image.format == "AVIF":
        with open(path, "rb") as file:
            if found := re.search(rb"colrnclx(.{4})", file.read(1 << 16), re.DOTALL):  # the first is the picture's own
                return struct.unpack(">HH", found[1])
    return UNSPECIFIED, UNSPECIFIED


def _floating(path):
    """The array of a TIFF of a kind that Pillow does not know, such as floating-point RGB; None if it is none."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # OpenCV tells stderr of every slip of a file
    try:
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        log.setLogLevel(level)


def _picture(image, side):
    size = image.size
    if size[0] * size[1] > LARGE:
        side = min(side or max(size), max(size) // 2)
    if side and side < max(size):
        image.draft(None, (side, side))  # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time
        if image.mode in ("RGB", "RGBA", "L", "CMYK"):
            image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=1.0)
    if image.getexif().get(ORIENTATION, 1) >= 5:  # shown turned by a quarter
        size = size[::-1]
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        array = over_black(np.asarray(_to_srgb(image.convert("RGBA"))))
    else:
        array = np.asarray(_to_srgb(image))
    return shrink(array, side), size


def _to_8_bits(values):
    """uint8 of an array of another type, by the ranges that `load` names."""
    if values.dtype == np.uint8:
        return values
    values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if values.dtype == np.uint16 or (values.dtype.kind in "iu" and low >= 0 and high < 65536):
        return (values.astype(np.uint32) >> 8).astype(np.uint8)
    if values.dtype.kind == "f" and low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return np.rint((values.astype(np.float64) - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)


def _to_srgb(image):
    """A Pillow image as "RGB", or as "RGBA" if it is that, by its colour profile or the colours it states."""
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    primaries, transfer = image.info.get("colours", (UNSPECIFIED, UNSPECIFIED))
    if not profile and is_wide(transfer, primaries):
        array = np.array(image.convert(target))
        array[..., :3] = from_wide(array[..., :3], transfer, primaries)
        return Image.fromarray(array)
    if not profile and image.mode != "LAB":
        return image.convert(target)
    if image.mode not in ("RGB", "RGBA", "L", "CMYK", "LAB"):
        image = image.convert(target)
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=target)
    except (ImageCms.PyCMSError, OSError):  # a broken profile, or one for other kinds of pictures: viewers ignore it
        return image.convert(target)


def shrink(image: np.ndarray, side: int | None) -> np.ndarray:
    """`image` (H,W,3) uint8 averaged down to a long side of `side`; as it is if that is None or not smaller."""
    height, width = image.shape[:2]
    if side is None or side >= max(width, height):
        return image
    return cv2.resize(image, reduced((width, height), side), interpolation=cv2.INTER_AREA)
