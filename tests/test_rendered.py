"""The clips that the benchmark renders, what spoils them, and the figures it prints."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from easi3r import synthetic
from easi3r.benchmark import rendered
from easi3r.benchmark.examples import score
from easi3r.camera import Camera, pose

W, H = 96, 56


def degrees(rotation):
    return np.degrees(Rotation.from_matrix(rotation).magnitude())


# ---- scenes


def test_the_pan_turns_by_60_degrees_about_its_centre_and_follows_someone():
    clip = synthetic.render("pan", 4, 64, 38, seconds=synthetic.SECONDS * 23 / 24 * 4 / 3)  # up to the last of 24
    assert np.allclose(clip.cam2world[:, :3, 3], 0)
    assert abs(degrees(clip.cam2world[-1, :3, :3]) - 60) < 1.5  # the hand sways
    share = clip.dynamic.mean(axis=(1, 2))
    assert share.min() > 0.03 and share.max() < 0.15


def test_through_the_long_lens_a_mover_fills_most_of_the_picture():
    clip = synthetic.render("telephoto", 6, W, H)
    assert np.degrees(2 * np.arctan(W / 2 / clip.intrinsics[0, 0])) == pytest.approx(20)
    assert clip.dynamic.mean(axis=(1, 2)).min() > 0.5
    assert np.linalg.norm(clip.cam2world[-1, :3, 3]) > 1  # metres walked


def test_what_is_small_and_fast_crosses_the_picture_in_6_frames():
    scene = synthetic.TRIALS["blur"](np.random.default_rng(0))
    clip = synthetic.render(replace(scene, exposure=0), 24, 64, 38)
    seen = np.flatnonzero(clip.dynamic.any(axis=(1, 2)))
    assert 5 <= len(seen) <= 7 and np.diff(seen).max() == 1 and clip.dynamic.mean(axis=(1, 2)).max() < 0.02


def test_what_is_fast_is_smeared_about_its_mask():
    clip, empty = (synthetic.render("blur", 2, W, H, movers=movers) for movers in (True, False))
    smear = np.abs(clip.frames[1].astype(int) - empty.frames[1]).max(axis=-1) > 3
    columns, true_columns = np.flatnonzero(smear.any(axis=0)), np.flatnonzero(clip.dynamic[1].any(axis=0))
    assert 1.3 * len(true_columns) < len(columns) < 2.5 * len(true_columns)
    assert abs(columns.mean() - true_columns.mean()) < 1  # the mask is that of the middle of the exposure


@pytest.mark.parametrize("scene", [*synthetic.SCENES, *synthetic.TRIALS])
def test_without_movers_the_rest_stays(scene):
    clip, empty = (synthetic.render(scene, 1, W, H, movers=movers) for movers in (True, False))
    still = ~clip.dynamic[0]
    assert not empty.dynamic.any() and np.array_equal(clip.depth[0][still], empty.depth[0][still])
    assert (empty.depth[0] >= clip.depth[0]).all() and np.array_equal(clip.cam2world, empty.cam2world)


# ---- what spoils a clip


def test_low_light_is_dark_and_noisy():
    frames = synthetic.render("room", 1, W, H).frames.repeat(8, axis=0)
    dark = synthetic.in_low_light(frames)
    assert dark.dtype == np.uint8 and np.array_equal(dark, synthetic.in_low_light(frames))
    assert 0.4 < dark.mean() / frames.mean() < 0.7 and 3 < dark.std(axis=0).mean() < 12


def test_compression_takes_detail():
    frames = synthetic.render("room", 4, W, H).frames
    coded = synthetic.compressed(frames)
    assert coded.shape == frames.shape and 2 < np.abs(coded.astype(int) - frames).mean() < 20
    detail, left = (np.abs(np.diff(f.astype(int), axis=2)).mean() for f in (frames, coded))
    assert left < 0.85 * detail


# ---- figures


def turning(angles, focal=80.0, width=W, height=H):
    """Cameras (T,4,4) turned about y by degrees, intrinsics (T,3,3)."""
    turns = Rotation.from_euler("y", np.asarray(angles)[:, None], degrees=True).as_matrix()
    cameras = np.stack([pose(turn, np.zeros(3)) for turn in turns])
    return cameras, np.repeat(Camera.centred(focal, width, height).intrinsics[None], len(angles), axis=0)


def panorama(angles):
    cameras, intrinsics = turning(angles)
    return SimpleNamespace(cam2world=cameras, intrinsics=intrinsics[0], dynamic=np.zeros((len(angles), H, W), bool))


def test_the_seam_of_a_wrong_turn_and_of_a_wrong_focal():
    truth = panorama([0, 10])
    assert rendered.seam(*turning([0, 10]), truth) < 1e-9
    off = rendered.seam(*turning([0, 10.5]), truth)
    least = 80 * np.radians(0.5)
    assert least < off < least * (1 + (W / 2 / 80) ** 2) * 1.1  # a degree is longer towards the sides of the picture
    wider = rendered.seam(*turning([0, 10], focal=84), truth)
    assert 0.5 < wider < 1.5  # 4 tan(10 deg) = .7 pixels in the middle
    assert rendered.seam(*turning([0, 130]), truth) == np.inf


def test_the_seam_leaves_out_what_moves_and_what_only_one_frame_sees():
    truth = panorama([0, 10])
    truth.dynamic[1] = True
    assert np.isnan(rendered.seam(*turning([0, 20]), truth))
    assert np.isnan(rendered.seam(*turning([0, 90]), panorama([0, 90])))


def test_turn_errors_are_those_against_the_first_camera():
    cameras, truth = turning([3, 14, 20])[0], turning([0, 10, 20])[0]
    assert np.allclose(rendered.turn_errors(cameras, truth), [0, 1, 3])


def test_a_camera_that_only_turns_has_no_path_to_compare(tiny_result):
    framing, (height, width) = tiny_result.framing, tiny_result.framing.source_size[::-1]
    truth = synthetic.Truth(
        timestamps=tiny_result.timestamps,
        cam2world=turning(np.arange(6))[0],
        intrinsics=framing.to_source(tiny_result.intrinsics)[0],
        depth=np.ones((6, height, width), np.float32),
        dynamic=np.zeros((6, height, width), bool),
    )
    figures = score(tiny_result, truth)
    assert np.isnan(figures["ate"]) and figures["focal"] == 0
    unsure = replace(tiny_result, confidence=np.ones_like(tiny_result.confidence))
    assert np.isnan(score(unsure, truth)["absrel"])


def test_the_benchmark_prints_its_tables(capsys):
    assert rendered.main(["pan", "room", "--max-frames", "3", "--width", "96", "--table", "clips"]) == 0
    pan, room = capsys.readouterr().out.splitlines()[2:]
    assert pan.startswith("| pan | seam") and room.startswith("| room |") and "seam" not in room and "deg" in room


def test_the_benchmark_says_how_much_is_marked_where_nothing_moves(capsys):
    assert rendered.main(["orbit", "--max-frames", "3", "--static-widths", "64", "--table", "static"]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split("|")[1:-1]
    assert row[0].strip() == "orbit" and row[1].strip() == "64" and len(row) == 6
    assert all(0 <= float(cell.strip(" %")) < 100 for cell in row[2:])


def test_the_benchmark_knows_its_scenes(capsys):
    assert rendered.main(["beach"]) == 2 and "unknown; use some of room" in capsys.readouterr().out
