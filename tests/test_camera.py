"""Camera and Framing: projection and its inverse, and both through resizing and cropping."""

import cv2
import numpy as np
import pytest

from easi3r.camera import Camera, Framing, focal_of

CAMERA = Camera(np.array([[70.0, 0, 30.2], [0, 80, 21.7], [0, 0, 1]]), (64, 48))


def test_projecting_undoes_unprojecting():
    depth = np.random.default_rng(0).uniform(0.5, 9, (48, 64))
    pixels, z = CAMERA.project(CAMERA.unproject(depth))
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    assert np.abs(pixels - np.stack([u, v], axis=-1)).max() < 1e-9 and np.abs(z - depth).max() < 1e-9


def test_a_point_has_the_pixel_worked_out_by_hand():
    pixel, depth = CAMERA.project(np.array([0.5, -0.25, 2.0]))
    assert pixel == pytest.approx([70 * 0.25 + 30.2, -80 * 0.125 + 21.7]) and depth == 2


def test_what_is_behind_the_camera_is_not_in_the_picture():
    pixels, depth = CAMERA.project(np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0]]))
    assert (np.abs(pixels) > 1e6).all() and (depth <= 0).all()


def test_field_of_view_and_focal_are_each_others_inverse():
    camera = Camera.centred(focal_of(50.0, 640), 640, 360)
    assert camera.fov[0] == pytest.approx(50) and focal_of(camera.fov[1], 360) == pytest.approx(camera.intrinsics[1, 1])
    assert focal_of(90, 200) == pytest.approx(100)
    assert camera.intrinsics[:2, 2].tolist() == [320, 180]


@pytest.mark.parametrize("size", [(32, 24), (128, 96), (50, 33)])
def test_resizing_moves_a_dot_where_the_scaled_camera_sees_it(size):
    """OpenCV's resize, which keeps the corners of the picture in place, is what the formula has to follow."""
    dot = np.zeros((48, 64), np.float32)
    dot[20:24, 40:44] = 1  # centre at (41.5, 21.5)
    resized = cv2.resize(dot, size, interpolation=cv2.INTER_AREA)
    total = resized.sum()
    centre = (resized.sum(0) @ np.arange(size[0]) / total, resized.sum(1) @ np.arange(size[1]) / total)
    point = np.linalg.inv(CAMERA.intrinsics) @ [41.5, 21.5, 1]
    assert np.abs(CAMERA.scaled(*size).project(point)[0] - centre).max() < 0.1


def test_cropping_shifts_pixels_and_framing_does_both():
    point = np.array([0.1, -0.05, 1.0])
    assert CAMERA.cropped(5, -3, 20, 60).project(point)[0] == pytest.approx(CAMERA.project(point)[0] - [5, -3])
    framing = Framing.fit((1280, 720), 512, 16, (100, 60, 1000, 600))
    working = Camera.centred(400.0, *framing.size)
    source = Camera(framing.to_source(working.intrinsics), framing.source_size)
    again = source.cropped(*framing.inner).scaled(*framing.resized).cropped(*framing.offset, *framing.size)
    assert np.abs(again.intrinsics - working.intrinsics).max() < 1e-9 and again.size == framing.size
    assert framing.from_source(source.project(point)[0]) == pytest.approx(working.project(point)[0])
