"""Depth Anything 3: parity with the reference, weights, parts of long clips joined. Small seeded models."""

import functools
import itertools
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation

import easi3r
from easi3r import InputError, Options
from easi3r.alignment.overlap import overlap_weights, similarity
from easi3r.backbones.base import FramePrediction
from easi3r.backbones.da3 import Da3Network, cameras
from easi3r.backbones.da3.model import DepthAnything3, imbalance, normalised, reference_view
from easi3r.backbones.weights import load_da3, parameter_shapes
from easi3r.backbones.weights.da3 import configuration
from easi3r.benchmark import network as meter
from easi3r.benchmark import recurrent as benchmark
from easi3r.camera import Camera, invert, pose, transform
from easi3r.system import registry
from easi3r.system.at_once import AtOnce, parts_of

TINY = np.load(Path(__file__).parent / "data" / "da3_tiny.npz")
JSON = json.loads(str(TINY["config"]))
GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
IMAGES = TINY["images"]
SHARED_NORM = "model.head.scratch.output_conv2_aux.{}.2.weight"


def weight(name, shape):
    """As in the golden files (specification, section 12)."""
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if name.endswith(("cls_token", "camera_token")):
        return 0.5 * x
    if name.endswith("pos_embed"):
        return 0.2 * x
    if len(shape) > 1:
        return x / np.sqrt(np.prod(shape[1:])) * (0.3 if "fc_fov" in name else 1)
    about = {"weight": (1, 0.1), "gamma": (0.5, 0.1)}.get(name.split(".")[-1], (0, 0.02))
    middle, spread = (1, 0.1) if "fc_fov" in name else about
    return middle + spread * x


def state_of(values):
    shapes = parameter_shapes("da3", values)
    return {name: torch.from_numpy(np.float32(weight(name, shape))) for name, shape in shapes.items()}


def write_folder(folder, values=JSON, state=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    save_file(state or state_of(values), folder / "model.safetensors")
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("da3") / "tiny")


@pytest.fixture(scope="module")
def network(folder):
    return load_da3(folder, "cpu", whole=True)


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.exists():
        pytest.skip("the golden files of the specification are not beside this checkout")
    return functools.cache(lambda name: np.load(GOLDEN / f"da3_{name}.npz"))


def error(found, reference):
    return np.linalg.norm(np.asarray(found, np.float64) - reference) / np.linalg.norm(reference)


def check(predictions, data, prefix, allowed=1e-5):
    """Predictions against what there is of them in a golden file."""
    found = {
        "depth": [p.points[..., 2] for p in predictions],
        "conf": [p.confidence for p in predictions],
        "extrinsics": invert(np.array([p.cam2world for p in predictions]))[:, :3],
        "intrinsics": [p.intrinsics for p in predictions],
    }
    errors = {name: error(value, data[prefix + name]) for name, value in found.items() if prefix + name in data}
    assert len(errors) > 1 and max(errors.values()) < allowed, errors


# Parity ---------------------------------------------------------------------------------------------------------------


def test_a_clip_is_as_the_reference_computes_it_from_a_folder_with_what_only_depth_needs(folder):
    system = easi3r.load_system("da3", weights=folder)
    assert (system.patch, system.max_side) == (14, JSON["process_res"]) and "Apache-2.0" in system.note
    predictions = list(system.network.predict(IMAGES))
    check(predictions, TINY, "n5_")
    first = predictions[0]
    assert first.points.dtype == first.confidence.dtype == np.float32 and first.world_points is None
    # a point is where the centre of its pixel is seen, half a pixel from the edge
    height, width = IMAGES.shape[1:3]
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    assert np.allclose(
        Camera(first.intrinsics, (width, height)).project(first.points)[0], np.stack([u, v], -1), atol=1e-3
    )
    assert not any("_aux" in name or "cam_enc" in name for name in system.network.model.state_dict())


@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_frames_will_do(network, golden, count):
    check(list(network.predict(IMAGES[:count])), golden("tiny_landscape"), f"n{count}_")


@pytest.mark.parametrize("reference", ["first", "middle"])
def test_another_frame_can_be_the_first(network, golden, reference):
    check(list(network.predict(IMAGES, reference=reference)), golden("tiny_landscape"), f"n5{reference}_")


@torch.inference_mode()
def test_the_reference_is_the_frame_between_the_others(network, golden):
    data, backbone = golden("tiny_landscape"), network.model.backbone
    x = backbone.embed(normalised(torch.from_numpy(IMAGES)))
    assert error(normalised(torch.from_numpy(IMAGES))[0], data["input0"]) < 1e-6
    assert error(x[0], data["n1_tokens_in"]) < 1e-6
    tokens = backbone.blocks[0](x)[:, 0]
    assert error(imbalance(tokens), data["n5_balance"]) < 1e-5
    assert [reference_view(tokens, how) for how in ("saddle_balanced", "first", "middle")] == [
        data["n5_reference"],
        0,
        2,
    ]
    assert reference_view(tokens[:2], "middle") == 0


@torch.inference_mode()
def test_what_the_head_reads_is_as_the_reference_has_it(network, golden):
    data, found = golden("tiny_landscape"), {}
    for output in network.model.backbone.outputs(
        torch.from_numpy(IMAGES), "saddle_balanced", None, 2, lambda done: None
    ):
        found.setdefault(output.level, []).append(output)
    for level, name in ((0, "first"), (3, "last")):
        features = torch.cat([output.features for output in found[level]])
        assert error(features.view(data[f"n5_features_{name}"].shape), data[f"n5_features_{name}"]) < 1e-5
    camera = torch.cat([output.camera for output in found[3]])
    assert error(camera, data["n5_camera"]) < 1e-5
    assert error(network.model.cameras(camera), data["n5_pose_enc"]) < 1e-5


def test_rays_and_the_cameras_of_them(network, golden):
    data = golden("tiny_landscape")
    found = list(network.rays(IMAGES))
    assert error([np.concatenate([r.directions, r.origins], axis=-1) for r in found], data["n5_ray"]) < 1e-5
    assert error([r.confidence for r in found], data["n5_ray_conf"]) < 1e-5
    for i in range(2):
        cam2world, focal, centre = cameras.of_rays(data["rays_map"][i], data["rays_conf"][i])
        for ours, name in ((cam2world, "cam2world"), (focal, "focal"), (centre, "centre")):
            assert error(ours, data[f"rays_{name}"][i]) < 1e-3, name
        assert error(cam2world, data["rays_true_cam2world"][i]) < 3e-3


def test_known_cameras_are_taken_for_a_hint(network, golden):
    data = golden("tiny_landscape")
    known = invert(data["posed_extrinsics_raw"].astype(np.float64)), data["posed_intrinsics_in"]
    check(list(network.predict(IMAGES[:3], known=known)), data, "posed_")
    encoded = cameras.encoded(*known, IMAGES.shape[1:3])
    assert error(pose_of(encoded), invert(data["posed_extrinsics_in"].astype(np.float64))) < 1e-5
    with torch.inference_mode():
        assert error(network.model.camera_tokens(torch.from_numpy(encoded).float()), data["posed_camera_in"]) < 1e-5
    with pytest.raises(InputError, match=r"shapes \(3, 4, 4\) and \(3, 3, 3\); they must be \(2"):
        network.predict(IMAGES[:2], known=known)


def pose_of(encoded):
    return [pose(r, t) for r, t in zip(Rotation.from_quat(encoded[:, 3:7]).as_matrix(), encoded[:, :3])]


def test_the_small_one_stands_on_end(golden):
    data = golden("small_portrait")
    with torch.device("meta"):
        model = DepthAnything3(configuration({"model_name": "da3-small"}, "here"))
    model.load_state_dict(state_of({"model_name": "da3-small"}), assign=True)
    check(list(Da3Network(model, device="cpu").predict(data["images"])), data, "n2_")


def test_worlds_that_share_frames_are_joined_as_the_reference_does():
    weights = overlap_weights(1 + TINY["chunk_conf1"], 1 + TINY["chunk_conf2"]).ravel()
    found = similarity(TINY["chunk_points2"].reshape(-1, 3), TINY["chunk_points1"].reshape(-1, 3), weights)
    assert error(found, pose(TINY["chunk_scale"] * TINY["chunk_R"], TINY["chunk_t"])) < 1e-5
    nothing = np.zeros((4, 3))
    assert np.array_equal(similarity(nothing, nothing, np.zeros(4)), np.eye(4))
    assert np.allclose(similarity(nothing, nothing + 1, np.ones(4)), pose(np.eye(3), np.ones(3)))


def test_bfloat16_stays_close_and_batches_do_not_matter(folder):
    exact, rough, single = (load_da3(folder, "cpu", precision) for precision in (None, "bfloat16", None))
    single.batch = single.head_batch = 1
    depth, rough_depth, single_depth = (
        np.array([p.points[..., 2] for p in network.predict(IMAGES)]) for network in (exact, rough, single)
    )
    assert exact.info["precision"] == "float32" and 1e-4 < error(rough_depth, depth) < 0.05
    assert error(single_depth, depth) < 1e-5


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, parameters", [("da3-small", 34_299_463), ("da3-base", 135_366_599)])
def test_released_names_shapes_and_sizes(golden, name, parameters):
    shapes = parameter_shapes("da3", {"model_name": name})
    assert len(shapes) == 437 and sum(int(np.prod(shape)) for shape in shapes.values()) == parameters
    released = json.loads((GOLDEN / "da3_shapes.json").read_text())[name]["tensors"]
    assert {key: list(shape) for key, shape in shapes.items()} == released


NESTED = {
    "net": {"name": "vitb", "out_layers": [5, 7, 9, 11], "alt_start": 4, "rope_start": 4, "cat_token": True},
    "head": {"dim_in": 1536, "output_dim": 2, "features": 128, "out_channels": [96, 192, 384, 768]},
    "cam_enc": {"dim_out": 768},
    "cam_dec": {"dim_in": 1536},
}


def test_a_configuration_has_three_forms():
    base = configuration({"model_name": "da3-base"}, "here")
    assert base == configuration({"model_name": "da3-base", "config": NESTED}, "here")
    assert base == configuration({"config": NESTED}, "here") and base.max_side == 504
    tiny = configuration(JSON, "here")
    assert (tiny.embed_dim, tiny.out_layers, tiny.alt_start, tiny.max_side) == (64, (3, 5, 7, 9), 2, 98)
    assert configuration({"model_name": "da3-small", "process_res": 112}, "here").max_side == 112


@pytest.mark.parametrize(
    "change, said",
    [
        ({"embed_dim": 0}, "embed_dim = 0"),
        ({"num_heads": 5}, "num_heads = 5"),
        ({"out_layers": [3, 5, 7]}, "out_layers"),
        ({"out_layers": [2, 5, 7, 9]}, "out_layers"),
        ({"rope_start": 4}, "rope_start = 4"),
        ({"cat_token": False}, "cat_token = False"),
    ],
)
def test_configurations_of_other_networks_are_refused_by_name(change, said):
    with pytest.raises(InputError, match=f"has {said}.*does not know"):
        configuration({**JSON, **change}, "here")


def test_other_models_are_named(tmp_path, folder):
    with pytest.raises(InputError, match="is of the model da3-large, .*use DA3-SMALL or DA3-BASE"):
        configuration({"model_name": "da3-large"}, "here")
    with pytest.raises(InputError, match="lacks embed_dim, depth, num_heads"):
        configuration({}, "here")
    large = {"model.backbone.pretrained.cls_token": torch.zeros(1, 1, 1024)}
    large["model.backbone.pretrained.blocks.23.ls1.gamma"] = torch.zeros(1024)
    with pytest.raises(
        InputError, match=r"weights of DA3-LARGE \(1024 channels, 24 blocks\).*of DA3-SMALL \(384, 12\)"
    ):
        load_da3(write_folder(tmp_path, {"model_name": "da3-small"}, large))


def test_names_are_strict_and_the_shared_norm_has_any_of_its_own(tmp_path, folder):
    state = state_of(JSON)
    kept = state.pop(SHARED_NORM.format(0))
    with pytest.raises(InputError, match="lacks model.head.scratch.output_conv2_aux.0.2.weight"):
        load_da3(write_folder(tmp_path / "a", state=state))  # though rays are not asked for
    state[SHARED_NORM.format(3)] = kept
    found = load_da3(write_folder(tmp_path / "b", state=state), whole=True)
    norm = found.model.head.scratch.get_submodule("output_conv2_aux.0.2")
    assert torch.equal(norm.weight, kept) and not torch.equal(kept, torch.ones_like(kept))
    with pytest.raises(InputError, match="another tensor as"):
        load_da3(write_folder(tmp_path / "c", state={**state, SHARED_NORM.format(0): kept + 1}))
    with pytest.raises(InputError, match="unknown model.extra"):
        load_da3(write_folder(tmp_path / "d", state={**state, "model.extra": kept.clone()}))


def test_a_download_that_was_cut_off_is_said(tmp_path, folder):
    whole = Path(folder, "model.safetensors").read_bytes()
    (tmp_path / "config.json").write_text(json.dumps(JSON))
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged.*fetch it again"):
        easi3r.load_system("da3", str(tmp_path))


def test_the_base_one_is_for_a_gpu(monkeypatch):
    assert registry.row_of("da3", "cpu").card.weights == "depth-anything/DA3-SMALL"
    assert registry.row_of("da3", "cuda:0").card.weights == "depth-anything/DA3-BASE"
    monkeypatch.setattr(registry, "has_gpu", lambda: True)
    assert registry.row_of("da3").card.download_mb == 542


# Bad input ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_said_in_a_sentence(folder, network, monkeypatch):
    with pytest.raises(InputError, match="2000 x 3 pixels; both sides must be multiples of 14"):
        network.predict(np.zeros((1, 3, 2000, 3), np.uint8))
    with pytest.raises(InputError, match="reference 'last' is unknown; use saddle_balanced, first, middle"):
        network.predict(IMAGES, reference="last")
    with pytest.raises(InputError, match="Rays need the whole weights"):
        load_da3(folder, "cpu").rays(IMAGES)

    def none_left(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(network.model.backbone, "embed", none_left)
    with pytest.raises(InputError, match="not enough memory for 5 frames of 98 x 56 pixels at once"):
        next(network.predict(IMAGES))


@pytest.mark.parametrize("shape", [(1, 56, 98, 3), (3, 16, 500, 3)])
def test_one_frame_and_a_strip_are_reconstructed(folder, shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = easi3r.reconstruct(frames, easi3r.load_system("da3", folder))
    assert np.isfinite(result.depth).all() and (result.depth > 0).all() and np.isfinite(result.cam2world).all()


# Long clips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, most", [(1, 8), (8, 8), (9, 8), (300, 96), (33, 16), (3, 2)])
def test_parts_share_frames_and_have_about_the_same_length(count, most):
    parts = parts_of(count, most)
    assert parts[0][0] == 0 and parts[-1][1] == count and all(0 < end - begin <= most for begin, end in parts)
    assert all(0 < before[1] - after[0] <= most // 2 for before, after in itertools.pairwise(parts))
    lengths = [end - begin for begin, end in parts]
    assert max(lengths) - min(lengths) <= len(parts)


class Elsewhere:
    """A network that is right, but for a new world and unit whenever it is asked."""

    name, patch, max_side, device, info = "elsewhere", 8, 512, "cpu", {}

    def __init__(self, truth):
        self.truth, self.asked, self.random = truth, [], np.random.default_rng(0)

    def fitting(self, height, width):
        return 6

    def predict(self, frames, progress=None, world=True, reference=""):
        truth, scale = self.truth, self.random.uniform(0.3, 3)
        turned = pose(scale * Rotation.random(rng=self.random).as_matrix(), self.random.normal(size=3))
        self.asked.append(len(frames))
        for frame in frames:
            i = next(i for i, known in enumerate(truth.frames) if np.array_equal(known, frame))
            camera = Camera(truth.intrinsics[i], truth.framing.size)
            points = camera.unproject(scale * truth.depth[i]).astype(np.float32)
            found = turned @ truth.cam2world[i]
            found[:3, :3] /= scale
            centred = camera.intrinsics.copy()
            centred[:2, 2] += 0.5
            progress(1.0, "looking")
            yield FramePrediction(found, centred, points, np.full(points.shape[:2], 3, np.float32))


def test_a_long_clip_is_one_world_whatever_worlds_its_parts_have(tiny_result, monkeypatch):
    network, told = Elsewhere(tiny_result), []
    system = AtOnce(registry.row_of("da3", "cpu").card, network)
    found = list(system.predictions(tiny_result.frames, lambda fraction, text: told.append(fraction)))
    assert network.asked == [3, 3, 2]  # half of what fits, at most
    cam2world = np.array([p.cam2world for p in found])
    relative = invert(cam2world[0]) @ cam2world
    scale = found[0].points[..., 2].mean() / tiny_result.depth[0].mean()
    relative[:, :3, 3] /= scale
    assert np.allclose(relative, tiny_result.cam2world, atol=1e-4)
    assert np.allclose([p.points[..., 2] / scale for p in found], tiny_result.depth, rtol=1e-4)
    assert np.allclose([p.intrinsics for p in found], tiny_result.intrinsics)
    assert told == sorted(told) and told[-1] == 1
    worlds = [transform(p.cam2world, p.points) for p in found]
    assert all(np.isfinite(world).all() for world in worlds)


def test_plans_grow_faster_than_clips():
    system = AtOnce(registry.row_of("da3", "cpu").card, Elsewhere(None))
    few, many = (system.plan(count, Options()).seconds for count in (24, 96))
    assert few < many / 4 and system.plan(24, Options()).pairs is None


# The benchmark --------------------------------------------------------------------------------------------------------


def test_the_work_is_counted_as_specified():
    config = replace(configuration({"model_name": "da3-small"}, "here"), whole=False)
    assert 1000 * benchmark.count_work_at_once(config, (4, 280, 504, 3)) / 4 == pytest.approx(62, rel=0.01)


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "configuration", lambda values, source: configuration(JSON, source))
    monkeypatch.setattr(meter.Meter, "_matrix_rate", lambda self: 1.0)
    options = ["--network", "da3-small", "--device", "cpu"]
    assert benchmark.main([*options, "--frames", "2", "--size", "56x28"]) == 0
    assert "seconds per frame" in capsys.readouterr().out
    assert benchmark.main([*options, "--size", "56x30"]) == 2
