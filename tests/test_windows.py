"""Clips that are solved in windows, by a system that knows the truth up to what a window does not tell, and drifts."""

import errno
import itertools
import os
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import easi3r
from easi3r import large, spans, video
from easi3r.camera import Camera, focal_of, pose
from easi3r.metrics import trajectory_errors
from easi3r.motion import Motion
from easi3r.own_masks import OwnMasks
from easi3r.reconstruction import Masked
from easi3r.system.base import Estimate, Part
from easi3r.system.steps import FLAT, GUESSED, turning_sentence
from easi3r.windows import between

WIDTH, HEIGHT, ROOM = 64, 48, 3.0
CAMERA = Camera.centred(0.8 * WIDTH, WIDTH, HEIGHT)


class Clip:
    """Frames, cameras and depth of someone who walks in a round room and looks at its wall.

    turns: how often they walk round, so far `away` from the middle; again: how often the picture on the wall repeats.
    """

    def __init__(self, n_frames, turns=1.0, again=1, away=1.0):
        random = np.random.default_rng(0)
        wall = random.normal(size=(40, 240 // again))
        wall = np.tile(np.fft.irfft2(np.fft.rfft2(wall) * _smooth(wall.shape), wall.shape), again)
        wall = (wall - wall.min()) / np.ptp(wall) * 255
        self.frames, self.depth, self.cam2world = [], [], []
        for angle in np.linspace(0, 2 * np.pi * turns, n_frames):
            place = [away * np.sin(angle), 0, away * np.cos(angle)]
            matrix = pose(Rotation.from_euler("y", angle).as_matrix(), place)
            rays = CAMERA.rays() @ matrix[:3, :3].T
            a, b = (rays[..., [0, 2]] ** 2).sum(-1), (rays[..., [0, 2]] * matrix[[0, 2], 3]).sum(-1)
            depth = (-b + np.sqrt(b**2 - a * (1 - ROOM**2))) / a
            hit = matrix[:3, 3] + depth[..., None] * rays
            column = np.arctan2(hit[..., 0], hit[..., 2]) / (2 * np.pi) * wall.shape[1] % wall.shape[1]
            row = (hit[..., 1] / 5 + 0.5).clip(0, 0.999) * (len(wall) - 1)
            shade = _between(wall, row, column)
            self.frames.append(np.repeat(shade[..., None], 3, axis=-1).astype(np.uint8))
            self.depth.append(depth.astype(np.float32))
            self.cam2world.append(matrix)
        self.frames, self.depth, self.cam2world = map(np.array, (self.frames, self.depth, self.cam2world))
        self.video = video.read(self.frames, 0, WIDTH, 8)


def _smooth(shape):
    return np.exp(-(np.add.outer(np.fft.fftfreq(shape[0]) ** 2, np.fft.rfftfreq(shape[1]) ** 2)) * 60)


def _between(wall, row, column):
    r, c = row.astype(int), column.astype(int) % wall.shape[1]
    y, x, right = row - r, column - np.floor(column), (c + 1) % wall.shape[1]
    upper, lower = (wall[k, c] * (1 - x) + wall[k, right] * x for k in (r, r + 1))
    return upper * (1 - y) + lower * y


class Drifting:
    """Each window in a world and a unit of its own, which drift."""

    name = note = "drifting"
    card = SimpleNamespace(name="drifting", weights=None, label="drifting")
    network = SimpleNamespace(info={})
    patch, max_side, device, in_windows = 8, WIDTH, "cpu", True

    def __init__(self, clip, stop_at=10**9):
        self.clip, self.stop_at, self.solved = clip, stop_at, []

    def run(self, video, options, masks=None, progress=None):
        numbers = video.positions
        if len(self.solved) == self.stop_at:
            raise KeyboardInterrupt
        self.solved.append(len(numbers))
        random = np.random.default_rng(int(numbers[0]) + 7 * len(numbers))
        unit, n = np.exp(random.normal() * 0.3), len(numbers)
        turn = Rotation.from_rotvec(np.cumsum(random.normal(size=(n, 3)) * 0.001, axis=0)).as_matrix()
        cameras = self.clip.cam2world[numbers].copy()
        cameras[:, :3, :3] = turn @ cameras[:, :3, :3]
        cameras = np.linalg.inv(cameras[0]) @ cameras
        cameras[:, :3, 3] *= unit
        depth = self.clip.depth[numbers] * np.float32(unit) * np.exp(random.normal(size=(n, 1, 1)) * 0.01)
        depth = depth.astype(np.float32)
        moving = np.zeros(depth.shape, bool)
        intrinsics = np.tile(CAMERA.intrinsics, (n, 1, 1))
        motion = Motion(moving, moving.astype(np.float32), {})
        return Estimate(cameras, intrinsics, depth, np.ones_like(depth), motion, ("Said once.",), {"seconds": {}})


@pytest.fixture(scope="module")
def walk():
    return Clip(240)


def solve(clip, system, resume=None):
    return easi3r.reconstruct(clip.video, system, easi3r.Options(max_frames="all"), resume=resume)


def path_of(clip):
    return np.linalg.norm(np.diff(clip.cam2world[:, :3, 3], axis=0), axis=1).sum()


def test_windows_become_one_world_that_closes_where_the_clip_returns(walk):
    result = solve(walk, Drifting(walk))
    path = path_of(walk)
    assert result.info["windows"] == 7 and result.info["frames"] == 240
    assert result.info["warnings"].count("Said once.") == 1
    assert any(i < 48 and j > 190 for i, j in result.info["seen_again"])
    assert trajectory_errors(result.cam2world, walk.cam2world)["ate"] < 0.01 * path
    unit = np.median(walk.depth / result.depth)
    assert np.linalg.norm(result.cam2world[-1, :3, 3]) * unit < 0.005 * path
    assert np.allclose(result.cam2world[0], np.eye(4))
    ratio = result.depth * unit / walk.depth
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.08


def test_a_focal_that_nobody_could_give_ends_no_run(walk):
    class Wide(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found = super().run(video, options, masks, progress)
            wide = Camera.centred(0.03 * WIDTH, WIDTH, HEIGHT).intrinsics
            return replace(found, intrinsics=np.tile(wide, (len(found.depth), 1, 1)))

    assert solve(walk, Wide(walk)).info["windows"] == 7


@pytest.mark.parametrize("agree", [True, False])
def test_frames_further_apart_tell_the_focal_that_neighbours_do_not(walk, agree):
    class Unsure(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found, stride = super().run(video, options, masks, progress), np.diff(video.positions).max()
            focal = (2.0 if stride <= 3 else 0.8 if agree or video.positions[0] else 0.5) * WIDTH
            if options.fov is not None:
                focal = focal_of(options.fov, WIDTH)
            of_all = np.tile(Camera.centred(focal, WIDTH, HEIGHT).intrinsics, (len(found.depth), 1, 1))
            told = "given" if options.fov is not None else "estimated" if stride > 3 else "assumed"
            return replace(found, intrinsics=of_all, info={"seconds": {}, "backbone": {"focal": told}})

    long = Clip(300)
    found = solve(long, Unsure(long))
    assert np.allclose(found.intrinsics[:, 0, 0], (0.8 if agree else 2.0) * WIDTH, rtol=1e-3)
    assert found.info["backbone"]["focal"] == ("estimated" if agree else "assumed")
    given = easi3r.reconstruct(long.video, Unsure(long), easi3r.Options(max_frames=0, fov=60))
    assert given.info["backbone"]["focal"] == "given"


@pytest.mark.parametrize("agree", [True, False])
def test_windows_that_contradict_each_other_about_the_focal_do_not_tell_it(agree):
    class Contradicting(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found, stride = super().run(video, options, masks, progress), np.diff(video.positions).max()
            near = 1.0 + video.positions[0] / 250
            focal = WIDTH * (near if stride == 1 else 0.8 if agree or video.positions[0] else 0.5)
            if options.fov is not None:
                focal = focal_of(options.fov, WIDTH)
            of_all = np.tile(Camera.centred(focal, WIDTH, HEIGHT).intrinsics, (len(found.depth), 1, 1))
            return replace(found, intrinsics=of_all, info={"seconds": {}, "backbone": {"focal": "estimated"}})

    long = Clip(300)
    result = solve(long, Contradicting(long))
    said = [text for text in result.info["warnings"] if "disagree about the field of view (28 to 53 degrees)" in text]
    assert len(said) == (not agree)
    assert np.allclose(result.intrinsics[:, 0, 0], WIDTH * (0.8 if agree else 1.5), rtol=0.02)


def test_a_part_in_which_the_camera_stands_but_for_a_few_steps_does_not_tell_how_large_the_scene_is(walk):
    class Standing(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found = super().run(video, options, masks, progress)
            if 50 < video.positions[0] < 100:
                found.cam2world[:-4, :3, 3] = 0
            return found

    said = [text for text in solve(walk, Standing(walk)).info["warnings"] if "or stands still" in text]
    assert len(said) == 1 and said[0].startswith("For a part of the clip") and "is a guess" in said[0]


@pytest.mark.parametrize("turns_in_all", [True, False])
def test_what_stands_for_depth_in_some_windows_is_said_once_for_the_clip(walk, turns_in_all):
    class Turning(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found, first = super().run(video, options, masks, progress), video.positions[0]
            if first > 150 and not turns_in_all:
                return found
            cameras = found.cam2world.copy()
            cameras[:, :3, 3] = 0
            said = turning_sentence(GUESSED if first < 100 else FLAT)
            return replace(found, cam2world=cameras, warnings=("Said once.", said))

    said = [text for text in solve(walk, Turning(walk)).info["warnings"] if "only turns" in text]
    assert len(said) == 1 and "guessed from the ground" in said[0] and "shown flat" in said[0]
    assert said[0].startswith("The camera only turns" if turns_in_all else "For a part of the clip")


def test_places_that_only_look_alike_are_not_taken_for_one():
    clip = Clip(144, turns=0.75, again=4)  # sees its picture three times, each time on another part of the wall
    result = solve(clip, Drifting(clip))
    assert result.info["seen_again"] == []
    assert trajectory_errors(result.cam2world, clip.cam2world)["ate"] < 0.03 * path_of(clip)


def test_a_stopped_run_goes_on_where_it_was_and_ends_the_same(walk, tmp_path):
    whole = solve(walk, Drifting(walk))
    with pytest.raises(KeyboardInterrupt):
        solve(walk, Drifting(walk, stop_at=5), tmp_path)
    kept = sorted(tmp_path.glob("*.npz"))
    assert len(kept) == 5 and not [path for path in tmp_path.iterdir() if path not in kept]
    kept[0].write_bytes(kept[0].read_bytes()[:-1000])  # as a machine that dies may leave it
    system = Drifting(walk)
    again = solve(walk, system, tmp_path)
    every = Drifting(walk)
    solve(walk, every)
    assert len(system.solved) == len(every.solved) - 4
    for name in ("cam2world", "depth", "dynamic", "confidence"):
        assert np.allclose(getattr(again, name), getattr(whole, name), atol=1e-6)
    sized = Drifting(walk)
    options = easi3r.Options(max_frames=0, scale=2)
    large = easi3r.reconstruct(walk.video, sized, options, resume=tmp_path)
    assert not sized.solved and np.allclose(large.depth, 2 * whole.depth, atol=1e-5)
    other = Drifting(walk)
    options = easi3r.Options(max_frames=0, sensitivity=0.6)
    anew = easi3r.reconstruct(walk.video, other, options, resume=tmp_path)
    assert len(other.solved) == len(every.solved)  # what was made with other options is not taken
    said = [[text for text in result.info["warnings"] if "made anew" in text] for result in (anew, again, whole)]
    assert [len(texts) for texts in said] == [1, 1, 0] and "another clip" in said[0][0] and "damaged" in said[1][0]


@pytest.mark.parametrize("n_frames", [100, 240])
def test_progress_rises_and_names_every_part(n_frames):
    class Telling(Drifting):
        def run(self, video, options, masks=None, progress=None):
            progress(0, "Begun")
            progress(1, "Done")
            return super().run(video, options, masks, progress)

    clip, told = Clip(n_frames), []
    options = easi3r.Options(max_frames="all")
    result = easi3r.reconstruct(clip.video, Telling(clip), options, progress=lambda *each: told.append(each))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] <= 1
    parts = result.info["windows"]
    assert {text for _, text in told if "Begun" in text} == {
        f"Begun (part {k} of {parts})" for k in range(1, parts + 1)
    }


class OnAGpu(Drifting):
    """Windows after the first are solved only two at a time, but for the last one."""

    device = "cuda"

    def __init__(self, clip, wrong_at=10**9):
        super().__init__(clip)
        self.both, self.wrong_at, self.by = threading.Barrier(2), wrong_at, []

    def run(self, video, options, masks=None, progress=None):
        number = len(self.by)
        self.by.append(threading.get_ident())
        if 1 <= number <= 6:  # the middle and the last window, which tell the focal, then the four others
            self.both.wait(timeout=30)
        if number >= self.wrong_at:
            self.until_ended(progress)
        progress(1, "Solving cameras")
        return super().run(video, options, masks, progress)

    @staticmethod
    def until_ended(progress):
        deadline = time.time() + 30
        while time.time() < deadline:
            progress(0.5, "Solving cameras")
            time.sleep(0.01)


def test_where_there_is_a_gpu_the_next_window_begins_while_the_last_is_solved(walk):
    system, told = OnAGpu(walk), []
    result = easi3r.reconstruct(
        walk.video,
        system,
        easi3r.Options(max_frames=0),
        progress=lambda *said: told.append((*said, threading.get_ident())),
    )
    plain = solve(walk, Drifting(walk))
    assert np.array_equal(result.cam2world, plain.cam2world) and np.array_equal(result.depth, plain.depth)
    assert len(set(system.by)) > 1 and {said[2] for said in told} == {threading.get_ident()}


def test_what_ends_one_window_ends_the_one_begun_beside_it(walk):
    def cancel(fraction, text):
        if "part 2" in text:
            raise KeyboardInterrupt

    system = OnAGpu(walk, wrong_at=3)
    began = time.time()
    with pytest.raises(KeyboardInterrupt):
        easi3r.reconstruct(walk.video, system, easi3r.Options(max_frames=0), progress=cancel)
    assert len(system.by) == 5 and time.time() - began < 20


def test_the_first_window_can_be_seen_while_the_rest_is_computed(walk):
    seen = list(easi3r.pipeline.stages(walk.video, Drifting(walk), easi3r.Options(max_frames=0)))
    assert [len(stage.frames) for stage in seen] == [48, 240]
    assert seen[0].coarse and not seen[-1].coarse and not isinstance(seen[0], Masked)


@pytest.fixture(scope="module")
def slow():
    """As `walk`, of someone who goes so slowly that not every frame is solved, past a ball that rolls the other way."""
    clip = Clip(200, turns=0.15)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    random = np.random.default_rng(1)
    pattern = cv2.GaussianBlur(random.uniform(0, 255, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    pattern = np.clip((pattern - 127) * 4 + 127, 0, 255)
    clip.moving = np.zeros(clip.depth.shape, bool)
    for t, (frame, moving) in enumerate(zip(clip.frames, clip.moving)):
        middle = 50 - 0.18 * t
        moving[:] = (u - middle) ** 2 + (v - 30) ** 2 < 64
        there = cv2.warpAffine(pattern, np.float32([[1, 0, -0.18 * t], [0, 1, 0]]), (WIDTH, HEIGHT))
        frame[moving] = there[moving, None]
        clip.depth[t][moving] = 1.0
    clip.video = video.read(clip.frames, 0, WIDTH, 8)
    return clip


class Exact(Drifting):
    """Knows the cameras up to a unit, depth, and what moves."""

    def run(self, video, options, masks=None, progress=None):
        numbers, clip = video.positions, self.clip
        found = super().run(video, options, masks, progress)
        cameras = np.linalg.inv(clip.cam2world[numbers[0]]) @ clip.cam2world[numbers]
        moving = clip.moving[numbers]
        values, fused = moving.astype(np.float32), moving[:, 4::8, 4::8].astype(np.float32)
        motion = Motion(moving, values, {"fused": fused})
        return replace(found, cam2world=cameras, depth=clip.depth[numbers], motion=motion)


def test_of_a_slow_clip_some_frames_are_solved_and_the_others_follow(slow):
    system, told = Exact(slow), []
    options = easi3r.Options(max_frames=0)
    stages = list(easi3r.pipeline.stages(slow.video, system, options, progress=lambda *each: told.append(each)))
    result = stages[-1]
    solved = result.info["solved"]
    assert system.solved == [solved] == [67] and result.info["frames"] == len(result.frames) == 200
    assert [len(stage.frames) for stage in stages] == [67, 200]
    assert stages[0].coarse and stages[0].timestamps[-1] == result.timestamps[-1]
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and "Following the frames between: 133 of 133" in {text for _, text in told}
    true = np.linalg.inv(slow.cam2world[0]) @ slow.cam2world
    off = np.linalg.norm(result.cam2world[:, :3, 3] - true[:, :3, 3], axis=1) / path_of(slow)
    assert off.mean() < 0.005 and off.max() < 0.02  # the wall is a blur
    still = ~slow.moving & ~result.dynamic & (result.confidence > 0)
    assert still.mean() > 0.8 and np.quantile(np.abs(result.depth / slow.depth - 1)[still], 0.95) < 0.02
    both, either = (f(slow.moving, result.dynamic).sum(axis=(1, 2)) for f in (np.logical_and, np.logical_or))
    assert (both / either).min() > 0.9
    assert np.median(result.depth[slow.moving & result.dynamic]) == pytest.approx(1, rel=0.02)
    assert result.evidence["fused"].shape == (200, HEIGHT // 8, WIDTH // 8)


def test_a_frame_between_that_shows_something_else_is_where_its_neighbours_are(slow):
    frames = slow.frames.copy()
    frames[[90, 121]] = np.random.default_rng(0).integers(0, 255, (2, HEIGHT, WIDTH, 1), np.uint8)
    numbers = np.linspace(0, 199, 50).round().astype(int)
    assert not np.isin([90, 121], numbers).any()
    known = Exact(slow).run(SimpleNamespace(positions=numbers), None)
    given = OwnMasks(np.zeros(slow.moving.shape, bool), np.zeros(200, bool), ())
    found = between.filled(frames, Part(known, numbers), given, lambda *_: None)
    true = np.linalg.inv(slow.cam2world[0]) @ slow.cam2world
    for t in (90, 121):
        assert np.linalg.norm(found.cam2world[t, :3, 3] - true[t, :3, 3]) < 0.02 * path_of(slow)
        assert (
            np.median(found.depth[t] / slow.depth[t]) == pytest.approx(1, abs=0.1) and found.confidence[t].mean() < 0.1
        )


def test_frames_between_turn_with_a_camera_that_only_turns(slow):
    class Turning(Exact):
        def run(self, video, options, masks=None, progress=None):
            found = super().run(video, options, masks, progress)
            found.cam2world[:, :3, 3] = 0
            return replace(found, depth=np.full_like(found.depth, 50))

    turning = Clip(200, turns=0.15, away=0)
    turning.moving = np.zeros(turning.depth.shape, bool)
    result = solve(turning, Turning(turning))
    true = np.linalg.inv(turning.cam2world[0]) @ turning.cam2world
    assert result.info["solved"] == 67 and not result.cam2world[:, :3, 3].any()
    off = Rotation.from_matrix(np.swapaxes(true[:, :3, :3], 1, 2) @ result.cam2world[:, :3, :3]).magnitude()
    assert np.degrees(off.max()) < 0.2 and np.allclose(result.depth, 50, rtol=0.02)


def test_masks_of_the_user_and_black_frames_of_a_slow_clip_stay_where_they_are(slow):
    frames = slow.frames.copy()
    frames[101:103] = 0

    class Masked(Exact):
        def run(self, video, options, masks=None, progress=None):
            found = super().run(video, options, masks, progress)
            return replace(found, motion=found.motion.with_masks(masks.over(found.motion.dynamic)))

    own = OwnMasks(np.zeros(frames.shape[:3], bool), np.isin(np.arange(200), [30, 150]), ())
    own.masks[30, 10:20, 10:20] = True
    result = easi3r.reconstruct(frames, Masked(slow), easi3r.Options(max_frames=0), masks=own)
    assert result.info["frames_left_out"] == [101, 102] and len(result.frames) == 200
    assert (result.dynamic[[30, 150]] == own.masks[[30, 150]]).all()
    assert (result.confidence[101:103] == 0).all() and not result.dynamic[101:103].any()
    assert result.dynamic[[29, 31, 149, 151]].any(axis=(1, 2)).all()


def test_short_clips_and_systems_that_need_none_have_no_windows(walk):
    system = Drifting(walk)
    short = easi3r.reconstruct(walk.frames, system, easi3r.Options(max_frames=96))
    assert system.solved == [96] and "windows" not in short.info
    system = Drifting(walk)
    system.in_windows = False
    solve(walk, system)
    assert system.solved == [240]


def test_the_users_masks_and_black_frames_find_their_windows(walk):
    frames = walk.frames.copy()
    frames[100:104] = 0
    masks = np.zeros(frames.shape[:3], bool)
    masks[:, 10:20, 10:20] = True

    class Masked(Drifting):
        def run(self, video, options, masks=None, progress=None):
            found = super().run(video, options, masks, progress)
            moving = masks.over(found.motion.dynamic)
            return Estimate(**{**vars(found), "motion": Motion(moving, found.motion.values, {})})

    options = easi3r.Options(max_frames=0)
    result = easi3r.reconstruct(frames, Masked(walk), options, masks=masks)
    assert len(result.frames) == 240 and result.info["frames_left_out"] == [100, 101, 102, 103]
    assert (result.dynamic == masks).all()
    assert (result.confidence[100:104] == 0).all() and (result.confidence[99] > 0).any()


def test_large_arrays_lie_on_the_disk_and_a_full_one_gets_a_sentence(walk, monkeypatch):
    monkeypatch.setattr(large, "IN_MEMORY", 1 << 16)
    before = set(os.listdir(os.environ["TMPDIR"]))
    result = easi3r.reconstruct(walk.frames, Drifting(walk), easi3r.Options(max_frames=0))
    assert not result.depth.flags.owndata and not result.frames.flags.owndata
    assert set(os.listdir(os.environ["TMPDIR"])) == before
    plain = np.array(result.depth)
    large.give_back([result.depth])
    assert (result.depth == plain).all()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(easi3r.InputError, match="There is no room for 0.00 GB of results"):
        solve(walk, Drifting(walk))


def test_a_folder_that_cannot_be_written_to_gets_a_sentence(walk, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(easi3r.InputError, match="cannot be kept in"):
        solve(walk, Drifting(walk), tmp_path / "file" / "folder")


@pytest.mark.parametrize("n_frames", [97, 98, 112, 113, 300, 1000, 4999])
def test_windows_cover_every_frame_once_and_share_some(n_frames):
    windows = spans.spans_of(n_frames)
    assert [t for span in windows for t in range(span.owned, span.until)] == list(range(n_frames))
    assert all(span.begin <= span.owned < span.until <= span.end <= n_frames for span in windows)
    assert min(before.end - after.begin for before, after in itertools.pairwise(windows)) >= 15


def test_every_frame_can_be_asked_for():
    assert easi3r.Options(max_frames="all").max_frames == easi3r.Options(max_frames=0).max_frames == 0
    assert easi3r.Options(max_frames=5000).max_frames == 5000
    with pytest.raises(easi3r.InputError, match="0 to 5000"):
        easi3r.Options(max_frames=5001)
    with pytest.raises(easi3r.InputError):
        easi3r.Options(max_frames="many")
