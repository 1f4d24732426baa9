"""Where viewers open: the scene fills their view, is seen from its front and from a little beside the cameras."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import analytic_result
from scipy.spatial.transform import Rotation

from easi3r.camera import Camera, Framing, pose, transform
from easi3r.export.opening import find_opening
from easi3r.export.scene import Scene

FIELD = (0.74, 0.42)  # of the 4D tab
WIDE = (1.2, 0.75)  # the most of the player


def seen(places, turns, fov, depth, width=96, height=54):
    """A `Reconstruction` of cameras at `places` turned by `turns` (yaw in degrees) whose pixels have depth(eye, rays
    of the world)."""
    camera = Camera.centred(width / 2 / np.tan(np.radians(fov) / 2), width, height)
    poses = [pose(Rotation.from_euler("y", t, degrees=True).as_matrix(), at) for at, t in zip(places, turns)]
    depths = [depth(matrix[:3, 3], camera.rays() @ matrix[:3, :3].T) for matrix in poses]
    shape = (len(poses), height, width)
    return replace(
        analytic_result(2),
        frames=np.full((*shape, 3), 128, np.uint8),
        timestamps=np.arange(len(poses)) / 8,
        cam2world=np.array(poses),
        intrinsics=np.repeat(camera.intrinsics[None], len(poses), axis=0),
        depth=np.array(depths, np.float32),
        confidence=np.ones(shape, np.float32),
        dynamic=np.zeros(shape, bool),
        motion=np.zeros(shape, np.float32),
        evidence={},
        framing=Framing.fit((width, height), 96, 1),
    )


def corridor(eye, rays):
    """3 wide, 2.4 high, 20 long."""
    with np.errstate(divide="ignore"):
        sides = [
            np.abs(np.where(rays[..., k] > 0, half - eye[k], half + eye[k]) / rays[..., k])
            for k, half in ((0, 1.5), (1, 1.2))
        ]
    return np.minimum(np.minimum(*sides), (20 - eye[2]) / rays[..., 2])


def ball_before_wall(eye, rays):
    """A ball of radius 1 at z = 4 before a wall at z = 7."""
    to = np.array([0, 0, 4.0]) - eye
    a, b = (rays**2).sum(-1), rays @ to
    root = b**2 - a * (to @ to - 1)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, (7 - eye[2]) / rays[..., 2])


def sphere(eye, rays):
    """As of a camera that only turns: z depth of 5 / |ray|."""
    return 5 / np.linalg.norm(rays, axis=-1)


AT_REST, WALK = np.zeros((6, 3)), np.linspace([0, 0, 0], [0, 0, 8], 6)
ARC = [[4 * np.sin(a), 0, 4 - 4 * np.cos(a)] for a in np.linspace(0, 1, 6)]
SCENES = {
    "far wall": seen(WALK / 100, np.zeros(6), 60, lambda eye, rays: (50 - eye[2]) / rays[..., 2]),
    "corridor": seen(WALK, np.zeros(6), 60, corridor),
    "orbit": seen(ARC, np.degrees(-np.linspace(0, 1, 6)), 55, ball_before_wall),
    "long lens": seen(WALK / 20, np.zeros(6), 20, lambda eye, rays: (20 - eye[2]) / rays[..., 2]),
    "portrait": seen(WALK / 10, np.zeros(6), 40, ball_before_wall, 54, 96),
    "pan": seen(AT_REST, np.linspace(0, 60, 6), 50, sphere),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("field, narrows", [(FIELD, False), (WIDE, True)])
def test_the_scene_fills_the_view(name, field, narrows):
    result = SCENES[name]
    view = find_opening(Scene(result, cut=0), field, narrows)
    points = result.points()
    towards = (points - view.eye) @ view.axes
    position = towards[..., :2] / towards[..., 2:] / view.field
    assert (towards[..., 2] > 0).mean() > 0.97
    assert (np.abs(position) < 1).all(axis=-1).mean() > 0.95
    assert np.ptp(np.quantile(position, [0.02, 0.98], axis=(0, 1, 2)), axis=0).max() > 1.6  # of 2
    # from the front: the rays that saw the points point the same way
    filmed = points - result.cam2world[:, None, None, :3, 3]
    assert ((filmed * (points - view.eye)).sum(axis=-1) > 0).mean() > 0.97
    assert all(one <= most for one, most in zip(view.field, field))


@pytest.mark.parametrize("name", SCENES)
def test_it_is_seen_from_a_little_beside_the_camera(name):
    result = SCENES[name]
    view = find_opening(Scene(result, cut=0), WIDE, narrows=True)
    inside = transform(np.linalg.inv(result.cam2world[0]), view.eye)
    middle = np.median(result.depth)
    assert 0.01 * middle < np.linalg.norm(inside[:2]) and -0.8 * middle < inside[2] < 0


def test_what_is_astray_does_not_make_it_small():
    result = analytic_result(6)
    before = find_opening(Scene(result), FIELD)
    result.depth[2, :12, :24] = 1.2 * result.depth.max()
    result.depth[:, 20, 30] = 1e-3
    after = find_opening(Scene(result), FIELD)
    assert np.abs(after.eye - before.eye).max() < 0.1 and abs(after.away / before.away - 1) < 0.1


@pytest.mark.parametrize("narrows", [False, True])
def test_a_result_without_a_usable_pixel_has_an_opening(narrows):
    result = analytic_result(2)
    result.depth[:] = 0
    view = find_opening(Scene(result), FIELD, narrows)
    assert np.isfinite([*view.eye, view.yaw, view.pitch, view.away, *view.field]).all() and min(view.field) > 0
