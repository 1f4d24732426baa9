"""Poses of many frame pairs at once: the slopes that the fit goes by, and what it finds."""

import cv2
import numpy as np

from easi3r.backbones.preview import poses
from easi3r.backbones.preview.rays import Rays, parallax, parallax_slope, sampson, sampson_slope
from easi3r.camera import skew

STEP = 1e-6


def rays(n_pairs=3, n_points=50):
    random = np.random.default_rng(0)
    ones = np.ones((n_pairs, n_points, 1))
    a = 0.4 * random.normal(size=(n_pairs, n_points, 2))
    b = a + 0.02 * random.normal(size=a.shape)
    return Rays(*(np.concatenate([x, ones], axis=-1) for x in (a, b)), ones[..., 0])


def test_the_slope_of_the_sampson_distance_is_that_of_its_differences():
    some, turn = rays(), np.tile(np.eye(3), (3, 1, 1))
    place, ways = np.array([[0.9, 0.3, -0.2], [0.1, -0.5, 0.8], [0, 1, 0]]), np.eye(3)
    slopes = sampson_slope(skew(place), np.tile(skew(ways), (3, 1, 1, 1)), some)
    for k, way in enumerate(ways):
        ahead, behind = (sampson(turn, place + sign * STEP * way, some) for sign in (1, -1))
        assert np.abs((ahead - behind) / (2 * STEP) - slopes[..., k]).max() < 1e-7


def test_the_slope_of_the_parallax_is_that_of_its_differences():
    some, turn = rays(), np.stack([cv2.Rodrigues(np.array(x))[0] for x in ([0.1, 0, 0], [0, 0.1, 0.05], [0, 0, 0.2])])
    place = np.array([[0.6, 0.0, -0.8], [0.0, -0.6, 0.8], [0, 1, 0]])
    basis = np.linalg.svd(place[:, None])[2][:, 1:]
    slopes = parallax_slope(turn, place, basis, some)
    for k in range(5):
        way = STEP * np.eye(5)[k]

        def moved(sign, way=way):
            turned = cv2.Rodrigues(sign * way[:3])[0] @ turn
            return parallax(turned, place + sign * (way[3] * basis[:, 0] + way[4] * basis[:, 1]), some)

        assert np.abs((moved(1) - moved(-1)) / (2 * STEP) - slopes[..., k]).max() < 1e-6


def test_pairs_with_many_wrong_matches_get_their_poses():
    random, n = np.random.default_rng(1), 120
    turns = np.stack([cv2.Rodrigues(0.1 * random.normal(size=3))[0] for _ in range(4)])
    places = random.normal(size=(4, 3)) * [1, 1, 0.3]
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    matches = []
    for turn, place in zip(turns, places):
        points = np.column_stack([random.uniform(-1, 1, (n, 2)), np.ones(n)]) * random.uniform(2, 9, (n, 1))
        there = points @ turn.T + 0.3 * place
        pixels = [300 * x[:, :2] / x[:, 2:] + [160, 120] for x in (points, there)]
        pixels[1][:30] += random.normal(size=(30, 2)) * 15
        matches.append(tuple(x[: n - 10 * len(matches)] for x in pixels))  # not all have as many
    focals = np.full(4, 300.0)
    some = Rays.of(matches, focals, (240, 320))
    start = poses.initial_poses(some, focals, poses.fit_rotations(some, focals))
    found = poses.before_camera(poses.fit_poses(start, some, focals), some, focals)
    assert np.abs(found.rotation - turns).max() < 1e-3 and np.abs(found.translation - places).max() < 5e-3
