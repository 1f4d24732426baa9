"""Masks for systems that have cameras and depth alone: flow against what these explain."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import easi3r
from easi3r import Options, spans, synthetic, video
from easi3r.backbones.base import FramePrediction
from easi3r.backbones.preview import PreviewNetwork
from easi3r.benchmark.rendered import turn_errors
from easi3r.camera import Camera, pose
from easi3r.flow import pixel_grid
from easi3r.metrics import jaccard
from easi3r.motion.evidence import Evidence
from easi3r.motion.rigid_residual import residual, rigid_evidence
from easi3r.scoring import place_in_source
from easi3r.system import registry
from easi3r.system.sequence import Sequence

VIDEO = Path(__file__).parents[2] / "shared" / "video" / "davis"
CAMERA = Camera.centred(100.0, 96, 64)


def wall(shift, turn=0.0):
    """A slanted wall's depth (64,96), its motion into a camera that is shifted and turned, and where its pixels go."""
    depth = np.float32(4 + pixel_grid(64, 96)[..., 0] / 48)
    relative = pose(cv2.Rodrigues(np.array([0.0, turn, 0.0]))[0], shift)
    points = CAMERA.unproject(depth) @ relative[:3, :3].T + relative[:3, 3]
    return depth, relative, CAMERA.project(points)[0].astype(np.float32)


def test_a_rigid_scene_has_no_residual_also_if_cameras_and_depth_are_a_little_wrong():
    depth, relative, target = wall([0.3, 0, 0.1], 0.02)
    everywhere = np.ones(depth.shape, bool)
    value, place, wrong = residual(depth, CAMERA, CAMERA, relative, target, everywhere)
    assert value.max() < 1e-3 and np.abs(place - target).max() < 1e-3 and wrong < 1e-3
    _, turned, _ = wall([0.3, 0, 0.1], 0.03)  # by half a degree
    value, _, wrong = residual(1.05 * depth, CAMERA, CAMERA, turned, target, everywhere)
    assert value.max() < 0.5 and 0.5 < wrong < 2


@pytest.mark.parametrize(("way", "least"), [([0, 3], 4), ([-8, 0], 4)])  # pixels across and along the parallax
def test_what_goes_its_own_way_has_one(way, least):
    depth, relative, target = wall([0.3, 0, 0])
    target[20:40, 30:50] += np.float32(way)
    value, place, _ = residual(depth, CAMERA, CAMERA, relative, target, np.ones(depth.shape, bool))
    assert value[20:40, 30:50].min() > least and value[:10].max() < 0.2
    assert np.linalg.norm(place - target, axis=-1)[30, 40] > 2


@pytest.fixture(scope="module")
def clip():
    return synthetic.render("room", 8, 160, 96)


class Knowing:
    """A network with cameras of its own that knows the truth of a clip, in another world."""

    name, patch, device, info = "knowing", 16, "cpu", {"weights": "none", "hash": "0"}

    def __init__(self, clip, turned=0.0):
        self.max_side = clip.depth.shape[2]
        self.clip, self.turned = clip, turned  # by how many degrees cameras are wrong, the even ones to one side

    def predict(self, frames, progress=None, world=True):
        camera = Camera(self.clip.intrinsics, (frames.shape[2], frames.shape[1]))
        elsewhere = pose(np.diag([1.0, -1.0, -1.0]), [1.0, 2.0, 3.0])
        for t, (matrix, depth) in enumerate(zip(self.clip.cam2world, self.clip.depth)):
            wrong = cv2.Rodrigues(np.radians([0.0, self.turned * (-1) ** t, 0.0]))[0]
            points, certain = camera.unproject(depth), np.full(depth.shape, 3, np.float32)
            yield FramePrediction(elsewhere @ matrix @ pose(wrong, [0, 0, 0]), self.clip.intrinsics, points, certain)


def run(clip, turned=0.0, **options):
    system = Sequence(registry.row_of("cut3r").card, Knowing(clip, turned))
    return easi3r.reconstruct(clip.frames, system, Options(**options))


def test_a_system_without_masks_gets_them_if_asked(clip):
    assert not run(clip).dynamic.any()
    result = run(clip, flow_masks=True)
    assert np.mean(jaccard(result.dynamic, clip.dynamic)) > 0.6
    assert {"rigid", "epipolar_mean", "fused"} <= set(result.evidence)
    assert result.info["seconds"]["masks"] > 0
    given = np.zeros(clip.dynamic.shape, bool)
    system = Sequence(registry.row_of("cut3r").card, Knowing(clip))
    assert not easi3r.reconstruct(clip.frames, system, Options(flow_masks=True), given).dynamic.any()


def test_nothing_moves_where_nothing_moves_and_wrong_cameras_are_put_right():
    still = synthetic.render("street", 8, 224, 128, moving=False)
    as_found, refined = (run(still, 0.5, flow_masks=True, flow=flow) for flow in (False, True))
    assert as_found.dynamic.mean() < 0.02 and refined.dynamic.mean() < 0.02
    before, after = (turn_errors(result.cam2world, still.cam2world).max() for result in (as_found, refined))
    assert before > 0.9 and after < 0.15
    assert np.median(refined.depth / still.depth) == pytest.approx(1, abs=0.1)


def test_a_long_clip_is_looked_at_in_windows_and_its_cameras_are_put_right_as_one(monkeypatch):
    clip = synthetic.render("street", 14, 160, 96)
    for name, value in {"AT_ONCE": 10, "LENGTH": 10, "SHARED": 6}.items():
        monkeypatch.setattr(spans, name, value)
    told = []
    system = Sequence(registry.row_of("cut3r").card, Knowing(clip, 0.5))
    result = easi3r.reconstruct(clip.frames, system, Options(flow_masks=True), progress=lambda *now: told.append(now))
    assert "Outlining what moves (part 2 of 2)" in [text for _, text in told]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert np.mean(jaccard(result.dynamic, clip.dynamic)) > 0.5  # .564, at once .566
    assert turn_errors(result.cam2world, clip.cam2world).max() < 0.4  # degrees; .26, at once .31, as they were .95


def test_where_depth_is_unknown_the_epipolar_evidence_decides(clip):
    shape = clip.depth.shape  # evidence is kept for every pixel of a picture as small as this
    values = np.random.default_rng(0).random(shape, np.float32)
    known = Evidence({}, np.zeros((shape[0], 6, 10), np.float32), values, np.ones(shape, np.float32))
    network = PreviewNetwork()
    flows = network.flows(network.encode(clip.frames), [(i, i + 1) for i in range(shape[0] - 1)])
    geometry = clip.cam2world, np.repeat(clip.intrinsics[None], shape[0], axis=0)
    confidence = np.ones(shape, np.float32)
    confidence[:, 48:] = 2
    fused, _ = rigid_evidence(known, clip.frames, flows, clip.depth, confidence, *geometry)
    assert np.allclose(fused.pixels[:, :48], values[:, :48], atol=1e-5)
    assert np.abs(fused.pixels[:, 48:] - values[:, 48:]).mean() > 0.1


def test_one_frame_has_no_masks(clip):
    one = replace(clip, frames=clip.frames[:1], depth=clip.depth[:1], cam2world=clip.cam2world[:1])
    system = Sequence(registry.row_of("cut3r").card, Knowing(one))
    assert not easi3r.reconstruct(video.read(one.frames, 1, 160, 16), system, Options(flow_masks=True)).dynamic.any()


def test_more_frames_of_a_clip_show_as_much_as_few_do():
    """Of all 52 frames of people who cross a road, neighbours show none of them: J was .002, of 24 frames .652."""
    if not VIDEO.is_dir():
        pytest.skip("the real clips (../shared/video) are not here")
    clip = video.read(VIDEO / "crossing.mp4", 0, 192, 16)
    packed = np.load(VIDEO / "crossing_masks.npz")
    true = np.unpackbits(packed["gt"], axis=-1)[..., : packed["shape"][2]].astype(bool)
    count, height, width = clip.frames.shape[:3]
    stands = SimpleNamespace(
        depth=np.ones((count, height, width), np.float32),
        cam2world=np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=Camera.centred(width, width, height).intrinsics,
    )
    system = Sequence(registry.row_of("cut3r").card, Knowing(stands))
    result = easi3r.reconstruct(clip, system, Options(max_frames=0, flow_masks=True))
    assert np.mean(jaccard(place_in_source(result.dynamic, result.framing), true[clip.positions])) > 0.6
