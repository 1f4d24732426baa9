"""Video in and out: choose frames, turn them upright, resize, crop; encode H.264.

Only the frames asked for are kept, and one at a time is held at full size, so length and resolution of a clip cost time
and not memory.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageOps

from . import decode
from .camera import Framing
from .decode import ALLOWED, over_black, spread
from .errors import InputError

SMALLEST_SIDE = 16  # pixels; below, there is nothing to match and no room for one patch
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Video:
    """Frames as the pipeline works on them. T frames of H x W."""

    frames: np.ndarray  # (T,H,W,3) uint8 RGB, upright
    timestamps: np.ndarray  # (T,) float64, seconds as the source states them; images and arrays count 0, 1, 2, ...
    framing: Framing  # how they were cut from the upright source image
    n_source_frames: int  # number of frames of the source, of which T were taken
    name: str  # file or folder name for display; "frames" for arrays and lists


@dataclass(frozen=True)
class ClipInfo:
    """What a video file says about itself. Length and number of frames are the container's word, often an estimate."""

    duration: float  # seconds
    n_frames: int
    width: int  # pixels, upright, with square pixels
    height: int
    fps: float  # frames per second, on average


def read(source, max_frames, max_side, patch):
    """At most `max_frames` frames spread evenly in time over the whole of `source`, at working size; returns a `Video`.

    source: path of a video, of an image, or of a folder of images (in natural order: 2 before 10); list of image paths;
    array (T, H, W, 3) or (H, W, 3) uint8 RGB; list of (H, W, 3) uint8 RGB arrays; a `Video`, returned as it is.
    max_side, patch: pixels, see `Framing.fit`; shrinking averages over areas.
    The first and the last frame are always among the chosen (the first if only one is), and no frame is returned twice.
    In a clip of more than `SNAP_SPACING` frames per chosen one, those in between may move to a keyframe by up to an
    eighth of the gap, which saves most of the decoding. Rotation and mirroring (display matrix, EXIF) and non-square
    pixels are resolved, as a player does; transparency is laid over black. A damaged clip gives what can be decoded.

    Raises `InputError` if the source is missing, unreadable, has no picture, or is smaller than 16 pixels on a side.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, (str, Path)):
        path = Path(source)
        name, (count, images) = path.name, _open(path, max_frames)
    else:
        name, (count, images) = "frames", _open_sequence(source, max_frames)
    framing, frames, timestamps = None, [], []
    for seconds, image, size in images:
        if framing is None:
            _check_size(name, size)
            framing = Framing.fit(size, max_side, patch)
        frames.append(_cut(image, framing))
        timestamps.append(seconds)
    return Video(np.stack(frames), np.array(timestamps, dtype=np.float64), framing, count, name)


def read_masks(source, clip):
    """Masks (T,H,W) bool of what moves, drawn by the user for a `Video`: white (above half) = moving.

    source: as of `read`, the same clip painted black and white, at any size of the same proportions (a grey-level
    video, PNGs in a folder or a list); or an array (T,H,W) bool at working size. Frames are chosen as those of the clip
    were.
    Raises `InputError` if it cannot be read, has fewer frames than the clip or other proportions.
    """
    wanted = clip.frames.shape[:3]
    if isinstance(source, np.ndarray) and source.ndim == 3:
        if source.shape != wanted:
            raise InputError(f"The mask has shape {source.shape}; with this clip it must be {wanted}.")
        return source > (0 if source.dtype == bool else 127)
    masks = read(source, wanted[0], max(1024, *clip.framing.size), 1)
    if len(masks.frames) != wanted[0]:
        raise InputError(f"The mask '{masks.name}' has {len(masks.frames)} frames, but {wanted[0]} are used of the clip; "
                         "give one for every frame of the clip.")
    (width, height), (own_width, own_height) = clip.framing.source_size, masks.framing.source_size
    if not _alike((own_width, own_height), (width, height)):
        raise InputError(f"The mask '{masks.name}' is {own_width} x {own_height} pixels, the clip {width} x {height}; "
                         "both must have the same proportions.")
    return np.stack([_cut(frame, clip.framing).mean(axis=-1) > 127 for frame in masks.frames])


def probe(path):
    """`ClipInfo` of a video file, from its headers and its first frame. Raises `InputError` as `read` does."""
    path = _check_file(Path(path))
    with decode.open_clip(path) as (container, stream):
        _, frame = next(decode.decode_on(container, stream), (None, None))
        if frame is None:
            raise decode.undecodable(path)
        _, (width, height) = decode.upright(frame, stream)
        fps, n_frames = float(decode.mean_rate(stream)), stream.frames
        if stream.duration:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (container.duration or 0) / av.time_base
    _check_size(path.name, (width, height))
    if not duration:
        n_frames = len(decode.scan(path))
        duration = n_frames / fps
    return ClipInfo(duration, n_frames or max(1, round(duration * fps)), width, height, fps)


def write(path, frames, fps):
    """Encode `frames` as an H.264 mp4 that every browser plays.

    frames: iterable or array of (H, W, 3) uint8 RGB, all of one size, at least one. An odd H or W is padded to even by
    repeating the last row or column (4:2:0 chroma needs even sides). fps: frames per second, 0.01 to 1000.
    Raises `InputError` if there is no frame, a frame has another shape or dtype, or fps is out of range. A failure
    leaves no file behind.
    """
    if not 0.01 <= fps <= 1000:
        raise InputError(f"fps is {fps!r}; it must lie between 0.01 and 1000 frames per second.")
    frames = iter(frames)
    frame = next(frames, None)
    if frame is None:
        raise InputError("There are no frames to write; give at least one (H, W, 3) uint8 RGB image.")
    height, width = _check_rgb(frame).shape[:2]
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10000), options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            while frame is not None:
                if _check_rgb(frame).shape != (height, width, 3):
                    raise InputError(f"A frame is {frame.shape[1]} x {frame.shape[0]} pixels, the first was "
                                     f"{width} x {height}; all frames of a video must have one size.")
                padded = np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
                frame = next(frames, None)
            container.mux(stream.encode())
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


# ---- sources: each gives its number of frames and (seconds, upright RGB, size with square pixels) of the chosen ones


def _open(path, max_frames):
    if path.is_dir():
        files = [f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
        if not files:
            raise InputError(f"The folder '{path.name}' has no images; put in {', '.join(sorted(IMAGE_SUFFIXES))}.")
        return _open_sequence(sorted(files, key=_natural), max_frames)
    _check_file(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _open_sequence([path], max_frames)
    index = decode.scan(path)
    return len(index), decode.frames_at(path, index, index.choose(max_frames))


def _natural(path):
    """Sort key that counts: frame2 comes before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path.name.lower())]


def _open_sequence(source, max_frames):
    """Image paths or arrays. Only the chosen ones are opened."""
    if isinstance(source, np.ndarray) and source.ndim == 3:
        source = source[None]
    if not isinstance(source, (list, tuple)) and not (isinstance(source, np.ndarray) and source.ndim == 4):
        what = f"an array of shape {source.shape}" if isinstance(source, np.ndarray) else f"a {type(source).__name__}"
        raise InputError(f"The source is {what}; give a path, a list of image paths, or (T, H, W, 3) uint8 RGB.")
    if len(source) == 0:
        raise InputError("The source has no frames; give at least one.")
    return len(source), _stills(source, spread(np.arange(len(source)), max_frames))


def _stills(source, chosen):
    first = None
    for k in chosen:
        if isinstance(source[k], (str, Path)):
            path = _check_file(Path(source[k]))
            label, image = f"'{path.name}'", _load_image(path)
        else:
            label, image = f"number {k}", _check_rgb(source[k])
        height, width = image.shape[:2]
        first = first or (width, height)
        if not _alike((width, height), first):  # resizing would distort the geometry
            raise InputError(f"Image {label} is {width} x {height} pixels, the first is {first[0]} x {first[1]}; "
                             "all images must have the same proportions.")
        yield float(k), image, (width, height)


def _load_image(path):
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


# ---- small things


def _cut(image, framing):
    """The working frame of an upright RGB image."""
    shrinks = image.shape[1] >= framing.resized[0] and image.shape[0] >= framing.resized[1]
    image = cv2.resize(image, framing.resized, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    (left, top), (width, height) = framing.offset, framing.size
    return image[top : top + height, left : left + width]


def _alike(size, other):
    """Whether two sizes (width, height) have the same proportions, to 2 %."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= 0.02 * size[1] * other[0]


def _check_rgb(frame):
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        what = f"{frame.dtype} of shape {frame.shape}" if isinstance(frame, np.ndarray) else f"a {type(frame).__name__}"
        raise InputError(f"A frame is {what}; frames must be uint8 RGB arrays of shape (H, W, 3).")
    return frame


def _check_file(path):
    if not path.is_file():
        raise InputError(f"There is no file '{path}'; check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"'{path.name}' is empty (0 bytes); the upload or the recording broke off. {ALLOWED}")
    return path


def _check_size(name, size):
    if min(size) < SMALLEST_SIDE:
        raise InputError(f"'{name}' is {size[0]} x {size[1]} pixels; each side must have at least {SMALLEST_SIDE}.")
