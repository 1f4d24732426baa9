"""Cameras, focal and depth from flow that is known exactly, and what the check says of good and bad results."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from easi3r import agreement, synthetic
from easi3r.bundle.adjust import State, adjust, explained
from easi3r.bundle.depth import frame_depth
from easi3r.bundle.observations import observe
from easi3r.camera import Camera, invert, transform
from easi3r.flow import Flow, inside
from easi3r.metrics import trajectory_errors
from easi3r.threads import workers

T, W, H = 6, 160, 96


@pytest.fixture(scope="module")
def clip():
    return synthetic.render("room", T, W, H, seconds=1.0, movers=False)


@pytest.fixture(scope="module")
def flows(clip):
    """Of all pairs up to three frames apart, from the truth."""
    camera = Camera(clip.intrinsics, (W, H))
    found = {}
    for i in range(T):
        for j in range(max(0, i - 3), min(T, i + 4)):
            if i != j:
                points = transform(invert(clip.cam2world[j]) @ clip.cam2world[i], camera.unproject(clip.depth[i]))
                target = camera.project(points)[0].astype(np.float32)
                found[i, j] = Flow(target, inside(target, H, W), np.zeros((H, W), np.float32))
    return found


def wrong_start(clip, seen, focal_error=1.2):
    """The truth with noisy depth, poses half as far apart, and another focal."""
    rng = np.random.default_rng(0)
    poses = clip.cam2world.copy()
    poses[:, :3, 3] *= 0.5
    depth = clip.depth[np.ix_(range(T), seen.rows, seen.columns)].reshape(T, -1)
    return State(invert(poses), 1 / (depth * rng.uniform(0.7, 1.4, depth.shape)), focal_error * clip.intrinsics[0, 0])


def test_exact_flow_gives_the_true_cameras_focal_and_depth(clip, flows):
    still = np.zeros((T, H, W), bool)
    seen = observe(flows, still)
    start = wrong_start(clip, seen)
    with workers() as pool:
        solved = adjust(seen, start, pool)
    assert explained(seen, start) < 0.9 and explained(seen, solved.state) > 0.999
    path = trajectory_errors(solved.state.cam2world, clip.cam2world)
    assert path["ate"] < 0.003 * path["path"] and path["rre_mean"] < 0.1
    assert solved.state.focal == pytest.approx(clip.intrinsics[0, 0], rel=0.04)  # it began 20 % off
    grey = clip.frames[2][..., 1]
    depth, confidence = frame_depth(flows, seen, solved.state, 2, grey, still)
    ratio = depth / clip.depth[2]
    assert np.abs(ratio / np.median(ratio) - 1).mean() < 0.03 and confidence.min() >= 1


def test_a_given_focal_is_kept_and_moving_pixels_have_no_say(clip, flows):
    moving = np.zeros((T, H, W), bool)
    moving[:, 30:60, 40:90] = True
    lies = {
        pair: replace(f, target=np.where(moving[pair[0]][..., None], f.target + 25, f.target).astype(np.float32))
        for pair, f in flows.items()
    }
    seen = observe(lies, moving)
    with workers() as pool:
        solved = adjust(seen, wrong_start(clip, seen, 1.0), pool, focal_known=True)
    assert solved.state.focal == clip.intrinsics[0, 0]
    assert trajectory_errors(solved.state.cam2world, clip.cam2world)["rre_mean"] < 0.02


def test_zooming_frames_share_one_focal(clip, flows):
    zoom = np.linspace(1, 1.5, T)
    centre = np.array([W / 2, H / 2])
    zoomed = {}
    for (i, j), flow in flows.items():
        # frame i is enlarged too: what is at a pixel there was nearer to the centre before
        grid = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1)
        source = centre + (grid - centre) / zoom[i]
        column, row = np.rint(source).astype(int).transpose(2, 0, 1).clip(0, [[[W - 1]], [[H - 1]]])
        target = centre + (flow.target[row, column] + (source - np.stack([column, row], -1)) - centre) * zoom[j]
        zoomed[i, j] = Flow(target.astype(np.float32), inside(target, H, W), flow.error)
    seen = observe(zoomed, np.zeros((T, H, W), bool), zoom)
    with workers() as pool:
        solved = adjust(seen, wrong_start(clip, seen, 1.0), pool)
    assert solved.state.focal == pytest.approx(clip.intrinsics[0, 0], rel=0.05)


def test_the_check_tells_good_results_from_bad_ones(clip):
    true = clip.frames, clip.depth, clip.cam2world, np.repeat(clip.intrinsics[None], T, 0), clip.dynamic
    good = agreement.check(*true)
    assert min(good.agreement.values()) > 0.9 and good.jumps == 0 and good.behind == 0 and not good.warnings
    frames, depth, cam2world, intrinsics, moving = true
    jumping = depth * np.exp(np.arange(T) % 2)[:, None, None]
    assert agreement.check(frames, jumping, cam2world, intrinsics, moving).jumps == 1
    still = agreement.check(frames, depth, np.tile(np.eye(4), (T, 1, 1)), intrinsics, moving)
    assert min(still.agreement.values()) < 0.5 and "wrong" in still.warnings[0]
    turned = cam2world.copy()
    turned[1::2] = turned[1::2] @ np.diag([-1, 1, -1, 1])
    assert agreement.check(frames, depth, turned, intrinsics, moving).behind > 0.5


@pytest.mark.parametrize(
    "agreement_of, masked, said",
    [
        (0.02, True, "wrong: neither the 3D view nor the masks"),
        (0.02, False, "wrong: neither the 3D view nor the masks"),
        (0.4, True, "do not rely on the 3D view, and check the masks."),
        (0.4, False, "wrong in places: do not rely on the 3D view."),
        (0.7, True, "are rough"),
    ],
)
def test_the_check_says_what_can_be_relied_on(agreement_of, masked, said):
    (sentence,) = agreement.Check({1: 0.95, 4: agreement_of}, 0.0, 0.0, masked).warnings
    assert said in sentence and f"{agreement_of:.0%}" in sentence


def test_frames_that_lie_too_far_apart_are_said(clip):
    far = clip.frames.copy()
    far[1::2] = far[1::2, ::-1, ::-1]  # nothing is where it was
    found = agreement.check(far, clip.depth, clip.cam2world, np.repeat(clip.intrinsics[None], T, 0), clip.dynamic)
    assert found.followed < 0.5 and "far apart" in found.warnings[-1] and "more frames" in found.warnings[-1]
    assert found.report()["followed"] == pytest.approx(found.followed, abs=1e-4)


def test_a_photo_that_is_panned_is_called_flat():
    photo = cv2.resize(np.random.default_rng(0).integers(0, 255, (16, 30, 3), np.uint8), (240, 128))
    frames = np.stack([photo[2 * t :, 4 * t :][:H, :W] for t in range(T)])
    camera, cam2world = Camera.centred(100, W, H), np.tile(np.eye(4), (T, 1, 1))
    cam2world[:, :2, 3] = np.outer(np.arange(T), [0.04, 0.02])
    intrinsics, ones = np.repeat(camera.intrinsics[None], T, 0), np.ones((T, H, W), np.float32)
    found = agreement.check(frames, ones, cam2world, intrinsics, ones > 1)
    (sentence,) = found.warnings
    assert "in one plane" in sentence and found.report()["flat"] == 1


def test_the_check_says_when_there_is_nothing_to_go_by():
    blank = np.full((3, 48, 64, 3), 128, np.uint8)
    everything = np.ones((3, 48, 64), bool)
    result = agreement.check(
        blank, np.ones((3, 48, 64)), np.tile(np.eye(4), (3, 1, 1)), np.tile(np.eye(3), (3, 1, 1)), everything
    )
    assert "Too little" in result.warnings[0] and result.report()["agreement_gap_1"] is None
