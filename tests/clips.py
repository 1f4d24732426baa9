"""Clips for the tests, made with PyAV: frames that carry their own number, in every container and codec."""

from fractions import Fraction

import av
import numpy as np

HEIGHT, WIDTH = 64, 96


def numbered(number, height=HEIGHT, width=WIDTH):
    """(height, width, 3) uint8 frame: the number in binary, 4 x 3 grey blocks, least significant bit top left."""
    bits = np.array([number >> bit & 1 for bit in range(12)], dtype=np.uint8).reshape(3, 4)
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 4 // width
    return np.repeat(40 + 170 * bits[rows][:, columns, None], 3, axis=2)


def number_of(frame):
    """The number back, at any size and after lossy coding."""
    height, width = frame.shape[:2]
    centres = frame[height // 6 :: height // 3][:3, width // 8 :: width // 4][:, :4].mean(axis=-1)
    return int(sum(1 << bit for bit in np.flatnonzero(centres > 125)))


def encode(
    path, frames, codec="libx264", fps=10, pts=None, options=None, rotation=None, pixel_aspect=None, pix_fmt=None
):
    """Write frames (H, W, 3 or 4) to `path`; pts in milliseconds for a variable rate, else constant `fps`."""
    options = {"x265-params": "log-level=none"} if codec == "libx265" and options is None else options or {}
    frames = list(frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt or "yuv420p"
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[2] == 4 else "rgb24")
            picture = picture.reformat(format=stream.pix_fmt)
            if pts is not None:
                picture.pts, picture.time_base = pts[number], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def encode_sound(path, seconds=1):
    """An audio file without any picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for start in range(0, 44100 * seconds, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path, a, b, c, d):
    """Write the 2 x 2 part of the display matrix into the track header of an mp4, as phones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    for place, value in ((0, a), (4, b), (12, c), (16, d)):
        data[matrix + place : matrix + place + 4] = int(value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path
