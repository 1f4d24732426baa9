"""Decoded frames of any colour space as 8-bit sRGB.

Sources of the formulas: ITU-R BT.2100-2 (HLG: tables 5, 6; PQ: table 4, the same as SMPTE ST 2084), ITU-R BT.2408
(diffuse white at 203 cd/m2, in HLG at 75 % of the signal), IEC 61966-2-1 (sRGB), ITU-R BT.2020, SMPTE RP 431-2 and
EG 432-1 (primaries).
"""

from functools import cache, reduce

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

from .sizes import Size

UNSPECIFIED = 2  # in each of the three code tables of ITU-T H.273, which files and FFmpeg use
PQ, HLG = 16, 18  # transfer characteristics
BT2020, DCI_P3, DISPLAY_P3 = 9, 11, 12  # primaries
LIMITED_RANGE, FULL_RANGE = 1, 2  # codes with room to spare at both ends, and from 0 to the largest
DIFFUSE_WHITE = 203.0  # cd/m2 of a white sheet of paper, which becomes sRGB white
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # cd/m2 of the display that HLG is defined for, and the gamma that belongs to it
STRIP = 32  # rows
HD = 1280, 720  # pixels; untagged pictures as wide or as high are BT.709, as players hold it; films may have few lines

# Linear RGB of these primaries to linear RGB of BT.709 primaries; white is D65 in all (P3 as films for phones use it).
TO_BT709 = {
    BT2020: np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
    ),
    DISPLAY_P3: np.array([[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]]),
}
TO_BT709[DCI_P3] = TO_BT709[DISPLAY_P3]


def strongest(channels: np.ndarray) -> np.ndarray:
    """The largest of the channels (...,C) of each pixel; NumPy's `max` of so short an axis takes 12 times as long."""
    return reduce(np.maximum, np.moveaxis(channels, -1, 0))


def to_rgb(
    frame: VideoFrame, codec: str = "", size: Size | None = None, reformatter: VideoReformatter | None = None
) -> np.ndarray:
    """(H,W,3) uint8 sRGB of a decoded frame; transparency over black. codec: FFmpeg's name of it. reformatter: one for
    all frames of a clip, as setting it up takes several times as long as a frame.

    With `size` (width, height) it is scaled in the same step, with wide colours and high brightness as they are coded.
    Light up to diffuse white comes out as it is. Brighter light becomes white, the more so the brighter; its colour
    gives way gradually."""
    width, height = size or (frame.width, frame.height)

    def converted(form):
        how = {"format": form, "src_colorspace": _matrix(frame, codec)}
        return (reformatter or VideoReformatter()).reformat(frame, width, height, **how).to_ndarray()

    if frame.format.has_palette or any(c.is_alpha for c in frame.format.components):
        return over_black(converted("rgba"))
    wide = is_wide(frame.color_trc, frame.color_primaries)
    bits = max(c.bits for c in frame.format.components)
    limited_grey = frame.color_range == LIMITED_RANGE and len(frame.format.components) == 1
    if size is not None or not (wide or bits > 8 or limited_grey):
        return converted("rgb24")
    if limited_grey:  # which swscale leaves as it is
        return _rounded(235 << 8, 16 << 8)[converted("rgb48le")]
    if bits > 8:  # swscale's own way to 8 bits adds a pattern of +-2 levels
        image, top = converted("rgb48le"), _white_code(frame, bits)
    else:
        image, top = converted("rgb24"), 255
    return from_wide(image, frame.color_trc, frame.color_primaries, top) if wide else _rounded(top)[image]


def _white_code(frame, bits):
    """What swscale makes of white in 16 bits: it scales YCbCr by 256 per level of 8 bits, and RGB to the full range."""
    if frame.format.is_rgb:
        return 65535
    return ((1 << bits) - 1) << (16 - bits) if frame.color_range == FULL_RANGE else 255 << 8


def over_black(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def _matrix(frame, codec):
    """What the frame's YCbCr was made with: as tagged, or as is the custom for pictures of its kind."""
    if frame.colorspace != UNSPECIFIED:
        return frame.colorspace
    if frame.color_trc in (PQ, HLG) or frame.color_primaries == BT2020:
        return Colorspace.BT2020
    high = frame.width >= HD[0] or frame.height >= HD[1]
    return Colorspace.ITU709 if high and codec != "vp8" else Colorspace.ITU601  # VP8: RFC 6386


def is_wide(transfer: int, primaries: int) -> bool:
    """Whether colours of this transfer function and these primaries (H.273) need `from_wide`."""
    return transfer in (PQ, HLG) or primaries in TO_BT709


def from_wide(image: np.ndarray, transfer: int, primaries: int, top: int = 255) -> np.ndarray:
    """uint8 sRGB of (H,W,3) unsigned RGB of codes 0 to `top` with another transfer function or other primaries."""
    high = transfer in (PQ, HLG)
    if high and primaries == UNSPECIFIED:
        primaries = BT2020
    matrix = TO_BT709[primaries].astype(np.float32) if primaries in TO_BT709 else np.eye(3, dtype=np.float32)
    result = np.empty(image.shape, np.uint8)
    for start in range(0, len(image), STRIP):  # intermediate arrays then stay in the processor's cache
        rows = slice(start, start + STRIP)
        light: np.ndarray = cv2.transform(_light(transfer, top).take(image[rows]), matrix)
        if high:
            _roll_off(light)
        light *= 65535
        light += 0.5
        result[rows] = _srgb().take(np.clip(light, 0, 65535, out=light).astype(np.uint16))
    return result


def _roll_off(light):
    """Bring light (H,W,3) above 1 down to 1, in place: of m times that, the hue stays and 1 - 1 / m of it is white."""
    np.maximum(light, 0, out=light)
    most = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    if most.max() > 1:
        inverse = (1 / np.maximum(most, 1))[..., None]
        light *= inverse
        light -= 1
        light *= inverse
        light += 1


@cache
def _light(transfer, top):
    """(65536,) float32: light of each code, where `top` is the largest; 1 for diffuse white, or white where not HDR.

    HLG's gamma is applied to each component rather than to luminance, so that colours come out as SDR cameras and
    players show them; with luminance they are duller (a red of sRGB 200 60 50 comes out as 184 70 59)."""
    code = np.minimum(np.arange(65536) / top, 1)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = HLG_PEAK * scene**HLG_GAMMA / DIFFUSE_WHITE
    elif transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        light = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / DIFFUSE_WHITE
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _srgb():
    """(65536,) uint8: the sRGB code of light in steps of 1 / 65535, some 20 steps per level where it is darkest."""
    light = np.arange(65536) / 65535
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * code).astype(np.uint8)


@cache
def _rounded(top, low=0):
    """(65536,) uint8: codes from `low` to `top` rounded to 8 bits."""
    return np.rint(((np.arange(65536) - low) / (top - low)).clip(0, 1) * 255).astype(np.uint8)
