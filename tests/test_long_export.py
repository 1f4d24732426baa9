"""Exports of clips with more than 100 frames: complete, in flat memory, and views of a stated size."""

import json
import re
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import analytic_result
from plyfile import PlyData

from easi3r import InputError, large, load_reconstruction
from easi3r.export import Scene
from easi3r.export.archive import write_archive
from easi3r.export.glb import write_scene
from easi3r.export.images import write_depth_images
from easi3r.export.player import write_player

PER_FRAME = "frames", "depth", "confidence", "motion", "dynamic"


def again(result, order):
    """The `Reconstruction` of these of its frames, in this order."""
    arrays = {name: getattr(result, name)[order] for name in (*PER_FRAME, "cam2world", "intrinsics")}
    evidence = {name: values[order] for name, values in result.evidence.items()}
    return replace(result, **arrays, timestamps=np.arange(len(order)) / 10, evidence=evidence)


def there_and_back(n_frames, width=48, height=32):
    way = analytic_result(20, width, height)
    return again(way, np.abs((np.arange(n_frames) + 19) % 38 - 19))


def on_disk(result, folder):
    arrays = {}
    for name in PER_FRAME:
        np.save(folder / f"{name}.npy", getattr(result, name))
        arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return replace(result, **arrays)


def lies_on_disk(array):
    return large._mapped(array) is not None


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    (folder / "arrays").mkdir()
    result = on_disk(there_and_back(120), folder / "arrays")
    files = ["README.txt", "moving", "dataset", "masks", "background", "depth", "depth.mp4", "arrays.npz", "poses.txt"]
    result.save(folder / "out", files=files)
    return result, folder / "out"


def test_what_is_data_has_every_frame(saved):
    result, out = saved
    names = [f"{t:05d}" for t in range(120)]
    for folder in ("masks", "background"):
        assert sorted(path.stem for path in (out / folder).glob("*.png")) == names
    assert [path.stem for path in sorted((out / "dataset" / "images").iterdir())] == names
    assert len((out / "poses.txt").read_text().splitlines()) == 120
    moves = [name for name, mask in zip(names, result.dynamic & (result.confidence > 0)) if mask.any()]
    assert [path.stem for path in sorted((out / "moving").iterdir())] == moves
    scale = json.loads((out / "depth" / "scale.json").read_text())["scale"]
    for t in (0, 61, 119):
        image = cv2.imread(str(out / "depth" / f"{names[t]}.png"), cv2.IMREAD_UNCHANGED)
        usable = result.confidence[t] > 0
        assert np.abs(image * scale - result.depth[t])[usable].max() < scale and not image[~usable].any()
        drawn = cv2.imread(str(out / "masks" / f"{names[t]}.png"), cv2.IMREAD_UNCHANGED)
        assert (drawn.any(axis=-1) == result.dynamic[t]).all()
    assert "long clip" in (out / "README.txt").read_text(encoding="utf-8")


def test_points_are_marked_in_frames_all_over_the_clip(saved):
    lines = (saved[1] / "dataset" / "sparse" / "0" / "images.txt").read_text().splitlines()[2:]
    marks = np.array([len(line.split()) // 3 for line in lines[1::2]])
    assert len(marks) == 120 and (marks[:60].sum() > 0.3 * marks.sum() < 2 * marks[60:].sum()) and marks.min() > 0
    points = [line.split()[8:] for line in (saved[1] / "dataset/sparse/0/points3D.txt").read_text().splitlines()[2:]]
    assert max(map(len, points)) == 12  # six marks, two words each


def test_moving_points_are_not_fewer_per_frame_than_those_of_a_short_clip(saved):
    result, out = saved
    count = len(PlyData.read(out / "moving" / "00070.ply")["vertex"])
    assert count == (result.dynamic[70] & (result.confidence[70] > 0)).sum()


def test_arrays_come_back_exactly_and_large_ones_stay_on_disk(saved, monkeypatch):
    result, out = saved
    monkeypatch.setattr(large, "IN_MEMORY", 500_000)
    back = load_reconstruction(out)
    for name in (*PER_FRAME, "cam2world", "intrinsics", "timestamps"):
        written, read = getattr(result, name), getattr(back, name)
        assert read.dtype == written.dtype and np.array_equal(read, written), name
    assert lies_on_disk(back.depth) and not lies_on_disk(back.cam2world)
    back.depth[0] = 7  # it is ours
    assert (load_reconstruction(out).depth[0] != 7).any()


@pytest.mark.parametrize("work, longer", [("static", 220), ("archive", 450), ("depth", 450)])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, monkeypatch, work, longer):
    monkeypatch.setattr(large, "IN_MEMORY", 10_000)
    monkeypatch.setattr("easi3r.export.archive._BLOCK", 10_000)
    peaks = []
    for n_frames in (110, longer):
        folder = tmp_path / str(n_frames)
        folder.mkdir()
        result = on_disk(there_and_back(n_frames, 32, 24), folder)
        tracemalloc.start()
        if work == "static":
            assert lies_on_disk(Scene(result).static)
        elif work == "archive":
            write_archive(replace(result, evidence={}), folder / "arrays.npz")
        else:
            write_depth_images(Scene(result), folder / "depth")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000, peaks  # 450 frames have 1.4 MB of depth, 220 half of it


def test_a_clip_that_comes_back_shows_nothing_twice():
    once = sum(int(share.fresh.sum()) for share in Scene(there_and_back(20)).shares)
    often = sum(int(share.fresh.sum()) for share in Scene(there_and_back(140)).shares)
    assert often < 1.1 * once


def test_movers_of_a_long_clip_keep_their_numbers():
    movers = Scene(there_and_back(140)).movers
    assert np.unique(movers).tolist() == [0, 1] and lies_on_disk(movers) == (movers.nbytes > large.IN_MEMORY)


def test_what_is_read_of_a_file_is_given_back_and_changes_are_kept(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(100_000, np.float32))
    for mode in ("r+", "c"):
        array = np.load(tmp_path / "a.npy", mmap_mode=mode)
        array[:5] = 3
        large.give_back([array[10:]])
        assert array[:6].tolist() == [3, 3, 3, 3, 3, 1]
    ours = large.zeros((3000, 1000), np.float32)
    ours[7] = 1
    large.give_back([])
    assert lies_on_disk(ours) and ours[7].all() and not ours[8].any()


def test_views_have_the_size_that_is_asked_for(tmp_path):
    result = there_and_back(6, 320, 240)
    noise = np.random.default_rng(0)
    result.frames[:] = noise.integers(0, 256, result.frames.shape)  # compresses badly
    result.dynamic[:, :, :160] = True
    for most in (1, 3):
        scene = Scene(result, player_mb=most)
        for name, write in (("player.html", write_player), ("scene.glb", write_scene)):
            write(scene, tmp_path / name)
            assert 0.3e6 * most < (tmp_path / name).stat().st_size <= 1e6 * most, (name, most)


@pytest.mark.parametrize("size", [0.5, 201, "12", True, None, float("nan")])
def test_a_size_out_of_range_is_named(tiny_result, tmp_path, size):
    with pytest.raises(InputError, match=f"player_mb is {re.escape(repr(size))}"):
        tiny_result.save(tmp_path / "out", player_mb=size)
    assert not (tmp_path / "out").exists()
