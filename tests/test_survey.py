"""`video.read` on clips as people have them: black frames, bars, cuts, pauses, interlaced ones; made from rendered
scenes.
"""

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import encode, number_of, numbered

import easi3r
from easi3r import InputError, video
from easi3r.bars import find_rim

EXAMPLES, REAL = Path(__file__).parents[1] / "examples", Path(__file__).parents[2] / "shared" / "video"
W, H = 320, 184
LOOK = {"crf": "20", "preset": "veryfast"}


@cache
def _decoded(path):
    with av.open(str(path)) as container:
        return [
            cv2.resize(frame.to_ndarray(format="rgb24"), (W, H), interpolation=cv2.INTER_AREA)
            for frame in container.decode(video=0)
        ]


def scene(name="street", count=60):
    """(count,H,W,3) uint8 frames of an example, 24 a second; its own copy."""
    return np.stack(_decoded(EXAMPLES / f"{name}.mp4")[:count])


def seen(tmp_path, frames, count=12, fps=24, **named):
    """What is read of these frames as a clip."""
    path = encode(tmp_path / "clip.mp4", np.asarray(frames, np.uint8), fps=fps, options=LOOK, **named)
    return video.read(path, count, W, 8)


def mixed(a, b, share):
    return (np.asarray(a) * (1 - share) + np.asarray(b) * share).astype(np.uint8)


def label(frame, text, at, size, thick=2, colour=(255, 255, 255)):
    return cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def left_out(clip):
    return set(clip.positions[~clip.shows].tolist())


def said(clip, *words):
    return any(all(word in warning for word in words) for warning in clip.warnings)


# ---- frames that show nothing


def _finger(frame):
    small = cv2.resize(frame, (W // 8, H // 8), interpolation=cv2.INTER_AREA)  # a blur of 40 pixels takes its time
    frame = cv2.resize(cv2.GaussianBlur(small, (0, 0), 5), (W, H))
    return (frame * 0.2 + np.array([120, 60, 50])).clip(0, 255)


def _title(frame):
    return label(np.zeros_like(frame), "MY HOLIDAY", (50, 100), 1.2)


BLANKS = {
    "black": (lambda frame: frame * 0, "black"),
    "white": (lambda frame: frame * 0 + 255, "white"),
    "grey": (lambda frame: frame * 0 + 128, "plain"),
    "finger": (_finger, "covered"),
    "title": (_title, "black"),
    "face down": (lambda frame: np.random.default_rng(0).normal(9, 3, frame.shape).clip(0, 255), "black"),
}


PLACES = [(kind, "middle") for kind in BLANKS]
PLACES += [(kind, place) for kind in ("black", "finger") for place in ("first", "last")]


@pytest.mark.parametrize(("kind", "place"), PLACES)
def test_frames_that_show_nothing_are_left_out_and_named(tmp_path, kind, place):
    make, word = BLANKS[kind]
    frames, at = scene(), {"first": range(4), "middle": range(26, 31), "last": range(57, 60)}[place]
    for k in at:
        frames[k] = make(frames[k])
    clip = seen(tmp_path, frames, count=24)
    assert left_out(clip) == set(clip.positions.tolist()) & set(at) and left_out(clip)
    assert clip.positions[0] == 0 and clip.positions[-1] == 59  # they keep their place in time
    assert said(clip, "shows nothing", word, f"{at[0] / 24:.2f} to {at[-1] / 24:.2f} s")


def test_of_a_clip_that_flickers_some_times_are_named(tmp_path):
    frames = scene()
    frames[3::6] = 0
    assert said(seen(tmp_path, frames, count=24), "At 0.12, ", " s and 4 more times the picture shows nothing")


def test_a_fade_in_and_out_is_left_out_where_it_is_dark(tmp_path):
    share = np.interp(np.arange(60), [0, 12, 47, 59], [0, 1, 1, 0])
    clip = seen(tmp_path, scene() * share[:, None, None, None], count=30)
    dark, bright = set(np.flatnonzero(share < 0.2)), set(np.flatnonzero(share > 0.5))
    used = set(clip.positions.tolist())
    assert dark & used <= left_out(clip) and not left_out(clip) & bright and said(clip, "shows nothing")


def test_flashes_and_noise_are_left_out_though_they_are_bright_and_full_of_detail(tmp_path):
    frames = scene()
    frames[5::10] = 255
    frames[28:33] = np.random.default_rng(0).integers(0, 255, frames[28:33].shape)
    clip = seen(tmp_path, frames, count=60)
    assert left_out(clip) == {5, 15, 25, 28, 29, 30, 31, 32, 35, 45, 55}


def test_a_clip_that_is_black_for_most_of_the_time_shows_its_scene(tmp_path):
    frames = scene()
    frames[:48] = 0
    clip = seen(tmp_path, frames, count=8)
    assert left_out(clip) == set(clip.positions[clip.positions < 48].tolist()) and clip.shows.sum() >= 6


def test_a_clip_of_one_colour_is_used_and_said(tmp_path):
    clip = seen(tmp_path, np.full((12, H, W, 3), 40), count=6)
    assert clip.shows.all() and said(clip, "The clip shows nothing")


# ---- bars

BARS = {  # what is inside: left, top, width, height
    "letterbox": (0, 24, 320, 136),
    "pillarbox of odd width": (37, 0, 246, 184),
    "left only": (51, 0, 269, 184),
    "top only": (0, 31, 320, 153),
    "all around": (29, 21, 262, 142),
    "uneven": (20, 0, 250, 184),
}


@pytest.mark.parametrize(("kind", "colour"), [(kind, 0) for kind in BARS] + [("left only", 255), ("all around", 255)])
def test_bars_are_cut_off_and_intrinsics_refer_to_the_whole_source(tmp_path, kind, colour):
    left, top, width, height = BARS[kind]
    frames = scene()[::2]
    barred = np.full_like(frames, colour)
    barred[:, top : top + height, left : left + width] = frames[:, top : top + height, left : left + width]
    framing = seen(tmp_path, barred, fps=12).framing
    assert np.abs(np.subtract(framing.inner, BARS[kind])).max() <= 4
    assert framing.source_size == (W, H)
    centre = framing.to_source(
        np.array([[100, 0, framing.size[0] / 2 - 0.5], [0, 100, framing.size[1] / 2 - 0.5], [0, 0, 1]])
    )
    assert np.abs(centre[:2, 2] - [left + width / 2, top + height / 2]).max() <= 4


@pytest.mark.parametrize("larger", [1, 1.4])  # than fills the frame
@pytest.mark.parametrize(("size", "inner"), [((320, 568), (0, 192, 320, 184)), ((320, 184), (111, 0, 98, 184))])
def test_a_blurred_copy_around_the_picture_is_cut_off(tmp_path, size, inner, larger):
    (width, height), (left, top, w, h) = size, inner
    made = []
    for frame in scene()[::4, :, W // 2 - w // 2 : W // 2 + w // 2]:
        scale = larger * max(width / w, height / h)
        copy = cv2.resize(frame, (round(scale * w), round(scale * h)))
        x, y = (copy.shape[1] - width) // 2, (copy.shape[0] - height) // 2
        made.append(cv2.GaussianBlur(copy[y : y + height, x : x + width], (0, 0), 14) // 2 + 40)
        made[-1][top : top + h, left : left + w] = frame
    assert np.abs(np.subtract(seen(tmp_path, made, fps=6).framing.inner, inner)).max() <= 4


def test_bars_with_subtitles_are_cut_off(tmp_path):
    frames = scene()
    frames[:, :24], frames[:, 160:] = 0, 0
    for k, frame in enumerate(frames):
        label(
            frame, ["What is this?", "I do not know", "Let us go home", "The end is near"][k // 15], (80, 178), 0.5, 1
        )
    assert np.abs(np.subtract(seen(tmp_path, frames).framing.inner, (0, 24, 320, 136))).max() <= 4


def test_bars_with_captions_as_wide_as_the_picture_almost_are_cut_off_whole(tmp_path):
    frames = np.zeros((60, H + 90, W, 3), np.uint8)
    frames[:, 45 : 45 + H] = scene()
    lines = ["this is the moment when", "the dog saw something", "and then nobody knew", "what would happen next"]
    for k, frame in enumerate(frames):
        label(frame, "WAIT FOR IT", (20, 30), 0.6, 2, (255, 230, 0))
        label(frame, lines[k // 15], (20, 45 + H + 27), 0.6, 1)
    assert np.abs(np.subtract(seen(tmp_path, frames).framing.inner, (0, 45, W, H))).max() <= 4


def test_a_thick_frame_is_cut_off_all_around(tmp_path):
    frames = np.full((60, H + 60, W + 120, 3), 255, np.uint8)
    frames[:, 20 : 20 + H, 60 : 60 + W] = scene()
    assert np.abs(np.subtract(seen(tmp_path, frames).framing.inner, (60, 20, W, H))).max() <= 4


def test_the_bars_of_a_phone_with_a_clock_are_cut_off(tmp_path):
    frames = scene()
    frames[:, :22], frames[:, 156:] = (24, 60, 90), (235, 235, 240)
    for k, frame in enumerate(frames):
        label(frame, f"12:0{k // 30}", (8, 16), 0.45, 1)
        for x in (60, 150, 240):
            cv2.circle(frame, (x, 170), 7, (30, 30, 200), -1)
    assert np.abs(np.subtract(seen(tmp_path, frames).framing.inner, (0, 22, 320, 134))).max() <= 4


def test_the_page_of_an_app_below_the_clip_is_cut_off(tmp_path):
    page = np.full((60, 360, 200, 3), 250, np.uint8)
    for row in range(200, 350, 30):
        label(page[0], "a comment or two", (40, row), 0.4, 1, (20, 20, 20))
        cv2.circle(page[0], (20, row - 5), 8, (70, 90, 160), -1)
    label(page[0], "Explore", (70, 35), 0.6, 2, (20, 20, 20))
    page[1:] = page[0]
    page[:, 60:172] = scene()[:, :112, 60:260]
    assert np.abs(np.subtract(seen(tmp_path, page).framing.inner, (0, 60, 200, 112))).max() <= 4


@pytest.mark.parametrize("bars", [0, 30])
def test_rounded_corners_are_cut_off(tmp_path, bars):
    frames, radius = scene()[::2], 16
    mask = np.zeros((H, W), np.uint8)
    cv2.rectangle(mask, (bars + radius, 0), (W - bars - radius - 1, H), 1, -1)
    cv2.rectangle(mask, (bars, radius), (W - bars - 1, H - radius - 1), 1, -1)
    for x in (bars + radius, W - bars - radius - 1):
        for y in (radius, H - radius - 1):
            cv2.circle(mask, (x, y), radius, 1, -1)
    left, top, width, height = seen(tmp_path, frames * mask[..., None], fps=12).framing.inner
    assert mask[top : top + height, left : left + width].all() and width * height > 0.8 * mask.sum()


@pytest.mark.parametrize("colour", [0, 255])
def test_a_rim_of_a_few_pixels_is_found_and_nothing_else(colour):
    frames = np.array(scene("street")[::6])
    assert not find_rim(frames).any()
    frames[:, :, -3:] = colour
    frames = np.clip(frames + np.random.default_rng(0).normal(0, 3, frames.shape), 0, 255).astype(np.uint8)
    rim = find_rim(frames)
    assert rim[:, -3:].all() and rim.any(axis=0).sum() == 5


@pytest.mark.parametrize("top", [False, True])
def test_the_bar_of_a_player_that_fills_up_is_part_of_the_rim(tmp_path, top):
    frames = scene()
    rows = slice(0, 6) if top else slice(H - 6, H)
    for k, frame in enumerate(frames):
        frame[rows] = 60
        frame[rows, : W * (k + 1) // 60] = 255, 0, 0
    rim = find_rim(seen(tmp_path, frames).frames)
    assert rim[rows].all() and rim.any(axis=1).sum() <= 8
    assert not find_rim(scene()).any()


def test_each_shot_has_bars_of_its_own(tmp_path):
    first, second = scene("street", 40), scene("room", 20)
    first[:, :24], first[:, 160:] = 0, 0
    clip = seen(tmp_path, np.concatenate([first, second]))
    assert np.abs(np.subtract(clip.framing.inner, (0, 24, 320, 136))).max() <= 4
    whole = video.read(tmp_path / "clip.mp4", 12, W, 8, shot=2)
    assert whole.framing.inner == (0, 0, W, H)


@pytest.mark.parametrize("rows", [[min(24, max(0, step * (k - 20))) for k in range(60)] for step in (1, 4)])
def test_bars_that_come_within_a_shot_are_cut_off_of_all_of_it(tmp_path, rows):
    frames = scene()
    for frame, bar in zip(frames, rows):
        frame[:bar], frame[H - bar :] = 0, 0
    clip = seen(tmp_path, frames)
    assert np.abs(np.subtract(clip.framing.inner, (0, 24, 320, 136))).max() <= 4 and said(clip, "bars come or go")


def test_black_edges_of_a_stabilised_clip_are_cut_off(tmp_path):
    frames, clear = scene(), np.ones((H, W), np.uint8)
    for k, frame in enumerate(frames):
        turn = cv2.getRotationMatrix2D((W / 2, H / 2), 3 * np.sin(k / 5), 1)
        turn[:, 2] += 7 * np.sin(k / 4), 5 * np.cos(k / 6)
        frames[k] = cv2.warpAffine(frame, turn, (W, H))
        clear &= cv2.warpAffine(np.ones((H, W), np.uint8), turn, (W, H))
    clip = seen(tmp_path, frames)
    left, top, width, height = clip.framing.inner
    assert clear[top : top + height, left : left + width].mean() > 0.998 and width * height > 0.6 * W * H
    assert said(clip, "there is black that is no bar")


def test_of_a_round_picture_the_middle_is_used(tmp_path):
    frames, disc = scene()[::3], np.zeros((H, W), np.uint8)
    cv2.circle(disc, (W // 2, H // 2), H // 2 - 3, 1, -1)
    clip = seen(tmp_path, frames * disc[..., None], fps=8)
    left, top, width, height = clip.framing.inner
    assert disc[top : top + height, left : left + width].all() and width * height > 0.5 * disc.sum()


@pytest.mark.parametrize("kind", ["3D", "mirrored", "above"])
def test_of_a_picture_that_is_there_twice_one_half_is_used(tmp_path, kind):
    frames = scene()[::3]
    left, half = (0, 0, W, H // 2), frames[:, : H // 2]
    if kind != "above":
        left, half = (0, 0, W // 2, H), frames[:, :, : W // 2]
    again = {"3D": np.roll(half, 3, axis=2), "mirrored": half[:, :, ::-1], "above": half[..., ::-1]}[kind]
    clip = seen(tmp_path, np.concatenate([half, again], axis=1 if kind == "above" else 2), fps=8)
    assert clip.framing.inner == left and said(clip, "is there twice", "upper" if kind == "above" else "left")


def _tripod():
    picture, frames = scene("room")[30], []
    for k in range(48):
        frames.append(cv2.rectangle(picture.copy(), (20 + 4 * k, 80), (50 + 4 * k, 170), (60, 60, 170), -1))
    return frames


def _sky():
    wide = np.concatenate([scene()[30]] * 3, axis=1)
    wide[:92] = (140, 180, 240)
    return [wide[:, 5 * k : 5 * k + W] for k in range(48)]


def _beach():
    """Above a line that does not move, all moves."""
    frames = scene()
    frames[:, 84:] = frames[30, 84:]
    return frames


def _fire():
    random, frames = np.random.default_rng(0), scene()[:1].repeat(36, axis=0).astype(float)
    for frame in frames:
        noise = cv2.GaussianBlur(random.normal(0, 500, (110, 200)), (0, 0), 4)
        frame[40:150, 60:260] += noise[..., None] * [1, 0.6, 0.2]
    return frames.clip(0, 255)


def _night():
    random = np.random.default_rng(0)
    lights = np.zeros((H, 600, 3))
    for x, y in zip(random.integers(0, 600, 40), random.integers(0, H, 40)):
        cv2.circle(lights, (int(x), int(y)), 2, (255, 220, 160), -1)
    return [(0.12 * frame + lights[:, 4 * k : 4 * k + W]).clip(0, 255) for k, frame in enumerate(scene())]


@pytest.mark.parametrize("make", [scene, _tripod, _sky, _beach, _fire, _night])
def test_what_is_no_bar_and_no_cut_is_left_alone(tmp_path, make):
    clip = seen(tmp_path, make())
    assert clip.framing.inner == (0, 0, W, H) and clip.shows.all() and clip.warnings == ()


def test_numbered_pictures_are_no_bars_and_no_cuts(tmp_path):
    clip = seen(tmp_path, [numbered(k) for k in range(48)])
    assert clip.framing.inner == (0, 0, 96, 64) and clip.positions.tolist() == [number_of(f) for f in clip.frames]


@pytest.mark.skipif(not REAL.exists(), reason="real clips are not here")
@pytest.mark.parametrize(
    "name", ["davis/goat", "davis/crossing", "davis/dog-gooses", "davis/schoolgirls", "dog-gooses-480p"]
)
def test_nothing_is_found_in_real_clips(name):
    clip = video.read(REAL / f"{name}.mp4", 24, W, 8)
    assert clip.framing.inner == (0, 0, *clip.framing.source_size) and clip.shows.all() and clip.warnings == ()


# ---- cuts


def test_the_longest_of_two_shots_is_used_or_the_one_asked_for(tmp_path):
    clip = seen(tmp_path, np.concatenate([scene(count=40), scene("room", 24)]))
    assert (clip.positions[0], clip.positions[-1], len(clip.positions)) == (0, 39, 12)
    assert said(clip, "2 shots", "cut at 1.7 s", "longest")
    path = tmp_path / "clip.mp4"
    second = video.read(path, 12, W, 8, shot=2)
    assert (second.positions[0], second.positions[-1]) == (40, 63) and said(second, "shot 2, as chosen")
    with pytest.raises(InputError, match="shot is 3, but 'clip.mp4' has 2 shots; choose 1 to 2"):
        video.read(path, 12, W, 8, shot=3)


def test_three_shots(tmp_path):
    clip = seen(tmp_path, np.concatenate([scene(count=20), scene("room", 26), scene("orbit", 40)]))
    assert (clip.positions[0], clip.positions[-1]) == (46, 85) and said(clip, "3 shots", "0.8, 1.9 s")


def test_asking_for_a_second_shot_of_one_is_an_error(tmp_path):
    path = encode(tmp_path / "clip.mp4", scene(count=12), options=LOOK)
    with pytest.raises(InputError, match="has only one shot"):
        easi3r.reconstruct(path, easi3r.load_backbone("preview"), easi3r.Options(shot=2))


def test_a_fade_through_white_is_a_cut(tmp_path):
    first, second = scene(count=40), scene("room", 40)
    for k in range(8):
        first[32 + k], second[k] = mixed(first[32 + k], 255, (k + 1) / 8), mixed(255, second[k], k / 8)
    clip = seen(tmp_path, np.concatenate([first, second]))
    assert said(clip, "2 shots") and (clip.positions[-1] <= 42 or clip.positions[0] >= 37)


def test_a_cut_in_a_long_clip_is_found_to_the_frame(tmp_path):
    first, second = scene(count=60)[:, ::2, ::2], scene("room", 60)[:, ::2, ::2]
    there = np.concatenate([first, first[::-1]])
    frames = np.concatenate([there] * 4 + [np.concatenate([second, second[::-1]])] * 2)[:-60]
    clip = seen(tmp_path, frames)
    assert len(frames) > 600 and (clip.positions[0], clip.positions[-1]) == (0, 479) and said(clip, "2 shots", "20.0 s")


def test_a_flash_or_a_fast_pan_is_no_cut(tmp_path):
    frames = scene()
    frames[30] = 255
    wide = np.concatenate([scene()[30], scene("room")[30]], axis=1)
    pan = [wide[:, x : x + W] for x in np.linspace(0, W, 24).astype(int)]
    (tmp_path / "pan").mkdir()
    assert not said(seen(tmp_path, frames), "shots") and not said(seen(tmp_path / "pan", pan), "shots")


# ---- pauses


def test_a_gap_in_the_clock_takes_no_frames(tmp_path):
    times = [1000 * k // 24 + (10000 if k >= 34 else 0) for k in range(60)]
    clip = seen(tmp_path, [numbered(k) for k in range(60)], pts=times)
    assert np.diff(clip.positions).max() <= 7 and clip.positions.tolist() == [number_of(f) for f in clip.frames]


@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_a_still_picture_takes_no_frames(tmp_path, place):
    frames = scene(count=48)
    still = {"start": 0, "middle": 24, "end": 47}[place]
    clip = seen(tmp_path, np.concatenate([frames[:still], np.repeat(frames[still : still + 1], 96, 0), frames[still:]]))
    resting = (clip.positions > still + 3) & (clip.positions < still + 92)
    assert resting.sum() <= 2 and len(clip.positions) == 12


# ---- interlaced


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_of_two_woven_moments_the_first_is_kept(tmp_path, codec):
    moments = scene()
    frames = moments[::2].copy()
    frames[:, 1::2] = moments[1::2, 1::2]
    path = encode(
        tmp_path / "clip.mkv", frames, codec=codec, fps=Fraction(12), options={"b": "20M", "crf": "12", "g": "1"}
    )
    clip = video.read(path, 8, W, 8)
    apart = [
        [np.abs(f.astype(int) - moments[2 * k + d, :, :]).mean() for d in (0, 1)]
        for k, f in zip(clip.positions, clip.frames)
    ]
    first, second = np.mean(apart, axis=0)
    assert said(clip, "interlaced") and first < 0.75 * second


# ---- flashes, frozen and duplicated frames


@pytest.mark.parametrize("gain, offset", [(2, 40), (3, 60)])
@pytest.mark.parametrize("name", ["street", "orbit"])
def test_a_flash_that_burns_out_part_of_the_picture_is_left_out_and_named(tmp_path, name, gain, offset):
    frames, at = scene(name), [20, 41, 42]
    frames[at] = (frames[at].astype(float) * gain + offset).clip(0, 255)
    clip = seen(tmp_path, frames, count=60)
    assert left_out(clip) == set(at) and len(clip.warnings) == 1
    assert said(clip, "At 0.83, 1.71 to 1.75 s the picture is over-exposed by a flash. It was left out")


def test_light_that_stays_on_is_no_flash(tmp_path):
    frames = scene()
    frames[30:] = (frames[30:].astype(float) * 2 + 40).clip(0, 255)
    assert not left_out(seen(tmp_path, frames, count=30))


@pytest.mark.parametrize(  # what was missed of the orbit looks like a cut
    ("name", "place"), [("street", "middle"), ("orbit", "first"), ("orbit", "middle"), ("orbit", "last")]
)
def test_a_frozen_third_takes_one_frame_and_is_said(tmp_path, name, place):
    frames, start = scene(name), {"first": 0, "middle": 20, "last": 40}[place]
    frames[start : start + 20] = frames[start]
    clip = seen(tmp_path, frames)
    within = (clip.positions >= start) & (clip.positions < start + 20)
    assert within.sum() <= 1 and len(clip.positions) == 12 and clip.positions[-1] == 59
    assert said(clip, "frozen", f"{start / 24:.2f} to {(start + 19) / 24:.2f} s") and len(clip.warnings) == 1


@pytest.mark.parametrize("name", ["street", "room"])
def test_a_dark_clip_is_neither_empty_nor_frozen(tmp_path, name):
    frames = scene(name)
    assert not seen(tmp_path, 0.1 * frames).warnings
    slow = seen(tmp_path, 0.1 * frames[:12].repeat(2, axis=0) + 0.1 * frames[1:13].repeat(2, axis=0), fps=48)
    assert not said(slow, "frozen")
    frames[20:40] = frames[20]
    assert said(seen(tmp_path, 0.1 * frames), "frozen", "From 0.83 to 1.")


def test_another_scene_after_a_frozen_picture_is_a_cut(tmp_path):
    frames = np.concatenate([scene(count=30), scene("room", 30)])
    frames[15:30] = frames[15]
    clip = seen(tmp_path, frames)
    assert said(clip, "2 shots", "cut at 1.2 s") and clip.positions.min() >= 30


@pytest.mark.parametrize("crf", ["18", "28"])
@pytest.mark.parametrize("name", ["street", "room"])
def test_of_doubled_frames_one_of_each_is_used(tmp_path, name, crf):
    frames = scene(name, 32)[::2].repeat(2, axis=0)
    path = encode(tmp_path / "clip.mp4", frames, fps=48, options={"crf": crf})
    clip = video.read(path, 24, W, 8)
    number = clip.positions // 2
    assert number.tolist() == list(range(16)) and clip.positions[-1] == 31
    assert said(clip, "16 of the 32 frames are duplicated")


def test_every_fifth_frame_doubled_is_said_and_left_out(tmp_path):
    frames = scene(count=40)
    shown = np.array([k for k in range(40) for _ in range(2 if k % 4 == 0 else 1)])
    clip = seen(tmp_path, frames[shown], count=60, fps=30)
    assert len(np.unique(shown[clip.positions])) == len(clip.positions) == 40 and said(clip, "10 of the 50 frames")


def test_a_still_clip_is_used_as_it_is(tmp_path):
    clip = seen(tmp_path, np.repeat(scene()[:1], 24, axis=0))
    assert len(clip.positions) == 12 and not said(clip, "frozen") and not said(clip, "duplicated")
