"""`easi3r.reconstruct` on clips as people have them: what shows nothing of the scene gets into nothing that is made of
it.
"""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import encode
from PIL import Image

import easi3r
from easi3r import Options, synthetic, video
from easi3r.export.archive import load_small, write_small
from easi3r.flow import both_ways
from easi3r.overlays import find_overlay, greys

EXAMPLE = Path(__file__).parents[1] / "examples" / "street.mp4"
W, H, T = 192, 112, 10
BLANK = [0, 5, 9]


@pytest.fixture(scope="module")
def backbone():
    return easi3r.load_backbone("preview")


@pytest.fixture(scope="module")
def street():
    return synthetic.render("street", T, W, H, seconds=0.8)


@pytest.fixture(scope="module")
def plain(street, backbone):
    return easi3r.reconstruct(street.frames, backbone)


@pytest.fixture(scope="module")
def blank_clip(street, tmp_path_factory):
    """The clip as a file of 24 frames a second; the first and the last are black and one in the middle white."""
    frames = street.frames.copy()
    frames[[0, 9]], frames[5] = 0, 255
    return encode(tmp_path_factory.mktemp("clip") / "clip.mkv", frames, codec="ffv1", fps=24, pix_fmt="bgr0")


@pytest.fixture(scope="module")
def blank(blank_clip, backbone):
    masks = np.zeros((T, H, W), bool)
    masks[:, 40:60, 30:70] = True
    return easi3r.reconstruct(blank_clip, backbone, masks=masks)


def said(result, *words):
    return any(all(word in warning for word in words) for warning in result.info["warnings"])


def test_blank_frames_stay_in_time_and_take_no_part(blank):
    assert blank.info["frames_left_out"] == BLANK and len(blank.timestamps) == T
    assert not blank.confidence[BLANK].any() and not blank.motion[BLANK].any()
    for k, neighbour in ((0, 1), (9, 8)):
        assert np.array_equal(blank.cam2world[k], blank.cam2world[neighbour])
    assert any(np.array_equal(blank.cam2world[5], blank.cam2world[k]) for k in (4, 6))
    assert said(blank, "shows nothing", "0.00, 0.21, 0.38 s")


def test_masks_of_the_user_hold_on_blank_frames_too(blank):
    assert (blank.dynamic[:, 44:56, 34:66]).all() and not blank.dynamic[:, :36].any()


@pytest.mark.usefixtures("few_pairs")
def test_blank_frames_without_masks_hold_nothing_that_moves(street, backbone):
    frames = street.frames[:5].copy()
    frames[0] = 0
    result = easi3r.reconstruct(frames, backbone)
    assert not result.dynamic[0].any() and result.dynamic[1:].any()


def test_one_frame_that_shows_nothing_is_no_error(backbone):
    result = easi3r.reconstruct(np.zeros((1, H, W, 3), np.uint8), backbone)
    assert np.isfinite(result.depth).all() and said(result, "The clip shows nothing")


def test_the_scene_is_as_large_as_without_blank_frames(plain, blank):
    """A black first frame once made it up to 27 times as large."""
    assert _extent(blank.showing()) < 2 * _extent(plain)
    showing = blank.showing()
    assert len(showing.frames) == T - len(BLANK) and showing.info["frame_numbers"] == [1, 2, 3, 4, 6, 7, 8]


def _extent(result):
    """Of what is sure, in median depths."""
    points = result.points()[result.confidence > np.median(result.confidence)]
    return np.ptp(np.quantile(points, [0.02, 0.98], axis=0), axis=0).max() / np.median(result.depth)


def test_no_file_holds_what_shows_nothing(blank, tmp_path):
    blank.save(tmp_path, files=["dataset", "static.ply", "moving", "cameras.json"])
    pictures = sorted((tmp_path / "dataset" / "images").iterdir())
    assert len(pictures) == T - len(BLANK)
    means = [np.asarray(Image.open(path)).mean() for path in pictures]
    assert 30 < min(means) and max(means) < 225
    for path in tmp_path.glob("*.ply"):
        colours = _colours(path)
        assert (
            len(colours)
            and not (colours.max(axis=1) < 3).mean() > 0.02
            and not (colours.min(axis=1) > 252).mean() > 0.02
        )
    cameras = json.loads((tmp_path / "cameras.json").read_text())
    assert "frames" in cameras and len(cameras["frames"]) == T  # the time line is whole


def _colours(path):
    """(N,3) uint8 colours of the points or vertices of a file."""
    import trimesh

    loaded = trimesh.load(path, process=False)
    parts = loaded.geometry.values() if hasattr(loaded, "geometry") else [loaded]
    clouds = [part for part in parts if isinstance(part, trimesh.PointCloud)]
    return np.concatenate([np.asarray(cloud.colors)[:, :3] for cloud in clouds])


def test_bars_do_not_move_the_focal_length_or_the_principal_point(street, plain, backbone, tmp_path):
    barred = np.zeros((T, H + 30, W, 3), np.uint8)
    barred[:, 11 : H + 11] = street.frames
    result = easi3r.reconstruct(encode(tmp_path / "clip.mkv", barred, codec="ffv1", pix_fmt="bgr0"), backbone)
    source = result.source_intrinsics[0]
    assert abs(source[0, 0] / plain.source_intrinsics[0, 0, 0] - 1) < 0.15
    assert abs(source[0, 2] - W / 2) <= 1.5 and abs(source[1, 2] - (11 + H / 2)) <= 1.5


@pytest.mark.usefixtures("few_pairs")
def test_a_dark_and_noisy_clip_is_said_and_its_masks_are_no_nonsense(street, plain, backbone):
    random = np.random.default_rng(0)
    frames = street.frames[:6]
    dark = (0.06 * frames + random.normal(2, 3, frames.shape)).clip(0, 255).astype(np.uint8)
    result = easi3r.reconstruct(dark, backbone)
    assert said(result, "dark and noisy") and not said(plain, "dark")
    assert result.dynamic.mean() < 3 * street.dynamic.mean() + 0.05


@pytest.mark.usefixtures("few_pairs")
def test_a_dark_clip_without_noise_is_brought_out(street, plain, backbone):
    dark = easi3r.reconstruct((0.1 * street.frames[:6]).astype(np.uint8), backbone)
    light = easi3r.reconstruct(street.frames[:6], backbone)
    assert said(dark, "very dark") and not said(light, "brought out")
    assert (dark.dynamic & light.dynamic).sum() > 0.7 * (dark.dynamic | light.dynamic).sum()


@pytest.mark.usefixtures("few_pairs")
def test_logos_and_dates_are_left_out_of_the_scene(backbone):
    clean = video.read(EXAMPLE, 8, 320, 8).frames
    frames = clean.copy()
    for frame in frames:
        cv2.putText(
            frame, "2024-05-01 12:00", (150, 168), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 200, 60), 1, cv2.LINE_AA
        )
        cv2.putText(frame, "NEWS", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (240, 240, 240), 2, cv2.LINE_AA)
    assert not find_overlay(clean).any()
    result = easi3r.reconstruct(frames, backbone)
    over = (frames[0] != clean[0]).any(axis=-1)
    assert said(result, "laid over the picture")
    assert (result.confidence[:, over] == 0).mean() > 0.9 and (result.confidence[:, ~over] > 0).mean() > 0.7
    before, after, truth = (
        both_ways(*pictures[2:4])[0].target
        for pictures in ([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames], greys(frames), greys(clean))
    )
    held, let_go = (np.linalg.norm(target - truth, axis=-1)[over].mean() for target in (before, after))
    assert let_go < 0.7 * held


@pytest.mark.usefixtures("few_pairs")
def test_a_large_part_that_stands_still_is_said_with_its_share(street, backbone, monkeypatch):
    left = np.arange(W)[None] < np.full((H, 1), W // 3)
    monkeypatch.setattr("easi3r.pipeline.find_overlay", lambda frames: left)
    result = easi3r.reconstruct(street.frames[:4], backbone)
    assert said(result, "does not move", "33% of the picture") and not said(result, "a logo")


@pytest.mark.parametrize("box", [False, True])
def test_captions_that_change_are_found_with_the_box_they_stand_in(box):
    clean = video.read(EXAMPLE, 16, 320, 8).frames
    frames, words = clean.copy(), ("HELLO THERE", "LOOK AT THIS ONE", "OVER HERE", "THE END")
    for k, frame in enumerate(frames):
        if box:
            frame[140:168, 60:270] = 255, 230, 0
        for colour, thick in ((0, 0, 0), 5), ((255, 255, 255), 2):  # as most are: with an outline
            face = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(frame, words[k // 4], (70, 162), face, 0.6, colour, thick, cv2.LINE_AA)
    over = (frames != clean).any(axis=(0, 3))
    found = find_overlay(frames)
    near = cv2.dilate(over.view(np.uint8), np.ones((33, 33), np.uint8)) > 0
    assert found[over].mean() > 0.95 and not found[~near].any()
    assert not find_overlay(clean).any()


def test_a_small_archive_takes_the_frames_that_the_result_has(street, plain, tmp_path):
    """Two shots: by number, not by another look at the clip, which may choose others."""
    other = synthetic.render("room", T, W, H, seconds=0.8).frames
    frames = np.concatenate([street.frames, other])
    clip = encode(tmp_path / "clip.mkv", frames, codec="ffv1", fps=10, pix_fmt="bgr0")
    numbers = list(range(4, 14))
    result = replace(plain, frames=frames[numbers], timestamps=np.array(numbers) / 10, info={"frame_numbers": numbers})
    write_small(result, tmp_path / "small.npz")
    assert np.array_equal(load_small(tmp_path / "small.npz", clip).frames, frames[numbers])


@pytest.mark.parametrize("times", [1.3, 1.5])
def test_what_a_zoom_is_centred_on_is_no_logo(times):
    frame = video.read(EXAMPLE, 1, 320, 8).frames[0]
    centre, size = (frame.shape[1] / 2, frame.shape[0] / 2), frame.shape[1::-1]
    zooms = [cv2.getRotationMatrix2D(centre, 0, zoom) for zoom in np.linspace(1, times, 8)]
    assert not find_overlay(np.stack([cv2.warpAffine(frame, zoom, size) for zoom in zooms])).any()


@pytest.mark.usefixtures("few_pairs")
def test_a_second_shot_is_reconstructed_alone(street, backbone, tmp_path):
    other = synthetic.render("room", 6, W, H, seconds=0.5).frames
    clip = encode(tmp_path / "clip.mkv", np.concatenate([street.frames, other]), codec="ffv1", fps=12, pix_fmt="bgr0")
    result = easi3r.reconstruct(clip, backbone, Options(shot=2))
    assert result.info["frame_numbers"] == list(range(10, 16)) and said(result, "2 shots", "as chosen")
