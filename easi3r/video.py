"""Video in and out: choose frames, turn them upright, resize, crop; encode H.264.

Only the frames asked for are kept, on the disk if they are many, and one at a time is held at full size, so length and
resolution of a clip cost time and not memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from . import decode, fields, survey
from .camera import Framing
from .errors import InputError
from .large import give_back, picked, zeros
from .sources import Stills, check_file, check_rgb, open_source

BT709: dict[str, Any] = {  # what players take for granted; without accurate rounding swscale is up to 2 levels off
    "dst_colorspace": Colorspace.ITU709,
    "dst_color_range": ColorRange.MPEG,
    "dst_color_primaries": ColorPrimaries.BT709,
    "dst_color_trc": ColorTrc.BT709,
    "interpolation": Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
}

# Keeps what crf 18 of the preset medium keeps (37.1 dB of luma and 36.7 dB in an orbit video) in half its time, for a
# quarter more bytes.
X264 = {"crf": "16", "preset": "veryfast"}


@dataclass(frozen=True)
class Video:
    """Frames as the pipeline works on them. T frames of H x W."""

    frames: np.ndarray  # (T,H,W,3) uint8 RGB, upright
    timestamps: np.ndarray  # (T,) float64, seconds as the source states them; images and arrays count 0, 1, 2, ...
    framing: Framing  # how they were cut from the upright source image
    n_source_frames: int  # number of frames of the source, of which T were taken
    positions: np.ndarray  # (T,) int64, which frames of the source these are, from 0
    name: str  # file or folder name for display; "frames" for arrays and lists
    span: tuple  # seconds of the first and of the last of all frames of the source
    shows: np.ndarray  # (T,) bool: the frame shows the scene; False for black, faded or covered ones, titles, flashes
    warnings: tuple = ()  # sentences for the user about the source
    stems: tuple | None = None  # file names without suffix of all images of the source; None where it is not files


@dataclass(frozen=True)
class ClipInfo:
    """What a video file says about itself. Length and number of frames are the container's word, often an estimate."""

    duration: float  # seconds
    n_frames: int
    width: int  # pixels, upright, with square pixels
    height: int
    fps: float  # frames per second, on average


def read(source: Any, max_frames: int, max_side: int, patch: int, shot: int | None = None) -> Video:
    """At most `max_frames` frames (0: all) spread evenly in time over the whole of `source`, at working size.

    Returns a `Video`.

    source: path of a video, of an image, or of a folder of images (in natural order: 2 before 10); list of image paths;
    array (T, H, W, 3) or (H, W, 3) uint8 RGB; list of (H, W, 3) uint8 RGB arrays; a `Video`, returned as it is.
    max_side, patch: pixels, see `Framing.fit`; shrinking averages over areas.
    The first and the last frame are always among the chosen (the first if only one is), and no frame is returned twice.
    In a clip of more than `SNAP_SPACING` frames per chosen one, those in between may move to a keyframe by up to an
    eighth of the gap, which saves most of the decoding. Rotation and mirroring (display matrix, EXIF) and non-square
    pixels are resolved, as a player does; transparency is laid over black. A damaged clip gives what can be decoded.

    shot: which shot of a clip with cuts, from 1; None: the longest. First and last are those of the shot. Bars are cut
    off, and what shows nothing of the scene is marked in `Video.shows`, see `survey`.

    Raises `InputError` if the source is missing, unreadable, has no picture, is smaller than 16 pixels on a side, or
    has no such shot.
    """
    if isinstance(source, Video):
        return source
    opened = open_source(source)
    look = survey.survey(opened)
    chosen, warnings = survey.choose(look, opened, max_frames or len(opened.seconds), shot)
    inner = survey.inner_of(look, opened, chosen, warnings)
    read_at, woven = list[int](), 0
    framing: Any = None  # a `Framing` from the first picture on
    frames: Any = None
    for position, image, size in _whole(opened, chosen, look, warnings):
        if framing is None:
            framing = Framing.fit(size, max_side, patch, inner)
            frames = zeros((len(chosen), *framing.size[::-1], 3), np.uint8)
        if fields.is_woven(image, getattr(opened, "interlaced", False)):
            image, woven = fields.one_moment(image), woven + 1
        frames[len(read_at)] = framing.cut(image)
        read_at.append(position)
    order = np.argsort(read_at)
    frames, positions = picked(frames[: len(read_at)], order), np.array(read_at)[order]
    give_back([frames])
    shows = survey.shows_scene(frames, positions, look)
    if woven > len(frames) / 4:
        warnings.append(
            "The clip is interlaced, as old camcorders film: each picture mixes two moments, of which one was kept."
        )
    paths = getattr(opened, "paths", None)
    return Video(
        frames=frames,
        timestamps=opened.seconds[positions],
        framing=framing,
        n_source_frames=len(opened.seconds),
        positions=positions,
        name=opened.name,
        span=(float(opened.seconds[0]), float(opened.seconds[-1])),
        shows=shows,
        warnings=(*getattr(opened, "warnings", ()), *warnings, *survey.say_blank(look, opened, positions, shows)),
        stems=paths and tuple(path.stem for path in paths),
    )


def _whole(opened, chosen, look, warnings):
    """What `opened.read` gives of the chosen positions, and, where some cannot be decoded, of others nearby."""
    there = []
    for read in opened.read(chosen):
        there.append(read[0])
        yield read
    lost = len(chosen) - len(there)
    if not lost or len(there) < 2 or isinstance(opened, Stills):  # stills name what they leave out
        return
    others = _between(there, len(chosen), look.positions[~look.repeats[look.positions]], opened.seconds)
    yield from opened.read(sorted(others)) if others else ()
    if opened.damaged:
        at = np.sort(opened.seconds[[*there, *others]])
        widest = int(np.diff(at, append=at[-1]).argmax())
        warnings.append(
            f"The file is damaged: of the {len(chosen)} frames chosen {lost} could not be read, and {len(others)} "
            f"others were taken instead. The widest gap is from {at[widest]:.1f} to {at[widest + 1]:.1f} s."
        )


def _between(there, count, known, seconds):
    """Positions among the `known` that fill the widest holes between those that are `there`, to be so many together."""
    free = known[(known > min(there)) & (known < max(there)) & ~np.isin(known, there)]
    least = (seconds[max(there)] - seconds[min(there)]) / (2 * count)
    have, found = seconds[there], list[int]()
    while len(have) < count and len(free):
        apart = np.abs(seconds[free][:, None] - have).min(axis=1)
        widest = int(apart.argmax())
        if apart[widest] < least:
            break
        found.append(int(free[widest]))
        have, free = np.append(have, seconds[free[widest]]), np.delete(free, widest)
    return found


def probe(path: str | Path) -> ClipInfo:
    """`ClipInfo` of a video file, from its headers and its first frame. Raises `InputError` as `read` does."""
    path = check_file(Path(path))
    with decode.open_clip(path) as (container, stream):
        _, frame = next(decode.decode_on(container, stream), (None, None))
        if frame is None:
            raise decode.undecodable(path)
        _, (width, height) = decode.upright(frame, stream)
        fps, n_frames = float(decode.mean_rate(stream)), stream.frames
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (container.duration or 0) / av.time_base
    survey.check_size(path.name, (width, height))
    if not duration:
        n_frames = len(decode.scan(path))
        duration = n_frames / fps
    return ClipInfo(duration, n_frames or max(1, round(duration * fps)), width, height, fps)


def write(path: str | Path, frames: Iterable[np.ndarray], fps: float, x264: dict[str, str] = X264) -> None:
    """Encode `frames` as an H.264 mp4 that every browser plays.

    frames: iterable or array of (H, W, 3) uint8 RGB, all of one size, at least one. An odd H or W is padded to even by
    repeating the last row or column (4:2:0 chroma needs even sides). The file says how its colours are stored: BT.709
    primaries, transfer and matrix, limited range. fps: frames per second, 0.01 to 1000. x264: options of the encoder.
    Raises `InputError` if there is no frame, a frame has another shape or dtype, or fps is out of range. A failure
    leaves no file behind.
    """
    if not 0.01 <= fps <= 1000:
        raise InputError(f"fps is {fps!r}; it must lie between 0.01 and 1000 frames per second.")
    frames = iter(frames)
    frame = next(frames, None)
    if frame is None:
        raise InputError("There are no frames to write; give at least one (H, W, 3) uint8 RGB image.")
    height, width = check_rgb(frame).shape[:2]
    reformatter = VideoReformatter()  # one for all frames, as setting it up takes longer than a frame
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10000), options=x264)
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            context = stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            while frame is not None:
                if check_rgb(frame).shape != (height, width, 3):
                    raise InputError(
                        f"A frame is {frame.shape[1]} x {frame.shape[0]} pixels, the first was "
                        f"{width} x {height}; all frames of a video must have one size."
                    )
                padded = np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
                picture = av.VideoFrame.from_ndarray(padded, format="rgb24")
                container.mux(stream.encode(reformatter.reformat(picture, format="yuv420p", **BT709)))
                frame = next(frames, None)
            container.mux(stream.encode())
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
