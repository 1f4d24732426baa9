"""Open a video file, and nothing but that file; pick the stream to show and the decoder for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av import VideoStream
from av.container import InputContainer
from av.stream import Disposition

from .errors import InputError

ALLOWED = (
    "Allowed are videos (mp4, mov, webm, mkv, avi, gif, ts, mpg, wmv and more), images (jpg, png, heic, webp, tif and "
    "more), and folders and zips of images."
)
# FFmpeg's demuxers that read their own file only. Left out are those that follow names in a file (hls, dash, concat,
# imf, sdp, ...) or make names up (image2), devices, generators (lavfi), and text shown as video. That mov follows no
# reference to other files is FFmpeg's default (enable_drefs).
CONTAINERS = (
    "mov,matroska,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,obu,ivf,asf,flv,ogg,mxf,dv,nut,rm,wtv,"
    "mjpeg,mjpeg_2000,yuv4mpegpipe,vc1,dirac,cavsvideo,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,"
    "jpegxl_pipe,jpegxl_anim,j2k_pipe,jpegls_pipe,pam_pipe,pbm_pipe,pgm_pipe,ppm_pipe,pfm_pipe,psd_pipe,qoi_pipe,"
    "sgi_pipe,sunrast_pipe,dds_pipe,dpx_pipe,exr_pipe,hdr_pipe,pcx_pipe"
)
ONE_FILE = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image  # cover art, previews
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders of these leave transparency out


@contextmanager
def open_clip(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """(container, video stream) of a file, opened for reading."""
    try:  # an absolute path is never taken for the name of a protocol
        container = av.open(str(path.absolute()), metadata_errors="replace", options=dict(ONE_FILE))
    except (av.FFmpegError, OSError):
        raise InputError(f"'{path.name}' cannot be read as a video; it is damaged or not one. {ALLOWED}") from None
    with container:
        pictures = [s for s in container.streams.video if not s.disposition & NOT_MOVING]
        if not pictures:
            raise InputError(f"'{path.name}' has no picture, perhaps only sound. {ALLOWED}")
        known = [s for s in pictures if s.codec_context is not None]
        if not known:
            raise undecodable(path)
        stream = max(known, key=_prominence)
        stream.thread_type = "AUTO"
        yield container, stream


def _prominence(stream):
    """What a player shows first: a stream that moves, the default one, the largest."""
    return stream.frames != 1, bool(stream.disposition & Disposition.default), stream.width * stream.height


def decoder_of(stream: VideoStream) -> av.CodecContext:
    """A codec context that decodes the packets of a stream, transparency included."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    name = stream.codec_context.name
    if tags.get("alpha_mode") == "1" and name in ALPHA_DECODERS:
        decoder = av.CodecContext.create(ALPHA_DECODERS[name], "r")
        decoder.extradata = stream.codec_context.extradata
        return decoder
    return stream.codec_context


def undecodable(path: Path) -> InputError:
    return InputError(
        f"No frame of '{path.name}' can be decoded; it is damaged or of a kind that is not supported. "
        "Convert it to an H.264 mp4."
    )
