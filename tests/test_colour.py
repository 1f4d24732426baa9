"""Colours come out as sRGB, whatever a file stores: HDR, wide gamuts, untagged HD, deep images, profiles."""

import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import encode, numbered
from PIL import Image, ImageCms

from easi3r import video

FIELD = Path(__file__).parents[2] / "shared" / "field"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs ../shared/field")
PATCHES = np.array(
    [
        (255, 255, 255),
        (128, 128, 128),
        (40, 40, 40),
        (200, 60, 50),
        (60, 180, 70),
        (50, 80, 200),
        (220, 190, 60),
        (190, 140, 110),
    ]
)
TO_LINEAR_BT2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
TO_LINEAR_P3 = np.array([[0.822462, 0.177538, 0.0], [0.033194, 0.966806, 0.0], [0.017083, 0.072397, 0.910520]])
UNSPECIFIED, BT709, BT601, PQ, HLG, BT2020, P3 = 2, 1, 6, 16, 18, 9, 12  # codes of ITU-T H.273
LUMA = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}


def stripes(colours, height, width):
    columns = np.arange(width) * len(colours) // width
    return np.repeat(np.asarray(colours)[columns][None], height, axis=0)


def stripes_of(frame, n=None):
    n = n or len(PATCHES)
    height, width = frame.shape[:2]
    return np.array([frame[height // 2, int(width * (k + 0.5) / n)] for k in range(n)], dtype=int)


def linear(code):
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def gamma(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq(nits):
    power = (np.asarray(nits) / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(nits):
    scene = (np.asarray(nits) / 1000) ** (1 / 1.2)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def encode_signal(path, signal, matrix, bits=10, full=False, trc=UNSPECIFIED, primaries=UNSPECIFIED, tag=None, step=1):
    """A lossless clip of one R'G'B' signal (H,W,3) in [0,1] as YCbCr made here by the formula of `matrix`; colour is
    stored for every `step`-th pixel, 1 or 2."""
    kr, kb = LUMA[matrix]
    y = signal @ [kr, 1 - kr - kb, kb]
    cb, cr = (signal[..., 2] - y) / (2 - 2 * kb), (signal[..., 0] - y) / (2 - 2 * kr)
    top, unit = 2**bits - 1, 2 ** (bits - 8)
    scale = [(top, 0), (top, 128 * unit)] if full else [(219 * unit, 16 * unit), (224 * unit, 128 * unit)]
    planes = [y * scale[0][0] + scale[0][1], *(c[::step, ::step] * scale[1][0] + scale[1][1] for c in (cb, cr))]
    deep = bits > 8
    name = "yuv444p" if step == 1 else "yuv420p"
    frame = av.VideoFrame(signal.shape[1], signal.shape[0], f"{name}{bits}le" if deep else name)
    for plane, values in zip(frame.planes, planes):
        padded = np.zeros((plane.height, plane.line_size // (2 if deep else 1)), "<u2" if deep else "u1")
        padded[:, : plane.width] = np.rint(values).clip(0, top)
        plane.update(padded.tobytes())
    frame.pts, frame.time_base = 0, Fraction(1, 10)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *signal.shape[:2], frame.format.name
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.color_range = trc, primaries, 2 if full else 1
        context.colorspace = frame.colorspace = matrix if tag is None else tag
        frame.color_range, frame.color_trc, frame.color_primaries = context.color_range, trc, primaries
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_one(path):
    return video.read(path, 1, 4096, 1).frames[0]


@needs_field
@pytest.mark.parametrize(
    "name, off", [("hdr-hlg-colour-patches.mov", 6), ("untagged-1080p-bt709-colour-patches.mp4", 3)]
)
def test_given_patches(name, off):
    assert np.abs(stripes_of(read_one(FIELD / name)) - PATCHES).max() <= off


@pytest.mark.parametrize("curve, trc", [(pq, PQ), (hlg, HLG)])
@pytest.mark.parametrize("tagged", [True, False])
def test_hdr_up_to_diffuse_white_comes_out_as_it_is(tmp_path, curve, trc, tagged):
    signal = curve(203 * (linear(stripes(PATCHES, 32, 256) / 255) @ TO_LINEAR_BT2020.T))
    tags = {"primaries": BT2020} if tagged else {"tag": UNSPECIFIED}
    path = encode_signal(tmp_path / "hdr.mkv", signal, BT2020, trc=trc, **tags)
    assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= 2


@pytest.mark.parametrize("curve, trc", [(pq, PQ), (hlg, HLG)])
def test_highlights_roll_off_to_white(tmp_path, curve, trc):
    ramp = np.geomspace(20, 1000, 256)[:, None] * np.array([1, 0.5, 0.25])  # an orange lamp
    path = encode_signal(tmp_path / "hdr.mkv", np.repeat(curve(ramp)[None], 16, axis=0), BT2020, 12, trc=trc)
    row = read_one(path)[8].astype(int)
    assert (np.diff(row, axis=0) >= -1).all() and row[-1, 0] == 255 and row[-1, 2] > 150  # towards white
    before = np.argmax(row[:, 0] == 255)
    assert np.diff(row[before:, 2]).max() <= 6  # no step where it sets in


def test_display_p3_and_sdr_bt2020(tmp_path):
    for primaries, matrix, coded in ((P3, TO_LINEAR_P3, BT709), (BT2020, TO_LINEAR_BT2020, BT2020)):
        for bits in (8, 10):
            signal = gamma(linear(stripes(PATCHES, 32, 256) / 255) @ matrix.T)
            path = tmp_path / f"{primaries}-{bits}.mkv"
            encode_signal(path, signal, coded, bits, trc=BT709, primaries=primaries)
            assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= (4 if bits == 8 else 2)


@pytest.mark.parametrize(
    "width, height, matrix",
    [(256, 480, BT601), (1024, 576, BT601), (256, 720, BT709), (1280, 544, BT709), (256, 1080, BT709)],
)
def test_untagged_pictures_by_their_size(tmp_path, width, height, matrix):
    path = encode_signal(tmp_path / "a.mkv", stripes(PATCHES, height, width) / 255, matrix, 8, tag=UNSPECIFIED)
    assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= 3


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
def test_deep_pictures_are_exact_and_have_no_bands(tmp_path, bits, full, matrix):
    path = encode_signal(tmp_path / "a.mkv", stripes(PATCHES, 32, 256) / 255, matrix, bits, full, step=2)
    assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= 1
    grey = np.repeat(np.linspace(0, 1, 2048)[None, :, None], 3, axis=2).repeat(16, axis=0)
    path = encode_signal(tmp_path / "ramp.mkv", grey, matrix, bits, full, step=2)
    ramp = read_one(path)[8, :, 1].astype(int)
    assert (np.diff(ramp) >= 0).all() and set(ramp) == set(range(256))


def test_written_clips_say_what_they_are(tmp_path):
    path = tmp_path / "out.mp4"
    for height in (64, 720):
        video.write(path, [stripes(PATCHES, height, 256).astype(np.uint8)] * 3, 10)
        assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= 3
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.color_primaries, stream.color_trc, stream.colorspace, stream.color_range) == (1, 1, 1, 1)


# ---- images


def display_p3_profile():
    """An ICC profile of Display P3, made from sRGB's by exchanging its three primaries (D50, ICC's own numbers)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {
        b"rXYZ": (0.515102, 0.241182, -0.001050),
        b"gXYZ": (0.291965, 0.692236, 0.041882),
        b"bXYZ": (0.157153, 0.066582, 0.784378),
    }
    for name, xyz in columns.items():
        entry = data.index(name)
        place = int.from_bytes(data[entry + 4 : entry + 8], "big") + 8
        for k, value in enumerate(xyz):
            data[place + 4 * k : place + 4 * k + 4] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_profiles_of_photos_are_applied(tmp_path, suffix):
    signal = np.rint(255 * gamma(linear(stripes(PATCHES, 64, 512) / 255) @ TO_LINEAR_P3.T)).astype(np.uint8)
    quality = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(signal).save(tmp_path / f"p3{suffix}", icc_profile=display_p3_profile(), **quality)
    assert np.abs(stripes_of(read_one(tmp_path / f"p3{suffix}")) - PATCHES).max() <= 4


def test_cmyk_and_broken_profiles_are_shown(tmp_path):
    image = Image.fromarray(stripes(PATCHES, 64, 512).astype(np.uint8))
    image.convert("CMYK").save(tmp_path / "cmyk.tif")
    image.save(tmp_path / "broken.png", icc_profile=b"not a profile")
    for name in ("cmyk.tif", "broken.png"):
        assert np.abs(stripes_of(read_one(tmp_path / name)) - PATCHES).max() <= 3


def test_deep_photos_come_in_8_bits(tmp_path):
    colours = stripes(PATCHES, 64, 512)
    deep = (colours.astype(np.uint16) * 257)[..., ::-1]
    for name, values in {
        "16.png": deep,
        "16.tif": deep,
        "float.tif": (colours[..., ::-1] / 255).astype(np.float32),
        "float255.tif": colours[..., ::-1].astype(np.float32),
    }.items():
        cv2.imwrite(str(tmp_path / name), values)
        assert np.abs(stripes_of(read_one(tmp_path / name)) - PATCHES).max() <= 1, name
    grey = colours[..., 1]
    for name, values in {"f1.tif": grey / 255, "f255.tif": grey, "f.tif": grey * 90.0 - 5000}.items():
        Image.fromarray(np.asarray(values, np.float32)).save(tmp_path / name)
        frame = stripes_of(read_one(tmp_path / name))[:, 0]
        expected = PATCHES[:, 1] if name != "f.tif" else np.rint((PATCHES[:, 1] - 40) * 255 / 215)
        assert np.abs(frame - expected).max() <= 1, name


@pytest.mark.parametrize("bits", [8, 10])
def test_grey_of_limited_range_is_stretched(tmp_path, bits):
    levels = np.arange(256)[None].repeat(16, axis=0)
    frame = av.VideoFrame(256, 16, "gray" if bits == 8 else "gray10le")
    plane = frame.planes[0]
    values = np.zeros((16, plane.line_size // (1 if bits == 8 else 2)), "u1" if bits == 8 else "<u2")
    values[:, :256] = np.rint((16 + levels * 219 / 255) * 2 ** (bits - 8))
    plane.update(values.tobytes())
    frame.pts, frame.time_base, frame.color_range = 0, Fraction(1, 10), 1
    with av.open(str(tmp_path / "grey.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 256, frame.format.name
        stream.codec_context.color_range = 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(read_one(tmp_path / "grey.mkv")[8, :, 1].astype(int) - levels[0]).max() <= 1


WIDE = [(pq, PQ, BT2020, TO_LINEAR_BT2020), (hlg, HLG, BT2020, TO_LINEAR_BT2020), (gamma, 13, P3, TO_LINEAR_P3)]


def wide_signal(curve, primaries):
    light = linear(stripes(PATCHES, 128, 512) / 255) @ primaries.T
    return curve(light if curve is gamma else 203 * light)


@pytest.mark.parametrize("curve, trc, primaries, matrix", WIDE)
def test_avif_photos_of_wide_colours(tmp_path, curve, trc, primaries, matrix):
    signal = Image.fromarray(np.rint(255 * wide_signal(curve, matrix)).astype(np.uint8))
    path = tmp_path / "photo.avif"
    signal.save(path, quality=100, subsampling="4:4:4")
    data = path.read_bytes()
    place = data.index(b"colrnclx") + 8  # Pillow writes sRGB's
    path.write_bytes(data[:place] + bytes([0, primaries, 0, trc]) + data[place + 4 :])
    assert np.abs(stripes_of(read_one(path)) - PATCHES).max() <= 10  # 8 bits of a curve for 10


@needs_field
def test_heic_photos_of_wide_colours(tmp_path):
    """The photo's greys 40 and 210 are what they are said to be: codes of PQ, in BT.2020."""
    with zipfile.ZipFile(FIELD / "folder-of-heic.zip") as folder:
        data = folder.read(folder.namelist()[2])
    (tmp_path / "plain.heic").write_bytes(data)
    place = data.index(b"colrnclx") + 8
    (tmp_path / "hdr.heic").write_bytes(data[:place] + bytes([0, BT2020, 0, PQ]) + data[place + 4 :])
    plain, high = (read_one(tmp_path / name).astype(int) for name in ("plain.heic", "hdr.heic"))
    code = np.arange(256) / 255
    nits = np.interp(code, pq(np.linspace(0, 10000, 100_001)), np.linspace(0, 10000, 100_001))
    expected = 255 * gamma(np.minimum(nits / 203, 1))
    grey = np.ptp(plain, axis=-1) == 0
    assert np.abs(high[grey][:, 1] - expected[plain[grey][:, 1]]).max() <= 2 and grey.any()


def test_colours_of_dolby_vision_alone_are_said_to_be_wrong(tmp_path):
    path = encode(tmp_path / "phone.mp4", [numbered(k) for k in range(3)], codec="libx265", pix_fmt="yuv420p10le")
    assert "Dolby" not in " ".join(video.read(path, 3, 512, 16).warnings)
    path.write_bytes(path.read_bytes().replace(b"hev1", b"dvh1"))
    assert "Dolby Vision" in " ".join(video.read(path, 3, 512, 16).warnings)
