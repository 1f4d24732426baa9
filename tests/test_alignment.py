"""easi3r.alignment: pairwise predictions -> one world."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from easi3r import InputError, synthetic
from easi3r.alignment import Store, graph, solve
from easi3r.backbones.base import PairPrediction
from easi3r.benchmark.alignment import load_golden, score
from easi3r.benchmark.alignment import solve as solve_and_clean
from easi3r.benchmark.reference_solver import solve_reference
from easi3r.camera import Camera
from easi3r.metrics import depth_absrel, trajectory_errors
from easi3r.pairs import build

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"
FIELDS = ("cam2world", "focal", "depth", "confidence", "objective")
T, W, H = 8, 64, 48


def check(result, n_frames, size=(H, W)):
    assert result.cam2world.shape == (n_frames, 4, 4) and result.cam2world.dtype == np.float64
    assert result.depth.shape == result.confidence.shape == (n_frames, *size)
    assert result.depth.dtype == result.confidence.dtype == np.float32
    np.testing.assert_array_equal(result.cam2world[0], np.eye(4))
    rotation = result.cam2world[:, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (n_frames, 1, 1)), atol=1e-6)
    for name in FIELDS:
        assert np.isfinite(getattr(result, name)).all(), name
    assert (result.depth > 0).all() and (result.confidence >= 0).all() and result.focal > 0


@pytest.mark.parametrize("name", ["align_orbit", "align_forward", "align_noisy"])
def test_at_least_as_good_as_published(name):
    if not GOLDEN.is_dir():
        pytest.skip("the golden data (../shared/golden) is not here")
    published = json.loads((GOLDEN / "align_reference.json").read_text())[name]
    golden, n_frames, truth = load_golden(GOLDEN / f"{name}.npz")
    masked = score(
        solve_and_clean(golden, n_frames, truth["dynamic"]), truth
    )  # its objective counts moving pixels, too
    ours = score(solve(golden, n_frames), truth)
    assert ours["loss"] <= 1.01 * published["loss"]
    for key in ("ate", "rpe_t", "rpe_r_deg", "depth_absrel"):
        assert max(ours[key], masked[key]) <= published[key], key
    assert ours["focal"] == pytest.approx(truth["focal"], rel=0.01)


@pytest.fixture
def one_torch_thread():
    """Torch's threads spin: on a busy machine many small steps take ten times as long with two of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_no_worse_than_the_reference_solver_run_here(one_torch_thread):
    clip = synthetic.render("room", T, 32, 24)  # small: the reference takes its time
    truth, pairs = {"cam2world": clip.cam2world, "depth": clip.depth}, list(synthetic.predictions(clip, build(T)))
    ours, reference = score(solve(pairs, T), truth), score(solve_reference(pairs, T), truth)
    assert ours["loss"] <= 1.01 * reference["loss"]
    for key in ("ate", "rpe_t", "rpe_r_deg", "depth_absrel"):
        assert ours[key] <= reference[key], key


def test_a_smooth_path_loses_its_noise_and_a_shaky_one_keeps_its_jolts(clip, pairs):
    truth = {"cam2world": clip.cam2world, "depth": clip.depth}
    plain, smooth = score(solve(pairs, T, smooth=False), truth), score(solve(pairs, T), truth)
    assert smooth["rpe_t"] < 0.8 * plain["rpe_t"]
    assert smooth["rpe_r_deg"] < plain["rpe_r_deg"] and smooth["ate"] < plain["ate"]

    # a shaky camera: every other frame is turned by two degrees
    shaken = clip.cam2world.copy()
    shaken[1::2, :3, :3] @= cv2.Rodrigues(np.array([0.0, np.radians(2), 0.0]))[0]
    seen = [shake(p, clip, shaken) for p in pairs]
    plain, smooth = (trajectory_errors(solve(seen, T, smooth=s).cam2world, shaken)["rre_mean"] for s in (False, True))
    assert smooth < 1.1 * plain < 0.5


def test_a_long_path_drifts_little():
    """Its errors add up from pair to pair: of what they come to in a steady path most is told from it."""
    n, graph = 40, "swinstride-3-noncyclic"
    clip = synthetic.render("room", 2, 28, 16)
    turns = np.linspace(0, 0.6, n)
    path = np.tile(np.eye(4), (n, 1, 1))
    path[:, :3, :3] = [cv2.Rodrigues(np.array([0, a, 0]))[0] for a in 0.2 * np.sin(3 * turns)]
    path[:, :3, 3] = np.stack([np.sin(turns), 0.1 * np.sin(2 * turns), 1 - np.cos(turns)], 1)
    still = np.repeat(clip.depth[:1], n, 0)
    long = replace(clip, cam2world=path, depth=still, dynamic=np.zeros(still.shape, bool))
    plain, smooth = (
        trajectory_errors(solve(synthetic.predictions(long, build(n, graph)), n, smooth=s).cam2world, path)
        for s in (False, True)
    )
    assert smooth["ate"] < min(0.025 * smooth["path"], 0.9 * plain["ate"])
    assert smooth["rte_mean"] < 0.4 * plain["rte_mean"] and smooth["rre_mean"] < 0.4 * plain["rre_mean"]


def shake(pair, clip, shaken):
    """The pair as cameras turned to `shaken` would give it: each view's points stay what they are in its own camera."""
    unit = np.median(pair.pts1[..., 2] / clip.depth[pair.i])
    before, after = (np.linalg.inv(path[pair.i]) @ path[pair.j] for path in (clip.cam2world, shaken))
    before[:3, 3] *= unit
    after[:3, 3] *= unit
    move = after @ np.linalg.inv(before)
    return replace(pair, pts2=(pair.pts2.astype(np.float64) @ move[:3, :3].T + move[:3, 3]).astype(np.float32))


def test_exact_predictions_give_the_exact_world(clip):
    result = solve(synthetic.predictions(clip, build(T), noise=0), T)
    errors = trajectory_errors(result.cam2world, clip.cam2world)
    assert errors["ate"] < 1e-3 * errors["path"] and errors["rre"] < 0.02
    assert depth_absrel(result.depth, clip.depth, clip.depth > 0) < 2e-3
    assert result.focal == pytest.approx(clip.intrinsics[0, 0], rel=1e-3)


def test_same_input_same_output_also_from_a_store_and_its_file(pairs):
    first, second = solve(iter(pairs), T), solve(pairs, T)
    with Store() as held, Store(memory=100_000) as spilled:
        for pair in pairs:
            held.add(pair)
            spilled.add(pair)
        others = [second, solve(held, T), solve(held, T), solve(spilled, T)]
    for name in FIELDS:
        for other in others:
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize("zooms", [False, True])
def test_tensors_which_are_for_a_gpu_give_the_same_world(clip, pairs, zooms):
    late = [pair for pair in pairs if pair.i != 2]  # frames then have different numbers of views
    zoom = np.linspace(1, 1.5, T) if zooms else None
    how = {"masks": clip.dynamic, "frames": clip.frames, "zoom": zoom}
    arrays, tensors = solve(late, T, **how), solve(late, T, **how, device="cpu:0")
    check(tensors, T)
    assert tensors.objective == pytest.approx(arrays.objective, rel=1e-4)
    assert tensors.focal == pytest.approx(arrays.focal, rel=1e-3)
    np.testing.assert_allclose(tensors.cam2world, arrays.cam2world, atol=1e-3)
    assert np.median(np.abs(tensors.depth / arrays.depth - 1)) < 1e-3
    np.testing.assert_array_equal(tensors.confidence, arrays.confidence)


def test_a_store_gives_its_disk_space_back(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", tempfile.NamedTemporaryFile)  # one that can be seen
    with pytest.raises(KeyboardInterrupt), Store(memory=0) as store:
        store.add(pairs[0])
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_half_and_single_precision_agree(pairs):
    single = [replace(p, pts1=p.pts1.astype(np.float32) * 1e6, pts2=p.pts2.astype(np.float32) * 1e6) for p in pairs]
    a, b = solve(pairs, T), solve(single, T)
    assert b.objective / a.objective == pytest.approx(1e6, rel=0.01)
    ratio = b.depth / a.depth
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.01)


def test_moving_pixels_do_not_pull(clip, pairs):
    given = solve(pairs, T, clip.dynamic)

    def spoilt(points, frame):
        return np.where(clip.dynamic[frame][..., None], points * 0.4, points)

    wrong = [replace(p, pts1=spoilt(p.pts1, p.i), pts2=spoilt(p.pts2, p.j)) for p in pairs]
    assert clip.dynamic.any()
    np.testing.assert_allclose(solve(wrong, T, clip.dynamic).cam2world, given.cam2world, atol=1e-3)


def test_moving_pixels_keep_the_depth_their_own_frame_sees(clip, pairs):
    ghost = [replace(p, pts2=np.where(clip.dynamic[p.j][..., None], 0.5 * p.pts2, p.pts2)) for p in pairs]
    result = solve(ghost, T, clip.dynamic)
    assert depth_absrel(result.depth, clip.depth, clip.dynamic) < 0.05


def test_fov_is_kept(pairs):
    result = solve(pairs, T, fov=70)
    assert result.focal == pytest.approx(W / 2 / np.tan(np.radians(35)))


def test_frames_that_zoom_have_focals_of_their_own(clip, pairs):
    """Predictions as if the last four frames had been filmed with twice the focal: their middle, enlarged."""
    zoom = np.where(np.arange(T) < 4, 1.0, 2.0)

    def enlarged(array, frame):
        array = np.asarray(array, np.float32)
        if zoom[frame] == 1:
            return array
        u, v = np.meshgrid(W / 2 + (np.arange(W) - W / 2) / 2, H / 2 + (np.arange(H) - H / 2) / 2)
        return cv2.remap(array, u.astype(np.float32), v.astype(np.float32), cv2.INTER_NEAREST)

    seen = [
        replace(
            p,
            pts1=enlarged(p.pts1, p.i),
            conf1=enlarged(p.conf1, p.i),
            pts2=enlarged(p.pts2, p.j),
            conf2=enlarged(p.conf2, p.j),
        )
        for p in pairs
    ]
    told, untold = solve(seen, T, zoom=zoom), solve(seen, T)
    assert told.focal == pytest.approx(clip.intrinsics[0, 0], rel=0.03)
    errors, without = (trajectory_errors(world.cam2world, clip.cam2world) for world in (told, untold))
    assert errors["ate"] < 0.05 * errors["path"] and errors["ate"] < 0.3 * without["ate"]


def test_progress_rises_and_may_cancel(pairs):
    heard = []
    solve(pairs, T, progress=lambda fraction, text: heard.append((fraction, text)))
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and all(text for _, text in heard)

    class Cancelled(Exception):
        pass

    def cancel(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        solve(pairs, T, progress=cancel)


# ------------------------------------------------------------------------------------------------- degenerate input


def test_one_frame(clip):
    check(solve(synthetic.predictions(clip, [(0, 0)]), 1), 1)


@pytest.mark.parametrize("edges", [[(0, 1), (1, 0)], [(0, 1)]])
def test_two_frames(clip, edges):
    result = solve(synthetic.predictions(clip, edges), 2)
    check(result, 2)
    assert trajectory_errors(result.cam2world, clip.cam2world[:2])["rre"] < 2


def test_graph_in_pieces_is_joined_with_a_warning(pairs):
    result = solve([p for p in pairs if (p.i < 4) == (p.j < 4)], T)
    check(result, T)
    assert "groups" in " ".join(result.warnings)


def test_frame_without_predictions_is_filled_with_a_warning(pairs):
    result = solve([p for p in pairs if 5 not in (p.i, p.j)], T)
    check(result, T)
    assert (result.confidence[5] == 0).all() and "1 of 8 frames" in " ".join(result.warnings)


def test_everything_moves(pairs):
    result = solve(pairs, T, np.ones((T, H, W), bool))
    check(result, T)
    assert "moves" in " ".join(result.warnings)


def test_pure_rotation_without_confidence_still_gives_the_rotation():
    rays = Camera.centred(60, W, H).rays()
    turns = [cv2.Rodrigues(np.array([0.01 * k, 0.05 * k, 0]))[0] for k in range(5)]
    sure = np.ones((H, W))
    flat = [PairPrediction(i, j, rays, rays @ (turns[i].T @ turns[j]).T, sure, sure) for i, j in build(5)]
    result = solve(flat, 5)
    check(result, 5)
    np.testing.assert_allclose(result.cam2world[:, :3, :3], turns, atol=1e-3)
    assert "sure" in " ".join(result.warnings)


def _unknown(array, every):
    array = array.astype(np.float32)
    array[::every] = np.nan
    return array


@pytest.mark.parametrize(
    "spoil, warned",
    [
        (lambda p: replace(p, pts1=p.pts1 * np.nan), True),
        (lambda p: replace(p, conf1=p.conf1 * 0, conf2=p.conf2 * 0), True),
        (lambda p: replace(p, pts1=p.pts1 * 0, pts2=p.pts2 * 0), True),
        (lambda p: replace(p, pts1=p.pts1 * 0 + 1, pts2=p.pts2 * 0 + 1), False),
        (lambda p: replace(p, pts1=p.pts1 / 1000 + 1, pts2=p.pts2 / 1000 + 1), False),
        (lambda p: replace(p, pts1=-p.pts1), False),
        (lambda p: replace(p, pts1=_unknown(p.pts1, 2), conf2=_unknown(p.conf2, 3)), False),
        (lambda p: replace(p, pts1=np.random.default_rng(p.i).standard_normal((H, W, 3)), pts2=p.pts2[::-1]), False),
    ],
    ids=["not a number", "no confidence", "zero", "one point", "nearly one point", "behind", "partly unknown", "noise"],
)
def test_useless_predictions_never_crash(pairs, spoil, warned):
    result = solve([spoil(p) for p in pairs], T)
    check(result, T)
    assert bool(result.warnings) >= warned


def test_distant_pairs_of_a_dense_graph_shape_the_depth_but_not_the_cameras(clip, monkeypatch):
    """Of 8 x 7 pairs 4 per frame are looked at, which are those of up to 3 frames apart."""
    monkeypatch.setattr(graph, "PAIRS_PER_FRAME", 4)
    pairs = list(synthetic.predictions(clip, build(T, "complete")))
    turn = cv2.Rodrigues(np.array([0.0, 0.4, 0.0]))[0].astype(np.float32)
    wrong = [replace(p, pts2=1.5 * p.pts2 @ turn) if abs(p.i - p.j) > 3 else p for p in pairs]
    right, spoilt = solve(pairs, T, smooth=False), solve(wrong, T, smooth=False)
    errors = trajectory_errors(spoilt.cam2world, right.cam2world)
    assert errors["ate"] < 1e-9 * errors["path"] and errors["rre"] < 1e-6
    assert spoilt.focal == right.focal
    assert depth_absrel(spoilt.depth, right.depth, right.depth > 0) > 1e-4
    errors = trajectory_errors(right.cam2world, clip.cam2world)
    assert errors["ate"] < 0.05 * errors["path"]


@pytest.mark.parametrize("graph", ["oneref-2", "swin-2", "complete"])
def test_other_graphs(clip, graph):
    result = solve(synthetic.predictions(clip, build(T, graph)), T)
    check(result, T)
    assert trajectory_errors(result.cam2world, clip.cam2world)["rre"] < 2


def test_wrong_calls_are_named(pairs):
    with pytest.raises(InputError, match="outside 0 to 3"):
        solve(pairs, 4)
    with pytest.raises(InputError, match="no predictions"):
        solve([], 3)
    with pytest.raises(InputError, match="shape of masks"):
        solve(pairs, T, np.zeros((T, 3, 3), bool))
    with pytest.raises(InputError, match="shape of zoom"):
        solve(pairs, T, zoom=np.ones(T + 1))
    with pytest.raises(InputError, match="differs in size"):
        solve([pairs[0], replace(pairs[1], conf2=pairs[1].conf2[1:])], T)
