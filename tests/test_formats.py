"""What is written for other programs is read back by programs of other hands: pycolmap, pygltflib, plyfile, trimesh.

The known points of a rendered clip, taken from its full-size pixels, are sent through the cameras that were written and
must land on the pixels they came from.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import plyfile
import pycolmap
import pygltflib
import pytest
import trimesh
from conftest import analytic_result
from PIL import Image
from scipy.spatial.transform import Rotation

from easi3r import export, synthetic, video
from easi3r.camera import Framing
from easi3r.export.blender import write_camera
from easi3r.export.images import write_depth_images
from easi3r.export.scene import Scene
from easi3r.reconstruction import Reconstruction

TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}  # of glTF
UNIT = 0.37  # the clip's metres are not the result's unit
GEOMETRY = ["camera.gltf", "static.ply", "moving", "dataset", "masks", "depth"]
SHAPES = {"landscape": (300, 175), "portrait": (175, 300)}


def truth(width, height):
    """A rendered clip, and the perfect `Reconstruction` of what the program makes of it: resized and cropped."""
    clip = synthetic.render("street", 3, width, height, seconds=0.8)
    read = video.read(clip.frames, 3, 208, 16)
    framing = read.framing
    assert min(framing.offset) < max(framing.offset) and max(framing.resized) < max(framing.source_size)
    u, v = np.meshgrid(*(np.arange(side) for side in framing.size))
    column, row = np.round(source_of(framing, np.stack([u, v], -1))).astype(int).transpose(2, 0, 1)
    shrink = np.diag([*np.divide(framing.resized, framing.source_size), 1.0])
    intrinsics = shrink @ clip.intrinsics
    intrinsics[:2, 2] += np.diag(shrink)[:2] / 2 - 0.5 - framing.offset
    cam2world, depth, dynamic = clip.cam2world.copy(), clip.depth[:, row, column] * UNIT, clip.dynamic[:, row, column]
    cam2world[:, :3, 3] *= UNIT
    result = Reconstruction(
        read.frames,
        2.0 + np.arange(3) / 5,
        cam2world,
        np.repeat(intrinsics[None], 3, 0),
        depth.astype(np.float32),
        np.ones_like(depth),
        dynamic,
        dynamic.astype(np.float32),
        {},
        framing,
        {"backbone": {"name": "truth"}, "source": "street.mp4"},
    )
    return clip, result


def source_of(framing, pixels):
    """Pixel centres of the working image -> those of the source, counting from the corner in between."""
    return (pixels + framing.offset + 0.5) * framing.source_size / np.array(framing.resized) - 0.5


def working_of(framing, pixels):
    return (pixels + 0.5) * framing.resized / np.array(framing.source_size) - 0.5 - framing.offset


@pytest.fixture(scope="module", params=list(SHAPES))
def saved(request, tmp_path_factory):
    """(clip, result, folder) of a result written with all that other programs take."""
    clip, result = truth(*SHAPES[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    result.save(folder, files=["scene.glb", "cameras.json", *GEOMETRY])
    return clip, result, folder


def known_points(clip, t):
    """Source pixels (N,2) of frame t, and the world points (N,3) they show, in the result's unit."""
    height, width = clip.depth.shape[1:]
    v, u = np.mgrid[0:height:7, 0:width:7].reshape(2, -1)
    z = clip.depth[t, v, u]
    fx, fy, cx, cy = clip.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    camera = np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], axis=1)
    return np.stack([u, v], axis=1), (camera @ clip.cam2world[t, :3, :3].T + clip.cam2world[t, :3, 3]) * UNIT


# ------------------------------------------------------------------------------------------------------------- readers


class Colmap:
    """A sparse model as pycolmap reads it."""

    def __init__(self, folder):
        self.model = pycolmap.Reconstruction(folder)
        self.cameras, self.images, self.points = self.model.cameras, self.model.images, self.model.points3D
        assert all(camera.model_name == "PINHOLE" for camera in self.cameras.values())

    @property
    def sizes(self):
        return [(camera.width, camera.height) for camera in self.cameras.values()]

    def project(self, number, points):
        """Pixels counted from the corner of the picture, as COLMAP does."""
        image = self.images[number]
        seen = image.cam_from_world() * np.ascontiguousarray(points, float)
        return self.cameras[image.camera_id].img_from_cam(seen)


def nerfstudio_project(document, t, points):
    """Pixels counted from the corner; camera looks along -z, y up."""
    k = document | document["frames"][t]
    x, y, z = np.linalg.inv(k["transform_matrix"])[:3] @ np.concatenate([np.transpose(points), [np.ones(len(points))]])
    assert (z < 0).all()
    return np.stack([k["cx"] + k["fl_x"] * x / -z, k["cy"] - k["fl_y"] * y / -z], axis=-1)


def accessor(gltf, index):
    """(N,) or (N,k) array of an accessor of a pygltflib document, GLB or glTF."""
    accessor = gltf.accessors[index]
    view, (buffer,) = gltf.bufferViews[accessor.bufferView], gltf.buffers
    data = gltf.get_data_from_buffer_uri(buffer.uri) if buffer.uri else gltf.binary_blob()
    dtype = np.dtype(TYPES[accessor.componentType])
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
    assert len(data) == buffer.byteLength and view.byteOffset % 4 == 0 and (view.byteStride or 4) % 4 == 0
    strides = view.byteStride or dtype.itemsize * width, dtype.itemsize
    array = np.ndarray((accessor.count, width), dtype, data, view.byteOffset, strides)
    return array[:, 0] if width == 1 else array


class Gltf:
    """The camera of a glTF file and its animation."""

    def __init__(self, path):
        self.gltf = pygltflib.GLTF2().load(path)
        (self.node,) = self.gltf.nodes
        self.lens = self.gltf.cameras[self.node.camera].perspective
        self.keys = {}
        for animation in self.gltf.animations:
            for channel in animation.channels:
                sampler = animation.samplers[channel.sampler]
                assert channel.target.node == 0 and sampler.interpolation == "LINEAR"
                arrays = accessor(self.gltf, sampler.input), accessor(self.gltf, sampler.output)
                self.keys[channel.target.path] = arrays

    @property
    def unit(self):
        return self.gltf.scenes[0].extras["units_per_world_unit"]

    def project(self, key, points, width, height):
        """Points (N,3) of the scene -> pixel centres (N,2), by the standard's perspective matrix."""
        place, turn = self.keys["translation"][1][key], self.keys["rotation"][1][key]
        assert np.linalg.norm(turn) == pytest.approx(1, abs=1e-6)
        x, y, z = Rotation.from_quat(turn).as_matrix().T @ np.transpose(points - place)
        tangent = np.tan(self.lens.yfov / 2)
        right, up = x / -z / (tangent * self.lens.aspectRatio), y / -z / tangent
        return np.stack([(right + 1) / 2 * width - 0.5, (1 - up) / 2 * height - 0.5], axis=-1)


def read_ply(path):
    """Points (N,3) and colours (N,3), by plyfile and by trimesh."""
    file = plyfile.PlyData.read(path)
    assert not file.text and file.byte_order == "<"
    table = file["vertex"]
    points, colours = (np.stack([table[n] for n in names], 1) for names in ("xyz", ["red", "green", "blue"]))
    loaded = trimesh.load(path)
    assert np.array_equal(loaded.vertices, points) and np.array_equal(loaded.colors[:, :3], colours)
    return points, colours


# --------------------------------------------------------------------------------------------------------- round trips


def test_cameras_json_at_both_sizes(saved):
    clip, result, folder = saved
    document = json.loads((folder / "cameras.json").read_text(encoding="utf-8"))
    for t, frame in enumerate(document["frames"]):
        pixels, points = known_points(clip, t)
        world2cam = np.linalg.inv(frame["cam2world"])
        x, y, z = world2cam[:3, :3] @ points.T + world2cam[:3, 3:]
        for size, expected in (("source", pixels), ("working", working_of(result.framing, pixels))):
            k = frame[f"intrinsics_{size}"]
            found = np.stack([k["fx"] * x / z + k["cx"], k["fy"] * y / z + k["cy"]], axis=-1)
            assert np.abs(found - expected).max() < 0.01


def test_colmap_and_nerfstudio_cameras(saved):
    clip, result, folder = saved
    model, document = (
        Colmap(folder / "dataset/sparse/0"),
        json.loads((folder / "dataset/transforms.json").read_text(encoding="utf-8")),
    )
    width, height = result.framing.size
    assert model.sizes == [(width, height)]
    assert (document["w"], document["h"]) == (width, height) and len(model.images) == len(document["frames"]) == 3
    for t, frame in enumerate(document["frames"]):
        assert frame["file_path"] == "images/" + model.images[t + 1].name
        pixels, points = known_points(clip, t)
        expected = working_of(result.framing, pixels) + 0.5  # both count from the corner
        assert np.abs(model.project(t + 1, points) - expected).max() < 0.01
        assert np.abs(nerfstudio_project(document, t, points) - expected).max() < 0.01


def test_colmap_points_lie_on_their_marks(saved):
    _, result, folder = saved
    model = Colmap(folder / "dataset/sparse/0")
    pictures = [np.array(Image.open(folder / "dataset/images" / image.name)) for image in model.images.values()]
    assert 1000 < len(model.points) <= 20_000
    marks, off, tinge = 0, [], []
    for number, point in model.points.items():
        track = [(element.image_id, element.point2D_idx) for element in point.track.elements]
        assert 1 <= len(track) == len({image for image, _ in track}) <= 6
        for image, index in track:
            mark = model.images[image].points2D[index]
            assert mark.point3D_id == number
            x, y = mark.xy
            off.append(np.abs(model.project(image, point.xyz[None])[0] - mark.xy).max())
            if 0.02 < min(x % 1, y % 1) and max(x % 1, y % 1) < 0.98:  # else rounding may name the pixel beside
                tinge.append(np.abs(pictures[image - 1][int(y), int(x)] - point.color.astype(int)).max())
                assert not result.dynamic[image - 1, int(y), int(x)]
            marks += 1
    assert marks == sum(len(image.points2D) for image in model.images.values()) and marks > 2 * len(model.points)
    assert max(off) < 0.02 and len(tinge) > 0.8 * marks and np.median(tinge) < 12


def test_frames_and_masks_are_those_of_the_result(saved):
    _, result, folder = saved
    document = json.loads((folder / "dataset/transforms.json").read_text(encoding="utf-8"))
    for t, frame in enumerate(document["frames"]):
        image = np.array(Image.open(folder / "dataset" / frame["file_path"]))
        assert np.abs(image.astype(int) - result.frames[t]).mean() < 3
        used = Image.open(folder / "dataset" / frame["mask_path"])
        moving = Image.open(folder / f"masks/{t:05d}.png")
        assert used.mode == "L" and moving.mode == "P"
        assert np.array_equal(np.array(used), np.where(result.dynamic[t], 0, 255))
        assert np.array_equal(np.array(moving) > 0, result.dynamic[t])
        assert (folder / "dataset/masks" / (frame["file_path"].partition("/")[2] + ".png")).is_file()  # COLMAP's rule


def shown_exactly(result, t, points, colours):
    """(N,) bool: which points project to a pixel centre of frame t, with its depth and colour; and these pixels."""
    world2cam = np.linalg.inv(result.cam2world[t])
    x, y, z = result.intrinsics[t] @ (world2cam[:3, :3] @ points.T + world2cam[:3, 3:])
    pixel = np.round([x / z, y / z]).astype(int)
    off = np.abs([x / z, y / z] - pixel).max(axis=0)
    height, width = result.depth.shape[1:]
    u, v = np.clip(pixel, 0, [[width - 1], [height - 1]])
    same = (off < 0.02) & (u == pixel[0]) & (v == pixel[1]) & (np.abs(result.depth[t, v, u] / z - 1) < 1e-4)
    return same & (result.frames[t, v, u] == colours).all(axis=1), (v, u)


def test_ply_points_are_pixels(saved):
    _, result, folder = saved
    points, colours = read_ply(folder / "static.ply")
    hits = np.zeros(len(points), bool)
    for t in range(3):
        shown, pixel = shown_exactly(result, t, points, colours)
        hits |= shown & ~result.dynamic[t][pixel]
    assert hits.all() and len(points) > 0.8 * (~result.dynamic[0]).sum()
    assert result.dynamic.any(axis=(1, 2)).all() and len(list((folder / "moving").iterdir())) == 3
    for t in range(3):
        points, colours = read_ply(folder / f"moving/{t:05d}.ply")
        shown, pixel = shown_exactly(result, t, points, colours)
        assert shown.all() and result.dynamic[t][pixel].all() and len(points) > 0.8 * result.dynamic[t].sum()
    cloud, _ = read_ply(folder / "dataset/sparse_pc.ply")
    model = Colmap(folder / "dataset/sparse/0")
    assert np.allclose(cloud, [model.points[number].xyz for number in sorted(model.points)], atol=1e-5)


def test_gltf_camera_shows_the_original_video(saved):
    clip, result, folder = saved
    camera = Gltf(folder / "camera.gltf")
    unit = pygltflib.GLTF2().load(folder / "scene.glb").scenes[0].extras["units_per_world_unit"]
    assert camera.unit == pytest.approx(unit)
    times = camera.keys["rotation"][0]
    assert np.allclose(times, np.arange(3) / 5) and np.array_equal(times, camera.keys["translation"][0])
    for t in range(3):
        pixels, points = known_points(clip, t)
        found = camera.project(t, points * [1, -1, -1] * unit, *result.framing.source_size)
        assert np.abs(found - pixels).max() < 0.5 and np.abs(found - pixels).mean() < 0.2
    # and scene.glb itself: its first frame's vertices are pixels of the working frame
    vertices = np.concatenate(
        [g.vertices for n, g in trimesh.load(folder / "scene.glb").geometry.items() if n.startswith("static")]
    )
    seen = working_of(result.framing, camera.project(0, vertices, *result.framing.source_size))
    inside = ((seen > 0) & (seen < np.array(result.framing.size) - 1)).all(axis=1)
    assert inside.mean() > 0.7 and np.median(np.abs(seen - np.round(seen))[inside]) < 0.15


def test_gltf_camera_beside_the_middle(tiny_result, tmp_path):
    """The program's own cameras look half a working pixel beside the middle, which glTF cannot say."""
    write_camera(Scene(tiny_result), tmp_path / "camera.gltf")
    camera = Gltf(tmp_path / "camera.gltf")
    points = tiny_result.points()[2].reshape(-1, 3)
    v, u = np.mgrid[0:48, 0:64].reshape(2, -1)
    found = camera.project(2, points * [1, -1, -1] * camera.unit, *tiny_result.framing.source_size)
    expected = source_of(tiny_result.framing, np.stack([u, v], axis=1))
    assert np.linalg.norm(found - expected, axis=1).max() < 0.5  # pixels of a source three times as large
    signs = np.sum(camera.keys["rotation"][1][1:] * camera.keys["rotation"][1][:-1], axis=1)
    assert (signs > 0.9).all()


def test_depth_images_keep_sixteen_bits(tiny_result, tmp_path):
    tiny_result.depth[1, 5, 5] = 1e6  # must not cost the others their precision
    tiny_result.depth[1, 6, 6] = np.nan
    write_depth_images(Scene(tiny_result), tmp_path)
    scale = json.loads((tmp_path / "scale.json").read_text(encoding="utf-8"))["scale"]
    values = np.stack([cv2.imread(str(tmp_path / f"{t:05d}.png"), cv2.IMREAD_UNCHANGED) for t in range(6)])
    assert values.dtype == np.uint16 and values.max() == 65535 and values[1, 5, 5] == values[1, 6, 6] == 0
    usable = tiny_result.confidence > 0
    usable[1, [5, 6], [5, 6]] = False
    assert np.array_equal(values > 0, usable)
    assert np.abs(values * scale - tiny_result.depth)[usable].max() <= 0.501 * scale
    assert np.abs(values * scale / tiny_result.depth - 1)[usable].max() < 1e-4


# ------------------------------------------------------------------------------------------------------- unusual cases


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"confidence": 0},
        {"dynamic": True},
        {"dynamic": False},
        {"depth": 3},
        {"depth": 0},
        {"depth": np.nan},
        {"frames": 1},
    ],
)
def test_poor_results_are_written_and_read(tiny_result, tmp_path, change):
    result = analytic_result(1) if "frames" in change else tiny_result
    for name in change.keys() - {"frames"}:
        getattr(result, name)[:] = change[name]
    files = result.save(tmp_path, files=GEOMETRY)
    n_frames, known = len(result.frames), np.isfinite(result.depth) & (result.depth > 0)
    assert ("static.ply" in files) == (known & ~result.dynamic).any()
    assert ("moving" in files) == (known & result.dynamic).any()
    for path in tmp_path.rglob("*.ply"):
        points, _ = read_ply(path)
        assert len(points) and np.isfinite(points).all()
    model, document = (
        Colmap(tmp_path / "dataset/sparse/0"),
        json.loads((tmp_path / "dataset/transforms.json").read_text(encoding="utf-8")),
    )
    assert len(model.images) == len(document["frames"]) == n_frames
    assert bool(model.points) == ("ply_file_path" in document) == ("static.ply" in files)
    camera = Gltf(files["camera.gltf"])
    assert np.isfinite(camera.node.translation).all() and bool(camera.keys) == (n_frames > 1)
    assert len(list((tmp_path / "depth").glob("*.png"))) == len(list((tmp_path / "masks").iterdir())) == n_frames
    assert json.loads((tmp_path / "depth/scale.json").read_text(encoding="utf-8"))["scale"] > 0


def test_cameras_that_zoom(tiny_result, tmp_path):
    tiny_result.intrinsics[:, 0, 0] *= np.linspace(1, 1.5, 6)
    tiny_result.save(tmp_path, files=["dataset"])
    model, document = (
        Colmap(tmp_path / "dataset/sparse/0"),
        json.loads((tmp_path / "dataset/transforms.json").read_text(encoding="utf-8")),
    )
    points = tiny_result.points()[4].reshape(-1, 3)
    v, u = np.mgrid[0:48, 0:64].reshape(2, -1)
    for found in (model.project(5, points), nerfstudio_project(document, 4, points)):
        assert np.abs(found - np.stack([u, v], axis=1) - 0.5).max() < 0.01


def test_the_guide_names_every_file_and_the_licence(tiny_result, tmp_path):
    licence = "CC BY-NC-SA 4.0: for non-commercial use only"
    tiny_result.info |= {"system": "Easi3R on DUSt3R", "backbone": {"name": "DUSt3R", "license": licence}}
    files = tiny_result.save(tmp_path)
    guide = Path(files["README.txt"]).read_text(encoding="utf-8")
    for word in [
        *files.keys() - {"README.txt"},
        "Easi3R on DUSt3R",
        "non-commercial",
        "Only a test.",
        "Arbitrary",
        "64 x 48",
        "199 x 148",
        "in 6 of 6",
    ]:
        assert word in guide, word
    assert max(map(len, guide.split("\n"))) <= 100 and "cut off" not in guide


def test_the_guide_says_that_bars_were_cut_off_first(tiny_result, tmp_path):
    framing = Framing.fit((320, 240), 64, 8, (0, 30, 320, 181))
    files = replace(tiny_result, framing=framing).save(tmp_path, files=["README.txt"])
    guide = " ".join(Path(files["README.txt"]).read_text(encoding="utf-8").split())
    assert "The video is 320 x 240 pixels. What lies around the scene, such as bars, was cut off first" in guide
    assert "which left 320 x 181. It was resized to 64 x 36 and cut to 64 x 32" in guide


# ------------------------------------------------------------------------------------------------------- all or nothing


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SOME = ["README.txt", "static.ply", "moving", "poses.txt", "masks", "depth", "arrays.npz", "report.json"]


def test_folders_of_an_older_result_are_replaced(tiny_result, tmp_path):
    tiny_result.save(tmp_path, files=SOME)
    (tmp_path / "masks" / "old.png").write_text("old")
    (tmp_path / "mine").mkdir()
    still = replace(tiny_result, dynamic=np.zeros_like(tiny_result.dynamic))
    files = still.save(tmp_path, files=SOME)
    assert {path.name for path in tmp_path.iterdir()} == {*files, "mine"} and "moving" not in files
    assert not (tmp_path / "masks" / "old.png").exists()


def test_a_failed_save_leaves_the_older_result(tiny_result, tmp_path, monkeypatch):
    tiny_result.save(tmp_path, files=SOME)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(export._FILES, "report.json", lambda result, path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            analytic_result(2).save(tmp_path, files=SOME)
    assert contents(tmp_path) == before
    moved = []

    def rename(source, target, real=os.rename):
        moved.append(source)
        if len(moved) == len(SOME) + 3:  # some of the new ones are there already
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(export.InputError, match="Permission denied"):
        analytic_result(2).save(tmp_path, files=SOME)
    assert len(moved) > len(SOME) + 3 and contents(tmp_path) == before
