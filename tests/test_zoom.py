"""Clips in which the lens zooms while filming."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from easi3r import load_backbone, reconstruct, video
from easi3r.zoom import find_zoom

T = 10


def zoomed(frames, factors):
    """The middle of each frame (T,H,W,3) enlarged by its factor, at half the size."""
    height, width = frames.shape[1] // 2, frames.shape[2] // 2
    size, centre = (width, height), (np.array([width, height]) - 1) / 2
    pictures = []
    for frame, factor in zip(frames, factors / 2):
        shift = centre - factor * (2 * centre + 0.5)
        matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])
        pictures.append(cv2.warpAffine(cv2.GaussianBlur(frame, (0, 0), 0.4), matrix, size, flags=cv2.INTER_AREA))
    return np.stack(pictures)


@pytest.fixture(scope="module")
def street():
    return video.read(Path(__file__).parents[1] / "examples" / "street.mp4", T, 448, 16).frames


@pytest.mark.parametrize("factors", [np.linspace(1, 1.5, T), np.linspace(1.5, 1, T)], ids=["in", "out"])
def test_a_zoom_is_found(street, factors):
    frames = zoomed(street, factors)
    found = find_zoom(frames, np.zeros(frames.shape[:3], bool))
    np.testing.assert_allclose(found, factors / factors[0], rtol=0.12)


def test_a_zoom_gives_every_frame_its_focal(street):
    factors = np.linspace(1.5, 1, 7)
    result = reconstruct(zoomed(street[:7], factors), load_backbone("preview"))
    focals = result.intrinsics[:, 0, 0]
    np.testing.assert_allclose(focals / focals[0], factors / factors[0], rtol=0.12)
    assert any("zooms" in said for said in result.info["warnings"])


def test_without_a_zoom_there_is_one_focal(street):
    frames = zoomed(street, np.ones(T))
    assert find_zoom(frames, np.zeros(frames.shape[:3], bool)) is None
    still = np.repeat(frames[:1], T, axis=0)
    assert find_zoom(still, np.zeros(still.shape[:3], bool)) is None


def test_steps_that_frames_further_apart_do_not_show_are_no_zoom(street):
    """As of a camera that walks ahead: from neighbour to neighbour it seems to zoom."""
    frames = zoomed(street, 1.08 ** (np.arange(T) % 3))
    assert find_zoom(frames, np.zeros(frames.shape[:3], bool)) is None
