"""What is opened and what is not: which files, which stream in them, which frames."""

import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import encode, number_of, numbered, set_display_matrix
from PIL import Image

from easi3r import InputError, video
from easi3r.sources import open_source

FIELD = Path(__file__).parents[2] / "shared" / "field"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs ../shared/field")

# ---- reduced reading, for a survey over many frames


def survey_sources(tmp_path):
    frames = [numbered(k, 240, 400) for k in range(6)]
    photo = Image.fromarray(np.rot90(frames[5]).copy())
    photo.getexif()[0x0112] = 6  # stored turned left; to be shown turned clockwise
    photo.save(tmp_path / "photo.jpg", exif=photo.getexif(), quality=95)
    encode(tmp_path / "turned.mp4", [np.rot90(frame) for frame in frames])
    return {
        "clip": (encode(tmp_path / "a.mp4", frames), (400, 240)),
        "turned": (set_display_matrix(tmp_path / "turned.mp4", 0, 1, -1, 0), (400, 240)),
        "narrow pixels": (encode(tmp_path / "dv.mp4", [f[:, ::2] for f in frames], pixel_aspect=2), (400, 240)),
        "array": (np.stack(frames), (400, 240)),
        "photo": ([tmp_path / "photo.jpg"], (400, 240)),
    }


@pytest.mark.parametrize("name", ["clip", "turned", "narrow pixels", "array", "photo"])
def test_reduced_images_are_upright_and_know_the_full_size(tmp_path, name):
    source, size = survey_sources(tmp_path)[name]
    opened = open_source(source)
    positions = list(range(len(opened.seconds)))[-1:]
    for side, shape in ((100, (60, 100, 3)), (4000, (240, 400, 3))):  # never enlarged
        [(position, image, full)] = opened.read(positions, side=side)
        assert (position, image.shape, full) == (positions[0], shape, size)
        assert image.dtype == np.uint8 and number_of(image) == 5


# ---- only the file itself is opened


MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{}\n"
MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=x:{}\n"
)
LISTS = {
    "hls.m3u8": HLS,
    "hls.mp4": HLS,
    "hls.gif": HLS,
    "hls.png": HLS,
    "master.m3u8": MASTER,
    "master.mov": MASTER,
    "key.m3u8": HLS.replace("#EXTINF", '#EXT-X-MAP:URI="{}"\n#EXTINF').replace(",\n{}", ",\na.ts"),
    "list.ffconcat": CONCAT,
    "list.mp4": CONCAT,
    "list.mkv": CONCAT,
    "list.mov": CONCAT,
    "list.gif": CONCAT,
    "list.png": CONCAT,
    "list.heic": CONCAT,
    "dash.mpd": MPD,
    "dash.mp4": MPD,
    "session.sdp": SDP,
    "session.mp4": SDP,
    "list.pls": "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    "list.asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "list.wmv": "[Reference]\nRef1={}\n",
    "list.ram": "{}\n",
    "list.xspf": "<playlist><track><location>{}</location></track></playlist>",
    "list.smil": '<smil><body><video src="{}"/></body></smil>',
    "list.cue": 'FILE "{}" MPEG\n TRACK 01 AUDIO\n',
    "smooth.ism": '<smil><body><switch><video src="{}"/></switch></body></smil>',
    "script.avs": 'FFVideoSource("{}")\n',
    "script.vpy": 'import vapoursynth\ncore.ffms2.Source("{}").set_output()\n',
    "graph.lavfi": "movie={}\n",
    "meta.ffmetadata": ";FFMETADATA1\ntitle={}\n",
    "imf.xml": '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">{}</CompositionPlaylist>',
    "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>',
    "picture.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({}) run\nshowpage\n",
    "picture.png": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({}) run\nshowpage\n",
    "picture.jpg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_and_scripts_that_name_other_files_are_refused(tmp_path, name):
    """None of them is followed to a clip on the disk, to a pipe (opening it would hang), or to an address."""
    encode(tmp_path / "secret.mp4", [numbered(k) for k in range(3)])
    encode(tmp_path / "secret.ts", [numbered(k) for k in range(3)])
    path = tmp_path / name
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        for target in (
            tmp_path / "secret.mp4",
            tmp_path / "secret.ts",
            "secret.ts",
            "secret.mp4",
            address,
            address.replace("http", "tcp"),
        ):
            path.write_text(LISTS[name].format(target))
            with pytest.raises(InputError, match="cannot be read"):
                video.read(path, 3, 512, 16)
        with pytest.raises(BlockingIOError):
            server.accept()


def box(kind, content):
    return (8 + len(content)).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize("form", ["alis", "url "])
def test_no_reference_out_of_an_mp4_is_followed(tmp_path, form):
    """Its `dref` says that the pictures lie in another file; that one has frames, this one zeros at the same place."""
    secret = encode(tmp_path / "secret.mov", [numbered(k) for k in range(3)], codec="mpeg4")
    data = secret.read_bytes()
    own = box(b"url ", bytes([0, 0, 0, 1])) if b"url " in data else box(b"alis", bytes([0, 0, 0, 1]))
    place = data.index(b"dref") + 4 + 8
    assert data[place : place + 12] == own
    name = b"secret.mov"
    target = b"file://" + str(secret).encode() + b"\0"
    if form == "alis":  # Apple's alias record, as far as FFmpeg reads it: volume, name, levels, then records
        record = bytes(10) + bytes([0]) + bytes(27) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
        record += bytes(16) + (1).to_bytes(2, "big") + (1).to_bytes(2, "big") + bytes(16)
        full = str(secret).encode()
        record += (2).to_bytes(2, "big") + len(full).to_bytes(2, "big") + full + bytes(len(full) % 2) + b"\xff\xff\0\0"
        target = record
    other = box(form.encode(), bytes(4) + target)
    start = data.index(b"mdat") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    spoilt = bytearray(data[:start] + bytes(size) + data[start + size :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):  # what it lies in grows
        at = spoilt.index(kind) - 4
        longer = int.from_bytes(spoilt[at : at + 4], "big") + len(other) - len(own)
        spoilt[at : at + 4] = longer.to_bytes(4, "big")
    spoilt[place : place + 12] = other
    path = tmp_path / "a.mov"
    path.write_bytes(spoilt)
    with pytest.raises(InputError, match="No frame|cannot be read"):
        video.read(path, 3, 512, 16)


@pytest.mark.parametrize(
    "name",
    [
        "concat:secret.mp4",
        "subfile,,start,0,end,0,,:secret.mp4",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:0",
        "async:secret.mp4",
        "cache:secret.mp4",
        "crypto:secret.mp4",
        "file:secret.mp4",
        "http://127.0.0.1/secret.mp4",
        "secret%d.mp4",
        "secret*.mp4",
    ],
)
def test_names_are_never_protocols_or_patterns(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "secret.mp4", [numbered(k) for k in range(3)])
    encode(tmp_path / "secret1.mp4", [numbered(k) for k in range(3)])
    with pytest.raises(InputError, match="no file"):
        video.read(name, 3, 512, 16)
    if "/" not in name:
        encode(tmp_path / "own.mp4", [numbered(7)]).rename(tmp_path / name)
        assert [number_of(frame) for frame in video.read(name, 3, 512, 16).frames] == [7]


def test_images_by_pattern_are_not_gathered(tmp_path):
    for k in (1, 2):
        Image.fromarray(numbered(k)).save(tmp_path / f"a{k}.tga")
    (tmp_path / "a%d.tga").write_bytes((tmp_path / "a1.tga").read_bytes())
    with pytest.raises(InputError, match="cannot be read"):
        video.read(tmp_path / "a%d.tga", 3, 512, 16)


# ---- which stream, which frames


def numbers(source, count=400):
    return [number_of(frame) for frame in video.read(source, count, 512, 16).frames]


@needs_field
def test_the_default_and_larger_track_is_taken():
    clip = video.read(FIELD / "two-video-tracks-small-first.mp4", 12, 512, 16)
    assert clip.framing.source_size == (192, 128) and clip.n_source_frames == 60


@needs_field
@pytest.mark.parametrize("name, pause", [("animated.webp", 0.1), ("animated-png.png", 0.1), ("multi-page.tif", 1.0)])
def test_animations_are_clips(name, pause):
    clip = video.read(FIELD / name, 50, 512, 16)
    assert [number_of(frame) for frame in clip.frames] == list(range(12))
    np.testing.assert_allclose(clip.timestamps, np.arange(12) * pause, atol=1e-3)
    assert numbers(FIELD / name, 3) in ([0, 5, 11], [0, 6, 11])


@pytest.mark.parametrize("suffix", [".webp", ".png", ".apng", ".avif"])
def test_pauses_of_animations_are_kept(tmp_path, suffix):
    first, *rest = [Image.fromarray(numbered(k)) for k in range(5)]
    lengths = [100, 300, 100, 1000, 100]
    if suffix == ".avif":  # has one duration for all
        lengths = [200] * 5
    path = tmp_path / f"a{suffix}"
    first.save(
        path,
        "PNG" if suffix == ".apng" else None,
        save_all=True,
        append_images=rest,
        duration=lengths if suffix != ".avif" else 200,
    )
    clip = video.read(path, 50, 512, 16)
    assert [number_of(frame) for frame in clip.frames] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(clip.timestamps, np.cumsum([0, *lengths[:-1]]) / 1000, atol=1e-3)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_that_breaks_off_gives_what_there_is(tmp_path, suffix):
    first, *rest = [Image.fromarray(numbered(k)) for k in range(12)]
    path = tmp_path / f"a{suffix}"
    first.save(path, save_all=True, append_images=rest, duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    try:
        shown = numbers(path)
    except InputError as error:  # libwebp opens whole files only
        assert suffix == ".webp" and "damaged" in str(error)
    else:
        assert shown == list(range(len(shown))) and len(shown) >= 5


def test_a_photo_with_its_preview_is_one_image(tmp_path):
    Image.fromarray(numbered(3)).save(
        tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(numbered(4, 32, 48))]
    )
    Image.fromarray(numbered(3)).save(tmp_path / "a.avif", quality=90)
    assert numbers(tmp_path / "a.tif") == [3] == numbers(tmp_path / "a.avif")


@needs_field
def test_heic_photos_come_whole(tmp_path):
    clip = video.read(FIELD / "heic-tile-grid-2x2.heic", 1, 512, 1)
    assert clip.framing.source_size == (256, 256)
    with zipfile.ZipFile(FIELD / "folder-of-heic.zip") as folder:
        folder.extractall(tmp_path / "photos")
    assert numbers(tmp_path / "photos") == [1, 2, 3, 4, 5, 6]
    renamed = tmp_path / "photo.mp4"  # the first tile must not pass for a clip
    renamed.write_bytes((FIELD / "heic-tile-grid-2x2.heic").read_bytes())
    assert np.array_equal(video.read(renamed, 1, 512, 1).frames, clip.frames)


def test_photos_of_200_megapixels_come_reduced(tmp_path):
    Image.new("L", (16320, 12240), 90).save(tmp_path / "large.png", compress_level=1)
    Image.new("L", (16320, 12240), 90).save(tmp_path / "large.jpg")
    Image.new("1", (20000, 16000)).save(tmp_path / "huge.png")
    for name in ("large.png", "large.jpg"):
        clip = video.read(tmp_path / name, 1, 512, 16)
        assert clip.framing.source_size == (16320, 12240) and np.abs(clip.frames.astype(int) - 90).max() <= 1
    with pytest.raises(InputError, match="too large: 20000 x 16000"):
        video.read(tmp_path / "huge.png", 1, 512, 16)


@needs_field
def test_a_clock_that_starts_anew_runs_on():
    clip = video.read(FIELD / "clock-restarts-in-the-middle.ts", 400, 512, 16)
    shown = [number_of(frame) for frame in clip.frames]
    assert shown == sorted(shown) and len(shown) >= 110 and set(range(55)) | set(range(100, 160)) <= set(shown)
    assert (np.diff(clip.timestamps) > 0).all() and np.diff(clip.timestamps).max() < 0.2


@needs_field
@pytest.mark.parametrize("count", [5, 12, 60])
def test_damaged_frames_are_left_out(count):
    clip = video.read(FIELD / "damaged-in-the-middle.mp4", count, 512, 16)
    shown = [number_of(frame) for frame in clip.frames]
    np.testing.assert_allclose(clip.timestamps, np.array(shown) / 30, atol=1e-3)
    assert len(shown) == len(set(shown)) and 0.7 * count <= len(shown) and shown[0] == 0 and shown[-1] == 59


def test_what_leans_on_a_damaged_frame_is_left_out(tmp_path):
    frames = [numbered(k, 128, 192) for k in range(60)]
    path = encode(tmp_path / "a.mp4", frames, options={"g": "12"})
    data = path.read_bytes()
    start, stop = data.index(b"mdat") + 100, data.index(b"moov") - 200
    for seed in range(6):
        random, spoilt = np.random.default_rng(seed), bytearray(data)
        for at in random.integers(start, stop, 3):
            spoilt[at : at + 30] = random.integers(0, 256, 30, np.uint8).tobytes()
        path.write_bytes(spoilt)
        clip = video.read(path, 60, 512, 16)
        np.testing.assert_allclose(clip.timestamps, [number_of(frame) / 10 for frame in clip.frames], atol=1e-3)


@pytest.mark.parametrize("name, codec", [("a.avi", "mpeg4"), ("a.avi", "libx264"), ("a.mpg", "mpeg2video")])
def test_wrong_times_after_damage_are_said_where_a_file_has_none(tmp_path, name, codec):
    path = encode(tmp_path / name, [numbered(k, 128, 192) for k in range(60)], codec=codec, options={"g": "12"})
    assert "damage" not in " ".join(video.read(path, 60, 512, 16).warnings)
    data = path.read_bytes()
    for seed in range(3):
        random, spoilt = np.random.default_rng(seed), bytearray(data)
        for at in random.integers(len(data) // 6, len(data) * 5 // 6, 3):
            spoilt[at : at + 30] = random.integers(0, 256, 30, np.uint8).tobytes()
        path.write_bytes(spoilt)
        clip = video.read(path, 60, 512, 16)
        exact = [number_of(frame) for frame in clip.frames] == clip.positions.tolist()
        assert exact or "times of frames after the damage may be wrong" in " ".join(clip.warnings)


@needs_field
@pytest.mark.parametrize("count", [4, 7, 12, 31, 300])
def test_b_frames_in_avi_are_exact(count):
    clip = video.read(FIELD / "mpeg4-b-frames.avi", count, 512, 16)
    shown = [number_of(frame) for frame in clip.frames]
    assert shown == list(clip.positions) and len(shown) == count and (shown[0], shown[-1]) == (0, 299)
    np.testing.assert_allclose(clip.timestamps, np.array(shown) / 30, atol=1e-3)


EXACT = [
    ("a.mpg", "mpeg2video"),
    ("a.mpg", "mpeg1video"),
    ("a.vob", "mpeg2video"),
    ("a.ts", "mpeg2video"),
    ("a.ts", "libx264"),
    ("a.avi", "mpeg4"),
    ("a.avi", "libx264"),
    ("a.avi", "mpeg2video"),
    ("a.mkv", "mpeg2video"),
    ("a.mp4", "mpeg4"),
]


@pytest.mark.parametrize("name, codec", EXACT)
def test_frames_are_exact_after_jumps(tmp_path, name, codec):
    options = {"bf": "2", "g": "15", **({"x264-params": "open-gop=1"} if codec == "libx264" else {"b": "800k"})}
    path = encode(tmp_path / name, [numbered(k) for k in range(130)], codec=codec, fps=25, options=options)
    for count in (4, 9, 130):
        clip = video.read(path, count, 512, 16)
        shown = [number_of(frame) for frame in clip.frames]
        assert shown == list(clip.positions) and len(shown) == count and (shown[0], shown[-1]) == (0, 129)
        np.testing.assert_allclose(clip.timestamps - clip.timestamps[0], np.array(shown) / 25, atol=0.021)


@needs_field
def test_vp9_transparency_lies_over_black():
    frame = video.read(FIELD / "vp9-alpha.webm", 3, 512, 16).frames[0]
    assert frame[:, 100:].max() <= 2 and frame[:40, :40].min() > 190


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pictures_that_all_have_one_time_come_in_their_order(tmp_path, suffix):
    path = encode(tmp_path / f"a.{suffix}", [numbered(k) for k in range(8)], pts=[0] * 8, options={"bf": "0"})
    clip = video.read(path, 0, 512, 16)
    assert [number_of(frame) for frame in clip.frames] == list(range(8)) and (np.diff(clip.timestamps) > 0).all()


def test_interlaced_clips_say_so(tmp_path):
    frames = [numbered(k) for k in range(3)]
    woven = encode(tmp_path / "woven.ts", frames, codec="mpeg2video", options={"flags": "+ildct+ilme", "top": "1"})
    assert open_source(woven).interlaced
    assert not open_source(encode(tmp_path / "whole.ts", frames, codec="mpeg2video")).interlaced
    assert not open_source(encode(tmp_path / "whole.mp4", frames)).interlaced
