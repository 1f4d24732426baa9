"""The optical-flow term of the alignment: easi3r.alignment.solve(..., frames=...)."""

from dataclasses import replace

import numpy as np
import pytest

from easi3r import InputError, synthetic
from easi3r.alignment import solve
from easi3r.benchmark.alignment import score
from easi3r.metrics import trajectory_errors
from easi3r.pairs import build

FIELDS = ("cam2world", "focal", "depth", "confidence", "objective")
T, W, H = 8, 128, 80


@pytest.fixture(scope="module")
def off(clip, pairs):
    return solve(pairs, T, clip.dynamic)


@pytest.fixture(scope="module")
def on(clip, pairs):
    return solve(pairs, T, clip.dynamic, frames=clip.frames)


def check(result, n_frames):
    assert result.cam2world.shape == (n_frames, 4, 4) and result.depth.shape == (n_frames, H, W)
    for name in FIELDS:
        assert np.isfinite(getattr(result, name)).all(), name
    assert (result.depth > 0).all() and result.focal > 0


def test_flow_improves_the_cameras_and_keeps_the_objective(clip, off, on):
    truth = {"cam2world": clip.cam2world, "depth": clip.depth}
    plain, flow = score(off, truth), score(on, truth)
    for key in ("ate", "rpe_t", "rpe_r_deg"):
        assert flow[key] < 0.8 * plain[key], key
    assert flow["loss"] < 1.01 * plain["loss"]
    assert flow["depth_absrel"] < 1.03 * plain["depth_absrel"]


def test_masked_pixels_do_not_pull(clip, pairs, on):
    sliding = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    frames = np.stack(
        [
            np.where(m[..., None], np.roll(sliding, 3 * k, 1), f)
            for k, (f, m) in enumerate(zip(clip.frames, clip.dynamic))
        ]
    )
    assert clip.dynamic.mean() > 0.01
    errors = trajectory_errors(solve(pairs, T, clip.dynamic, frames=frames).cam2world, on.cam2world)
    assert errors["ate"] < 2e-3 * errors["path"] and errors["rre"] < 0.02


def test_what_moves_without_a_mask_hardly_pulls(clip, pairs):
    """A fifth of the picture slides the other way and is not masked: the robust norm takes it for what it is."""
    sliding = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    frames = clip.frames.copy()
    for k in range(T):
        frames[k][:, : W // 5] = np.roll(sliding, -2 * k, 1)[:, : W // 5]
    plain, misled = (trajectory_errors(solve(pairs, T, frames=f).cam2world, clip.cam2world) for f in (None, frames))
    assert misled["ate"] < 1.1 * plain["ate"] and misled["rre"] < 1.1 * plain["rre"]


def test_frames_without_texture_change_nothing(clip, pairs, off):
    grey = solve(pairs, T, clip.dynamic, frames=np.full_like(clip.frames, 128))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(grey, name), getattr(off, name))


def test_frames_that_have_nothing_to_do_with_each_other_do_no_harm(clip, pairs, off):
    noise = np.random.default_rng(0).integers(0, 256, clip.frames.shape, np.uint8)
    result = solve(pairs, T, clip.dynamic, frames=noise)
    check(result, T)
    errors = trajectory_errors(result.cam2world, clip.cam2world)
    assert errors["ate"] < 1.05 * trajectory_errors(off.cam2world, clip.cam2world)["ate"]


def test_same_input_same_output(clip, pairs, on):
    again = solve(iter(pairs), T, clip.dynamic, frames=clip.frames)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(on, name))


@pytest.mark.parametrize("n_frames, graph", [(1, "complete"), (2, "complete"), (5, "oneref-2"), (6, "swin-2")])
def test_few_frames_and_other_graphs(clip, n_frames, graph):
    predictions = synthetic.predictions(clip, build(n_frames, graph))
    check(solve(predictions, n_frames, frames=clip.frames[:n_frames]), n_frames)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: replace(p, pts1=p.pts1 * np.nan),
        lambda p: replace(p, pts1=p.pts1 * np.nan) if p.i == 3 else p,
        lambda p: replace(p, conf1=p.conf1 * 0, conf2=p.conf2 * 0),
        lambda p: replace(p, pts1=p.pts1 * 0 + 1, pts2=p.pts2 * 0 + 1),
        lambda p: replace(p, pts1=-p.pts1),
        lambda p: replace(p, pts1=np.random.default_rng(p.i).standard_normal((H, W, 3)), pts2=p.pts2[::-1]),
    ],
    ids=["not a number", "one frame not a number", "no confidence", "one point", "behind", "noise"],
)
def test_useless_predictions_never_crash(clip, pairs, spoil):
    check(solve([spoil(p) for p in pairs], T, frames=clip.frames), T)


def test_a_missing_frame_and_everything_moving(clip, pairs):
    check(solve([p for p in pairs if 5 not in (p.i, p.j)], T, frames=clip.frames), T)
    check(solve(pairs, T, np.ones((T, H, W), bool), frames=clip.frames), T)


def test_wrong_frames_are_named(clip, pairs):
    with pytest.raises(InputError, match="shape of frames"):
        solve(pairs, T, frames=clip.frames[:, ::2])
