"""The real network: parity with the reference, checkpoints, Easi3R's two passes. Tiny seeded models."""

import argparse
import copy
import functools
import http.server
import json
import logging
import pickle
import re
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

import easi3r
from easi3r import pairs
from easi3r.backbones.base import PairAttention
from easi3r.backbones.dust3r import Dust3rNetwork
from easi3r.backbones.dust3r.model import Config, TwoViewTransformer
from easi3r.backbones.weights import checkpoints, parameter_shapes
from easi3r.benchmark import network as benchmark
from easi3r.motion import Evidence, cluster
from easi3r.motion.attention import statistics
from easi3r.motion.masks import fuse_over_time
from easi3r.system import registry
from easi3r.web import clips

DATA = Path(__file__).parent / "data"
TINY = {
    "enc_embed_dim": 32,
    "enc_depth": 2,
    "enc_num_heads": 2,
    "dec_embed_dim": 24,
    "dec_depth": 2,
    "dec_num_heads": 2,
}
JSON = {
    **TINY,
    "head_type": "linear",
    "output_mode": "pts3d",
    "depth_mode": ["exp", float("-inf"), float("inf")],
    "conf_mode": ["exp", 1, float("inf")],
    "pos_embed": "RoPE100",
    "patch_embed_cls": "ManyAR_PatchEmbed",
    "img_size": [512, 384],
    "landscape_only": False,
}
CALL = (
    "AsymmetricCroCo3DStereo(pos_embed='RoPE100', patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), "
    "head_type='linear', output_mode='pts3d', depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), "
    + ", ".join(f"{k}={v}" for k, v in TINY.items())
    + ")"
)


@functools.cache
def seeded(config):
    """A model with the weights of the golden files."""
    return seed_weights(TwoViewTransformer(config))


def seed_weights(model):
    """The model with weights from a random number generator per parameter name."""
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        name = re.sub(r"layer_rn\.(\d)", lambda m: f"layer{int(m[1]) + 1}_rn", name)
        x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(parameter.shape, dtype=np.float32)
        if parameter.ndim == 1:
            x = 1 + 0.1 * x if "norm" in name and name.endswith("weight") else 0.02 * x
        else:
            x /= np.sqrt(np.prod(parameter.shape[1:]))
        parameter.copy_(torch.from_numpy(x))
    return model


def golden(name):
    data = np.load(DATA / name)
    c = json.loads(str(data["config"]))
    model = seeded(Config(*c["enc"], *c["dec"], head_type=c["head"]))
    return data, Dust3rNetwork(copy.deepcopy(model), device="cpu", precision="float32")


def tiny_network(head="linear", precision=None):
    return Dust3rNetwork(copy.deepcopy(seeded(Config(**TINY, head_type=head))), device="cpu", precision=precision)


def clip(n_frames, height=32, width=48):
    return np.random.default_rng(n_frames).integers(0, 256, (n_frames, height, width, 3), dtype=np.uint8)


def error(a, b):
    return np.linalg.norm(np.asarray(a).reshape(b.shape) - b) / np.linalg.norm(b)


# Parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pair_linear_48x64.npz", "pair_dpt_64x96.npz"])
def test_a_pair_is_as_the_reference_computes_it(name):
    data, network = golden(name)
    features = network.encode(data["images"])
    assert error(features.data[0], data["features_1"]) < 1e-4
    (attention,) = network.attention(features, [(0, 1)])
    assert error(attention.source, data["attn_1"]) < 1e-4
    assert error(attention.reference, data["attn_2"]) < 1e-4
    for prefix, masks in (("", None), ("masked_", data["masks"])):
        (pair,) = network.predict(features, [(0, 1)], masks).pairs
        for ours, reference in (("pts1", "pts3d_1"), ("pts2", "pts3d_2"), ("conf1", "conf_1"), ("conf2", "conf_2")):
            assert getattr(pair, ours).dtype == np.float32
            assert error(getattr(pair, ours), data[prefix + reference]) < 1e-4, prefix + reference
    assert error(data["pts3d_1"], data["masked_pts3d_1"]) > 1e-3  # the masks do make a difference


def check_maps(maps, dynamic, data):
    for name, values in maps.items():
        np.testing.assert_allclose(values, data[name.lower()], atol=1e-4, err_msg=name)
    np.testing.assert_allclose(dynamic, data["dynamic_map"], atol=1e-4)


def motion_of(network, features, edges):
    """(maps, dynamic) of pass 1."""
    return statistics(network.attention(features, edges), len(features.frames), features.grid)


def test_a_sequence_gives_the_reference_motion_maps():
    data, network = golden("sequence_5x64x80.npz")
    edges = [tuple(e) for e in data["edges"]]
    features = network.encode(data["images"])
    maps, dynamic = motion_of(network, features, edges)
    check_maps(maps, dynamic, data)
    assert features.tokens.shape == (5, 4, 5, 64) and features.tokens.dtype == np.float32
    fused = fuse_over_time(Evidence(maps, dynamic), cluster(features.tokens))
    assert np.corrcoef(fused.ravel(), data["refined_map"].ravel())[0, 1] > 0.95


def test_statistics_come_from_the_attention_of_pairs_alone():
    data = np.load(DATA / "sequence_5x64x80.npz")
    stored = zip(data["edges"], data["attn_1"], data["attn_2"])
    check_maps(*statistics((PairAttention(i, j, one, two) for (i, j), one, two in stored), 5, (4, 5)), data)


# The two passes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["linear", "dpt"])
@pytest.mark.parametrize("size", [(16, 16), (80, 48), (16, 112)])
def test_any_size_that_is_a_multiple_of_the_patch_works(head, size):
    network = tiny_network(head)
    frames = clip(2, *size)
    features = network.encode(frames)
    for pair in network.predict(features, [(0, 1), (1, 0)], np.ones(frames.shape[:3], bool)).pairs:
        assert pair.pts1.shape == pair.pts2.shape == (*size, 3) and pair.conf1.shape == pair.conf2.shape == size
        assert pair.pts1.dtype == pair.conf2.dtype == np.float16
        assert np.isfinite(pair.pts1).all() and (pair.conf1 >= 1).all()


@pytest.mark.parametrize("edges", [[(0, 0)], [(0, 1), (1, 0)]])
def test_one_and_two_frames_use_the_mean_terms_alone(edges):
    network = tiny_network()
    frames = clip(edges[0][1] + 1)
    features = network.encode(frames)
    maps, dynamic = motion_of(network, features, edges)
    assert not maps["A_src_std"].any() and not maps["A_ref_std"].any()
    product = (1 - maps["A_src_mean"]) * maps["A_ref_mean"]
    low, high = product.min((1, 2), keepdims=True), product.max((1, 2), keepdims=True)
    np.testing.assert_allclose(dynamic, (product - low) / (high - low), atol=1e-4)
    masks = dynamic.repeat(16, 1).repeat(16, 2) > 0.5
    assert len(list(network.predict(features, edges, masks).pairs)) == len(edges)


def test_frames_are_encoded_once_and_pass_one_runs_no_heads():
    network = tiny_network("dpt")
    calls = {"encoder": 0, "head": 0}

    def count(part):
        def hook(_, inputs):
            calls[part] += len(inputs[0])

        return hook

    network.model.enc_norm.register_forward_pre_hook(count("encoder"))
    for head in (network.model.downstream_head1, network.model.downstream_head2):
        head.register_forward_pre_hook(count("head"))
    frames = clip(4)
    edges = pairs.build(4)
    features = network.encode(frames)
    list(network.attention(features, edges))
    assert calls == {"encoder": 4, "head": 0}
    list(network.predict(features, edges, np.zeros(frames.shape[:3], bool)).pairs)
    assert calls["encoder"] == 4 and calls["head"] > 0


def test_pass_two_reads_motion_again_and_streams_pair_by_pair():
    network = tiny_network()
    frames, edges = clip(4), pairs.build(4)
    features = network.encode(frames)
    _, first = motion_of(network, features, edges)

    def second_pass(masks):
        stream = network.predict(features, edges, masks).pairs
        return [next(stream), *stream]

    unmasked = second_pass(np.zeros(frames.shape[:3], bool))
    assert [(p.i, p.j) for p in unmasked] == edges
    _, again = statistics((p.attention for p in unmasked), 4, features.grid)
    np.testing.assert_allclose(again, first, atol=1e-4)  # empty masks change nothing
    masks = np.zeros(frames.shape[:3], bool)
    masks[:, 3:20, 20:40] = True
    _, masked = statistics((p.attention for p in second_pass(masks)), 4, features.grid)
    assert np.abs(masked - first).max() > 1e-3
    assert all(p.attention is None for p in second_pass(None))


def test_out_of_memory_halves_the_batch_and_goes_on():
    network = tiny_network()
    network.largest_batch = 8
    edges = pairs.build(4)
    features = network.encode(clip(4))
    _, whole = motion_of(network, features, edges)
    decode, sizes = network.model.decode, []

    def scarce(tokens, *arguments):
        sizes.append(len(tokens))
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return decode(tokens, *arguments)

    network.model.decode = scarce
    np.testing.assert_allclose(motion_of(network, features, edges)[1], whole, atol=1e-4)
    assert sizes == [8, 4, 2, 2, 2, 2]

    def none_left(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    network.model.decode = none_left
    with pytest.raises(easi3r.InputError, match="memory"):
        list(network.attention(features, edges))


def test_two_runs_at_once_do_not_disturb_each_other():
    network = tiny_network()
    clips = {n: clip(n) for n in (3, 4)}

    def run(n):
        features = network.encode(clips[n])
        _, dynamic = motion_of(network, features, pairs.build(n))
        return dynamic, np.array([p.pts2 for p in network.predict(features, pairs.build(n)).pairs])

    alone = {n: run(n) for n in clips}
    with ThreadPoolExecutor(2) as pool:
        for n, result in zip((3, 4, 3, 4), pool.map(run, (3, 4, 3, 4))):
            for ours, expected in zip(result, alone[n]):
                np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_lower_precision_stays_close_and_predictions_stay_finite():
    frames, edges = clip(3), pairs.build(3)
    exact, rough = tiny_network(precision="float32"), tiny_network(precision="bfloat16")
    a, b = (x.encode(frames) for x in (exact, rough))
    assert error(b.tokens, a.tokens) < 0.02
    assert np.abs(motion_of(exact, a, edges)[1] - motion_of(rough, b, edges)[1]).mean() < 0.1
    with torch.inference_mode():
        rough.model.downstream_head1.proj.bias += 100  # points beyond any float
    pair = next(rough.predict(rough.encode(frames), edges).pairs)
    assert pair.pts1.dtype == np.float16 and np.isfinite(pair.pts1).all() and np.isfinite(pair.conf1).all()


@pytest.mark.parametrize("frames", [clip(2, 30, 48), clip(2).astype(np.float32), clip(2)[0]])
def test_unusable_frames_are_refused(frames):
    with pytest.raises(easi3r.InputError):
        tiny_network().encode(frames)


# Checkpoints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, head", [("dust3r_512_dpt", "dpt"), ("dust3r_224_linear", "linear")])
def test_released_configurations_have_the_released_names_shapes_and_size(name, head):
    released = json.loads((DATA / "released_shapes.json").read_text())[name]
    sizes = dict(zip(TINY, (1024, 24, 16, 768, 12, 12)))
    shapes = parameter_shapes("dust3r", {**sizes, "head_type": head})
    assert {k: list(v) for k, v in shapes.items()} == released["shapes"]
    with torch.device("meta"):
        model = TwoViewTransformer(Config(head_type=head))
    assert sum(p.numel() for p in model.parameters()) == released["parameters"]
    with pytest.raises(easi3r.InputError, match="unknown"):
        parameter_shapes("gaussians", {})


def state_of(head="linear"):
    return {k: v.clone() for k, v in seeded(Config(**TINY, head_type=head)).state_dict().items()}


def write_folder(folder, state, values=JSON):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    save_file(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}, folder / "model.safetensors"
    )
    return str(folder)


def test_a_folder_loads_and_says_what_it_is(tmp_path, caplog):
    assert "Infinity" in json.dumps(JSON)
    with caplog.at_level(logging.WARNING):
        system = easi3r.load_backbone(write_folder(tmp_path / "mine", state_of()), precision="float32")
    assert "non-commercial" in caplog.text and "CC BY-NC-SA 4.0" in system.note
    assert (system.name, system.max_side, system.patch) == ("Easi3R on mine", 512, 16)
    info = system.network.info
    assert info["weights"] == "mine" and re.fullmatch("[0-9a-f]{12}", info["hash"])
    assert torch.equal(system.network.encode(clip(2)).data, tiny_network(precision="float32").encode(clip(2)).data)
    plain = easi3r.load_system("dust3r", str(tmp_path / "mine" / "model.safetensors"))
    assert plain.name == "model.safetensors" and plain.network.info["hash"] == info["hash"]


def test_the_authors_file_loads_without_running_anything(tmp_path):
    path = tmp_path / "published.pth"
    torch.save({"args": argparse.Namespace(model=CALL, lr=0.1), "model": state_of(), "epoch": 3}, path)
    network = easi3r.load_backbone(str(path)).network
    assert torch.equal(network.model.state_dict()["dec_norm.weight"], state_of()["dec_norm.weight"])
    assert network.model.config == Config(**TINY, head_type="linear")


class Attack:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a checkpoint ran code')",))


def test_a_file_that_could_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"args": argparse.Namespace(model=CALL), "model": state_of(), "more": Attack()}, path)
    with pytest.raises(easi3r.InputError, match="exec, not only numbers"):
        easi3r.load_backbone(str(path))
    path.write_bytes(pickle.dumps({"model": Attack()}, protocol=2))
    with pytest.raises(easi3r.InputError):
        easi3r.load_backbone(str(path))


@pytest.mark.parametrize(
    "call",
    ["Net(a=__import__('os').system('true'))", "Net(*x)", "Net(**x)", "a = 1", "Net(", "", "Net(a=[i for i in x])"],
)
def test_constructor_strings_are_read_not_run(call):
    with pytest.raises(easi3r.InputError, match="cannot be read"):
        checkpoints.constructor_arguments(call, "file.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 nor a zip"])
@pytest.mark.parametrize("name", ["x.pth", "model.safetensors", "x.bin"])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / "config.json").write_text(json.dumps(JSON))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(easi3r.InputError):
        easi3r.load_backbone(str(tmp_path / name))


def test_parameters_that_do_not_fit_are_named(tmp_path):
    state = state_of()
    del state["dec_blocks2.1.cross_attn.projk.bias"]
    state["surplus.weight"] = torch.zeros(1)
    state["enc_norm.weight"] = torch.zeros(5)
    with pytest.raises(easi3r.InputError) as caught:
        easi3r.load_backbone(write_folder(tmp_path, state))
    for part in ("dec_blocks2.1.cross_attn.projk.bias", "surplus.weight", "enc_norm.weight (5,) instead of (32,)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("kept", ["numbered", "listed"])
def test_either_name_of_the_shared_convolutions_will_do(tmp_path, kept):
    state = state_of("dpt")
    other = re.compile(r"layer_rn\.\d" if kept == "numbered" else r"layer\d_rn")
    state = {k: v for k, v in state.items() if not other.search(k)}
    backbone = easi3r.load_backbone(write_folder(tmp_path, state, {**JSON, "head_type": "dpt"}))
    loaded = backbone.network.model.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state_of("dpt").items())


def test_a_missing_second_decoder_is_a_copy_of_the_first(tmp_path):
    state = {k: v for k, v in state_of().items() if not k.startswith("dec_blocks2.")}
    model = easi3r.load_backbone(write_folder(tmp_path, state)).network.model
    for a, b in zip(model.dec_blocks.parameters(), model.dec_blocks2.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "change",
    [
        *({"head_type": "gaussian"}, {"dec_depth": 0}, {"enc_num_heads": 3}, {"pos_embed": "cosine"}),
        *({"depth_mode": ["linear", 0, 1]}, {"img_size": "large"}, {"enc_depth": float("inf")}, {"output_mode": None}),
    ],
)
def test_configurations_of_other_networks_are_refused_by_name(tmp_path, change):
    with pytest.raises(easi3r.InputError, match=next(iter(change)).replace("num_heads", "embed_dim")):
        easi3r.load_backbone(write_folder(tmp_path, state_of(), {**JSON, **change}))
    lacking = {k: v for k, v in JSON.items() if k not in change}
    if set(change) & {*TINY, "head_type"}:
        with pytest.raises(easi3r.InputError, match=f"lacks {next(iter(change))}"):
            easi3r.load_backbone(write_folder(tmp_path, state_of(), lacking))


# The hub --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there


def test_without_a_network_it_says_so_and_auto_takes_the_preview(empty_cache, monkeypatch):
    with pytest.raises(easi3r.InputError, match="cannot be reached"):
        easi3r.load_backbone("dust3r")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    backbone = easi3r.load_backbone("auto")
    assert backbone.name == "preview" and "cannot be reached" in backbone.note
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in easi3r.load_backbone("auto").note


def test_a_hub_that_never_answers_does_not_hold_us_up(empty_cache, monkeypatch):
    monkeypatch.setattr("easi3r.backbones.weights.hub.PATIENCE", 1.2)
    with http.server.socketserver.TCPServer(("127.0.0.1", 0), None, bind_and_activate=False) as silent:
        silent.server_bind()
        silent.socket.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.server_address[1]}")
        with pytest.raises(easi3r.InputError, match="cannot be reached"):
            easi3r.load_backbone("monst3r")


@pytest.mark.parametrize("name", ["no such thing", "missing/folder/x", "weights.pth", "a/b.pth", ""])
def test_names_that_lead_nowhere_are_refused(name):
    with pytest.raises(easi3r.InputError, match="unknown"):
        easi3r.load_backbone(name)


@pytest.fixture
def hub(tmp_path, empty_cache, monkeypatch):
    """A hub on this machine with the one model me/tiny."""
    files, asked, ends = tmp_path / "hub", [], []
    write_folder(files, state_of())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = re.fullmatch(r"/me/tiny/resolve/main/([\w.]+)", self.path)
            if not found or not (files / found[1]).exists():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if found else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = (files / found[1]).read_bytes()
            part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start, end = int(part[1]) if part else 0, min([len(content), *ends])
            if start >= end:
                self.close_connection = True
                return
            self.send_response(206 if part else 200)
            if part:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", f'"{zlib.crc32(content)}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.command == "GET":
                asked.append((found[1], start))
                self.wfile.write(content[start:end])
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_):
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    # asked: (file, first byte) of every request for content; ends: no file is sent beyond these bytes
    yield SimpleNamespace(files=files, asked=asked, ends=ends)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_model_is_fetched_once_with_progress_then_cached(hub, monkeypatch):
    said = []
    backbone = easi3r.load_backbone("me/tiny", progress=lambda fraction, text: said.append((fraction, text)))
    assert backbone.network.info["weights"] == "me/tiny"
    assert any("Downloading" in text for _, text in said) and all(0 <= fraction <= 1 for fraction, _ in said)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert easi3r.load_backbone("me/tiny").network.info["hash"] == backbone.network.info["hash"]
    with pytest.raises(easi3r.InputError, match="cannot be reached"):
        easi3r.load_backbone("me/other")


def test_a_connection_that_dies_is_said_and_the_next_try_goes_on(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 20_000)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library waits between its own tries
    hub.ends.append(100_000)
    with pytest.raises(easi3r.InputError, match="Fetching me/tiny stopped"):
        easi3r.load_backbone("me/tiny")
    hub.ends.clear()
    hub.asked.clear()
    easi3r.load_backbone("me/tiny")
    assert hub.asked == [("model.safetensors", 100_000)]


def test_a_download_that_was_stopped_goes_on_where_it_stopped(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 20_000)
    size = (hub.files / "model.safetensors").stat().st_size

    def stop_half_way(fraction, text):
        if "Downloading" in text and 0.5 < fraction < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        easi3r.load_backbone("me/tiny", progress=stop_half_way)
    hub.asked.clear()
    said = []
    backbone = easi3r.load_backbone("me/tiny", progress=lambda fraction, text: said.append((fraction, text)))
    ((name, start),) = hub.asked
    assert name == "model.safetensors" and 0.4 * size < start < size
    assert min(fraction for fraction, text in said if "Downloading" in text) > 0.4
    assert backbone.network.info["hash"] == easi3r.load_backbone(str(hub.files)).network.info["hash"]


def test_a_model_the_hub_does_not_have_is_said_to_be_missing(hub):
    with pytest.raises(easi3r.InputError, match="no model me/other"):
        easi3r.load_backbone("me/other")
    (hub.files / "model.safetensors").unlink()
    with pytest.raises(easi3r.InputError, match="lacks"):
        easi3r.load_backbone("me/tiny")


def test_automatic_takes_cached_weights_and_survives_broken_ones(hub, monkeypatch):
    row, load = registry.row_of("easi3r-dust3r"), registry._dust3r("tiny")  # which also stands for Depth Anything 3
    for name in ("easi3r-dust3r", "da3"):
        card = replace(row.card, name=name, weights="me/tiny")
        monkeypatch.setitem(registry._ROWS, name, replace(row, card=card, load=load))
    system = easi3r.load_backbone("auto")
    assert system.name == "preview"  # no GPU, nothing fetched: no download
    assert "there is no GPU for DUSt3R and the weights of Depth Anything 3 have not been fetched" in system.note
    assert "Fetch Depth Anything 3 for real depth" in clips.offer()
    easi3r.load_system("da3")
    assert easi3r.load_system("auto").card.name == "da3" and not clips.offer()
    monkeypatch.setattr(registry, "has_gpu", lambda: True)
    assert easi3r.load_system("auto").card.name == "easi3r-dust3r"
    (path,) = Path(constants.HF_HUB_CACHE).rglob("model.safetensors")
    path.resolve().write_bytes(b"broken")
    assert "damaged" in easi3r.load_backbone("auto").note


# The benchmark --------------------------------------------------------------------------------------------------------


def test_the_work_is_counted_as_specified():
    work = benchmark.count_work(Config(), (18, 32))
    assert work["encode"] == pytest.approx(0.381, abs=0.001)
    assert work["decode"] == pytest.approx(0.312, abs=0.001)
    assert 0.13 < work["head"] <= 0.140 and work["pass 1"] < work["decode"]


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "Config", lambda head_type: Config(**TINY, head_type=head_type))
    monkeypatch.setattr(benchmark.Meter, "_matrix_rate", lambda self: 1.0)
    assert benchmark.main(["--frames", "3", "--size", "64x48", "--device", "cpu", "--head", "linear"]) == 0
    printed = capsys.readouterr().out
    assert "4 directed pairs" in printed and "encoder and decoders" in printed and "for 65 frames" in printed
    assert benchmark.main(["--size", "64x50", "--device", "cpu"]) == 2
