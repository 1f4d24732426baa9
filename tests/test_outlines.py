"""Outlines of what moves, from the evidence of the preview: where they lie, where there must be none."""

import numpy as np
import pytest

import easi3r
from easi3r import pairs, synthetic
from easi3r.camera import Camera
from easi3r.metrics import jaccard
from easi3r.motion import Evidence, Volume, cluster, outline_pixels
from easi3r.motion.background import against_background
from easi3r.motion.epipolar import epipolar_evidence

T, W, H = 8, 224, 128


def look(frames):
    """What the preview knows before it outlines: evidence and the volume."""
    network = easi3r.load_system("preview").network
    features = network.encode(frames)
    flows = network.flows(features, pairs.build(len(frames)))
    return epipolar_evidence(frames, flows, features.grid), Volume(frames, flows)


def outlines(frames, **options):
    return outline_pixels(*look(frames), **options)


@pytest.fixture(scope="module")
def room():
    return synthetic.render("room", T, W, H, seconds=0.8)


@pytest.fixture(scope="module")
def seen(room):
    return look(room.frames)


def test_tensors_which_are_for_a_gpu_are_told_apart_as_well_as_by_scikit_learn():
    random = np.random.default_rng(0)
    kinds = random.normal(size=(80, 16))
    tokens = (kinds[random.integers(0, 80, (6, 12, 16))] + 0.3 * random.normal(size=(6, 12, 16, 16))).astype(np.float32)

    def spread(labels):  # within what looks alike
        return sum(((part - part.mean(0)) ** 2).sum() for k in range(64) if len(part := tokens[labels == k]))

    here, there = cluster(tokens), cluster(tokens, "cpu:0")
    assert there.shape == here.shape and there.dtype == np.uint8
    assert spread(there) == pytest.approx(spread(here), rel=0.05)
    two = np.zeros((2, 3, 4, 5), np.float32)
    two[1] = 1  # fewer kinds than clusters
    assert len(set(np.unique(cluster(two, "cpu:0")[0])) & set(np.unique(cluster(two, "cpu:0")[1]))) == 0


def test_outlines_follow_what_moves(room, seen):
    said = []
    motion = outline_pixels(*seen, progress=said.append)
    assert motion.dynamic.shape == motion.values.shape == room.dynamic.shape
    assert motion.dynamic.dtype == bool and motion.values.dtype == np.float32
    assert jaccard(motion.dynamic, room.dynamic).mean() > 0.75
    assert said == sorted(said) and 0 <= said[0] and said[-1] <= 1 and len(said) > 10
    again = outline_pixels(*seen)
    assert np.array_equal(motion.dynamic, again.dynamic) and np.array_equal(motion.values, again.values)


def test_colours_of_the_whole_clip_make_outlines_better(room, seen):
    with_colours, without = (outline_pixels(*seen, refine=refine).dynamic for refine in (True, False))
    assert jaccard(with_colours, room.dynamic).mean() > jaccard(without, room.dynamic).mean() + 0.02


def test_more_sensitive_marks_more(seen):
    shares = [outline_pixels(*seen, sensitivity=s).dynamic.mean() for s in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares) and shares[0] < shares[2]


def dark(frames):
    noise = np.random.default_rng(0).normal(0, 5, frames.shape)
    return np.clip(0.18 * frames + 3 + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("scene", "camera"), [("orbit", "moves"), ("street", "rotates"), ("room", "still")])
def test_nothing_is_marked_where_nothing_moves(scene, camera):
    frames = synthetic.render(scene, 6, 160, 96, seconds=0.6, moving=False, camera=camera).frames
    for clip in (frames, dark(frames)):
        assert outlines(clip).dynamic.mean(axis=(1, 2)).max() < 0.03


def test_frames_without_any_texture_show_nothing():
    assert not outlines(np.full((4, 64, 96, 3), 90, np.uint8)).dynamic.any()


# ---- what hides the background


@pytest.fixture(scope="module")
def crossed():
    """Nine frames of a camera that stands, a pale disc in a new place of each, and the discs (T,H,W) bool."""
    wall = synthetic.render("room", 1, W, H, movers=False).frames[0]
    y, x = np.mgrid[:H, :W]
    discs = np.stack([(x - 30 - 20 * t) ** 2 + (y - 60) ** 2 < 12**2 for t in range(9)])
    noise = np.random.default_rng(0).normal(0, 2, (9, H, W, 3))
    frames = np.where(discs[..., None], 0.4 * wall + 130, wall) + noise
    return frames.clip(0, 255).astype(np.uint8), discs


def compared(frames):
    nothing = Evidence({}, np.zeros((9, 8, 14), np.float32), *np.zeros((2, 9, H, W), np.float32))
    intrinsics = np.repeat(Camera.centred(200.0, W, H).intrinsics[None], 9, axis=0)
    ones, still = np.ones((9, H, W), np.float32), np.zeros((9, H, W), bool)
    return against_background(nothing, frames, ones, np.tile(np.eye(4), (9, 1, 1)), intrinsics, still)


def test_what_hides_the_background_is_found_without_flow(crossed):
    frames, discs = crossed
    found = compared(frames)
    assert jaccard(found.sure > 0.5, discs).mean() > 0.75
    assert (found.sure > 0)[~discs].mean() < 0.01 and found.pixels[discs].mean() > 0.4


def test_a_frame_of_another_exposure_hides_nothing(crossed):
    frames, discs = crossed
    frames = frames.copy()
    frames[4] = (0.7 * frames[4]).astype(np.uint8)
    assert (compared(frames).sure > 0)[~discs].mean() < 0.01


def test_a_frame_of_another_place_is_not_compared(crossed):
    frames = crossed[0].copy()
    frames[4] = frames[4][:, ::-1]
    assert not compared(frames).sure[4].any()
