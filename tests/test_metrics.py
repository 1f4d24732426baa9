"""Figures against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from easi3r.camera import pose
from easi3r.metrics import depth_absrel, jaccard, trajectory_errors, umeyama


def test_overlap_counts_pixels():
    predicted, truth = np.zeros((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
    predicted[0, :2, :3] = truth[0, 1:3, :3] = True  # 6 and 6 pixels, 3 in common, 9 in all
    truth[1, 0, 0] = True  # nothing of one pixel
    assert jaccard(predicted, truth) == pytest.approx([3 / 9, 0, 1])  # nothing of nothing is all of it


def test_a_similarity_is_found_again():
    points = np.random.default_rng(0).normal(size=(20, 3))
    rotation = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    scale, turned, shift = umeyama(points, 2.5 * points @ rotation.T + [1, -2, 3])
    assert scale == pytest.approx(2.5) and np.allclose(turned, rotation) and np.allclose(shift, [1, -2, 3])


def test_a_mirror_image_is_no_rotation():
    points = np.random.default_rng(1).normal(size=(20, 3))
    assert np.linalg.det(umeyama(points, points * [1, 1, -1])[1]) == pytest.approx(1)


def test_a_point_without_weight_does_not_count():
    points = np.random.default_rng(2).normal(size=(10, 3))
    target = points + [0, 0, 5]
    target[3] += 100
    scale, rotation, shift = umeyama(points, target, np.arange(10) != 3)
    assert scale == pytest.approx(1) and np.allclose(rotation, np.eye(3)) and np.allclose(shift, [0, 0, 5])


def straight(places, turns=None):
    turns = [0] * len(places) if turns is None else turns
    return np.array(
        [pose(Rotation.from_euler("y", t, degrees=True).as_matrix(), [x, 0, 0]) for x, t in zip(places, turns)]
    )


def test_a_path_of_another_scale_and_place_has_no_error():
    truth = np.array([pose(np.eye(3), place) for place in ([0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 2])])
    turn = pose(Rotation.from_euler("zx", [30, 40], degrees=True).as_matrix(), [4, 5, 6])
    moved = truth.copy()
    moved[:, :3, 3] *= 7
    errors = trajectory_errors(turn @ moved, truth)
    assert errors.pop("path") == pytest.approx(4)
    assert all(value == pytest.approx(0, abs=1e-6) for value in errors.values())


def test_errors_of_a_path_along_a_line():
    """True places 0, 1, 2, 3; seen at 0, 1, 2, 4. Worked out: centred, the true ones are -1.5, -.5, .5, 1.5 and those
    seen -1.75, -.75, .25, 2.25, so the scale is 6.5 / 8.75 and the residuals follow.
    """
    errors = trajectory_errors(straight([0, 1, 2, 4]), straight([0, 1, 2, 3]))
    scale = 6.5 / 8.75
    aligned = scale * np.array([-1.75, -0.75, 0.25, 2.25])
    residual = aligned - [-1.5, -0.5, 0.5, 1.5]
    assert errors["ate"] == pytest.approx(np.sqrt((residual**2).mean()))
    steps = np.array([scale, scale, 2 * scale]) - 1
    assert errors["rte"] == pytest.approx(np.sqrt((steps**2).mean()))
    assert errors["rte_mean"] == pytest.approx(np.abs(steps).mean())


def test_rotations_are_compared_from_frame_to_frame():
    truth, seen = straight([0, 1, 2, 3], [0, 10, 20, 30]), straight([0, 1, 2, 3], [0, 10, 23, 33])
    errors = trajectory_errors(seen, truth)
    assert errors["rre_mean"] == pytest.approx(1) and errors["rre"] == pytest.approx(3 / np.sqrt(3))


def test_depth_is_compared_after_one_scale_for_the_clip():
    truth = np.array([[[1.0, 2.0, 4.0]], [[8.0, 10.0, 3.0]]])
    depth = truth * 3
    depth[0, 0, 0] = 6.0  # 2 after the scale of 1/3, true 1: an error of 1
    valid = np.ones(truth.shape, bool)
    assert depth_absrel(depth, truth, valid) == pytest.approx(1 / 6)
    valid[0, 0, 0] = False
    assert depth_absrel(depth, truth, valid) == pytest.approx(0)
