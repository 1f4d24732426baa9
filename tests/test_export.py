"""What `Reconstruction.save` writes is read back as another program would read it."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import av
import numpy as np
import pygltflib
import pytest
import trimesh
from conftest import analytic_result
from scipy.spatial.transform import Rotation
from test_formats import accessor
from test_terminal import is_a_sentence

from easi3r import export, video
from easi3r.camera import invert, transform
from easi3r.errors import InputError
from easi3r.export import load_reconstruction
from easi3r.export.archive import load_small, write_small
from easi3r.export.colours import linear_light
from easi3r.export.glb import write_scene
from easi3r.export.opening import find_opening
from easi3r.export.scene import CUT, Scene
from easi3r.export.videos import playback_fps

NAMES = [
    "README.txt",
    "player.html",
    "orbit.mp4",
    "scene.glb",
    "camera.gltf",
    "static.ply",
    "moving",
    "poses.txt",
    "path.png",
    "cameras.json",
    "dataset",
    "masks.mp4",
    "masks",
    "background.mp4",
    "background",
    "depth.mp4",
    "depth",
    "confidence.mp4",
    "inside.mp4",
    "arrays.npz",
    "report.json",
]


class Glb:
    """A GLB file as pygltflib reads it."""

    def __init__(self, path):
        self.gltf = pygltflib.GLTF2().load(path)
        self.nodes = {node.name: node for node in self.gltf.nodes}

    def array(self, index):
        return accessor(self.gltf, index)

    def primitives(self, name):
        return self.gltf.meshes[self.nodes[name].mesh].primitives

    def vertices(self, name, mode=4):
        """Positions in the scene and colours of a node's triangles (or lines, mode 1)."""
        parts = [part for part in self.primitives(name) if part.mode == mode]
        places, colours = zip(*((self.array(p.attributes.POSITION), self.array(p.attributes.COLOR_0)) for p in parts))
        return np.concatenate(places), np.concatenate(colours)

    @property
    def scale(self):
        return self.gltf.scenes[0].extras["units_per_world_unit"]


def written(result, path, cut=CUT):
    write_scene(Scene(result, cut), path)
    return Glb(path)


def project(points, cam2world, intrinsics):
    """World points (N,3) -> pixels (N,2) and depth (N,)."""
    seen = transform(invert(cam2world), points) @ intrinsics.T
    return seen[:, :2] / seen[:, 2:], seen[:, 2]


def shown_at_first_frame(glb, name, result):
    """(H,W) bool: where a node has a vertex on the pixel centre of frame 0, with the pixel's depth and colour."""
    places, colours = glb.vertices(name)
    pixels, depth = project(places * [1, -1, -1] / glb.scale, result.cam2world[0], result.intrinsics[0])
    u, v = np.round(pixels).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < result.depth.shape[2]) & (v < result.depth.shape[1])
    off_centre = np.abs(pixels[inside] - np.stack([u, v], axis=1)[inside]).max(axis=1)
    u, v, depth, colours = u[inside], v[inside], depth[inside], colours[inside]
    same = np.abs(depth / result.depth[0, v, u] - 1) < 1e-3
    same &= (linear_light(result.frames[0, v, u]) == colours).all(axis=1) & (off_centre < 0.01)
    covered = np.zeros(result.depth.shape[1:], bool)
    covered[v[same], u[same]] = True
    return covered


def test_glb_shows_the_first_frame_to_the_first_camera(tiny_result, tmp_path):
    glb = written(tiny_result, tmp_path / "a.glb", 0)
    assert np.median(tiny_result.depth[0]) * glb.scale == pytest.approx(5, rel=0.02)
    usable = tiny_result.confidence[0] > 0
    moving = tiny_result.dynamic[0] & usable
    assert (shown_at_first_frame(glb, "mover 1, frame 0", tiny_result) & moving).sum() > 0.9 * moving.sum()
    static = usable & ~tiny_result.dynamic[0]
    assert (shown_at_first_frame(glb, "static", tiny_result) & static).sum() > 0.85 * static.sum()


def test_glb_box_is_centred_where_the_viewer_looks(tiny_result, tmp_path):
    glb = written(tiny_result, tmp_path / "a.glb")
    parts = [("static", 4), ("camera path", 1), ("mover 1, frame 3", 4), ("frame 3", 1)]
    everything = np.concatenate([glb.vertices(name, mode)[0] for name, mode in parts])
    corners = glb.array(glb.primitives("bounds")[0].attributes.POSITION)
    opening = find_opening(Scene(tiny_result), (1.75 * np.tan(0.4), np.tan(0.4)))
    assert np.allclose(corners.mean(axis=0), opening.target * [1, -1, -1] * glb.scale, atol=1e-4)
    assert (everything >= corners.min(axis=0) - 1e-4).all() and (everything <= corners.max(axis=0) + 1e-4).all()


def test_glb_accessors_and_materials_follow_the_standard(tiny_result, tmp_path):
    glb = written(tiny_result, tmp_path / "a.glb")
    for material in glb.gltf.materials:
        assert material.doubleSided and "KHR_materials_unlit" in material.extensions
    for mesh in glb.gltf.meshes:
        for primitive in mesh.primitives:
            bounds, places = glb.gltf.accessors[primitive.attributes.POSITION], glb.array(primitive.attributes.POSITION)
            assert np.array_equal(bounds.min, places.min(axis=0))
            assert np.array_equal(bounds.max, places.max(axis=0))
            if primitive.indices is not None:
                indices = glb.array(primitive.indices)
                assert indices.max() < len(places) and len(indices) % {4: 3, 1: 2}[primitive.mode] == 0


def test_glb_shows_each_time_step_once(tiny_result, tmp_path):
    glb = written(tiny_result, tmp_path / "a.glb")
    (animation,) = glb.gltf.animations
    targets = {c.target.node: animation.samplers[c.sampler] for c in animation.channels}
    names = [f"{what}frame {t}" for t in range(6) for what in ("", "mover 1, ")]
    assert [glb.gltf.nodes[node].name for node in targets] == names
    ends = set()
    for moment in range(6):
        shown = []
        for node, sampler in targets.items():
            times, scales = glb.array(sampler.input), glb.array(sampler.output)
            assert sampler.interpolation == "STEP" and times[0] == 0 and (np.diff(times) > 0).all()
            assert len(times) == len(scales)
            ends.add(float(times[-1]))
            if scales[np.searchsorted(times, (moment + 0.5) / 8, side="right") - 1, 0] == 1:
                shown.append(glb.gltf.nodes[node].name)
        assert shown == [f"frame {moment}", f"mover 1, frame {moment}"]
    assert list(ends) == [pytest.approx(6 / 8)]
    assert [glb.nodes[name].scale[0] for name in names] == [1, 1] + 10 * [0]


def test_glb_static_scene_has_one_layer_and_fills_what_the_object_hid(tmp_path):
    result = analytic_result(8, 128, 96)
    glb = written(result, tmp_path / "a.glb", 0)
    points = glb.vertices("static")[0] * [1, -1, -1] / glb.scale
    on_surface = (np.abs(points[:, 1] - 1) < 0.01) | (np.abs(points[:, 2] - 6) < 0.01)
    assert on_surface.mean() > 0.99  # floor and wall, and nothing of the box
    pixels, _ = project(points, result.cam2world[0], result.intrinsics[0])
    seen = np.zeros((96, 128), bool)
    u, v = np.round(pixels).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < 128) & (v < 96)
    seen[v[inside], u[inside]] = True
    revealed = result.dynamic[0]
    assert (seen & revealed).sum() > 0.3 * revealed.sum()
    assert len(points) < 2 * 128 * 96  # eight layers would be four times that


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 0},
        {"dynamic": True},
        {"dynamic": False},
        {"depth": 3},
        {"depth": 0},
        {"depth": np.nan},
        {"confidence": 1},
    ],
)
def test_glb_of_a_poor_result_is_still_a_scene(tiny_result, tmp_path, change):
    for name, value in change.items():
        getattr(tiny_result, name)[:] = value
    glb = written(tiny_result, tmp_path / "a.glb")
    assert np.isfinite(trimesh.load(tmp_path / "a.glb").bounds).all()
    with_surface = [p for mesh in glb.gltf.meshes for p in mesh.primitives if p.mode == 4]
    assert with_surface or not tiny_result.depth[0, 0, 0] > 0


def test_one_frame_is_saved(tmp_path):
    files = analytic_result(1).save(tmp_path / "one", files=["scene.glb", "poses.txt"])
    assert len(trimesh.load(files["scene.glb"]).geometry) >= 2
    assert len(np.atleast_2d(np.loadtxt(files["poses.txt"]))) == 1


def test_glb_stays_small(tmp_path):
    path = tmp_path / "a.glb"
    glb = written(analytic_result(24, 512, 288), path)
    assert path.stat().st_size < 10e6
    assert len(glb.vertices("static")[0]) <= 150_000


def test_glb_far_points_are_left_out(tiny_result, tmp_path):
    tiny_result.depth[:, 10, 20:24] = 1e6
    places = written(tiny_result, tmp_path / "a.glb").vertices("static")[0]
    assert np.abs(places).max() < 50


def test_poses_are_read_back(tiny_result, tmp_path):
    rows = np.loadtxt(tiny_result.save(tmp_path, files=["poses.txt"])["poses.txt"])
    assert rows.shape == (6, 8)
    assert np.allclose(rows[:, 0], tiny_result.timestamps, atol=1e-6)
    assert np.allclose(rows[:, 1:4], tiny_result.cam2world[:, :3, 3], atol=1e-7)
    assert np.allclose(Rotation.from_quat(rows[:, 4:]).as_matrix(), tiny_result.cam2world[:, :3, :3], atol=1e-7)


def test_cameras_project_points_to_their_pixels(tiny_result, tmp_path):
    (written,) = tiny_result.save(tmp_path, files=["cameras.json"]).values()
    document = json.loads(Path(written).read_text(encoding="utf-8"))
    assert document["scale"] == "arbitrary" and document["working_size"] == [64, 48]
    assert document["source_size"] == list(tiny_result.framing.source_size)
    points, framing = tiny_result.points(), tiny_result.framing
    rows, columns = np.mgrid[0:48:5, 0:64:5].reshape(2, -1)
    # counted from the picture's corner, not from the centre of its first pixel, resizing is a plain factor
    in_source = (np.stack([columns, rows], 1) + framing.offset + 0.5) * framing.source_size / framing.resized - 0.5
    for t, frame in enumerate(document["frames"]):
        assert frame["index"] == t and frame["timestamp"] == tiny_result.timestamps[t]
        for name, expected in (("working", np.stack([columns, rows], 1)), ("source", in_source)):
            k = frame[f"intrinsics_{name}"]
            matrix = np.array([[k["fx"], 0, k["cx"]], [0, k["fy"], k["cy"]], [0, 0, 1]])
            pixels, depth = project(points[t, rows, columns], np.array(frame["cam2world"]), matrix)
            assert np.abs(pixels - expected).max() < 0.05
            assert np.allclose(depth, tiny_result.depth[t, rows, columns], rtol=1e-4)


def decode(path):
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        return frames, float(stream.average_rate)


def test_videos_play_at_the_clips_pace_and_show_the_result(tmp_path):
    result = analytic_result(6, 128, 96)
    files = result.save(tmp_path, files=["masks.mp4", "depth.mp4"])
    masks, fps = decode(files["masks.mp4"])
    assert masks.shape == result.frames.shape and fps == pytest.approx(8)
    change = np.abs(masks.astype(int) - result.frames).mean(axis=-1)
    assert change[result.dynamic].mean() > 30 and change[~result.dynamic].mean() < 6
    depth, fps = decode(files["depth.mp4"])
    assert depth.shape == result.frames.shape and fps == pytest.approx(8)
    near, far = depth[result.depth < 2.3], depth[result.depth > 5.5]
    assert near[:, 0].mean() > near[:, 2].mean() + 50 and far[:, 2].mean() > far[:, 0].mean()  # red to blue


def test_playback_speed_is_bounded():
    assert playback_fps(np.arange(24) / 8) == pytest.approx(8)
    assert playback_fps(np.arange(24) * 25.0) == 4
    assert playback_fps(np.arange(24) / 240) == 30
    assert playback_fps(np.zeros(1)) == 4


def test_archive_is_read_back_exactly(tiny_result, tmp_path):
    tiny_result.info["options"] = {"max_frames": np.int64(6), "fov": None, "size": (64, 48)}
    files = tiny_result.save(tmp_path, files=["arrays.npz", "report.json"])
    for place in (tmp_path, files["arrays.npz"]):
        back = load_reconstruction(place)
        for field in fields(back):
            before, after = getattr(tiny_result, field.name), getattr(back, field.name)
            if isinstance(before, np.ndarray):
                assert np.array_equal(before, after) and before.dtype == after.dtype, field.name
        assert back.framing == tiny_result.framing
        assert list(back.evidence) == list(tiny_result.evidence)
        for name, values in tiny_result.evidence.items():
            assert np.array_equal(back.evidence[name], values) and back.evidence[name].dtype == values.dtype, name
        assert back.info == json.loads(Path(files["report.json"]).read_text(encoding="utf-8"))
    assert back.info["options"] == {"max_frames": 6, "fov": None, "size": [64, 48]}
    assert back.info["seconds"]["encode"] == 0.25
    with np.load(files["arrays.npz"], allow_pickle=False) as arrays:  # any other program's way in
        assert np.array_equal(arrays["depth"], tiny_result.depth)


def test_small_archives_keep_what_is_shown(tiny_result, tmp_path):
    video.write(tmp_path / "clip.mp4", tiny_result.frames, 8)
    tiny_result.info["frame_numbers"] = list(range(6))
    write_small(tiny_result, tmp_path / "small.npz")
    back = load_small(tmp_path / "small.npz", tmp_path / "clip.mp4")
    assert back.depth.dtype == np.float32 and np.array_equal(back.dynamic, tiny_result.dynamic)
    assert np.allclose(back.depth[:, ::2, ::2], tiny_result.depth[:, ::2, ::2], rtol=1e-3)
    off = np.abs(back.depth / tiny_result.depth - 1)
    assert np.median(off) < 0.001 and (off > 0.06).mean() < 0.03  # all that is off lies at edges
    assert np.allclose(back.confidence[:, ::2, ::2], tiny_result.confidence[:, ::2, ::2], rtol=0.03)
    for name, values in tiny_result.evidence.items():
        assert np.allclose(back.evidence[name], values, atol=1 / 255) and back.evidence[name].dtype == values.dtype, (
            name
        )


def test_foreign_archives_are_refused(tiny_result, tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", meta=np.array([{}], dtype=object))
    whole = Path(tiny_result.save(tmp_path / "out", files=["arrays.npz"])["arrays.npz"]).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[len(whole) // 3 : len(whole) // 3 + 400] = bytes(400)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for name in ("text", "other", "pickle", "half", "damaged"):
        with pytest.raises(InputError, match="not a reconstruction"):
            load_reconstruction(tmp_path / f"{name}.npz")
    for nowhere in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match="no reconstruction"):
            load_reconstruction(nowhere)


@pytest.mark.parametrize(
    "name, change",
    [
        ("frames", lambda frames: frames[:, :, :30]),
        ("frames", lambda frames: frames / 255),
        ("timestamps", lambda seconds: seconds[:2]),
        ("cam2world", lambda cameras: cameras[:, :3]),
        ("cam2world", lambda cameras: cameras * np.nan),
        ("intrinsics", lambda intrinsics: intrinsics + np.inf),
        ("depth", lambda depth: depth[:2]),
        ("depth", lambda depth: depth * np.float32("nan")),
        ("depth", lambda depth: 0 * depth),
        ("dynamic", lambda dynamic: dynamic[..., None]),
        ("evidence/clusters", lambda clusters: clusters[:2]),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused_when_loaded(tiny_result, tmp_path, name, change):
    path = tiny_result.save(tmp_path, files=["arrays.npz"])["arrays.npz"]
    with np.load(path) as file:
        arrays = {**file, name: change(file[name])}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=f"its .*{name.removeprefix('evidence/')}.*run the clip again") as error:
        load_reconstruction(tmp_path)
    assert is_a_sentence(str(error.value))


def test_small_archives_say_what_they_are(tiny_result, tmp_path):
    write_small(tiny_result, tmp_path / "small.npz")
    with pytest.raises(InputError, match="small preview without pictures") as error:
        load_reconstruction(tmp_path / "small.npz")
    assert is_a_sentence(str(error.value))


def test_save_returns_what_it_wrote_and_replaces_older_results(tiny_result, tmp_path):
    (tmp_path / "mine.txt").write_text("stays")
    tiny_result.save(tmp_path, files=["masks", "arrays.npz", "report.json"])
    files = replace(tiny_result, info={"run": 2}).save(tmp_path)
    assert list(files) == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NAMES, "mine.txt"])
    assert all((tmp_path / name).samefile(path) for name, path in files.items())
    assert load_reconstruction(tmp_path).info == {"run": 2}


def test_only_the_files_asked_for_are_written(tiny_result, tmp_path):
    files = tiny_result.save(tmp_path / "few", files=["masks", "scene.glb"])
    assert list(files) == ["scene.glb", "masks"]
    assert sorted(path.name for path in (tmp_path / "few").iterdir()) == ["masks", "scene.glb"]
    tiny_result.save(tmp_path / "few", files=["scene.glb", "depth"])  # again, and more of it
    with pytest.raises(InputError, match="already holds masks"):
        tiny_result.save(tmp_path / "few", files=["masks"])  # a folder of this name may be anybody's
    tiny_result.save(tmp_path / "all", files=["poses.txt", "masks", "depth", "arrays.npz"])
    (tmp_path / "all" / "masks" / "old.png").write_text("old")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").iterdir()}
    tiny_result.save(tmp_path / "all", files=iter(["masks"]))
    assert not (tmp_path / "all" / "masks" / "old.png").exists()
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"masks"} and after.keys() == before.keys()


@pytest.mark.parametrize(
    "files, said",
    [(["scene.obj"], "'scene.obj'"), ([], "empty"), ([3], "3"), ([["a"]], "'a'"), ("mask", "'mask'"), (5, "5")],
)
def test_unknown_files_are_named_and_nothing_written(tiny_result, tmp_path, files, said):
    with pytest.raises(
        InputError, match=f"files .*{said}.*(it can name README.txt, .*arrays.npz, report.json|a list of names)"
    ):
        tiny_result.save(tmp_path / "new", files=files)
    assert not (tmp_path / "new").exists()


def test_save_does_not_replace_what_no_result_has_left(tiny_result, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "drawn.png").write_text("by hand")
    with pytest.raises(InputError, match="already holds masks"):
        tiny_result.save(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["masks", "drawn.png"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_save_leaves_nothing(tiny_result, tmp_path, monkeypatch, existing):
    def broken(result, path):
        path.write_text("half")
        raise RuntimeError("broken")

    folder = tmp_path / "a" / "b"
    if existing:
        folder.mkdir(parents=True)
    monkeypatch.setitem(export._FILES, "depth.mp4", broken)
    with pytest.raises(RuntimeError, match="broken"):
        tiny_result.save(folder, files=["poses.txt", "masks", "depth.mp4", "report.json"])
    assert [path.name for path in tmp_path.rglob("*")] == (["a", "b"] if existing else [])


def test_what_a_killed_run_has_left_goes_with_the_next_and_what_another_is_writing_stays(tiny_result, tmp_path):
    writes = (
        "import sys, time; from pathlib import Path; from easi3r.export import replacing\n"
        "with replacing(Path(sys.argv[1]), ['a']) as new:\n"
        "    (new / 'a').touch(); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", writes, tmp_path], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        tiny_result.save(tmp_path, files=["poses.txt"])
        (unfinished,) = tmp_path.glob(".unfinished-*")
        assert (unfinished / "new" / "a").exists()
        other.terminate()
    assert unfinished.exists()
    (unfinished / "old" / "masks").mkdir(parents=True)  # as if killed between taking the old away and giving the new
    tiny_result.save(tmp_path, files=["poses.txt"])
    assert (unfinished / "old" / "masks").exists()
    (unfinished / "new" / "a").unlink()
    tiny_result.save(tmp_path, files=["poses.txt"])
    assert [path.name for path in tmp_path.iterdir()] == ["poses.txt"]


def test_a_file_in_the_folders_place_is_named(tiny_result, tmp_path):
    (tmp_path / "file").write_text("stays")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="file"):
            tiny_result.save(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "stays"
