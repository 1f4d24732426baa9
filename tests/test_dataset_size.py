"""The folder dataset at the size of the source: read back, and compared with the clip that the source was made from."""

import functools
import json
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from clips import encode
from conftest import analytic_result
from PIL import Image
from test_formats import SHAPES, Colmap, known_points, nerfstudio_project, source_of, truth

import easi3r
from easi3r import InputError, export, synthetic, video
from easi3r.camera import Framing
from easi3r.cli import main
from easi3r.export.dataset import write_dataset
from easi3r.export.scene import Scene
from easi3r.export.trajectory import write_cameras
from easi3r.metrics import jaccard

NUMBERS, N_FRAMES = [1, 4, 6], 8  # where the three frames of the result stand among those of the source


truth = functools.lru_cache(truth)


def spread_out(frames):
    """The source: the three frames at their places, others between them."""
    source = np.repeat(frames[:1] // 2, N_FRAMES, axis=0)
    source[NUMBERS] = frames
    return source


@pytest.fixture(scope="module", params=list(SHAPES))
def case(request):
    clip, result = truth(*SHAPES[request.param])
    return clip, replace(result, info=result.info | {"frame_numbers": NUMBERS, "source_frames": N_FRAMES})


@pytest.fixture(scope="module", params=["folder", "video", "array"])
def saved(request, case, tmp_path_factory):
    clip, result = case
    folder, source = tmp_path_factory.mktemp("saved"), spread_out(clip.frames)
    if request.param == "folder":
        (folder / "photos").mkdir()
        for k, frame in enumerate(source):
            Image.fromarray(frame).save(folder / "photos" / f"{k}.png")
        source = folder / "photos"
    if request.param == "video":
        source = encode(folder / "clip.mkv", source, codec="ffv1")  # takes odd sides
    write_dataset(Scene(result), folder / "dataset", source)
    return clip, result, folder / "dataset"


def pictures(folder, names):
    return np.array([np.array(Image.open(folder / f"{t:05d}{names}")) for t in range(3)])


def test_cameras_are_those_of_the_source(saved):
    clip, result, folder = saved
    model, document = Colmap(folder / "sparse/0"), json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    size = result.framing.source_size
    assert model.sizes == [size] and (document["w"], document["h"]) == size
    for t in range(3):
        pixels, points = known_points(clip, t)
        assert np.abs(model.project(t + 1, points) - (pixels + 0.5)).max() < 0.01
        assert np.abs(nerfstudio_project(document, t, points) - (pixels + 0.5)).max() < 0.01
    for number, image in model.images.items():
        points = np.array([model.points[mark.point3D_id].xyz for mark in image.points2D])
        marks = np.array([mark.xy for mark in image.points2D])
        assert len(marks) > 300 and np.abs(model.project(number, points) - marks).max() < 0.02


def test_pictures_and_masks_are_those_of_the_source(saved):
    clip, result, folder = saved
    images, used = pictures(folder / "images", ".jpg"), pictures(folder / "masks", ".jpg.png")
    assert images.shape == clip.frames.shape and np.abs(images.astype(int) - clip.frames).mean() < 4
    assert used.shape == clip.dynamic.shape and set(np.unique(used)) == {0, 255}
    left, top = np.ceil(source_of(result.framing, np.array([-0.5, -0.5]))).astype(int)
    right, bottom = np.ceil(source_of(result.framing, np.array(result.framing.size) - 0.5)).astype(int)
    inside = np.zeros(used.shape[1:], bool)
    inside[top:bottom, left:right] = True
    assert not used[:, ~inside].any()  # nothing is known of what was cut off
    assert jaccard((used == 0)[:, top:bottom, left:right], clip.dynamic[:, top:bottom, left:right]).min() > 0.9


def other_source(kind, clip, folder):
    source = spread_out(clip.frames)
    if kind == "gone":
        return folder / "gone.mp4"
    if kind == "fewer":
        return source[:-1]
    if kind == "smaller":
        return np.stack([cv2.resize(frame, None, fx=0.5, fy=0.5) for frame in source])
    if kind == "other":
        return source[::-1].copy()
    return 7


@pytest.mark.parametrize(
    "kind, said",
    [
        ("gone", "no file"),
        ("fewer", "7 frames.*8"),
        ("smaller", "pixels.*300 x 175"),
        ("other", "Frame 1"),
        ("number", "int"),
    ],
)
def test_another_source_is_refused_and_nothing_written(kind, said, tmp_path):
    clip, result = truth(*SHAPES["landscape"])
    result = replace(result, info=result.info | {"frame_numbers": NUMBERS, "source_frames": N_FRAMES})
    with pytest.raises(InputError, match=said):
        result.save(tmp_path / "out", dataset_source=other_source(kind, clip, tmp_path))
    assert not (tmp_path / "out").exists()


def test_results_of_older_versions_know_no_frame_numbers(tiny_result, tmp_path):
    with pytest.raises(InputError, match="which frames"):
        tiny_result.save(tmp_path / "out", dataset_source=np.zeros((6, 148, 199, 3), np.uint8))
    write_cameras(Scene(tiny_result), tmp_path / "cameras.json")
    assert "source_frame" not in json.loads((tmp_path / "cameras.json").read_text(encoding="utf-8"))["frames"][0]


def test_cameras_json_names_the_frames_of_the_source(tiny_result, tmp_path):
    write_cameras(Scene(replace(tiny_result, info={"frame_numbers": [0, 3, 6, 9, 11, 14]})), tmp_path / "cameras.json")
    frames = json.loads((tmp_path / "cameras.json").read_text(encoding="utf-8"))["frames"]
    assert [frame["source_frame"] for frame in frames] == [0, 3, 6, 9, 11, 14]


@pytest.mark.parametrize("size", [(321, 181), (181, 321), (1920, 1080), (48, 640)])
def test_uncut_is_the_inverse_of_cut(size):
    framing = Framing.fit(size, 208, 16)
    width, height = framing.size
    ramp = np.add.outer(np.arange(height), 2 * np.arange(width)).astype(np.float32) + 10
    whole = framing.uncut(ramp)
    assert whole.shape == size[::-1] and np.abs(framing.cut(whole) - ramp)[2:-2, 2:-2].max() < 0.2
    share = (whole > 0).mean() / (width * height / np.prod(framing.resized))
    assert 0.97 < share < 1.03 and whole[whole > 0].min() > 9.5


def test_enlarged_outlines_are_smooth_and_in_their_place(tmp_path):
    result = analytic_result(1, 96, 64)
    framing = Framing((768, 512), (96, 64), (0, 0), (96, 64))
    y, x = np.mgrid[0:512, 0:768]
    disc = np.hypot(x - 400, y - 260) < 170
    small = cv2.resize(disc.astype(np.float32), (96, 64), interpolation=cv2.INTER_AREA) >= 0.5
    small[5, 10:60] = True  # a line of one pixel is not lost
    frames = np.stack([cv2.resize(result.frames[0], (768, 512), interpolation=cv2.INTER_LINEAR)])
    info = {"frame_numbers": [0], "source_frames": 1}
    result = replace(result, dynamic=small[None], framing=framing, info=info)
    write_dataset(Scene(result), tmp_path / "out", frames)
    moving = np.array(Image.open(tmp_path / "out/masks/00000.jpg.png")) == 0
    assert moving[44, 100:460].all()
    blocky = np.repeat(np.repeat(small, 8, axis=0), 8, axis=1)
    wrong = [(mask != disc)[60:].sum() for mask in (moving, blocky)]
    assert wrong[0] < 0.75 * wrong[1]


def test_one_full_size_frame_is_held_at_a_time(tiny_result, tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    framing = Framing.fit((1600, 1200), 64, 8)
    for k, frame in enumerate(tiny_result.frames):
        Image.fromarray(cv2.resize(frame, (1600, 1200))).save(source / f"{k}.png", compress_level=1)
    result = replace(tiny_result, framing=framing, info={"frame_numbers": list(range(6)), "source_frames": 6})
    tracemalloc.start()
    write_dataset(Scene(result), tmp_path / "out", source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 1600 * 1200 * 3  # the frame, decoded and encoded, and the mask; six frames would not go in


def test_from_the_terminal_with_pixels_that_are_not_square(tmp_path, monkeypatch):
    few = {name: export._FILES[name] for name in ("dataset", "arrays.npz")}  # the others take their time
    monkeypatch.setattr(export, "_FILES", few)
    frames = synthetic.render("street", 5, 240, 176).frames
    clip = encode(tmp_path / "clip.mp4", frames, pixel_aspect=Fraction(4, 3), options={"crf": "12"})
    out = tmp_path / "out"
    command = [str(clip), "--out", str(out), "--backbone", "preview", "--max-frames", "3", "--dataset-size", "source"]
    assert main(command) == 0
    result = easi3r.load_reconstruction(out)
    assert result.framing.source_size == (320, 176)
    for t, number in enumerate(result.info["frame_numbers"]):
        image = np.array(Image.open(out / f"dataset/images/{t:05d}.jpg"))
        assert np.abs(image.astype(int) - cv2.resize(frames[number], (320, 176))).mean() < 5
    assert video.read(clip, 3, 512, 16).framing == result.framing
