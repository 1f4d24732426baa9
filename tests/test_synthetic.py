"""The rendered clips: do pictures, cameras, depth and masks tell the same story, and are the bundled examples whole?"""

from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from easi3r import InputError, synthetic
from easi3r.camera import Camera, invert, transform
from easi3r.synthetic import block

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WIDTH, HEIGHT = 176, 96


def camera_of(clip):
    return Camera(clip.intrinsics, clip.depth.shape[:0:-1])


@pytest.fixture(scope="module", params=list(synthetic.SCENES))
def clip(request):
    """Eight frames a twenty-fourth of a clip apart, as the product would sample them."""
    return synthetic.render(request.param, 8, WIDTH, HEIGHT, seconds=synthetic.SECONDS / 3)


def _project(clip, a, b):
    """Where frame a's points land in frame b: pixels (H, W, 2) float32 and z (H, W)."""
    points = transform(invert(clip.cam2world[b]) @ clip.cam2world[a], camera_of(clip).unproject(clip.depth[a]))
    pixels = points @ clip.intrinsics.T
    return (pixels[..., :2] / pixels[..., 2:]).astype(np.float32), points[..., 2]


def _visible(clip, a, b):
    """Static pixels of a that b sees too (H, W) bool: b's depth at the place they land in is theirs."""
    pixels, z = _project(clip, a, b)
    there = cv2.remap(clip.depth[b], pixels, None, cv2.INTER_LINEAR, borderValue=0)
    return ~clip.dynamic[a] & (np.abs(there / z - 1) < 0.02)


def test_shapes_and_conventions(clip):
    assert clip.frames.shape == (8, HEIGHT, WIDTH, 3) and clip.frames.dtype == np.uint8
    assert clip.depth.shape == clip.dynamic.shape == (8, HEIGHT, WIDTH)
    assert clip.depth.dtype == np.float32 and clip.dynamic.dtype == bool
    assert np.isfinite(clip.depth).all() and clip.depth.min() > 0.3
    assert np.array_equal(clip.cam2world[0], np.eye(4))
    rotation = clip.cam2world[:, :3, :3]
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(rotation), 1)
    assert tuple(clip.intrinsics[:2, 2]) == (WIDTH / 2, HEIGHT / 2)
    assert clip.timestamps[0] == 0 and np.allclose(np.diff(clip.timestamps), synthetic.SECONDS / 24)


@pytest.mark.parametrize("gap, left", [(1, 0.7), (6, 0.5)])
def test_static_pixels_keep_their_colour_in_the_other_view(clip, gap, left):
    pixels, _ = _project(clip, 0, gap)
    visible = _visible(clip, 0, gap)

    def change(where):
        seen = cv2.remap(clip.frames[gap], where.astype(np.float32), None, cv2.INTER_LINEAR)
        return np.abs(seen.astype(float) - clip.frames[0]).mean(axis=-1)[visible]

    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    assert visible.mean() > 0.6
    assert np.median(change(pixels)) < 4
    assert change(pixels).mean() < left * change(np.stack([columns, rows], axis=-1)).mean()  # the camera explains most
    for shift in ([0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]):
        assert change(pixels).mean() < change(pixels + shift).mean()  # and pixel centres are where K says


def test_optical_flow_finds_the_true_motion(clip):
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for a in (0, 3, 6):
        grey = [cv2.cvtColor(clip.frames[k], cv2.COLOR_RGB2GRAY) for k in (a, a + 1)]
        camera_flow = _project(clip, a, a + 1)[0] - np.stack([columns, rows], axis=-1)
        residual = np.linalg.norm(flow.calc(*grey, None) - camera_flow, axis=-1)
        assert np.median(residual[_visible(clip, a, a + 1)]) < 0.4
        assert np.median(residual[clip.dynamic[a]]) > 2  # at 176 pixels width; about five at the examples' size


def test_moving_objects_take_a_fair_share_of_the_picture(clip):
    share = clip.dynamic.mean(axis=(1, 2))
    assert share.min() > 0.04 and share.max() < 0.16


def test_variants():
    def render(**options):
        return synthetic.render("street", 3, 64, 48, **options)

    frozen, still, rotating = render(moving=False), render(camera="still"), render(camera="rotates")
    assert not frozen.dynamic.any() and not np.array_equal(frozen.frames[0], frozen.frames[1])
    assert np.allclose(still.cam2world, np.eye(4), atol=1e-12) and still.dynamic.any()
    assert np.allclose(rotating.cam2world[:, :3, 3], 0)
    assert np.degrees(np.arccos((np.trace(rotating.cam2world[2, :3, :3]) - 1) / 2)) > 5
    nothing_moves = render(moving=False, camera="still")
    assert (nothing_moves.frames == nothing_moves.frames[:1]).all()
    assert np.array_equal(render(seed=3).frames, render(seed=3).frames)
    assert not np.array_equal(render(seed=3).frames, render().frames)


@pytest.mark.parametrize("arguments", [{"scene": "beach"}, {"scene": "room", "camera": "flies"}])
def test_unknown_names(arguments):
    with pytest.raises(InputError, match="unknown; use"):
        synthetic.render(n_frames=2, width=32, height=32, **arguments)


def test_exact_predictions_are_the_truth_up_to_scale(clip):
    (pair,) = synthetic.predictions(clip, [(1, 4)], noise=0)
    truth_1 = camera_of(clip).unproject(clip.depth[1])
    truth_2 = transform(invert(clip.cam2world[1]) @ clip.cam2world[4], camera_of(clip).unproject(clip.depth[4]))
    scale = np.median(pair.pts1[..., 2] / clip.depth[1])
    assert np.allclose(pair.pts1, scale * truth_1, rtol=5e-3, atol=5e-3)
    assert np.allclose(pair.pts2, scale * truth_2, rtol=5e-3, atol=5e-3)


def test_noisy_predictions_look_like_a_network(clip):
    edges = [(0, 1), (1, 0), (2, 7)]
    pairs = list(synthetic.predictions(clip, iter(edges)))
    assert [(p.i, p.j) for p in pairs] == edges
    for pair in pairs:
        for array in (pair.pts1, pair.pts2, pair.conf1, pair.conf2):
            assert array.dtype == np.float16 and np.isfinite(array).all()
        assert pair.pts1.shape == pair.pts2.shape == (HEIGHT, WIDTH, 3) and pair.conf1.shape == (HEIGHT, WIDTH)
        assert pair.conf1.min() >= 1 and pair.conf2.min() >= 1
        relative = pair.pts1[..., 2].astype(float) / clip.depth[pair.i]
        error = np.abs(relative / np.median(relative) - 1)
        assert 0.005 < np.median(error) < 0.06 and 0.001 < (error > 0.2).mean() < 0.02
        sure = pair.conf1 > np.median(pair.conf1)
        assert np.median(error[sure]) < 0.6 * np.median(error[~sure])
        rays = pair.pts1.astype(float) / pair.pts1[..., 2:]
        assert np.abs(rays - camera_of(clip).rays()).max() < 5e-3  # errors lie along the ray
    again = next(synthetic.predictions(clip, edges[2:]))
    assert np.array_equal(again.pts2, pairs[2].pts2)  # whatever came before


@pytest.fixture(scope="module")
def walk():
    """The shortest way round a block, whose last frame is back where the first one was."""
    return synthetic.around_block(25, 64, 40)


def test_a_walk_round_a_block_comes_back(walk):
    steps = np.linalg.norm(np.diff(walk.cam2world[:, :3, 3], axis=0), axis=1)
    assert np.allclose(steps, 0.92, atol=0.08)  # 23 m and 4 % in 25 frames; not on a line, so a little less
    assert np.linalg.norm(walk.cam2world[-1, :3, 3]) < 0.15 and np.ptp(walk.cam2world[:, 2, 3]) > 6  # metres
    turned = np.trace(walk.cam2world[:, :3, :3], axis1=1, axis2=2)
    assert turned[-1] > 2.99 and turned.min() < -0.99  # half a turn in between
    share = walk.dynamic.mean(axis=(1, 2))
    assert share.min() > 0.03 and share.max() < 0.15


@pytest.mark.parametrize("a, b, overlap", [(0, 1, 0.4), (12, 13, 0.4), (24, 0, 0.8)])
def test_a_walk_round_a_block_is_consistent(walk, a, b, overlap):
    pixels, _ = _project(walk, a, b)
    visible = _visible(walk, a, b)
    seen = cv2.remap(walk.frames[b], pixels, None, cv2.INTER_LINEAR).astype(float)
    there, before = (np.abs(image - walk.frames[a]).mean(axis=-1)[visible] for image in (seen, walk.frames[b]))
    assert visible.mean() > overlap * (~walk.dynamic[a]).mean()
    assert np.median(there) < 6 and there.mean() < 0.7 * before.mean()


@pytest.mark.parametrize("n_frames, length", [(2, 23), (300, 69.2), (1000, 100)])
def test_the_way_round_a_block_is_closed_and_even(n_frames, length):
    assert np.isclose(block.length_of(n_frames), length, atol=0.1)
    frame = block.way(length)
    places = np.array([frame(along) for along in np.linspace(0, length, 1001)])
    assert np.allclose(places[0], places[-1], atol=1e-9)
    step = np.linalg.norm(np.diff(places[:, :3, 3], axis=0), axis=1)
    assert np.allclose(step, length / 1000, rtol=1e-3)
    ahead = np.einsum("nk,nk->n", np.diff(places[:, :3, 3], axis=0), places[:-1, :3, 2]) / step
    assert ahead.min() > 0.999  # it looks where it goes


def test_truth_survives_saving(clip, tmp_path):
    synthetic.save_truth(tmp_path / "clip.npz", clip)
    truth = synthetic.load_truth(tmp_path / "clip.npz")
    assert truth.step == synthetic.DEPTH_STEP
    assert np.array_equal(truth.dynamic, clip.dynamic) and np.array_equal(truth.cam2world, clip.cam2world)
    assert np.array_equal(truth.timestamps, clip.timestamps) and np.array_equal(truth.intrinsics, clip.intrinsics)
    assert np.allclose(truth.depth, clip.depth[:, :: truth.step, :: truth.step], rtol=1e-3)


@pytest.mark.parametrize("scene", [*synthetic.SCENES, "phone"])
def test_examples_match_their_truth(scene):
    truth = synthetic.load_truth(EXAMPLES / f"{scene}.npz")
    with av.open(str(EXAMPLES / f"{scene}.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        decoded = [(frame.time, frame) for frame in container.decode(stream)]
    times, first = [time for time, _ in decoded], decoded[0][1].to_ndarray(format="rgb24")
    count, height, width = truth.dynamic.shape
    assert len(times) == count and first.shape == (height, width, 3)
    assert np.allclose(times, truth.timestamps, atol=2e-3)
    assert np.array_equal(truth.cam2world[0], np.eye(4)) and truth.cam2world.shape == (count, 4, 4)
    assert tuple(truth.intrinsics[:2, 2]) == (width / 2, height / 2)
    assert truth.depth.shape == (count, -(-height // truth.step), -(-width // truth.step))
    again = synthetic.filmed if scene == "phone" else partial(synthetic.render, scene)
    rendered = again(1, width, height).frames[0]
    assert np.abs(rendered.astype(float) - first).mean() < 6  # `make.py` has been run since the scene last changed


def test_examples_are_small():
    sizes = {path.name: path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()}
    results = [size for name, size in sizes.items() if name.endswith(".result.npz")]
    assert len(results) == 4 and sum(results) < 5e6
    assert sum(sizes.values()) - sum(results) < 3.6e6
