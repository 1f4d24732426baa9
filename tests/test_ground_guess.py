"""A camera that only turns: the way down, and depth guessed from the ground and what stands on it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from easi3r import Options, reconstruct
from easi3r.bundle.gravity import find_down
from easi3r.bundle.ground_guess import EYE, FARTHEST, NEAREST, guess_depth
from easi3r.camera import Camera
from easi3r.export.scene import Scene

N, WIDTH, HEIGHT = 5, 192, 112
CAMERA = Camera.centred(170.0, WIDTH, HEIGHT)
WALL, BOX = 6.5, 5.0  # distance of the house all around, and of something broad that stands before it


def turns(step=6.0, pitch=4.0, roll=3.0):
    """(N,3,3): upright frame to camera, of a camera that looks down by `pitch`, is tilted, and turns by `step`."""
    yaw = step * (np.arange(N) - N // 2)
    return Rotation.from_euler("yxz", [(angle, -pitch, roll) for angle in yaw], degrees=True).as_matrix()


def scene(to_level, mover=True):
    """Frames (N,H,W,3) uint8, depth (N,H,W) and mask (N,H,W) of a house, a box and a walker on a level ground."""
    frames, depths, masks = [], [], []
    noise = np.random.default_rng(0).integers(-12, 12, (64, 64))
    for t, turn in enumerate(to_level):
        x, y, z = np.moveaxis(CAMERA.rays() @ turn.T, -1, 0)
        azimuth, level = np.arctan2(x, z), np.hypot(x, z)
        distance = np.where((azimuth > 0.1) & (azimuth < 0.3), BOX, WALL)
        ground = y * distance > EYE * level
        reach = np.where(ground, EYE / np.maximum(y, 1e-9), distance / level)
        across, up = azimuth * distance, EYE - y * reach
        house = np.where((across % 1 < 0.4) & (up % 1.6 < 1), 60, 150)[..., None] * [1.1, 0.7, 0.6]
        box = np.where(across % 0.3 < 0.15, 90, 140)[..., None] * [0.5, 0.9, 1.2]
        speckle = noise[(x * reach * 9).astype(int) % 64, (z * reach * 9).astype(int) % 64]
        picture = np.where((distance == BOX)[..., None], box, house)
        picture = np.where(ground[..., None], 105 + speckle[..., None] * [1, 1, 1], picture)
        mask = np.zeros(ground.shape, bool)
        if mover:  # one metre and a half tall at a distance of 4
            mask = (np.abs(azimuth + 0.25 - 0.06 * t) < 0.05) & (y / level < EYE / 4) & (y / level > 0)
        picture = np.where(mask[..., None], [200, 40, 40], picture)
        frames.append(np.clip(picture, 0, 255).astype(np.uint8))
        depths.append(reach)
        masks.append(mask)
    return np.stack(frames), np.stack(depths), np.stack(masks)


@pytest.fixture(scope="module")
def clip():
    to_level = turns()
    world = to_level[0].T @ to_level  # camera to the first one's frame
    return (*scene(to_level), world, to_level)


def test_down_is_found_from_upright_edges(clip):
    frames, _, mask, world, to_level = clip
    down = find_down(frames, world, [CAMERA] * N, mask)
    assert np.degrees(np.arccos(down @ to_level[0][1])) < 0.7
    nothing = np.full_like(frames, 128)
    held = find_down(nothing, world, [CAMERA] * N, mask)  # only from how cameras are held
    assert np.degrees(np.arccos(held @ to_level[0][1])) < 5 and np.isclose(np.linalg.norm(held), 1)


def test_depth_is_that_of_the_ground_and_of_what_stands_on_it(clip):
    frames, true, mask, world, _ = clip
    depth = guess_depth(frames, world, [CAMERA] * N, mask)
    assert depth.dtype == np.float32 and depth.shape == mask.shape
    assert depth.min() >= NEAREST and depth.max() <= FARTHEST
    wrong = np.abs(depth / true - 1)[~mask]
    assert np.median(wrong) < 0.04 and (wrong < 0.15).mean() > 0.85
    again = guess_depth(frames, world, [CAMERA] * N, mask)
    assert (depth == again).all()


def test_frames_agree_about_directions(clip):
    frames, _, mask, world, _ = clip
    depth = guess_depth(frames, world, [CAMERA] * N, mask)
    rays = CAMERA.rays()
    pixels, z = CAMERA.project(rays @ (world[3].T @ world[1]).T)
    column, row = np.rint(pixels).astype(int).reshape(-1, 2).T
    both = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    first = (depth[1] * z).ravel()[both]  # along the axis of frame 3
    assert np.median(np.abs(first / depth[3][row[both], column[both]] - 1)) < 0.01


def test_no_ground_no_guess(clip):
    frames, _, mask, world, _ = clip
    cameras, nothing = [CAMERA] * N, np.zeros_like(mask)
    noise = np.random.default_rng(1).integers(0, 256, frames.shape, np.uint8)
    assert guess_depth(noise, world, cameras, nothing) is None
    assert guess_depth(np.full_like(frames, 90), world, cameras, nothing) is None
    assert guess_depth(frames, world, cameras, ~nothing) is None
    for pitch in (40, 89, -30, -89):  # floor or sky
        to_level = turns(pitch=pitch)
        assert guess_depth(scene(to_level, False)[0], to_level[0].T @ to_level, cameras, nothing) is None
    above = nothing.copy()
    above[:, 5:20, 90:100] = True  # what moves flies
    assert guess_depth(frames, world, cameras, above) is None


def test_a_single_frame_is_enough(clip):
    frames, true, mask, _, _ = clip
    depth = guess_depth(frames[:1], np.eye(3)[None], [CAMERA], mask[:1])
    assert np.median(np.abs(depth / true[:1] - 1)) < 0.1


def test_a_lawn_goes_on_to_where_things_stand():
    """Without an upright edge nothing but the end of the lawn tells that the camera looks down."""
    to_level = turns(0, 12, 0)
    frames = np.full((N, HEIGHT, WIDTH, 3), (70, 60, 50), np.uint8)
    lawn = (CAMERA.rays() @ to_level[0].T)[..., 1] > 0.1
    speckle = np.random.default_rng(0).integers(-9, 9, (N, HEIGHT, WIDTH, 1))
    frames = np.where(lawn[..., None], (60, 140, 50) + speckle, frames + speckle).astype(np.uint8)
    depth = guess_depth(frames, np.repeat(np.eye(3)[None], N, 0), [CAMERA] * N, np.zeros(frames.shape[:3], bool))
    true = EYE / (CAMERA.rays() @ to_level[0].T)[-50:, :, 1]
    assert np.median(np.abs(depth[0, -50:] / true - 1)) < 0.1


def test_the_preview_says_that_it_guesses():
    frames, _, mask = scene(turns(0))
    result = reconstruct(frames, "preview", Options(fov=CAMERA.fov[0]), mask)
    assert any("guessed from the ground" in sentence for sentence in result.info["warnings"])
    assert (result.confidence == 1).all() and result.turns_only
    assert Scene(result).is_panorama  # frames are blended all the same
    assert np.ptp(result.depth) > 0.3 * np.median(result.depth)
    for depth, inside in zip(result.depth, result.dynamic):  # the walker stands in front, not in the wall behind
        assert abs(np.median(depth[inside]) / (0.97 * 4) - 1) < 0.1
