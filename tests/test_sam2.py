"""SAM 2: parity with the golden file, what transformers' loader and tracker forgive, which mask goes where."""

import json
import shutil
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pages
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import easi3r
from easi3r import synthetic, video
from easi3r.backbones.weights import sam2 as weights
from easi3r.errors import InputError
from easi3r.export import Scene
from easi3r.export.masks import write_masks
from easi3r.motion import refine, sam2
from easi3r.own_masks import OwnMasks
from easi3r.system.base import Plan
from easi3r.system.planning import plan_pairs
from easi3r.system.registry import systems
from easi3r.web import clips, compute, texts

DATA = np.load(Path(__file__).parent / "data" / "sam2_tiny.npz")
FRAMES, PROMPTS = DATA["frames"], DATA["prompts"]
T, SIZE = len(FRAMES), 256
EVEN = np.arange(T) % 2 == 0
needs_library = pytest.mark.skipif(not weights.installed(), reason="transformers is not installed")


def error(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def seeded(name, shape):
    """A parameter as the specification's section 8 has it."""
    x = np.random.default_rng(zlib.crc32(f"{name}{DATA['salt']}".encode())).standard_normal(shape, dtype=np.float32)
    if name.endswith("positional_embedding") or name == "mask_decoder.iou_prediction_head.proj_out.bias":
        return x
    if name == "mask_decoder.pred_obj_score_head.proj_out.bias":
        return np.ones(shape, np.float32)
    if len(shape) == 1:
        return 1 + 0.1 * x if "norm" in name and name.endswith("weight") else 0.02 * x
    x = x / np.sqrt(np.prod(shape[1:], dtype=np.float32))
    if name.startswith("memory_attention."):
        x = x * {"q_proj": 3, "k_proj": 3, "v_proj": 2, "o_proj": 2}.get(name.split(".")[-2], 1)
    return x * 4 if name == "memory_encoder.mask_downsampler.final_conv.weight" else x


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """config.json and model.safetensors of the golden model, and nothing else, as a user may have them."""
    if not weights.installed():
        pytest.skip("transformers is not installed")
    place, transformers = tmp_path_factory.mktemp("sam2"), weights.library()
    settings = json.loads(str(DATA["config"]))
    with torch.device("meta"):
        model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig.from_dict(settings))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tensors = {name: torch.from_numpy(np.float32(seeded(name, shape))) for name, shape in shapes.items()}
    save_file(tensors, place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(settings))
    return place


@pytest.fixture(scope="module")
def followed(folder):
    """(model, follower, logits and scores of both passes: shown the odd frames' masks, shown the even ones')."""
    model = weights.load(str(folder))
    follower = sam2.Follower(model, FRAMES)
    return model, follower, [follower.follow(PROMPTS, np.flatnonzero(shown).tolist()) for shown in (~EVEN, EVEN)]


def kept(passes):
    """Logits (T,s,s) of the frames that each pass answers for."""
    return np.where(EVEN[:, None, None], passes[0][0], passes[1][0])


# ---- the network


def test_pixels_and_prompts_are_as_published():
    pixels = np.stack([sam2.pixel_values(frame, SIZE)[:, ::16, ::16].numpy() for frame in FRAMES])
    assert error(pixels, DATA["pixels_sample"]) < 1e-5
    prompt = sam2.prompt_values(PROMPTS[0], SIZE)
    assert prompt.shape == (1, 1, SIZE, SIZE) and set(prompt.unique().tolist()) == {0, 1}
    thin = np.zeros((SIZE, SIZE), bool)
    thin[100, 100] = True  # gone on the way to a quarter of the size and back
    assert sam2.prompt_values(thin, SIZE).sum() == 0 and sam2.prompt_values(~thin, SIZE).sum() == SIZE**2


@needs_library
def test_answers_are_those_of_the_golden_file(followed):
    _, _, passes = followed
    logits = kept(passes)
    assert error(logits, DATA["logits"]) < 5e-3
    masks = np.stack([sam2.mask_of(frame, FRAMES.shape[1:3]) for frame in logits])
    assert (masks != DATA["masks"]).mean() < 2e-3
    for (_, scores), name in zip(passes, ("score_a", "score_b")):
        assert np.abs(scores - DATA[name]).max() < 5e-3  # -10 where the prompt was empty: it was given all the same


@pytest.fixture
def sessions(monkeypatch):
    """The library's sessions, as they are made: what a pass keeps."""
    made = []
    original = weights.library().Sam2VideoInferenceSession.__init__

    def noted(session, *args, **kwargs):
        made.append(session)
        original(session, *args, **kwargs)

    monkeypatch.setattr(weights.library().Sam2VideoInferenceSession, "__init__", noted)
    return made


@needs_library
def test_frames_are_encoded_once_and_nothing_of_full_size_stays(followed, sessions, monkeypatch):
    model, follower, _ = followed
    monkeypatch.setattr(type(model), "get_image_features", None)  # nobody encodes any more
    model.config.max_cond_frame_num = 2
    passes = [follower.follow(PROMPTS, np.flatnonzero(shown).tolist()) for shown in (~EVEN, EVEN)]
    model.config.max_cond_frame_num = -1
    assert error(kept(passes), DATA["logits_max_cond_2"]) < 5e-3
    session = sessions[-1]
    positions = {f["vision_pos_embeds"][0].data_ptr() for f in session.cache._vision_features.values()}
    assert len(positions) == 1 and not session.mask_inputs_per_obj[0]
    outputs = [o for kind in session.output_dict_per_obj[0].values() for o in kind.values()]
    assert len(outputs) == T and not any("high_res_masks" in o for o in outputs)


@needs_library
def test_a_long_clip_keeps_no_features_and_says_the_same(followed, sessions):
    model, _, passes = followed
    follower = sam2.Follower(model, FRAMES, keep=False)
    logits, _ = follower.follow(PROMPTS, [1, 3, 5])
    assert error(logits, passes[0][0]) < 5e-3
    assert len(sessions[-1].cache._vision_features) == 1 and sessions[-1].num_frames == T
    assert min(refine.NEAREST.values()) >= refine.FEWEST == 2  # fewer would limit nothing


@needs_library
def test_any_step_can_be_cancelled(followed):
    model, follower, _ = followed

    def stop(fraction):
        raise KeyboardInterrupt

    for step in (lambda: sam2.Follower(model, FRAMES, True, stop), lambda: follower.follow(PROMPTS, [1, 3], stop)):
        with pytest.raises(KeyboardInterrupt):
            step()


# ---- weights


@needs_library
def test_the_size_of_the_network_can_be_made_smaller(folder):
    model = weights.load(str(folder), 128)
    logits, _ = sam2.Follower(model, FRAMES[:3]).follow(PROMPTS[:3], [0, 2])
    assert logits.shape == (3, 32, 32) and np.isfinite(logits).all()
    assert weights.load(str(folder), 512).config.image_size == SIZE  # never larger


@needs_library
def test_the_loader_forgives_nothing(folder, tmp_path):
    settings, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    some = dict(list(tensors.items())[1:])
    wrong = tensors | {"mask_decoder.iou_token.weight": torch.zeros(3, 3)}

    def refused(config, state, sentence, name="config.json"):
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        (place / name).write_text(config if isinstance(config, str) else json.dumps(config))
        if isinstance(state, bytes):
            (place / "model.safetensors").write_bytes(state)
        elif state:
            save_file(state, place / "model.safetensors")
        with pytest.raises(InputError, match=sentence) as found:
            weights.load(str(place))
        assert len(str(found.value)) < 400 and "\n" not in str(found.value)

    refused(settings, some, "1 parameters have no fitting value")
    refused(settings, wrong, "SAM 2 cannot be loaded|no fitting value")
    refused(settings, None, "cannot be loaded")
    refused(settings, (folder / "model.safetensors").read_bytes()[:9000], "cannot be loaded")
    refused(settings | {"model_type": "sam2"}, tensors, "of a sam2, not of a sam2_video")
    refused(settings, tensors, "no config.json", "other.json")
    refused("{", tensors, "not JSON")


def test_without_transformers_the_sentence_names_the_command(monkeypatch):
    monkeypatch.setattr(weights, "installed", lambda: False)
    with pytest.raises(InputError, match="pip install"):
        easi3r.refine_masks(PROMPTS, FRAMES, "sam2")
    with pytest.raises(InputError, match="pip install"):  # before anything is read
        easi3r.reconstruct("no-such-clip.mp4", "preview", easi3r.Options(sam2=True))
    assert texts.sharper() == ("Sharper outlines (SAM 2; this server lacks transformers)", False, False)


def test_a_torchvision_that_does_not_fit_is_named(monkeypatch):
    class Lazy:
        @property
        def Sam2VideoModel(self):
            raise ModuleNotFoundError("Could not import module 'Sam2VideoModel'")

    monkeypatch.setattr(weights, "installed", lambda: True)
    monkeypatch.setitem(sys.modules, "transformers", Lazy())
    monkeypatch.setattr(weights, "version", lambda name: {"torchvision": "0.1"}.get(name, "2.13"))
    with pytest.raises(InputError, match="torchvision 0.1 does not fit torch 2.13"):
        weights.library()


@needs_library
def test_offline_the_sentence_names_the_weights_and_a_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(InputError, match=r"facebook/sam2.1-hiera-tiny .* give a folder that holds them \(156 MB\)"):
        easi3r.refine_masks(PROMPTS, FRAMES, "sam2", "tiny")
    (tmp_path / "weights.pt").touch()
    for source, sentence in {"enormous": "unknown; use tiny", str(tmp_path / "weights.pt"): "give the folder"}.items():
        with pytest.raises(InputError, match=sentence):
            easi3r.refine_masks(PROMPTS, FRAMES, "sam2", source)


# ---- which mask goes where


@needs_library
def test_masks_are_refined_through_the_public_name(folder):
    told = []
    published = {"published": True, "progress": lambda fraction, text: told.append(fraction)}
    refined = easi3r.refine_masks(PROMPTS, FRAMES, "sam2", str(folder), **published)
    assert (refined != DATA["masks"]).mean() < 2e-3
    assert told == sorted(told) and told[-1] == pytest.approx(1)


class Model:
    """Stands in for the network."""

    def __init__(self):
        self.config = SimpleNamespace(max_cond_frame_num=-1, image_size=1024)

    def to(self, device):
        return self


class Scripted:
    """Stands in for `Follower`: answers that everything moves, but for the frames `nowhere`.

    As long as it is asked to do more than `fits`, memory runs out.
    """

    nowhere, asked, fits = (), [], (True, -1)

    def __init__(self, model, frames, keep, progress):
        Scripted.asked = []
        if (keep, model.config.max_cond_frame_num) != self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def follow(self, masks, prompted, progress):
        self.asked.append(prompted)
        logits = np.full((len(masks), 4, 4), 5, np.float32)
        logits[list(self.nowhere)] = -1024
        return logits, logits[:, 0, 0]


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(refine, "_model", lambda *_: (Model(), {"device": "cpu"}))
    monkeypatch.setattr(sam2, "Follower", Scripted)
    monkeypatch.setattr(Scripted, "nowhere", ())
    monkeypatch.setattr(Scripted, "fits", (True, -1))
    return Scripted


def small(n=5):
    masks = np.zeros((n, 16, 16), bool)
    masks[:, 4:8, 4:12] = True
    return masks, np.zeros((n, 16, 16, 3), np.uint8)


def test_each_pass_answers_for_frames_whose_masks_it_was_not_shown(scripted):
    masks, frames = small()
    found = refine.by_sam2(masks, frames)
    assert sorted(scripted.asked) == [[0, 2, 4], [1, 3]] and found.masks.all()
    assert "hardly overlap" in found.warnings[0] and "most of the picture" not in str(found.warnings)
    assert found.info["overlap"] == pytest.approx(1 / 8)


def test_what_sam2_loses_stays_as_it_was_unless_as_published(scripted):
    masks, frames = small()
    scripted.nowhere = (2,)
    found = refine.by_sam2(masks, frames)
    assert (found.masks[2] == masks[2]).all() and found.masks[[0, 1, 3, 4]].all()
    assert "in 1 of 5 frames; there they are as they were" in found.warnings[0]
    assert not refine.by_sam2(masks, frames, published=True).masks[2].any()


def test_a_pass_without_a_prompt_is_not_run(scripted):
    masks, frames = small()
    masks[1::2] = False  # nothing to be shown for the even frames
    found = refine.by_sam2(masks, frames)
    assert scripted.asked == [[0, 2, 4]] and (found.masks[::2] == masks[::2]).all() and found.masks[1::2].all()
    refine.by_sam2(masks, frames, published=True)
    assert sorted(scripted.asked) == [[0, 2, 4], [1, 3]]  # empty masks are prompts as well


def test_where_memory_is_scarce_less_is_kept_and_it_is_said(scripted):
    masks, frames = small()
    for fits, read in (((False, -1), "all"), ((False, refine.FEWEST), "the 2 nearest")):
        scripted.fits = fits
        found = refine.by_sam2(masks, frames)
        assert found.masks.all() and f"read {read} of" in found.warnings[0] and found.info["prompts_read"] == read
    scripted.fits = None
    with pytest.raises(InputError, match="not enough memory for SAM 2 at 1024 pixels"):
        refine.by_sam2(masks, frames)


def test_a_pass_that_fails_or_is_cancelled_ends_the_other(scripted, monkeypatch):
    masks, frames = small()
    ended = []

    def follow(self, masks, prompted, progress):
        try:
            while True:  # for ever, unless somebody ends it
                progress(0.5)
                time.sleep(0.01)
                if len(prompted) == 3 and failing:
                    raise InputError("It fails.")
        finally:
            ended.append(len(prompted))

    def cancel(fraction, text):
        if "Following" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(Scripted, "follow", follow)
    for failing, error, progress in ((True, InputError, None), (False, KeyboardInterrupt, cancel)):
        with pytest.raises(error):
            refine.by_sam2(masks, frames, progress=progress)
        assert sorted(ended) == [2, 3]
        ended.clear()


def test_one_mask_is_followed_through_the_clip(scripted):
    masks, frames = small()
    masks[[0, 2, 3, 4]] = False
    known = np.arange(5) == 1
    found = refine.by_sam2(masks, frames, known)
    assert scripted.asked == [[1]] and (found.masks[1] == masks[1]).all() and found.masks[~known].all()


def test_nothing_to_follow_needs_no_network(monkeypatch):
    monkeypatch.setattr(weights, "library", None)
    masks, frames = small()
    found = refine.by_sam2(np.zeros_like(masks), frames)
    assert not found.masks.any() and "no mask for SAM 2 to follow" in found.warnings[0]
    assert (refine.by_sam2(masks[:1], frames[:1]).masks == masks[:1]).all()


@needs_library
def test_answers_that_are_no_numbers_are_refused(followed, monkeypatch):
    model, follower, _ = followed
    with monkeypatch.context() as patch, torch.no_grad():
        token = model.mask_decoder.mask_tokens.weight
        patch.setattr(model.mask_decoder.mask_tokens, "weight", torch.nn.Parameter(token * float("nan")))
        with pytest.raises(InputError, match="no number"):
            follower.follow(PROMPTS, [1, 3])


def test_grabcut_moves_outlines_to_edges():
    frames = np.full((2, 60, 80, 3), 40, np.uint8)
    frames[:, 20:40, 20:60] = (220, 200, 60)
    drawn = np.zeros((2, 60, 80), bool)
    drawn[:, 21:41, 21:60] = True
    refined = easi3r.refine_masks(drawn, frames)
    truth = frames[..., 0] > 100
    assert (refined != truth).sum() < 0.2 * (drawn != truth).sum()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"masks": PROMPTS[:3]}, "masks is an array"),
        ({"masks": PROMPTS.astype(np.uint8)}, "of bool"),
        ({"frames": FRAMES[..., 0]}, "must be .T,H,W,3. uint8 RGB"),
        ({"method": "sam3"}, "method is 'sam3'; it must be one of grabcut, sam2"),
        ({"weights": "tiny"}, "are for SAM 2"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence):
        easi3r.refine_masks(**({"masks": PROMPTS, "frames": FRAMES} | change))


# ---- in a run


@pytest.fixture
def in_cache(folder, tmp_path, monkeypatch):
    """The golden weights as those that are used where none are named."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    shutil.copytree(folder, tmp_path / weights.repository(weights.default()))


@needs_library
@pytest.mark.usefixtures("few_pairs")
def test_a_run_with_sam2_shows_both_masks_and_redraws_the_users(in_cache, tmp_path):
    clip = synthetic.render("street", 3, 96, 64)
    drawn = np.zeros((3, 64, 96), bool)
    drawn[:, 20:40, 30:54] = True
    given = OwnMasks(drawn, np.arange(3) != 1, ())  # of one frame the user says nothing
    result = easi3r.reconstruct(clip.frames, "preview", easi3r.Options(sam2=True), given)
    before = result.evidence["before_sam2"] > 0.5
    assert (before[given.known] == drawn[given.known]).all() and (result.dynamic != before).any()
    assert result.info["sam2"]["size"] == SIZE and result.info["seconds"]["sam2"] > 0
    assert result.info["masks"].endswith(", outlines by SAM 2")
    assert any("redrawn your masks" in said for said in result.info["warnings"])
    write_masks(Scene(result), tmp_path / "masks.mp4")
    height, width = video.read(tmp_path / "masks.mp4", 1, 2000, 2).frames.shape[1:3]
    assert height >= 2 * 64 or width >= 2 * 96  # two pictures


def test_the_plan_says_what_sam2_takes(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "installed", lambda: True)
    options, card = easi3r.Options(), systems()[0]
    plain, with_sam2 = (plan_pairs(card, 24, o, "cpu", True) for o in (options, replace(options, sam2=True)))
    assert isinstance(plain, Plan) and with_sam2.seconds > plain.seconds + 20
    assert with_sam2.download_mb == weights.MEGABYTES[weights.default()]
    assert texts.sharper()[0] == f"Sharper outlines (SAM 2, fetches {with_sam2.download_mb} MB)"
    taken = clips.Chosen("clip.mp4", "clip.mp4", "", (512, 288), 24, 2.0)
    assert clips.plan(taken, 24, "preview") != clips.plan(taken, 24, "preview", True)


@needs_library
def test_the_pages_switch(in_cache, browser, address, walk, monkeypatch):
    made, run = [], compute.reconstruct
    seen = lambda *given: (made.append(stage) or stage for stage in run(*given))
    monkeypatch.setattr(compute, "reconstruct", seen)
    page = pages.open_page(browser, address)
    pages.upload(page, walk)
    before = page.locator("#plan").inner_text()
    page.locator("#settings > button").click()
    page.locator("#sharper input").check()
    page.wait_for_function("before => document.querySelector('#plan').innerText != before", arg=before, timeout=90000)
    page.locator("#run").click()
    pages.wait_until_done(page)
    pages.open_tab(page, "What moves")
    page.wait_for_function("document.querySelector('#masks video')?.videoHeight > 0", timeout=90000)
    result, _ = made[-1]
    assert result.info["sam2"]["size"] == SIZE and "before_sam2" in result.evidence
    page.close()
