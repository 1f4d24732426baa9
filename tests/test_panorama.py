"""A camera that only turns: one picture all around, without seams and never left by the viewer."""

from dataclasses import replace

import av
import numpy as np
import pytest
from conftest import analytic_result
from test_opening import seen, sphere

from easi3r.camera import invert
from easi3r.export.opening import find_opening
from easi3r.export.scene import Scene

N = 7


def pan(degrees=60, n_frames=N):
    """Frames of a pattern painted on a sphere, every other one brighter, with an object that hides some of it."""
    result = seen(np.zeros((n_frames, 3)), np.linspace(0, degrees, n_frames), 50, sphere)
    rays = result.cameras[0].rays()
    for t, matrix in enumerate(result.cam2world):
        result.frames[t] = painted(rays @ matrix[:3, :3].T) + (20 if t % 2 else 0)
    result.dynamic[:, 15:35, 40:52] = True
    result.frames[result.dynamic] = (255, 0, 0)
    result.depth[result.dynamic] *= 0.97
    return result


def painted(rays):
    """(H,W,3) uint8 that changes slowly over directions (H,W,3)."""
    longitude = np.arctan2(rays[..., 0], rays[..., 2])
    latitude = np.arctan2(rays[..., 1], np.hypot(rays[..., 0], rays[..., 2]))
    waves = [np.sin(5 * longitude), np.cos(6 * latitude), np.sin(4 * longitude + 3 * latitude)]
    return (120 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_only_a_turning_camera_whose_depth_nobody_measured_is_a_panorama():
    turning = pan()
    assert turning.turns_only and Scene(turning).is_panorama
    walking = analytic_result(6)
    assert not walking.turns_only and not Scene(walking).is_panorama
    with_depth = replace(walking, cam2world=np.repeat(np.eye(4)[None], 6, axis=0))  # a network's, on a tripod
    assert with_depth.turns_only and not Scene(with_depth).is_panorama
    assert not analytic_result(1).turns_only  # nobody knows


def test_frames_that_overlap_agree_and_show_what_the_object_hid():
    result = pan()
    points, colours = Scene(result, cut=0).static_points(100_000)
    truth = painted(points[:, None])[:, 0].astype(int)
    error = colours.astype(int) - truth
    assert not (np.abs(error) > 60).any()  # nothing of the object
    assert -1.5 < error.min(axis=1).mean() and error.max(axis=1).mean() < 20.5
    direction = points / np.linalg.norm(points, axis=1, keepdims=True)
    order = np.argsort(np.arctan2(direction[:, 0], direction[:, 2]))
    steps = np.array([part.mean() for part in np.array_split(error[order].mean(axis=1), 120)])
    assert np.abs(np.diff(steps)).max() < 10  # at a seam of the brighter frames it would be 20
    middle = invert(result.cam2world[0])[:3, :3] @ result.cam2world[0][:3, 2]
    hidden = direction @ middle > 0.995  # where the object stands in the first frame
    assert hidden.sum() > 50


def test_what_moves_keeps_its_colours():
    moving = list(Scene(pan()).moving_points(50_000))
    assert len(moving) == N
    assert all((colours == (255, 0, 0)).all() for _, _, colours, _ in moving)


@pytest.mark.parametrize("degrees", [0, 60, 250])
def test_it_is_looked_at_from_inside_the_sphere(degrees):
    result = pan(degrees, 24 if degrees > 60 else N)
    view = find_opening(Scene(result), (1.2, 0.75), narrows=True)
    assert np.linalg.norm(view.eye) < 5 and np.linalg.norm(view.target) < 5.5
    ahead = result.cam2world[len(result.frames) // 2][:3, 2]
    assert view.axes[:, 2] @ ahead > np.cos(np.radians(20))


@pytest.mark.parametrize("degrees", [0, 60])
def test_the_video_shows_hardly_anything_beside_the_picture(degrees, tmp_path):
    result = pan(degrees)
    result.dynamic[:] = False
    result.depth[:] = sphere(None, result.cameras[0].rays())
    result.save(tmp_path / "saved", files=["orbit.mp4"])
    with av.open(tmp_path / "saved" / "orbit.mp4") as file:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    dark = [(np.abs(picture - [22, 24, 29]).max(axis=-1) < 12).mean() for picture in pictures[::8]]
    assert max(dark) < 0.08
