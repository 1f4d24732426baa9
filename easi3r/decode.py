"""Video files: find every frame by its timestamp without decoding any, then decode the few that are used.

Timestamps are read from the packets. To reach a frame, decoding goes straight on, or starts anew at a keyframe where
that leaves out much, so a film of hours costs little more than a short clip.
"""

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

from .errors import InputError

SEEK_GAP = 24  # frames; jumping to a keyframe costs about as much as decoding this many frames
SNAP_SPACING = 100  # frames between two used ones; from here on a near keyframe serves as well as the exact frame
ALLOWED = "Allowed are mp4, mov, webm, mkv, avi and gif files, images, and folders or zips of images."


@dataclass(frozen=True)
class Index:
    """Where the n frames of a clip are, in the order of display."""

    seconds: np.ndarray  # (n,) float64, ascending
    ticks: np.ndarray  # (n,) int64, ascending: presentation time in the stream's units, or 0, 1, 2, ... if not `timed`
    keys: np.ndarray  # (m,) int64, positions of the frames at which decoding can start
    seek: np.ndarray  # (n,) int64, what to hand to `container.seek` to get to a frame
    timed: bool  # whether the container knows when each frame is shown

    def __len__(self):
        return len(self.ticks)

    def key_before(self, position):
        """The last position at or before `position` at which decoding can start; 0 if there is none."""
        return max(self.keys[self.keys <= position], default=0)


def choose(seconds, keys, count):
    """Positions of `count` frames spread over a clip; in long clips moved to keyframes (positions `keys`) near them."""
    chosen = spread(seconds, count)
    if len(keys) == 0 or len(chosen) < 3 or len(seconds) < SNAP_SPACING * len(chosen):
        return chosen
    near = keys[_nearest(keys, chosen[1:-1])]
    reach = np.minimum(chosen[1:-1] - chosen[:-2], chosen[2:] - chosen[1:-1]) / 8
    chosen[1:-1] = np.where(np.abs(near - chosen[1:-1]) <= reach, near, chosen[1:-1])
    return chosen


def spread(seconds, count):
    """Indices (min(n, count),) of distinct frames, as even in time as can be, first and last included.

    seconds (n,) ascending, n at least 1.
    """
    n, count = len(seconds), min(len(seconds), count)
    steps = np.arange(count)
    nearest = _nearest(seconds, np.linspace(seconds[0], seconds[-1], count))
    nearest = np.maximum.accumulate(nearest - steps) + steps  # the same frame is not taken twice: the next one is
    return np.minimum(nearest, n - count + steps)  # and enough are left for the rest


def _nearest(values, wanted):
    """Index of the nearest of the ascending `values` (n,) for each of `wanted` (m,); the lower one of two as near."""
    right = np.searchsorted(values, wanted).clip(0, len(values) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(wanted - values[left] <= values[right] - wanted, left, right)


@contextmanager
def open_clip(path):
    """(container, video stream) of a file, opened for reading."""
    try:  # a playlist dressed up as a clip must not make FFmpeg fetch anything: local files only
        container = av.open(str(path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError):
        raise InputError(f"'{path.name}' cannot be read as a video; it is damaged or not one. {ALLOWED}") from None
    with container:
        pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]  # not cover art
        if not pictures:
            raise InputError(f"'{path.name}' has no picture, perhaps only sound. {ALLOWED}")
        if pictures[0].codec_context is None:
            raise undecodable(path)
        pictures[0].thread_type = "AUTO"
        yield container, pictures[0]


def _packets(container, stream):
    """Whole packets up to the end or to where the file breaks off, then the empty one that flushes the decoder."""
    try:
        yield from (packet for packet in container.demux(stream) if not packet.is_corrupt)
    except av.FFmpegError:
        yield av.Packet()


def mean_rate(stream):
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def scan(path):
    """`Index` of a video file, from its packets; decodes nothing."""
    with open_clip(path) as (container, stream):
        packets = [(p.pts, p.dts, p.is_keyframe) for p in _packets(container, stream) if p.size and not p.is_discard]
        if not packets:
            raise undecodable(path)
        unit, rate, form = float(stream.time_base), float(mean_rate(stream)), container.format.name
    pts, dts, keys = zip(*packets)
    if None not in pts and form != "avi":  # AVI stores the order of decoding only
        ticks, first = np.unique(np.array(pts, dtype=np.int64), return_index=True)
        seek = np.array(dts, dtype=np.int64)[first] if form == "mpegts" and None not in dts else ticks  # FFmpeg's ways
        return Index(ticks * unit, ticks, np.flatnonzero(np.array(keys)[first]), seek, True)
    ticks = np.arange(len(packets))
    if None in dts:
        return Index(ticks / rate, ticks, ticks[:0], ticks, False)
    seek = np.array(dts, dtype=np.int64)
    return Index(seek * unit, ticks, np.flatnonzero(keys), seek, False)


def frames_at(path, index, chosen):
    """Decode the frames at the positions `chosen`: straight on, or by a jump where that leaves out much."""
    with open_clip(path) as (container, stream):
        frames, position = decode_on(container, stream, index), 0  # position of the next frame to come
        for k in chosen:
            if k < position:
                continue  # frames were missing, and a later one has stood in already
            key = index.key_before(k)
            if key - position > SEEK_GAP:
                with suppress(av.FFmpegError):  # where the file cannot jump, read on
                    container.seek(int(index.seek[key]), stream=stream)
                    frames = decode_on(container, stream, index)
            tick, frame = next(((tick, frame) for tick, frame in frames if tick >= index.ticks[k]), (None, None))
            if frame is not None:
                found = min(int(np.searchsorted(index.ticks, tick)), len(index) - 1)
                position = found + 1
                yield found, *upright(frame, stream)
        if position == 0:
            raise undecodable(path)


def decode_on(container, stream, index=None):
    """(tick, frame) from here on, without what is damaged. Ticks as in `index`; running from 0 if there is none."""
    number = None
    for packet in _packets(container, stream):
        if number is None:
            number = int(np.searchsorted(index.seek, packet.dts)) if index and packet.dts is not None else 0
        with suppress(av.FFmpegError):
            for frame in stream.decode(packet):
                tick = frame.pts if index and index.timed else number
                number += 1
                if tick is not None:
                    yield tick, frame


def upright(frame, stream):
    """RGB array of a decoded frame, turned upright, and the (width, height) at which its pixels are square."""
    transparent = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
    image = over_black(frame.to_ndarray(format="rgba")) if transparent else frame.to_ndarray(format="rgb24")
    height, width = image.shape[:2]
    aspect = float(stream.sample_aspect_ratio or 1)
    if 0.1 < aspect < 10:  # anything else is a slip of the file
        width, height = round(width * max(1, aspect)), round(height * max(1, 1 / aspect))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image, (width, height)
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5]  # source (x, y) is shown at (a x + c y, b x + d y)
    if abs(b) > abs(a):
        image, (width, height), (a, d) = image.transpose(1, 0, 2), (height, width), (c, b)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]), (width, height)


def over_black(rgba):
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def undecodable(path):
    return InputError(f"No frame of '{path.name}' can be decoded; it is damaged or of a kind that is not supported. "
                      "Convert it to an H.264 mp4.")
