"""The derivative that the preview's pose fit goes by."""

import numpy as np

from easi3r.backbones.preview.two_view import sampson, sampson_slope
from easi3r.camera import skew


def test_the_slope_of_the_sampson_distance_is_that_of_its_differences():
    random, step = np.random.default_rng(0), 1e-6
    a = np.column_stack([0.4 * random.normal(size=(50, 2)), np.ones(50)])
    b = a + np.column_stack([0.02 * random.normal(size=(50, 2)), np.zeros(50)])
    place, ways = np.array([0.9, 0.3, -0.2]), np.eye(3)
    slopes = sampson_slope(skew(place), list(skew(ways)), a, b)
    for k, way in enumerate(ways):
        ahead, behind = (sampson(np.eye(3), place + sign * step * way, a, b) for sign in (1, -1))
        assert np.abs((ahead - behind) / (2 * step) - slopes[:, k]).max() < 1e-7
