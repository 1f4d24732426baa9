"""Video files: find every frame by its timestamp without decoding any, then decode the few that are used.

Timestamps are read from the packets. To reach a frame, decoding goes straight on, or starts anew at a keyframe where
that leaves out much, so a film of hours costs little more than a short clip. Frames that are damaged, or predicted from
damaged ones, are left out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av import VideoStream
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from .colour import UNSPECIFIED, to_rgb
from .containers import decoder_of, open_clip, undecodable
from .damage import whole
from .sizes import ReadFrames, Size, reduced

SEEK_GAP = 24  # frames; jumping to a keyframe costs about as much as decoding this many frames
SNAP_SPACING = 100  # frames between two used ones; from here on a near keyframe serves as well as the exact frame
LATE = 32  # packets; decoders that run in threads report a failure that much later at most (16 threads and reordering)
REORDERING = 32  # frames; no codec shows a frame further than this from its place in the order of decoding
DOLBY_TAGS = ("dvhe", "dvh1", "dav1")  # of tracks that say they are Dolby Vision first of all


@dataclass(frozen=True)
class Index:
    """Where the n frames of a clip are, in the order of display."""

    seconds: np.ndarray  # (n,) float64, ascending
    ticks: np.ndarray  # (n,) int64, ascending: presentation time in the stream's units, or 0, 1, 2, ... if not `timed`
    keys: np.ndarray  # (m,) int64, positions of the frames at which decoding can start; none where jumps are not exact
    seek: np.ndarray  # (n,) int64, what to hand to `container.seek` to get to a frame
    order: np.ndarray  # (n,) int64, the place of each frame in the order of decoding
    settled: np.ndarray  # (n,) int64, position by which all that a frame was predicted from has been shown
    timed: bool  # whether the container knows when each frame is shown
    interlaced: bool  # whether frames are woven from two fields
    dolby: bool = False  # whether colours are coded as only Dolby Vision has them (profile 5): green and purple

    def __len__(self) -> int:
        return len(self.ticks)

    def key_before(self, position: int) -> int:
        """The last position at or before `position` at which decoding can start; 0 if there is none."""
        return max(self.keys[self.keys <= position], default=0)

    def position(self, tick: int) -> int:
        """Position of the frame shown at `tick`, or of the next one."""
        return min(int(np.searchsorted(self.ticks, tick)), len(self) - 1)


def choose(seconds: np.ndarray, keys: np.ndarray, count: int) -> np.ndarray:
    """Positions of `count` frames spread over a clip; in long clips moved to keyframes (positions `keys`) near them."""
    chosen = spread(seconds, count)
    if len(keys) == 0 or len(chosen) < 3 or len(seconds) < SNAP_SPACING * len(chosen):
        return chosen
    near = keys[nearest_of(keys, chosen[1:-1])]
    reach = np.minimum(chosen[1:-1] - chosen[:-2], chosen[2:] - chosen[1:-1]) / 8
    chosen[1:-1] = np.where(np.abs(near - chosen[1:-1]) <= reach, near, chosen[1:-1])
    return chosen


def spread(seconds: np.ndarray, count: int) -> np.ndarray:
    """Indices (min(n, count),) of distinct frames, as even in time as can be, first and last included.

    seconds (n,) ascending, may stay the same for a while; n at least 1.
    """
    n, count = len(seconds), min(len(seconds), count)
    steps = np.arange(count)
    nearest = nearest_of(seconds, np.linspace(seconds[0], seconds[-1], count))
    if count > 1:
        nearest[-1] = n - 1  # where nothing happens at the end, several frames are as near
    nearest = np.maximum.accumulate(nearest - steps) + steps  # the same frame is not taken twice: the next one is
    return np.minimum(nearest, n - count + steps)  # and enough are left for the rest


def nearest_of(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the nearest of the ascending `values` (n,) for each of `wanted` (m,); the lower one of two as near."""
    right = np.searchsorted(values, wanted).clip(0, len(values) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(wanted - values[left] <= values[right] - wanted, left, right)


class _Clock:
    """Lets the times of joined recordings run on where they start anew."""

    def __init__(self) -> None:
        self.offset, self._step = 0, 1
        self._last: int | None = None

    def run_on(self, packet: av.Packet) -> None:
        if packet.dts is None:
            return
        dts = packet.dts + self.offset
        if self._last is not None and dts < self._last:
            self.offset += self._last + self._step - dts
            dts = self._last + self._step
        elif self._last is not None and dts > self._last:
            self._step = dts - self._last
        self._last = packet.dts = dts
        if packet.pts is not None:
            packet.pts += self.offset


def _packets(container, stream, clock=None):
    """Packets up to the end or to where the file breaks off, then the empty one that flushes the decoder."""
    joinable = container.format.name in ("mpegts", "mpeg")  # made to be cut and joined anywhere
    clock = clock or _Clock()
    try:
        for packet in container.demux(stream):
            if joinable:
                clock.run_on(packet)
            yield packet
    except av.FFmpegError:
        yield av.Packet()


def mean_rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def scan(path: Path) -> Index:
    """`Index` of a video file, from its packets; decodes nothing but, where the file does not say, the first frame."""
    clock = _Clock()
    with open_clip(path) as (container, stream):
        form, codec = container.format.name, stream.codec_context
        packets = [
            (packet.pts, packet.dts, packet.is_keyframe)
            for packet in _packets(container, stream, clock)
            if packet.size and not packet.is_discard and not packet.is_corrupt
        ]
        if not packets:
            raise undecodable(path)
        unit = float(stream.time_base)  # type: ignore[arg-type]  # every stream that is read has one
        rate, reorders = float(mean_rate(stream)), codec.reorder_depth > 0
        interlaced = codec.field_order > 1
        dolby = codec.codec_tag in DOLBY_TAGS and codec.color_trc == UNSPECIFIED  # others are HDR or SDR too
    pts, dts, marks = zip(*packets)
    keys = np.array(marks)
    if _untold(pts) or form == "mpeg" or (form == "avi" and not _reordered(pts)):
        # raw streams have no times, AVI stores the order of decoding only, and in programme streams many are guessed
        place = np.arange(len(packets))
        known = dts if form == "avi" else pts
        seconds = place / rate if _untold(known) else _ascending(known) * unit
        exact = form != "mpeg" and not reorders and not _untold(dts)
        seek = np.array(dts, dtype=np.int64) if exact else place
        return Index(seconds, place, np.flatnonzero(keys & exact), seek, place, place, False, interlaced)
    ticks, first = np.unique(np.array(pts, dtype=np.int64), return_index=True)
    by_dts = form in ("mpegts", "avi") and None not in dts  # FFmpeg's ways
    seek = np.array(dts, dtype=np.int64)[first] if by_dts else ticks
    starts = np.flatnonzero(keys[first] & (clock.offset == 0))  # a clock that starts anew leads no jump to its place
    shown = ticks - ticks[0] if form == "avi" else ticks
    return Index(shown * unit, ticks, starts, seek, first, _settled(first), True, interlaced, dolby)


def _ascending(times):
    """(n,) float64: the times in ascending order, those that are the same spread to the next."""
    different, first = np.unique(np.sort(times), return_index=True)
    return np.interp(np.arange(len(times)), first, different)


def _untold(times):
    """Whether times of packets say nothing: one is missing, or several packets have all the same."""
    return None in times or (len(times) > 1 and len(set(times)) == 1)


def _reordered(pts):
    """Whether times of display are not simply those of decoding, that is, FFmpeg has worked them out."""
    return any(later < earlier for earlier, later in pairwise(pts))


def _settled(order):
    """For each position the last one, near it, of a frame that is decoded before it; its own if there is none."""
    settled = np.arange(len(order))
    for step in range(1, min(REORDERING, len(order))):
        earlier = np.flatnonzero(order[step:] < order[:-step])
        settled[earlier] = earlier + step
    return settled


def frames_at(
    path: Path,
    index: Index,
    chosen: Iterable[int],
    side: int | None = None,
    on_damage: Callable[[], None] | None = None,
) -> ReadFrames:
    """Decode the frames at the positions `chosen`: straight on, or by a jump where that leaves out much.

    (position, image, (width, height)) of each as `upright` gives them. on_damage: called for every sign of damage."""
    with open_clip(path) as (container, stream):
        frames, position = decode_on(container, stream, index, on_damage), 0  # position of the next frame to come
        reformatter = VideoReformatter()
        for k in chosen:
            if k < position:
                continue  # frames were missing, and a later one has stood in already
            key = index.key_before(k)
            if key - position > SEEK_GAP:
                with suppress(av.FFmpegError):  # where the file cannot jump, read on
                    container.seek(int(index.seek[key]), stream=stream)
                    frames = decode_on(container, stream, index, on_damage)
            tick, frame = _first_from(frames, index.ticks[k])
            if frame is not None and index.position(tick) >= position:
                found = index.position(tick)
                position = found + 1
                yield found, *upright(frame, stream, side, reformatter)
        if position == 0:
            raise undecodable(path)


def _first_from(frames, tick):
    """The first (tick, frame) at or after `tick`, or else the last one before it, or (None, None)."""
    latest = None, None
    for latest in frames:
        if latest[0] >= tick:
            break
    return latest


def decode_on(
    container: InputContainer,
    stream: VideoStream,
    index: Index | None = None,
    on_damage: Callable[[], None] | None = None,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """(tick, frame) from here on, without what is damaged. Ticks as in `index`; running from 0 if there is none."""
    decoded = _noting(_decoded(container, stream, index), on_damage or (lambda: None))
    return whole(decoded, index) if index else ((tick, frame) for tick, frame in decoded if frame)


def _noting(decoded, on_damage):
    for tick, frame in decoded:
        if frame is None or frame.is_corrupt:
            on_damage()
        yield tick, frame


def _decoded(container, stream, index):
    """(tick, frame) of what the decoder gives; (range of places in the order of decoding, None) where it fails."""
    decoder, timed = decoder_of(stream), index is not None and index.timed
    decoder.copy_opaque = True  # each frame says which packet it came from
    number = place = None  # of the next frame shown, of the next packet
    lost, recent = False, deque(maxlen=REORDERING)
    for packet in _packets(container, stream):
        if place is None:
            jumped = index is not None and len(index.keys) and packet.dts is not None
            place = number = int(np.searchsorted(index.seek, packet.dts)) if jumped else 0
        packet.opaque = place
        try:
            frames, failed = ([] if packet.is_corrupt else decoder.decode(packet)), packet.is_corrupt
        except av.FFmpegError:
            frames, failed = [], True
        if failed:
            lost, at = True, place
            if timed and packet.pts is not None:
                at = int(index.order[index.position(packet.pts)])
            yield range(at if packet.is_corrupt else at - LATE, at + 1), None
        for frame in frames:
            origin = frame.opaque if frame.opaque is not None else -1
            if lost and frame.key_frame:  # frames that never came count too
                number, lost = max(number, origin + sum(other > origin for other in recent)), False
            recent.append(origin)
            number += 1
            tick = frame.pts if timed else number - 1
            if tick is not None:
                yield tick, frame
        place += 1 if packet.size and not packet.is_corrupt and not packet.is_discard else 0


def upright(
    frame: av.VideoFrame, stream: VideoStream, side: int | None = None, reformatter: VideoReformatter | None = None
) -> tuple[np.ndarray, Size]:
    """RGB array of a decoded frame, turned upright, and the (width, height) at which its pixels are square.

    With `side` the array is reduced to that long side, with square pixels, in one rough and quick step."""
    width, height = frame.width, frame.height
    aspect = float(stream.sample_aspect_ratio or 1)
    if 0.1 < aspect < 10:  # anything else is a slip of the file
        width, height = round(width * max(1, aspect)), round(height * max(1, 1 / aspect))
    size = reduced((width, height), side) if side else None
    image = to_rgb(frame, stream.codec_context.name, size, reformatter)
    a, b, c, d = _display_matrix(frame)
    if abs(b) > abs(a):
        image, (width, height), (a, d) = image.transpose(1, 0, 2), (height, width), (c, b)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]), (width, height)


def _display_matrix(frame):
    """(a, b, c, d) of a decoded frame: what is at (x, y) is to be shown at (a x + c y, b x + d y), but for scale."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV lists nothing of a frame that carries what it has no name for, such as EXIF
        turn = np.deg2rad(-frame.rotation)  # this it tells all the same; not a mirror image, which no camera stores
        return np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    return a, b, c, d
