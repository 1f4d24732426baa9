"""Video in and out, on real files of every kind that people have."""

import re
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import HEIGHT, WIDTH, encode, encode_sound, number_of, numbered, set_display_matrix
from PIL import Image

from easi3r import InputError, Options, decode, load_backbone, reconstruct, video
from easi3r.camera import Camera, Framing

PATCH = 16


def read(source, max_frames=50, max_side=512):
    return video.read(source, max_frames, max_side, PATCH)


def numbers(clip):
    return [number_of(frame) for frame in clip.frames]


def clip_of(path, n, **settings):
    return encode(path, [numbered(k) for k in range(n)], **settings)


def test_frames_that_all_show_nothing_are_refused_where_others_show_the_scene(tmp_path):
    path = encode(tmp_path / "black-first.mp4", [numbered(k) * (k > 0) for k in range(12)])
    with pytest.raises(InputError, match="Use more frames"):
        reconstruct(path, load_backbone("preview"), Options(max_frames=1))
    assert read(path, max_frames=2).shows.tolist() == [False, True]


# ---- kinds of files

KINDS = [
    ("h264.mp4", "libx264", None),
    ("h264.mov", "libx264", None),
    ("hevc.mov", "libx265", None),
    ("hevc.mp4", "libx265", None),
    ("vp9.webm", "libvpx-vp9", None),
    ("vp8.webm", "libvpx", None),
    ("vp9.mkv", "libvpx-vp9", None),
    ("h264.mkv", "libx264", None),
    ("h264.avi", "libx264", None),
    ("mpeg4.avi", "mpeg4", None),
    ("palette.gif", "gif", "rgb8"),
    ("ten_bit.mp4", "libx265", "yuv420p10le"),
]


@pytest.mark.parametrize("name, codec, pix_fmt", KINDS)
def test_every_kind_gives_the_right_frames_at_the_right_times(tmp_path, name, codec, pix_fmt):
    path = clip_of(tmp_path / name, 20, codec=codec, pix_fmt=pix_fmt)
    clip = read(path, 5)
    assert clip.frames.shape == (5, HEIGHT, WIDTH, 3) and clip.frames.dtype == np.uint8
    assert clip.timestamps.dtype == np.float64
    assert numbers(clip) == [0, 5, 9, 14, 19] or numbers(clip) == [0, 5, 10, 14, 19]
    np.testing.assert_allclose(clip.timestamps, np.array(numbers(clip)) / 10, atol=1e-3)
    assert (clip.n_source_frames, clip.name) == (20, name)
    everything = read(path)
    assert numbers(everything) == list(range(20))
    info = video.probe(path)
    assert (info.n_frames, info.width, info.height) == (20, WIDTH, HEIGHT)
    assert info.duration == pytest.approx(2, abs=0.11) and info.fps == pytest.approx(10)


def test_reading_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip_of(tmp_path / "a.mp4", 4)
    assert numbers(read("a.mp4")) == [0, 1, 2, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "matrix, turn",
    [
        ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),  # a phone held upright: shown turned clockwise
        ((0, -1, 1, 0), lambda f: np.rot90(f, 1)),
        ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
        ((-1, 0, 0, 1), np.fliplr),  # a selfie camera
        ((0, 1, 1, 0), lambda f: f.transpose(1, 0, 2)),
    ],
)
def test_display_matrix_is_applied(tmp_path, matrix, turn):
    frames = [numbered(k) for k in (1, 2, 6)]
    path = set_display_matrix(encode(tmp_path / "phone.mp4", frames), *matrix)
    clip = read(path)
    expected = np.stack([turn(frame) for frame in frames])
    assert clip.frames.shape == expected.shape
    assert np.abs(clip.frames.astype(int) - expected).mean() < 4
    assert clip.framing.source_size == (expected.shape[2], expected.shape[1])
    info = video.probe(path)
    assert (info.width, info.height) == (expected.shape[2], expected.shape[1])


def test_rotation_in_hevc_mov(tmp_path):
    path = clip_of(tmp_path / "phone.mov", 3, codec="libx265", rotation=-90)
    clip = read(path)
    assert clip.frames.shape == (3, WIDTH, HEIGHT, 3)
    assert [number_of(np.rot90(frame, 1)) for frame in clip.frames] == [0, 1, 2]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_frames_that_carry_exif_are_read_upright(tmp_path, orientation, turns):
    """Motion JPEG of cameras; PyAV has no name for this kind of side data."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with open(tmp_path / "camera.mjpeg", "wb") as file:
        for k in range(3):
            Image.fromarray(numbered(k)).save(file, "jpeg", exif=exif)
    clip = read(tmp_path / "camera.mjpeg")
    assert [number_of(np.rot90(frame, turns)) for frame in clip.frames] == [0, 1, 2]


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = clip_of(tmp_path / "dv.mp4", 3, pixel_aspect=Fraction(4, 3))
    clip = read(path)
    assert clip.framing.source_size == (128, 64) and clip.frames.shape == (3, 64, 128, 3)
    assert numbers(clip) == [0, 1, 2]
    assert (video.probe(path).width, video.probe(path).height) == (128, 64)


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_frame_rate(tmp_path, name):
    times = [0, 40, 80, 120, 160, 200, 240, 280, 1000, 1500, 1540, 2000]  # milliseconds
    path = encode(tmp_path / name, [numbered(k) for k in range(12)], pts=times, options={"bf": "2"})
    clip = read(path)
    np.testing.assert_allclose(clip.timestamps, np.array(times) / 1000, atol=1e-3)
    assert numbers(clip) == list(range(12))
    clip = read(path, 5)  # even in time: 0, 0.5, 1, 1.5, 2 s; by number it would be 0, 3, 5, 8, 11
    assert numbers(clip) == [0, 7, 8, 9, 11]
    np.testing.assert_allclose(clip.timestamps, [0, 0.28, 1, 1.5, 2], atol=1e-3)


def test_a_long_pause_does_not_cost_frames(tmp_path):
    times = [40 * k for k in range(10)] + [60000]
    path = encode(tmp_path / "pause.mkv", [numbered(k) for k in range(11)], pts=times)
    chosen = numbers(read(path, 6))
    assert len(set(chosen)) == 6 and chosen == sorted(chosen) and chosen[0] == 0 and chosen[-1] == 10


def test_the_clock_of_the_source_is_kept(tmp_path):
    path = encode(tmp_path / "late.mkv", [numbered(k) for k in range(4)], pts=[5000, 5100, 5200, 5300])
    np.testing.assert_allclose(read(path).timestamps, [5, 5.1, 5.2, 5.3], atol=1e-3)


# ---- sampling


CASES = [(30, 1), (30, 2), (30, 7), (30, 29), (30, 30), (5, 24), (2, 24), (1, 24), (1, 1)]


@pytest.mark.parametrize("n, wanted", CASES)
def test_sampling_is_even_and_without_repeats(tmp_path, n, wanted):
    chosen = numbers(read(clip_of(tmp_path / "a.mp4", n), wanted))
    assert len(chosen) == min(n, wanted)
    assert chosen[0] == 0 and (wanted == 1 or chosen[-1] == n - 1)
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


LONG = [
    ("long.mp4", "libx264", {"preset": "ultrafast", "g": "100"}),
    ("long.webm", "libvpx-vp9", {"g": "128", "deadline": "realtime", "cpu-used": "8"}),
    ("long.avi", "mpeg4", {}),
    ("long.ts", "libx264", {"preset": "ultrafast", "g": "100", "bf": "2"}),
]


@pytest.mark.parametrize("name, codec, options", LONG)
def test_ten_minutes_decode_a_fraction_and_stay_small(tmp_path, monkeypatch, name, codec, options):
    n = 3600  # at 6 frames per second
    path = encode(tmp_path / name, (numbered(k, 48, 64) for k in range(n)), codec=codec, fps=6, options=options)
    decoded, decode_on = [], decode.decode_on

    def counting(*arguments):
        for tick, frame in decode_on(*arguments):
            decoded.append(tick)
            yield tick, frame

    monkeypatch.setattr(decode, "decode_on", counting)
    tracemalloc.start()
    clip = read(path, 9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(decoded) < n / 3
    assert peak < 4e6  # all frames would be 33 MB
    chosen = np.array(numbers(clip))
    assert (chosen[0], chosen[-1], clip.n_source_frames) == (0, n - 1, n)
    assert np.abs(chosen - np.linspace(0, n - 1, 9)).max() < n / 8 / 7  # even, up to the step to a keyframe
    np.testing.assert_allclose(clip.timestamps - clip.timestamps[0], chosen / 6, atol=2e-3)


def test_a_clip_without_keyframes_is_read_through(tmp_path):
    path = clip_of(tmp_path / "screen.mp4", 900, options={"preset": "ultrafast", "g": "9999", "sc_threshold": "0"})
    assert numbers(read(path, 4)) == [0, 300, 599, 899]


# ---- sizes


def test_large_frames_are_shrunk_by_area_and_cut_to_patches(tmp_path):
    stripes = np.zeros((400, 700, 3), np.uint8)
    stripes[:, ::2] = 200  # one pixel wide: an average is grey, a pick is striped
    clip = read(stripes, max_side=256)
    assert clip.framing == Framing((700, 400), (256, 146), (0, 1), (256, 144))
    assert clip.frames.shape == (1, 144, 256, 3)
    assert np.abs(clip.frames.astype(int) - 100).max() < 40


SIZES = [(64, 96), (97, 65), (1080, 1920), (2000, 20), (20, 2000), (16, 16), (17, 300)]


@pytest.mark.parametrize("width, height", SIZES)
def test_framing_keeps_pixels_square(width, height):
    clip = read(np.zeros((2, height, width, 3), np.uint8), max_side=256)
    framing = clip.framing
    assert clip.frames.shape[2:0:-1] == framing.size
    assert max(framing.size) <= 256 and all(side % PATCH == 0 and side > 0 for side in framing.size)
    source = framing.to_source(Camera.centred(100.0, *framing.size).intrinsics)
    assert source[0, 0] == pytest.approx(source[1, 1], rel=0.04)
    assert framing.source_size == (width, height)


def test_odd_and_portrait_clips(tmp_path):
    path = encode(tmp_path / "odd.mkv", [numbered(k, 131, 75) for k in range(3)], codec="ffv1", pix_fmt="bgr0")
    clip = read(path)
    assert clip.framing.source_size == (75, 131) and clip.frames.shape == (3, 128, 64, 3)
    assert numbers(clip) == [0, 1, 2]


def test_8k_holds_one_full_frame_at_a_time(tmp_path):
    width, height, path = 7680, 4320, tmp_path / "8k.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame(width, height, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for picture.pts in range(3):
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    tracemalloc.start()
    clip = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.frames.shape == (3, 288, 512, 3) and clip.framing.source_size == (width, height)
    assert peak < 1.6 * width * height * 3


def test_the_size_may_change_in_the_middle(tmp_path):
    small = encode(tmp_path / "a.h264", [numbered(k) for k in range(4)])
    large = encode(tmp_path / "b.h264", [numbered(k, 2 * HEIGHT, 2 * WIDTH) for k in range(4, 8)])
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    clip = read(path)
    assert clip.frames.shape == (8, HEIGHT, WIDTH, 3) and numbers(clip) == list(range(8))
    assert np.all(np.diff(clip.timestamps) > 0)  # this kind of file has no clock: the nominal rate serves


# ---- images and arrays


def test_folder_of_images_in_natural_order(tmp_path):
    for k in (1, 2, 10, 9, 100):
        Image.fromarray(numbered(k)).save(tmp_path / f"frame{k}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    clip = read(tmp_path)
    assert numbers(clip) == [1, 2, 9, 10, 100] and list(clip.timestamps) == [0, 1, 2, 3, 4]
    clip = read(str(tmp_path), 3)
    assert numbers(clip) == [1, 9, 100] and list(clip.timestamps) == [0, 2, 4]
    assert clip.n_source_frames == 5
    assert numbers(read([tmp_path / "frame9.png", str(tmp_path / "frame2.png")])) == [9, 2]
    assert numbers(read(tmp_path / "frame10.png")) == [10]


def test_image_details(tmp_path):
    turned = Image.fromarray(np.rot90(numbered(6)).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # stored turned left; to be shown turned clockwise
    turned.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    clip = read(tmp_path / "phone.jpg")
    assert clip.framing.source_size == (WIDTH, HEIGHT) and numbers(clip) == [6]
    deep = (numbered(5)[..., 0].astype(np.uint16) << 8) + 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read(tmp_path / "deep.png").frames[0], numbered(5))


def half_transparent(size=(HEIGHT, WIDTH)):
    image = np.full((*size, 4), 255, np.uint8)
    image[:, : size[1] // 2, 3] = 0
    return image


def test_transparency_is_laid_over_black(tmp_path):
    image = half_transparent()
    image[:16, :, 3] = 128
    Image.fromarray(image).save(tmp_path / "alpha.png")
    frame = read(tmp_path / "alpha.png").frames[0]
    assert (frame[:16] == 128).all() and (frame[16:, :48] == 0).all() and (frame[16:, 48:] == 255).all()
    stills = [Image.fromarray(half_transparent()) for _ in range(3)]
    stills[1].putpixel((90, 50), (255, 0, 0, 255))
    stills[0].save(tmp_path / "alpha.gif", save_all=True, append_images=stills[1:], duration=100, disposal=2)
    frame = read(tmp_path / "alpha.gif").frames[0]
    assert (frame[:, :48] == 0).all() and (frame[:, 48:] == 255).all()
    path = encode(tmp_path / "alpha.webm", [half_transparent()] * 3, codec="libvpx-vp9", pix_fmt="yuva420p")
    frames = read(path).frames
    assert frames.shape == (3, HEIGHT, WIDTH, 3) and frames[:, :, 60:].min() > 240


def test_arrays():
    stack = np.stack([numbered(k) for k in range(10)])
    clip = read(stack, 4)
    assert numbers(clip) == [0, 3, 6, 9] and list(clip.timestamps) == [0, 3, 6, 9]
    assert np.array_equal(clip.frames, stack[[0, 3, 6, 9]])
    assert numbers(read(list(stack))) == list(range(10))
    assert numbers(read(stack[7])) == [7]


# ---- what cannot be used: one sentence each


def damaged(tmp_path, name):
    data = clip_of(tmp_path / "whole.mp4", 10).read_bytes()
    path = tmp_path / name
    match name:
        case "noise.mp4":
            path.write_bytes(np.random.default_rng(0).bytes(50000))
        case "text.mp4" | "text.png" | "text.gif":
            path.write_text("This is not a clip.\n" * 100)
        case "empty.mp4" | "empty.png":
            path.touch()
        case "playlist.mp4":
            path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
        case "headless.mp4":  # a recording that broke off: the table of contents, written last, is missing
            path.write_bytes(data[: data.index(b"moov") - 4])
        case "unknown_codec.mp4":
            path.write_bytes(data.replace(b"avc1", b"zzzz"))
        case "hollow.mp4":  # the table of contents is whole, the pictures are zeros
            start = data.index(b"mdat") + 4
            size = int.from_bytes(data[start - 8 : start - 4], "big") - 8
            path.write_bytes(data[:start] + bytes(size) + data[start + size :])
        case "sound.mp4" | "sound.m4a":
            encode_sound(path)
        case "no_frames.mp4":
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=10)
                stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
                container.start_encoding()
        case "tiny.mp4":
            encode(path, [np.zeros((8, 8, 3), np.uint8)] * 5)
        case "flat.mp4":
            encode(path, [np.zeros((8, 200, 3), np.uint8)] * 5)
    return path


BAD = {
    "noise.mp4": "cannot be read",
    "text.mp4": "cannot be read",
    "text.gif": "cannot be read",
    "empty.mp4": "0 bytes",
    "playlist.mp4": "cannot be read",
    "headless.mp4": "cannot be read",
    "unknown_codec.mp4": "No frame",
    "hollow.mp4": "No frame",
    "sound.mp4": "no picture",
    "sound.m4a": "no picture",
    "tiny.mp4": "8 x 8",
    "flat.mp4": "200 x 8",
    "no_frames.mp4": "cannot be read|No frame|no picture",
    "missing.mp4": "no file",
    "text.png": "damaged",
    "empty.png": "0 bytes",
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_files_give_one_sentence(tmp_path, capfd, name):
    path = damaged(tmp_path, name)
    before = sorted(tmp_path.iterdir())
    capfd.readouterr()
    for attempt in (read, video.probe):
        with pytest.raises(InputError, match=BAD[name]) as error:
            attempt(path)
        text = str(error.value)
        assert path.name in text and "\n" not in text and text.endswith(".") and len(text) < 260
    assert sorted(tmp_path.iterdir()) == before
    assert capfd.readouterr() == ("", "")  # FFmpeg itself must not talk to the terminal


def test_unusable_folders_and_images(tmp_path):
    with pytest.raises(InputError, match="no images"):
        read(tmp_path)
    Image.fromarray(numbered(1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(InputError, match="b.png.*damaged"):
        read(tmp_path)
    Image.fromarray(np.rot90(numbered(1))).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="b.png.*64 x 96.*96 x 64"):
        read(tmp_path)
    with pytest.raises(InputError, match="gone.png"):
        read([tmp_path / "a.png", tmp_path / "gone.png"])


@pytest.mark.parametrize(
    "source, message",
    [
        (np.zeros((3, 64, 96, 3), np.float32), "float32"),
        (np.zeros((3, 64, 96, 4), np.uint8), r"\(64, 96, 4\)"),
        (np.zeros((64, 96), np.uint8), r"\(64, 96\)"),
        (np.zeros((0, 64, 96, 3), np.uint8), "no frames"),
        (np.zeros((3, 8, 8, 3), np.uint8), "8 x 8"),
        (np.zeros((3, 0, 0, 3), np.uint8), "0 x 0"),
        ([], "no frames"),
        ([np.zeros((64, 96, 3), np.uint8), np.zeros((96, 64, 3), np.uint8)], "same proportions"),
        ([3, 4], "int"),
        (None, "NoneType"),
        (7, "int"),
    ],
)
def test_unusable_arrays(source, message):
    with pytest.raises(InputError, match=message):
        read(source)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.webm"])
def test_a_clip_that_breaks_off_gives_what_there_is(tmp_path, name):
    rng = np.random.default_rng(0)  # noise, so that the frames and not the headers fill the file
    frames = [numbered(k) // 2 + rng.integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8) for k in range(40)]
    path = tmp_path / name
    if name == "cut.mp4":
        video.write(path, frames, 10)  # table of contents first, or else nothing can be read
    else:
        encode(path, frames, codec="libvpx-vp9" if name == "cut.webm" else "libx264", options={"bf": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    clip = read(path)
    assert 10 < len(clip.frames) < 32
    whole = len(clip.frames) - 4  # the last few may lean on frames that are gone
    np.testing.assert_allclose(clip.timestamps[:whole], np.arange(whole) / 10, atol=1e-3)
    assert np.all(np.diff(clip.timestamps) > 0)
    few = read(path, 4)  # spread over what there is, not over what was promised
    assert len(few.frames) == 4 and few.timestamps[-1] == clip.timestamps[-1]


def test_a_video_may_come_in_a_list(tmp_path):
    path = clip_of(tmp_path / "clip.mp4", 5)
    assert np.array_equal(read([path]).frames, read(path).frames)
    assert np.array_equal(read([str(path)]).timestamps, read(path).timestamps)


def test_a_long_clip_with_a_hole_takes_others_near_it_and_says_so(tmp_path):
    path = clip_of(tmp_path / "hole.mp4", 300, options={"g": "6", "bf": "0"})
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov")
    hole = slice(start + (end - start) * 9 // 20, start + (end - start) * 11 // 20)
    data[hole] = bytes(hole.stop - hole.start)
    path.write_bytes(data)
    clip = read(path, 60)
    assert 56 <= len(clip.frames) <= 60 and (np.diff(clip.positions) > 0).all()
    assert [number_of(frame) for frame in clip.frames] == clip.positions.tolist()
    (said,) = [each for each in clip.warnings if "damaged" in each]
    assert re.search("of the 60 frames chosen [4-8] could not be read, and [1-8] others", said)
    assert re.search("gap is from 1[234].. to 1[567].. s", said)


def test_a_hole_in_the_middle_is_passed_over(tmp_path):
    path = clip_of(tmp_path / "hole.mp4", 60, options={"g": "6", "bf": "0"})
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov")
    hole = slice(start + (end - start) // 3, start + (end - start) // 2)
    data[hole] = bytes(hole.stop - hole.start)
    path.write_bytes(data)
    clip = read(path, 60)
    assert 40 < len(clip.frames) < 60
    assert np.all(np.diff(clip.timestamps) > 0)
    assert numbers(clip)[:10] == list(range(10)) and numbers(clip)[-10:] == list(range(50, 60))


# ---- out


@pytest.mark.parametrize("height, width", [(64, 96), (65, 97), (37, 96)])
def test_written_clips_come_back(tmp_path, height, width):
    frames = np.stack([numbered(k, height, width) for k in range(12)])
    frames[..., 0] //= 2  # so that a swap of red and blue shows
    path = tmp_path / "out.mp4"
    video.write(path, iter(frames), 12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(25, 2)
        back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert back.shape == (12, height + height % 2, width + width % 2, 3)
    padded = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    assert np.abs(back.astype(int) - padded).mean() < 4
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can start before the end has arrived
    np.testing.assert_allclose(read(path).timestamps, np.arange(12) / 12.5, atol=1e-3)


def test_one_frame_can_be_written(tmp_path):
    video.write(tmp_path / "one.mp4", [numbered(9)], 24)
    assert numbers(read(tmp_path / "one.mp4")) == [9]


@pytest.mark.parametrize(
    "frames, fps, message",
    [
        ([], 10, "no frames"),
        ([np.zeros((16, 16, 3), np.float32)], 10, "float32"),
        ([np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)], 10, "18 x 16"),
        ([np.zeros((16, 16, 3), np.uint8)], 0, "fps"),
        ([np.zeros((16, 16, 3), np.uint8)], float("nan"), "fps"),
    ],
)
def test_write_refuses_and_leaves_nothing(tmp_path, frames, fps, message):
    with pytest.raises(InputError, match=message):
        video.write(tmp_path / "out.mp4", frames, fps)
    assert list(tmp_path.iterdir()) == []
