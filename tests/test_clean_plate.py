"""The clip without what moves: filled with what other frames show, open where none shows anything."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import analytic_result
from test_panorama import painted, pan

from easi3r import synthetic
from easi3r.benchmark.background import score
from easi3r.camera import Framing
from easi3r.export import clean_plate
from easi3r.export.scene import Scene
from easi3r.reconstruction import Reconstruction

T, W, H = 8, 192, 112


def psnr(pictures, truth):
    return 10 * np.log10(255**2 / np.mean((pictures.astype(float) - truth) ** 2))


@pytest.fixture(scope="module")
def street():
    """What is known of a rendered clip, as a `Reconstruction`, and the same clip without movers."""
    clip, empty = (synthetic.render("street", T, W, H, movers=movers) for movers in (True, False))
    # the depth of what moves is its own, as a network tells it; masks end a little inside, as masks do
    inner = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0 for mask in clip.dynamic])
    result = Reconstruction(
        frames=clip.frames,
        timestamps=clip.timestamps,
        cam2world=clip.cam2world,
        intrinsics=np.repeat(clip.intrinsics[None], T, axis=0),
        depth=clip.depth.astype(np.float32),
        confidence=np.ones((T, H, W), np.float32),
        dynamic=inner,
        motion=inner.astype(np.float32),
        evidence={},
        framing=Framing.fit((W, H), W, 8),
    )
    return result, empty


def test_holes_show_what_a_clip_without_movers_shows(street):
    result, truth = street[0], street[1].frames
    before = result.frames.copy()
    pictures, known = clean_plate(result)
    hole = result.dynamic & known
    assert hole.sum() > 0.8 * result.dynamic.sum()
    assert psnr(pictures[hole], truth[hole]) > 30
    assert psnr(result.frames[hole], truth[hole]) < 15
    assert psnr(pictures[known], truth[known]) > 30
    figures = score(replace(result, info={"frame_numbers": range(T)}), truth)
    assert figures["filled"] == pytest.approx(psnr(pictures[hole], truth[hole]))
    assert figures["open"] == pytest.approx(1 - hole.sum() / result.dynamic.sum())
    assert figures["rest"] > 40
    assert np.array_equal(result.frames, before)
    again = clean_plate(result)
    assert np.array_equal(pictures, again[0]) and np.array_equal(known, again[1])


def test_frames_of_another_exposure_leave_no_seam(street):
    result, _ = street
    gains = np.where(np.arange(T) % 2, 0.75, 1.0)[:, None, None, None]
    pictures, known = clean_plate(replace(result, frames=np.rint(result.frames * gains).astype(np.uint8)))
    plain, also = clean_plate(result)
    both = known & also & result.dynamic
    assert both.sum() > 0.5 * result.dynamic.sum()
    ratio = (pictures.astype(float).sum(axis=-1) + 1) / (plain.astype(float).sum(axis=-1) + 1)
    for t in range(T):
        assert abs(np.median(ratio[t][both[t]]) - gains[t, 0, 0, 0]) < 0.06


def test_what_no_frame_shows_is_left_open():
    result = analytic_result(6)
    still = replace(result, cam2world=np.repeat(np.eye(4)[None], 6, axis=0), frames=result.frames[[0] * 6])
    still.depth[:], still.dynamic[:] = still.depth[0], False
    still.dynamic[:, 20:30, 20:30] = True
    pictures, known = clean_plate(still)
    assert not known[:, 20:30, 20:30].any() and (pictures[~known] == 0).all()
    assert known[:, :, 40:].all() and np.array_equal(pictures[known], still.frames[known])


def test_a_turning_camera_needs_no_depth():
    result = pan()
    result.frames[1::2] -= 20 * (~result.dynamic[1::2])[..., None].astype(np.uint8)  # one exposure
    result.depth[:] = np.random.default_rng(0).uniform(9.9, 10.1, result.depth.shape)
    pictures, known = clean_plate(result)
    hole = result.dynamic & known
    assert hole.sum() > 0.9 * result.dynamic.sum()
    rays = result.cameras[0].rays()
    truth = np.stack([painted(rays @ matrix[:3, :3].T) for matrix in result.cam2world])
    assert psnr(pictures[hole], truth[hole]) > 30


def test_files_are_striped_or_transparent_where_nothing_is_known(street, tmp_path):
    result, _ = street
    result = replace(result, dynamic=result.dynamic.copy())
    result.dynamic[:, :40, :40] = True
    written = result.save(tmp_path, files=["background.mp4", "background"])
    _, known = clean_plate(result)
    assert not known[:, :30, :30].all()
    with av.open(written["background.mp4"]) as file:
        video = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    names = sorted(path.name for path in Path(written["background"]).iterdir())
    assert names == [f"{t:05d}.png" for t in range(T)] and len(video) == T
    image = cv2.imread(str(tmp_path / "background" / names[3]), cv2.IMREAD_UNCHANGED)
    assert image.shape == (H, W, 4) and np.array_equal(image[..., 3] > 0, known[3])
    mine = known[3] & ~Scene(result).hidden[3]
    assert np.array_equal(image[mine][:, 2::-1], result.frames[3][mine])
    never = ~cv2.dilate(known[3].astype(np.uint8), np.ones((9, 9))).astype(bool)
    stripes = video[3][never].astype(int)
    assert np.ptp(stripes, axis=1).max() < 12 and {70, 85} & set(np.unique(stripes))


@pytest.mark.parametrize("n_frames", [1, 2])
def test_all_moving_or_nothing_moving(n_frames, tmp_path):
    result = analytic_result(n_frames)
    result.dynamic[:] = True
    _, known = clean_plate(result)
    assert not known.any()
    result.save(tmp_path, files=["background.mp4", "background"])
    result.dynamic[:] = False
    pictures, known = clean_plate(result)
    assert known.all() and np.array_equal(pictures, result.frames)


def test_what_a_mask_missed_leaves_the_static_scene(street):
    result, _ = street
    missed = replace(result, dynamic=result.dynamic.copy())
    missed.dynamic[3] = False
    inner = cv2.erode(result.dynamic[3].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert inner.sum() > 500 and (Scene(missed).static[3] & inner).sum() < 0.2 * inner.sum()


def test_nothing_thin_is_lost_where_nothing_moves(street):
    _, empty = street
    still = replace(street[0], frames=empty.frames, depth=empty.depth.astype(np.float32))
    still = replace(still, dynamic=np.zeros_like(still.dynamic))
    near = still.depth <= np.percentile(still.depth, 98)  # what is far off is left out
    assert Scene(still, cut=0).static[near].mean() > 0.9999
