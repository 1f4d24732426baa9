"""MonST3R and DAS3R: figures of the published programs, the systems on a tiny seeded network, encoders shared."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from test_network import JSON, TINY, error, seeded
from test_systems import H, T, W, count, noisy_truth, of

import easi3r
from easi3r import InputError, Options, pairs, synthetic
from easi3r.backbones.base import PairPrediction
from easi3r.backbones.dust3r import Dust3rNetwork
from easi3r.backbones.dust3r.model import Config
from easi3r.backbones.shared import Encodings
from easi3r.backbones.weights import checkpoints, parameter_shapes
from easi3r.export.inside import write_inside
from easi3r.export.scene import Scene
from easi3r.motion.flow_residual import MeasuredFlows, frame_error
from easi3r.motion.mask_heads import mean_probability
from easi3r.system.baselines import Das3r, Monst3r
from easi3r.system.pairwise import Easi3r, Plain
from easi3r.system.registry import MONST3R, row_of

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
DAS3R_JSON = {**JSON, "head_type": "dpt", "mask_mode": ["sigmoid", 0, 1]}
QUICK = Options(flow=False, smooth=False)
LINEAR = Config(**TINY, head_type="linear")


def golden(name):
    if not (GOLDEN / name).exists():
        pytest.skip(f"../shared/golden/{name} is not here")
    return np.load(GOLDEN / name)


@pytest.fixture(scope="module")
def das3r(tmp_path_factory):
    """The network of the golden file, from a folder as the hub has it."""
    sizes = ("enc_embed_dim", "enc_depth", "enc_num_heads", "dec_embed_dim", "dec_depth", "dec_num_heads")
    config = dict(zip(sizes, (64, 2, 4, 48, 10, 3)))
    folder = tmp_path_factory.mktemp("das3r")
    (folder / "config.json").write_text(json.dumps({**DAS3R_JSON, **config}))
    state = seeded(Config(**config, mask_heads=True)).state_dict()
    save_file({k: v.contiguous() for k, v in state.items() if "layer_rn." not in k}, folder / "model.safetensors")
    return easi3r.load_system("das3r", str(folder), "cpu", "float32").network


@pytest.fixture(scope="module")
def linear():
    return Dust3rNetwork(copy.deepcopy(seeded(LINEAR)), "tiny", device="cpu", precision="float32")


# MonST3R's masks ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    """(data, predictions, flows) of the golden file, as they are stored: half precision."""
    data = golden("monst3r_mask.npz")
    arrays = [data[name] for name in ("pts1", "pts2", "conf1", "conf2")]
    predictions = [PairPrediction(int(i), int(j), *(a[e] for a in arrays)) for e, (i, j) in enumerate(data["edges"])]
    flows = {}
    for (i, j), there, back in zip(data["edges"], data["flow_fwd"], data["flow_bwd"]):  # the first half of the edges
        flows[i, j], flows[j, i] = np.moveaxis(there, 0, -1), np.moveaxis(back, 0, -1)
    return data, predictions, flows


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_masks_from_flow_are_as_published(published, order):
    data, predictions, flows = published
    found = frame_error(iter(predictions[order]), flows, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, data["error_fused"], atol=1e-4)
    assert np.array_equal(found > 0.35, data["masks"])


def test_a_pair_without_its_mirror_still_counts(published):
    data, predictions, flows = published
    found = frame_error(predictions[:4], flows, 4)
    agree = (found > 0.35) & data["masks"]
    assert agree.sum() > 0.8 * data["masks"].sum()


def test_predictions_that_say_nothing_have_no_error(published):
    _, predictions, flows = published
    nowhere = [replace(p, pts1=np.zeros_like(p.pts1), pts2=np.full_like(p.pts2, np.nan)) for p in predictions]
    assert np.isfinite(frame_error(nowhere, flows, 4)).all()
    still = {edge: np.zeros_like(flow) for edge, flow in flows.items()}
    flat = np.concatenate([np.zeros((64, 96, 2)), np.ones((64, 96, 1))], -1).astype(np.float16)
    unsure = [replace(p, pts1=flat, pts2=flat, conf2=np.ones_like(p.conf2)) for p in predictions]
    assert not frame_error(unsure, still, 4).any()  # no camera is found: none moves, and nothing else does
    assert not frame_error([replace(predictions[0], i=1, j=1)], {}, 4).any()  # a frame compared with itself


def test_flows_that_do_not_fit_are_named(published):
    _, predictions, flows = published
    with pytest.raises(InputError, match=r"no flow of the frames \(1, 0\)"):
        frame_error(predictions, {edge: flow for edge, flow in flows.items() if edge != (1, 0)}, 4)
    with pytest.raises(InputError, match=r"shape \(96, 64, 2\)"):
        frame_error(predictions, {edge: flow.transpose(1, 0, 2) for edge, flow in flows.items()}, 4)
    with pytest.raises(InputError, match="no predictions"):
        frame_error([], flows, 4)


# DAS3R's network ------------------------------------------------------------------------------------------------------


def test_mask_heads_are_as_published(das3r):
    data = golden("das3r_pair.npz")
    first, second = das3r.predict(das3r.encode(data["images"]), [(0, 1), (1, 0)]).pairs
    for ours, reference in (("pts1", "pts3d_1"), ("pts2", "pts3d_2"), ("conf1", "conf_1"), ("conf2", "conf_2")):
        assert error(getattr(first, ours), data[reference]) < 1e-4, reference
    for number in (1, 2):
        probability = getattr(first, f"moving{number}").astype(np.float64)
        logit = np.log(probability / (1 - probability))
        np.testing.assert_allclose(logit, data[f"mask_logit_{number}"], atol=1e-3)
        np.testing.assert_allclose(probability, data[f"mask_prob_{number}"], atol=1e-4)
        np.testing.assert_allclose(getattr(second, f"moving{number}"), data[f"rev_mask_prob_{number}"], atol=1e-4)


def test_the_released_parameters_are_those_of_dust3r_and_65_names_per_mask_head():
    released = {**DAS3R_JSON, "enc_embed_dim": 1024, "enc_depth": 24, "enc_num_heads": 16}
    released |= {"dec_embed_dim": 768, "dec_depth": 12, "dec_num_heads": 12}
    plain = {name: value for name, value in released.items() if name != "mask_mode"}
    shapes = parameter_shapes("das3r", plain)  # its constructor has a default
    heads = [{k: v for k, v in shapes.items() if k.startswith(f"downstream_head_dynamic_mask{n}.")} for n in (1, 2)]
    assert [len(head) for head in heads] == [65, 65]
    assert {k: v for k, v in shapes.items() if "dynamic_mask" not in k} == parameter_shapes("dust3r", plain)
    assert shapes["downstream_head_dynamic_mask2.dpt.head.0.weight"] == (256, 256, 3, 3)
    assert shapes["downstream_head_dynamic_mask2.dpt.head.4.bias"] == (1,)
    size = sum(4 * np.prod(shape) for name, shape in shapes.items() if "layer_rn." not in name)
    assert size / 1e6 == pytest.approx(row_of("das3r").card.download_mb, abs=5)


def test_weights_that_are_not_das3rs_are_refused_by_name():
    dust3r = parameter_shapes("dust3r", {**JSON, "head_type": "dpt"})
    state = {name: torch.empty(shape, device="meta") for name, shape in dust3r.items()}
    with pytest.raises(InputError, match="lacks downstream_head_dynamic_mask1"):
        checkpoints.build(checkpoints.configuration(DAS3R_JSON, "config.json"), state)
    for change in ({"mask_mode": ["softmax", 0, 1]}, {"head_type": "linear"}):
        with pytest.raises(InputError, match=f"has {next(iter(change))} = "):
            parameter_shapes("das3r", {**DAS3R_JSON, **change})


def test_without_a_network_the_message_says_which_files_go_where(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    folder = tmp_path / MONST3R
    with pytest.raises(InputError) as caught:
        easi3r.load_system("monst3r")
    assert f"put its config.json and model.safetensors into '{folder}'" in str(caught.value)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(JSON))
    packed = {name: tensor.contiguous() for name, tensor in seeded(LINEAR).state_dict().items()}
    save_file(packed, folder / "model.safetensors")
    system = easi3r.load_system("monst3r")
    assert system.name == "MonST3R" and f"Weights: {MONST3R} (" in system.note and "CC BY-NC-SA" in system.note


# The systems ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered():
    return synthetic.render("street", T, W, H, seconds=0.4)


@pytest.fixture(scope="module")
def frames(rendered):
    return rendered.frames


@pytest.fixture(scope="module")
def small(frames):
    """So small that full heads are quick."""
    return np.ascontiguousarray(frames[:3, :32, :48])


def test_monst3r_masks_by_the_error_of_flow(frames, linear, monkeypatch):
    again = linear.predict(linear.encode(frames), pairs.build(T)).pairs
    asked, told = count(linear, monkeypatch), []
    result = easi3r.reconstruct(frames, of(Monst3r, linear, "monst3r"), progress=lambda f, text: told.append(f))
    assert asked == [("encode", None), ("predict", None)]
    assert told == sorted(told) and told[-1] <= 1
    expected = frame_error(again, MeasuredFlows(frames), T)
    np.testing.assert_allclose(result.motion, expected, atol=1e-5)
    assert np.array_equal(result.dynamic, result.motion > 0.35) and result.dynamic.any()
    assert set(result.evidence) == {"flow_residual"} and np.isfinite(result.depth).all()
    assert result.info["pairs"] == len(pairs.build(T))
    more = easi3r.reconstruct(frames, of(Monst3r, linear, "monst3r"), Options(sensitivity=1, refine=False))
    assert np.array_equal(more.dynamic, result.motion > 0.35**2)


def test_monst3r_finds_the_mover_from_good_point_maps(rendered):
    result = easi3r.reconstruct(rendered.frames, of(Monst3r, noisy_truth(rendered), "monst3r"))
    truth = rendered.dynamic
    assert result.motion[truth].mean() > 3 * result.motion[~truth].mean()


def test_das3r_masks_by_the_mean_over_pairs_as_first_view(small, das3r):
    result = easi3r.reconstruct(small, of(Das3r, das3r, "das3r"), QUICK)
    stream = list(das3r.predict(das3r.encode(small), pairs.build(3)).pairs)
    expected = np.stack([np.mean([p.moving1 for p in stream if p.i == v], axis=0) for v in range(3)])
    np.testing.assert_allclose(result.motion, expected, atol=1e-5)
    assert np.array_equal(result.dynamic, result.motion > 0.5) and 0 < result.dynamic.mean() < 1
    assert set(result.evidence) == {"mask_heads"} and result.info["system"] == das3r.name
    with pytest.raises(InputError, match="does not say what moves"):
        mean_probability([replace(stream[0], moving1=None)], 3)


def test_masks_of_the_user_replace_those_found(frames, linear):
    masks = np.zeros((T, H, W), bool)
    masks[:, 16:48, 32:64] = True
    result = easi3r.reconstruct(frames, of(Monst3r, linear), masks=masks)
    assert np.array_equal(result.dynamic, masks) and result.info["masks"] == "given by the user"


@pytest.mark.parametrize("recipe", [Monst3r, Das3r, Plain])
@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_one_frame_two_and_a_clip_in_which_nothing_moves_are_answered(small, das3r, linear, recipe, n_frames, tmp_path):
    still = np.repeat(small[:1], n_frames, axis=0) if n_frames > 2 else small[:n_frames]
    result = easi3r.reconstruct(still, of(recipe, das3r if recipe is Das3r else linear))
    assert len(result.depth) == n_frames and np.isfinite(result.cam2world).all() and (result.depth > 0).all()
    assert n_frames > 1 or recipe is Das3r or not result.dynamic.any()
    if n_frames == 2:
        write_inside(Scene(result), tmp_path / "inside.mp4")


def test_the_plan_of_monst3r_has_time_for_the_flow(linear):
    plain, monst3r = (of(r, linear, name).plan(24, Options()) for r, name in ((Plain, "dust3r"), (Monst3r, "monst3r")))
    assert monst3r.seconds > plain.seconds and monst3r.gpu_seconds > plain.gpu_seconds


# Shared encoders ------------------------------------------------------------------------------------------------------


def changed(part):
    """The tiny network with other weights in one part."""
    model = copy.deepcopy(seeded(LINEAR))
    getattr(model, part).bias += 0.1
    return Dust3rNetwork(model, device="cpu", precision="float32")


def test_equal_encoders_encode_a_clip_once_and_others_again(small, linear, monkeypatch):
    networks = [linear, changed("dec_norm"), changed("enc_norm")]
    systems = [of(recipe, network) for recipe, network in zip((Monst3r, Easi3r, Plain), networks)]
    alone = [easi3r.reconstruct(small, system, QUICK) for system in systems]
    asked, encodings = [count(network, monkeypatch) for network in networks], Encodings()
    for system, expected in zip(systems, alone):
        shared = easi3r.reconstruct(small, encodings.shared_by(system), QUICK)
        assert np.array_equal(shared.depth, expected.depth) and np.array_equal(shared.dynamic, expected.dynamic)
        assert shared.info["backbone"] == expected.info["backbone"]
    assert [sum(name == "encode" for name, _ in names) for names in asked] == [1, 0, 1]
    easi3r.reconstruct(small[:2], encodings.shared_by(systems[0]))  # another clip
    assert sum(name == "encode" for name, _ in asked[0]) == 2
    preview = easi3r.load_system("preview")
    assert encodings.shared_by(preview) is preview


def test_heads_and_positions_count_as_part_of_an_encoder(linear):
    changes = ({"enc_num_heads": 4}, {"rope_base": 50.0})
    others = [Dust3rNetwork(copy.deepcopy(seeded(replace(LINEAR, **change))), device="cpu") for change in changes]
    assert len({network.encoder_hash for network in (linear, *others)}) == 3
    assert linear.encoder_hash == changed("dec_norm").encoder_hash
