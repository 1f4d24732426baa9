"""easi3r.cleanup: floaters and moving objects of unknown depth, for any system."""

from dataclasses import replace

import numpy as np
import pytest

from easi3r import InputError, cleanup
from easi3r.alignment import solve
from easi3r.camera import Camera

T, W, H = 8, 64, 48


def cleaned(world, masks=None):
    """Depth and confidence of an `Alignment` after the clean-up."""
    cameras = [Camera.centred(world.focal, W, H)] * T
    return cleanup.apply(world.depth, world.confidence, world.cam2world, cameras, masks)


@pytest.fixture
def truth(clip):
    """Arguments of `cleanup.apply` that are the truth: confidence rises with time, moving pixels are measured."""
    confidence = np.broadcast_to(2 + np.arange(T, dtype=np.float32)[:, None, None], clip.depth.shape)
    cameras = [Camera(clip.intrinsics, (W, H))] * T
    return clip.depth.astype(np.float32), confidence.copy(), clip.cam2world, cameras, clip.dynamic


def test_a_true_scene_stays_as_it_is(truth):
    depth, confidence = cleanup.apply(*truth)
    np.testing.assert_array_equal(depth, truth[0])
    assert (confidence == truth[1]).mean() > 0.99


def test_what_is_given_is_left_alone(truth):
    given = [np.array(a) for a in (truth[0], truth[1], truth[4])]
    truth[1][0] = 1  # unmeasured in the first frame, so that something is changed
    given[1][0] = 1
    depth, confidence = cleanup.apply(*truth)
    assert (depth != truth[0]).any() and (confidence != truth[1]).any()
    for before, after in zip(given, (truth[0], truth[1], truth[4])):
        np.testing.assert_array_equal(before, after)
    assert not any(np.shares_memory(a, b) for a in (depth, confidence) for b in truth[:2])


def test_a_floater_goes_unless_it_moves_or_is_the_surest(truth):
    depth, confidence, cam2world, cameras, masks = truth
    patch = (slice(20, 30), slice(20, 40))
    free = np.zeros_like(masks)
    depth[3][patch] *= 0.5
    _, left = cleanup.apply(depth, confidence, cam2world, cameras, free)
    assert (left[3][patch] == 0).mean() > 0.95

    free[3][patch] = True
    _, left = cleanup.apply(depth, confidence, cam2world, cameras, free)
    np.testing.assert_array_equal(left[3][patch], confidence[3][patch])

    confidence[3] = 100
    _, left = cleanup.apply(depth, confidence, cam2world, cameras)
    np.testing.assert_array_equal(left[3][patch], confidence[3][patch])


def test_floating_points_of_an_alignment_lose_their_confidence(pairs):
    floating = np.zeros((H, W), bool)
    floating[20:30, 20:40] = True
    wrong = []
    for p in pairs:  # frame 3 sees a patch halfway to the camera, and is less sure of it
        if p.i == 3:
            near = np.where(floating[..., None], 0.5 * p.pts1, p.pts1)
            p = replace(p, pts1=near, conf1=np.where(floating, 1.5, p.conf1))
        if p.j == 3:
            p = replace(p, conf2=np.where(floating, 1.0, p.conf2))
        wrong.append(p)
    plain, removed = cleaned(solve(pairs, T))[1], cleaned(solve(wrong, T))[1]
    assert (plain[3][floating] == 0).mean() < 0.3
    assert (removed[3][floating] == 0).mean() > 0.8


def test_moving_things_that_no_pair_knows_stand_on_the_ground_and_do_not_jump(clip, pairs):
    rng = np.random.default_rng(0)

    def guessed(points, confidence, frame):
        moving, scale = clip.dynamic[frame], rng.uniform(0.5, 3)
        return np.where(moving[..., None], scale * points, points), np.where(moving, 1, confidence)

    unknown = []
    for p in pairs:
        (pts1, conf1), (pts2, conf2) = guessed(p.pts1, p.conf1, p.i), guessed(p.pts2, p.conf2, p.j)
        unknown.append(replace(p, pts1=pts1, pts2=pts2, conf1=conf1, conf2=conf2))
    depth, _ = cleaned(solve(unknown, T, clip.dynamic), clip.dynamic)
    error = np.log(depth / clip.depth)
    error -= np.median(error[~clip.dynamic])
    each = np.array([np.median(e[m]) for e, m in zip(error, clip.dynamic) if m.any()])
    assert np.abs(each).max() < 0.2 and np.abs(np.diff(each)).max() < 0.2


def test_arrays_that_do_not_fit_are_named(truth):
    depth, confidence, cam2world, cameras, masks = truth
    with pytest.raises(InputError, match=r"confidence \(8, 48, 32\)"):
        cleanup.apply(depth, confidence[..., :32], cam2world, cameras)
    with pytest.raises(InputError, match=r"masks \(7, 48, 64\)"):
        cleanup.apply(depth, confidence, cam2world, cameras, masks[1:])
    with pytest.raises(InputError, match="8 poses and 7 cameras"):
        cleanup.apply(depth, confidence, cam2world, cameras[1:])
