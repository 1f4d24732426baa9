"""CUT3R: parity with the reference, weights, the recipe over frames. Small seeded models."""

import collections
import copy
import functools
import itertools
import json
import re
import sys
import types
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from test_network import Attack, clip, seed_weights

import easi3r
from easi3r import InputError, Options, large, video
from easi3r.backbones.base import FramePrediction
from easi3r.backbones.cut3r import Cut3rNetwork
from easi3r.backbones.cut3r.model import Config, RecurrentTransformer
from easi3r.backbones.cut3r.network import focal_of_points
from easi3r.backbones.dust3r.network import images_of
from easi3r.backbones.weights import checkpoints, cut3r, parameter_shapes
from easi3r.benchmark import network as meter
from easi3r.benchmark import recurrent as benchmark
from easi3r.camera import Camera, pose
from easi3r.system.registry import row_of
from easi3r.system.sequence import Sequence

LINEAR = np.load(Path(__file__).parent / "data" / "cut3r_linear.npz")
SMALL = Path(__file__).parents[2] / "shared" / "golden" / "cut3r_small.npz"
RELEASED = dict(zip(("enc_embed_dim", "enc_depth", "enc_num_heads"), (1024, 24, 16)))
RELEASED |= dict(zip(("dec_embed_dim", "dec_depth", "dec_num_heads"), (768, 12, 12)))
EXP = ["exp", float("-inf"), float("inf")]
JSON = {
    **dict(zip(RELEASED, (64, 2, 4, 48, 4, 3))),
    "state_size": 20,
    "state_dec_num_heads": 4,
    "local_mem_size": 6,
    "ray_enc_depth": 1,
    "img_size": [224, 224],
    "head_type": "linear",
    "output_mode": "pts3d+pose",
    "conf_mode": ["exp", 1, float("inf")],
    "depth_mode": EXP,
    "pose_mode": EXP,
    "state_pe": "2d",
    "pos_embed": "RoPE100",
    "rgb_head": True,
    "pose_head": True,
    "freeze": "encoder",
}


@functools.cache
def seeded(config):
    """A model with the weights of the golden files."""
    return seed_weights(RecurrentTransformer(config))


def config_of(text):
    c = json.loads(str(text))
    sizes = {"state_size": c["state_size"], "state_dec_num_heads": c["state_heads"], "local_mem_size": c["mem"]}
    return Config(*c["enc"], *c["dec"], c["head"], **sizes, ray_enc_depth=c["ray_depth"], rgb_head=c["rgb"])


TINY = config_of(LINEAR["linear_config"])


def tiny_network(precision="float32", **more):
    return Cut3rNetwork(copy.deepcopy(seeded(TINY)), device="cpu", precision=precision, **more)


# Parity ---------------------------------------------------------------------------------------------------------------


class Recorder:
    """A model that keeps what it encoded and carried; `network` uses it."""

    def __init__(self, config, half_rope):
        self.model = copy.deepcopy(seeded(config))
        encode, remember = self.model.encode, self.model.remember
        self.tokens, self.carried = [], []
        self.model.encode = lambda *given: self._kept(self.tokens, encode(*given))
        self.model.remember = lambda *given: self._kept(self.carried, remember(*given))
        self.network = Cut3rNetwork(self.model, device="cpu", precision="float32", rope_fp16=half_rope)

    def _kept(self, values, value):
        values.append(value)
        return value

    def after_each_frame(self, update, reset):
        """(states, memories) before the first frame and after every one."""
        remembered, start = iter(self.carried), self.model.start()
        carried = [start]
        for updates, resets in zip(update, reset):
            after = next(remembered) if updates else carried[-1]
            carried.append(start if resets else after)
        return (np.array([getattr(c, name)[0].numpy() for c in carried]) for name in ("state", "memory"))


def compressed(points):
    """Seeded heads give points up to 1e7: they are compared by logarithms, as the specification says."""
    distance = np.linalg.norm(points, axis=-1, keepdims=True)
    return points / distance * np.log1p(distance)


def check(data, prefix, predictions, allowed):
    """Predictions against the arrays of a golden file, with ten times the error that its author reached."""
    cameras = np.array([p.cam2world for p in predictions])
    encoded = data[prefix + "pose_enc"]
    points, confidence, world, world_confidence = (
        np.array([getattr(p, name) for p in predictions])
        for name in ("points", "confidence", "world_points", "world_confidence")
    )
    errors = {
        "points": compressed(points) - compressed(data[prefix + "pts3d_self"]),
        "world": compressed(world) - compressed(data[prefix + "pts3d_world"]),
        "confidence": np.log(world_confidence - 1) - np.log(data[prefix + "conf_world"] - 1),
        "translation": cameras[:, :3, 3] - encoded[:, :3],
        "rotation": cameras[:, :3, :3] - rotation_of(encoded[:, 3:]),
    }
    if prefix + "conf_self" in data:
        errors["own confidence"] = np.log(confidence - 1) - np.log(data[prefix + "conf_self"] - 1)
    worst = {name: float(np.abs(values).max()) for name, values in errors.items()}
    limits = {"points": allowed[0], "world": allowed[0], "translation": allowed[2], "rotation": allowed[2]}
    assert all(error < limits.get(name, allowed[1]) for name, error in worst.items()), worst


def rotation_of(quaternion):
    """Matrices (T,3,3) of quaternions w, x, y, z, by the columns of what they do to the axes."""
    w, v = quaternion[:, :1, None], quaternion[:, 1:, None].repeat(3, axis=2)
    axes = np.eye(3)[None].repeat(len(v), axis=0)
    twist = np.cross(v, axes, axis=1)
    return axes + 2 * w * twist + 2 * np.cross(v, twist, axis=1)


@pytest.fixture(scope="module")
def golden():
    if not SMALL.exists():
        pytest.skip("the golden file of the specification is not beside this checkout")
    return np.load(SMALL)


# prefix of the arrays -> rounded positions; errors of points, log confidence, pose, state, memory, encoder
MODES = {
    "": (True, 1e-4, 3e-4, 6e-6, 2e-5, 5e-5, 7e-5),
    "flags_": (True, 1e-4, 3e-4, 6e-6, 2e-5, 5e-5, 7e-5),
    "fp32rope_": (False, 3e-5, 7e-5, 2e-6, 3e-6, 1e-5, 2e-6),
}


@pytest.mark.parametrize("prefix", MODES)
def test_a_sequence_is_as_the_reference_computes_it(golden, prefix):
    half, *errors = MODES[prefix]
    allowed = [10 * error for error in errors]
    recorder = Recorder(config_of(golden["config"]), half)
    flags = {"update": np.ones(4, bool), "reset": np.zeros(4, bool)}
    if prefix == "flags_":
        flags = {name: golden[f"flags_{name}"] for name in flags}
    check(golden, prefix, list(recorder.network.predict(golden["images"], **flags)), allowed)
    states, memories = recorder.after_each_frame(**flags)
    assert np.abs(states - golden[prefix + "state"]).max() < allowed[3]
    assert np.abs(memories - golden[prefix + "mem"]).max() < allowed[4]
    if prefix + "enc_feat" in golden:
        assert np.abs(torch.cat(recorder.tokens).numpy() - golden[prefix + "enc_feat"]).max() < allowed[5]


@torch.inference_mode()
def test_a_camera_without_a_picture_sees_what_the_reference_does(golden):
    model = seeded(config_of(golden["config"]))
    carried = model.start()
    for i, image in enumerate(golden["images"]):
        tokens = model.encode(images_of(image[None], "cpu"))
        carried = model.remember(tokens, model.decode(tokens, (4, 5), carried, i == 0), carried)
    tokens = model.encode_rays(torch.from_numpy(golden["ray_map"]).permute(2, 0, 1)[None])
    decoded = model.decode(tokens, (4, 5), carried, first=False)
    points, confidence = (x[0].numpy() for x in model.own_points(decoded, (4, 5)))
    assert np.abs(compressed(points) - compressed(golden["ray_pts3d_self"])).max() < 1e-3
    assert np.abs(np.log(confidence - 1) - np.log(golden["ray_conf_self"] - 1)).max() < 3e-3
    assert np.abs(model.colour(decoded, (4, 5))[0].numpy() - golden["ray_rgb"]).max() < 1e-3
    assert np.abs(model.camera(decoded)[0].numpy() - golden["ray_pose_enc"]).max() < 6e-5


def test_the_model_with_linear_heads_is_as_the_reference_computes_it():
    recorder = Recorder(TINY, False)
    exact = list(recorder.network.predict(LINEAR["linear_images"]))
    check(LINEAR, "linear_", exact, (7e-5, 7e-4, 2e-5))
    states, _ = recorder.after_each_frame([True] * 3, [False] * 3)
    assert np.abs(states - LINEAR["linear_state"]).max() < 3e-5
    # rounding is what the published network does, and is the default
    rounded = list(tiny_network().predict(LINEAR["linear_images"]))
    assert 1e-5 < np.abs(rounded[2].cam2world - exact[2].cam2world).max() < 2e-3


def test_the_focal_is_that_of_the_reference_and_0_where_none_fits():
    points = torch.from_numpy(LINEAR["focal_test_pts3d"])
    assert focal_of_points(points) == pytest.approx(float(LINEAR["focal_test_focal"][0]), abs=1e-3)
    spoilt = points.clone()
    spoilt[0, :3] = torch.tensor([[0, 0, 0], [1, 1, 0], [torch.nan, 1, 1]])
    assert focal_of_points(spoilt) == pytest.approx(focal_of_points(points), rel=0.01)
    assert focal_of_points(points * torch.tensor([1, 1, -1])) == 0
    assert focal_of_points(torch.zeros(16, 16, 3)) == 0


# What is carried ------------------------------------------------------------------------------------------------------


def same(a, b):
    return np.array_equal(a.points, b.points) and np.array_equal(a.cam2world, b.cam2world)


def test_flags_say_what_the_next_frame_knows():
    frames = clip(1).repeat(4, axis=0)
    network, yes = tiny_network(), np.ones(4, bool)
    usual = list(network.predict(frames))
    assert not any(same(a, b) for a, b in itertools.pairwise(usual))  # of equal pictures, each with another state
    for flags in ({"update": ~yes}, {"reset": yes}):
        found = list(network.predict(frames, **flags))
        assert same(found[0], usual[0]) and same(found[1], found[2]) and same(found[1], found[3])
        assert not same(found[1], found[0])  # after a reset no frame is the first one again
    with pytest.raises(InputError, match="update has shape"):
        network.predict(frames, update=yes[:2])


def test_frames_are_taken_one_by_one_and_only_what_is_wanted_is_computed(monkeypatch):
    network = tiny_network()
    encoded = []
    encode = network.model.encode
    monkeypatch.setattr(network.model, "encode", lambda *given: encoded.append(len(given[0])) or encode(*given))
    stream = network.predict(clip(3))
    assert next(stream).world_points.shape == (32, 48, 3) and encoded == [1]
    monkeypatch.setattr(network.model, "common_points", None)
    (_, found) = network.predict(clip(2), world=False)
    assert found.world_points is None and found.world_confidence is None
    assert found.points.dtype == found.confidence.dtype == np.float32 and (found.confidence >= 1).all()


@pytest.mark.parametrize("frames", [clip(2, 30, 48), clip(2).astype(np.float32), clip(2)[0], clip(2)[:0]])
def test_unusable_frames_are_refused(frames):
    with pytest.raises(InputError, match="Frames"):
        tiny_network().predict(frames)


def test_a_frame_that_does_not_fit_into_memory_is_said(monkeypatch):
    def none_left(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    network = tiny_network()
    monkeypatch.setattr(network.model, "encode", none_left)
    with pytest.raises(InputError, match="not enough memory"):
        next(network.predict(clip(1)))


def test_lower_precision_stays_close():
    exact, rough = (list(tiny_network(precision).predict(clip(3))) for precision in ("float32", "bfloat16"))
    for a, b in zip(exact, rough):
        assert 0 < np.abs(a.cam2world - b.cam2world).max() < 0.1


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head, entries, parameters", [("dpt", 1248, 793_307_858), ("linear", 1056, 748_443_655)])
def test_released_configurations_have_the_released_names_shapes_and_size(head, entries, parameters):
    shapes = parameter_shapes("cut3r", {**RELEASED, "head_type": head})
    assert len(shapes) == entries
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if ".layer_rn." not in name) == parameters
    wanted = {
        "pose_retriever.mem": (1, 256, 1536),
        "dec_blocks_state.11.cross_attn.projk.weight": (768, 768),
        "downstream_head.final_transform.1.norm2.mlp.1.weight": (1536, 768),
        "downstream_head.pose_head.mlp.fc2.weight": (7, 3072),
        "patch_embed_ray_map.proj.weight": (1024, 6, 16, 16),
    }
    wanted |= {"downstream_head.dpt_rgb.head.4.bias": (3,)} if head == "dpt" else {}
    assert {name: shapes[name] for name in wanted} == wanted


def state_of():
    return {name: tensor.clone() for name, tensor in seeded(TINY).state_dict().items()}


def write_folder(folder, values=JSON, state=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    save_file(state or state_of(), folder / "model.safetensors")
    return str(folder)


CALL = "ARCroco3DStereo(ARCroco3DStereoConfig({}))".format(
    ", ".join(f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in JSON.items())
)


@pytest.fixture
def omegaconf(monkeypatch):
    """Classes by the names of OmegaConf's, as far as a pickle of its needs them; gone after `write_pth`."""
    for module, names in (
        ("dictconfig", ["DictConfig"]),
        ("listconfig", ["ListConfig"]),
        ("nodes", ["AnyNode"]),
        ("base", ["ContainerMetadata", "Metadata"]),
    ):
        stub = types.ModuleType(f"omegaconf.{module}")
        for name in names:
            setattr(stub, name, type(name, (), {"__module__": stub.__name__}))
        monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))


def write_pth(path, call=CALL, state=None, **more):
    """A file in the authors' layout; needs `omegaconf`, and takes it away."""
    dictconfig, nodes, base = (sys.modules[f"omegaconf.{name}"] for name in ("dictconfig", "nodes", "base"))

    def filled(kind, **values):
        made = kind()
        made.__dict__.update(values)
        return made

    of_tree = {"ref_type": typing.Any, "object_type": dict, "key_type": typing.Any, "element_type": typing.Any}
    metadata = filled(base.ContainerMetadata, **of_tree, resolver_cache=collections.defaultdict(dict))
    tree = filled(dictconfig.DictConfig, _metadata=metadata, _parent=None, _content={})
    for name, value in {"model": call, "lr": 1e-4, **more}.items():
        of_leaf = filled(base.Metadata, ref_type=typing.Any, object_type=int, optional=True, key=name)
        tree._content[name] = filled(nodes.AnyNode, _metadata=of_leaf, _parent=tree, _val=value)
    torch.save({"args": tree, "model": state or state_of(), "epoch": 3}, path)
    for name in [name for name in sys.modules if name.startswith("omegaconf")]:
        del sys.modules[name]
    return path


def loaded(path):
    return easi3r.load_system("cut3r", str(path), precision="float32")


def test_a_folder_loads_and_says_what_it_is(tmp_path):
    system = loaded(write_folder(tmp_path / "mine"))
    assert (system.name, system.max_side, system.patch) == ("CUT3R", 224, 16)
    assert "mine" in system.note and "not a file of the authors" in system.note and "CC BY-NC-SA 4.0" in system.note
    assert system.network.model.config == Config(**{**TINY.__dict__, "max_side": 224})
    first, exact = next(system.network.predict(clip(1))), next(tiny_network().predict(clip(1)))
    assert np.allclose(first.cam2world, exact.cam2world, atol=1e-5)  # where weights lie in memory changes the last bit
    assert loaded(tmp_path / "mine" / "model.safetensors").network.info["hash"] == system.network.info["hash"]


def test_the_authors_file_loads_without_running_anything(tmp_path, omegaconf, monkeypatch):
    path = write_pth(tmp_path / "my copy.pth", state={f"module.{name}": x for name, x in state_of().items()})
    assert "omegaconf" not in sys.modules
    system = loaded(path)
    first, exact = next(system.network.predict(clip(1))), next(tiny_network().predict(clip(1)))
    assert np.allclose(first.cam2world, exact.cam2world, atol=1e-5)
    assert "not a file of the authors" in system.note
    monkeypatch.setitem(cut3r.PUBLISHED, "cut3r_224_linear_4.pth", checkpoints.sha256(path))
    assert "as the authors published them" in loaded(path).note


def test_a_file_that_could_run_code_is_refused(tmp_path, omegaconf):
    path = write_pth(tmp_path / "evil.pth", more=Attack())
    with pytest.raises(InputError, match="exec, not only numbers"):
        loaded(path)


@pytest.mark.parametrize(
    "change, said",
    [
        (("state_size=20", "state_size=20, ttt=True"), "has ttt, which CUT3R has not"),
        (("state_size=20", "state_size=print(20)"), "cannot be read"),
        (("ARCroco3DStereo(ARCroco", "f(g(ARCroco"), "cannot be read"),
        (("state_size=20", "state_size=30"), "register_tokens.weight .20, 64. instead of .30, 64."),
        (("state_dec_num_heads=4", "state_dec_num_heads=5"), "dec_embed_dim = 48"),
    ],
)
def test_constructor_strings_that_do_not_fit_are_refused(tmp_path, omegaconf, change, said):
    path = write_pth(tmp_path / "odd.pth", CALL.replace(*change) + ")" * change[1].count("f("))
    with pytest.raises(InputError, match=said):
        loaded(path)


@pytest.mark.parametrize("change", [{"state_pe": "1d"}, {"depth_head": True}, {"pose_head": False}, {"rgb_head": 3}])
def test_configurations_of_other_networks_are_refused_by_name(tmp_path, change):
    with pytest.raises(InputError, match=next(iter(change))):
        loaded(write_folder(tmp_path, {**JSON, **change}))


def test_a_file_of_dust3r_is_no_file_of_cut3r(tmp_path):
    from test_network import JSON as OTHER
    from test_network import state_of as other_state

    with pytest.raises(InputError, match="output_mode"):
        loaded(write_folder(tmp_path, OTHER, other_state()))


@pytest.mark.parametrize("kept", ["numbered", "listed"])
def test_either_name_of_the_shared_convolutions_will_do_but_not_two_tensors(kept):
    config = Config(**{**TINY.__dict__, "head_type": "dpt", "rgb_head": False})
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in RecurrentTransformer(config).state_dict().items()}
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    other = re.compile(r"layer_rn\.\d" if kept == "numbered" else r"layer\d_rn")
    state |= {name: torch.full((1,), float(len(name))).expand(shapes[name]) for name in state if "_rn" in name}
    model = checkpoints.build(config, {k: v for k, v in state.items() if not other.search(k)}, "x", cut3r.CUT3R)
    first = model.downstream_head.dpt_cross.scratch.layer2_rn
    assert first is model.downstream_head.dpt_cross.scratch.layer_rn[1]
    name = f"downstream_head.dpt_cross.scratch.{'layer2_rn' if kept == 'numbered' else 'layer_rn.1'}.weight"
    assert float(first.weight[0, 0, 0, 0]) == len(name)
    with pytest.raises(InputError, match="different tensors as .*layer1_rn.weight and .*layer_rn.0.weight"):
        checkpoints.build(config, state, "x", cut3r.CUT3R)


def test_a_file_by_the_name_of_the_authors_must_be_theirs(tmp_path, omegaconf, monkeypatch):
    path = write_pth(tmp_path / "cut3r_512_dpt_4_64.pth")
    with pytest.raises(InputError, match=f"SHA-256 is {checkpoints.sha256(path)} and must be 45f7e98a0a64"):
        loaded(path)
    # what comes from the hub is taken by its name, from a copy that is not the authors'
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "cache" / "models--liguang0115--cut3r"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("1")
    (model / "snapshots" / "1").mkdir(parents=True)
    path.rename(model / "snapshots" / "1" / path.name)
    with pytest.raises(InputError, match="not the file that CUT3R's authors published"):
        easi3r.load_system("cut3r")
    found = checkpoints.sha256(model / "snapshots" / "1" / path.name)
    monkeypatch.setitem(cut3r.PUBLISHED, path.name, found)
    note = easi3r.load_system("cut3r").note
    assert f"liguang0115/cut3r ({found[:12]}), as the authors published them" in note


def test_without_a_network_it_names_the_file_and_takes_it_where_it_says(tmp_path, omegaconf, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(InputError, match="put its cut3r_512_dpt_4_64.pth into '.*/liguang0115/cut3r'"):
        easi3r.load_system("cut3r")
    by_hand = write_pth(tmp_path / "published.pth")
    monkeypatch.setitem(cut3r.PUBLISHED, "cut3r_512_dpt_4_64.pth", checkpoints.sha256(by_hand))
    (tmp_path / "liguang0115" / "cut3r").mkdir(parents=True)
    by_hand.rename(tmp_path / "liguang0115" / "cut3r" / "cut3r_512_dpt_4_64.pth")
    assert easi3r.load_system("cut3r").network.info["weights"] == "liguang0115/cut3r"
    card = row_of("cut3r").card
    assert "third party" in card.note and card.download_mb == 3174


# The recipe -----------------------------------------------------------------------------------------------------------


def system_of(network):
    return Sequence(row_of("cut3r").card, network, "a note")


class Truth:
    """A network that is right, in a world of its own; what is behind the camera there is one pixel."""

    name, patch, max_side, device, info = "truth", 16, 512, "cpu", {}

    def __init__(self, truth):
        self.truth = truth
        self.elsewhere = pose(np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]), [3, 1, 2])

    def predict(self, frames, progress=None, world=True):
        assert not world
        for i, (depth, matrix) in enumerate(zip(self.truth.depth, self.truth.intrinsics)):
            points = Camera(matrix, depth.shape[::-1]).unproject(depth).astype(np.float32)
            points[5, 7, 2] *= -1
            progress((i + 1) / len(frames), "predicting")
            cam2world = self.elsewhere @ self.truth.cam2world[i]
            yield FramePrediction(cam2world, matrix, points, np.full(depth.shape, 3.0))


def test_the_result_is_what_the_network_says_seen_from_the_first_camera(tiny_result):
    clip = video.read(tiny_result.frames, len(tiny_result.frames), 512, 16)
    result = system_of(Truth(tiny_result)).run(clip, Options())
    assert np.array_equal(result.cam2world[0], np.eye(4)) and np.allclose(result.cam2world, tiny_result.cam2world)
    assert np.allclose(result.intrinsics, tiny_result.intrinsics) and not result.warnings
    wrong = np.zeros(result.depth.shape[1:], bool)
    wrong[5, 7] = True
    assert np.allclose(result.depth[:, ~wrong], tiny_result.depth[:, ~wrong]) and (result.depth > 0).all()
    assert not result.confidence[:, wrong].any() and (result.confidence[:, ~wrong] == 3).all()
    assert not result.motion.dynamic.any() and not result.motion.maps and "pairs" not in result.info


def test_masks_and_a_field_of_view_of_the_user_are_honoured(tiny_result):
    masks, system = tiny_result.dynamic, system_of(Truth(tiny_result))
    result = easi3r.reconstruct(tiny_result.frames, system, Options(fov=40), masks=masks)
    assert np.array_equal(result.dynamic, masks) and result.info["masks"] == "given by the user"
    assert Camera(result.intrinsics[0], (64, 48)).fov[0] == pytest.approx(40)


def test_of_a_long_clip_all_is_on_the_disk(tiny_result, monkeypatch):
    network = Truth(tiny_result)
    plain = easi3r.reconstruct(tiny_result.frames, system_of(network))
    monkeypatch.setattr(large, "IN_MEMORY", 1000)
    result = easi3r.reconstruct(tiny_result.frames, system_of(network))
    for name in ("depth", "confidence", "dynamic", "motion"):
        assert not getattr(result, name).flags.owndata and np.array_equal(getattr(result, name), getattr(plain, name))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames_and_a_still_clip_work_whatever_the_network_says(count):
    frames = clip(1, 48, 64).repeat(count, axis=0) if count == 3 else clip(count, 48, 64)
    said = []
    system = system_of(tiny_network())
    result = easi3r.reconstruct(frames, system, progress=lambda fraction, text: said.append((fraction, text)))
    assert len(result.depth) == len(frames) and np.isfinite(result.depth).all() and np.isfinite(result.cam2world).all()
    assert (result.depth > 0).all() and (result.intrinsics[:, 0, 0] > 0).all()
    assert any("no field of view fits" in told for told in result.info["warnings"])
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and f"Looking at frame 1 of {len(result.depth)}" in dict(said[::-1]).values()


def test_a_run_can_be_cancelled_in_the_middle():
    def stop(fraction, text):
        if "frame 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        easi3r.reconstruct(clip(3, 48, 64), system_of(tiny_network()), progress=stop)


def test_plans_count_frames_and_load_nothing():
    plan = system_of(tiny_network()).plan(24, Options())
    assert (plan.frames, plan.pairs, plan.download_mb) == (24, None, 0) and plan.seconds > 24
    from easi3r.web.pool import Pool

    card, planned = Pool().plan("cut3r", 24, Options())
    assert (card.name, planned.pairs) == ("cut3r", None) and planned.gpu_seconds == plan.gpu_seconds


# The benchmark --------------------------------------------------------------------------------------------------------


def test_the_work_is_counted_as_specified():
    work = benchmark.count_work(Config(enc_depth=2, dec_depth=2), (18, 32), world=False)
    assert work["remember"] == pytest.approx(0.034, abs=0.001)
    assert work["own points"] == pytest.approx(0.140, abs=0.006)  # our DPT head saves a little
    assert work["encode"] == pytest.approx(2 * 576 * (2 * 12 * 1024 + 3 * 256) * 1024 / 1e12)


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "Config", lambda head_type: TINY)
    monkeypatch.setattr(meter.Meter, "_matrix_rate", lambda self: 1.0)
    assert benchmark.main(["--frames", "2", "--size", "64x48", "--device", "cpu"]) == 0
    assert "median" in capsys.readouterr().out
    assert benchmark.main(["--size", "64x50", "--device", "cpu"]) == 2
