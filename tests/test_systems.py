"""Systems: their table, recipes with a tiny seeded network through both passes, and one from outside the package."""

import copy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_network import TINY, seeded

import easi3r
from easi3r import InputError, Options, pairs, synthetic, video
from easi3r.backbones.base import Features, Predictions
from easi3r.backbones.dust3r import Dust3rNetwork
from easi3r.backbones.dust3r.model import Config
from easi3r.camera import Camera
from easi3r.motion import Motion
from easi3r.motion.attention import statistics
from easi3r.system import Estimate, Plan, SystemCard, register
from easi3r.system.pairwise import Easi3r, Plain
from easi3r.system.registry import _ROWS, row_of

T, W, H = 4, 96, 64


@pytest.fixture(scope="module")
def frames():
    return synthetic.render("street", T, W, H, seconds=0.4).frames


@pytest.fixture(scope="module")
def network():
    return Dust3rNetwork(copy.deepcopy(seeded(Config(**TINY, head_type="linear"))), "tiny", {"license": "none"}, "cpu")


def of(recipe, network, name="easi3r-dust3r"):
    return recipe(row_of(name).card, network, "a note")


def count(network, monkeypatch):
    """Names of what a run asks of its network, in order, with the masks of `predict`."""
    asked = []

    def counted(name, method):
        def call(*arguments):
            asked.append((name, arguments[2] if name == "predict" else None))
            return method(*arguments)

        return call

    for name in ("encode", "attention", "predict"):
        monkeypatch.setattr(network, name, counted(name, getattr(network, name)))
    return asked


def test_a_comparison_encodes_once_what_encoders_of_equal_weights_see(frames, network, monkeypatch):
    asked = count(network, monkeypatch)
    found = easi3r.compare(frames, [of(Easi3r, network), of(Plain, network, "dust3r")], Options(refine=False))
    assert [name for name, _ in asked] == ["encode", "attention", "predict", "predict"]
    assert list(found.results) == ["easi3r-dust3r", "dust3r"] and not found.results["dust3r"].dynamic.any()


def test_easi3r_runs_both_passes_and_masks_by_the_second(frames, network, monkeypatch):
    asked = count(network, monkeypatch)
    result = easi3r.reconstruct(frames, of(Easi3r, network), Options(refine=False))
    assert [name for name, _ in asked] == ["encode", "attention", "predict"]
    assert asked[2][1].shape == (T, H, W) and asked[2][1].any()
    assert set(result.evidence) == {"A_src_mean", "A_src_std", "A_ref_mean", "A_ref_std", "fused", "clusters"}
    # the evidence is that of the second pass: what its re-weighted pairs say
    features, edges = network.encode(frames), pairs.build(T)
    again = (pair.attention for pair in network.predict(features, edges, asked[2][1]).pairs)
    assert np.allclose(result.evidence["fused"], statistics(again, T, features.grid)[1], atol=1e-5)
    assert (
        result.info["system"] == "Easi3R on tiny"
        and result.info["weights"] is None
        and result.info["backbone"]["license"] == "none"
    )
    assert result.info["pairs"] == len(edges) and np.isfinite(result.depth).all()


def test_masks_of_the_user_go_into_the_second_pass(frames, network, monkeypatch):
    asked = count(network, monkeypatch)
    masks = np.zeros((T, H, W), bool)
    masks[:, 16:48, 32:64] = True
    result = easi3r.reconstruct(frames, of(Easi3r, network), masks=masks)
    assert np.array_equal(asked[2][1], masks) and np.array_equal(result.dynamic, masks)
    assert result.info["masks"] == "given by the user"


def test_a_given_field_of_view_is_kept(frames, network):
    system = of(Easi3r, network)
    result = easi3r.reconstruct(frames, system, Options(fov=40))
    assert Camera(result.intrinsics[0], (W, H)).fov[0] == pytest.approx(40)
    assert Camera(easi3r.reconstruct(frames, system).intrinsics[0], (W, H)).fov[0] != pytest.approx(40)


def test_plain_dust3r_looks_for_nothing_that_moves(frames, network, monkeypatch):
    asked = count(network, monkeypatch)
    result = easi3r.reconstruct(frames, of(Plain, network, "dust3r"))
    assert asked == [("encode", None), ("predict", None)]
    assert not result.dynamic.any() and not result.evidence and result.info["system"] == "tiny"
    assert not any("move on its own" in said for said in result.info["warnings"])


def test_options_of_the_aligner_reach_it():
    """With point maps that are right but for noise; where there is nothing to align these options have no say."""
    clip = synthetic.render("street", 6, 96, 64, seconds=0.6)
    system = of(Plain, noisy_truth(clip))
    given = {}, {"smooth": False}, {"flow": False}
    usual, *others = (easi3r.reconstruct(clip.frames, system, Options(**options)) for options in given)
    assert not any(np.allclose(other.cam2world, usual.cam2world) for other in others)


def noisy_truth(clip):
    class Truth:
        name, patch, max_side, device, info = "truth", 16, 512, "cpu", {}

        def encode(self, frames, progress=None):
            return Features(frames, np.zeros((len(frames), 1, 1, 1), np.float32))

        def predict(self, features, edges, masks=None, progress=None):
            return Predictions(synthetic.predictions(clip, edges))

    return Truth()


def test_a_plan_loads_nothing_and_says_what_is_to_be_fetched(network):
    plan = of(Easi3r, network).plan(24, Options())
    assert (plan.frames, plan.pairs, plan.download_mb) == (24, 190, 0) and plan.seconds > 0
    assert plan.gpu_seconds == pytest.approx(36, abs=1)
    assert easi3r.load_system("preview").plan(24, Options(graph="swin-1-noncyclic")).pairs == 46
    assert easi3r.load_system("preview").plan(24, Options()).gpu_seconds == 0


def test_the_readme_has_the_registrys_table():
    readme = (Path(easi3r.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert "\n".join(card.row for card in easi3r.systems()) + "\n" in readme


def test_the_table_names_each_system_once_with_its_licence():
    cards = easi3r.systems()
    assert [card.name for card in cards] == [
        *("preview", "easi3r-dust3r", "easi3r-monst3r", "dust3r", "monst3r", "das3r", "cut3r", "da3")
    ]
    assert all(card.licence in card.menu for card in cards if card.weights)
    assert {card.name for card in cards if "CC BY-NC-SA" not in card.licence} == {"preview", "da3"}
    assert "Apache-2.0" in row_of("da3").card.licence
    assert all("DUSt3R" not in card.label or card.label.startswith(("Easi3R on", "DUSt3R alone")) for card in cards)


@pytest.mark.parametrize("name", ["spiral", "", "../dust3r", "owner/name"])
def test_a_name_that_is_not_in_the_table_is_refused(name, frames):
    with pytest.raises(InputError, match="unknown; use auto, preview, easi3r-dust3r"):
        easi3r.reconstruct(frames, name)


def test_the_preview_takes_no_weights():
    with pytest.raises(InputError, match="no weights"):
        easi3r.load_system("preview", "some/weights")


# ---- a system from outside


@dataclass(frozen=True)
class Flat:
    """Everything stands still on a wall before a camera that goes to the right."""

    card: SystemCard
    network: object
    note: str
    name = "flat"
    patch, max_side, device = 8, 160, "cpu"

    def plan(self, n_frames, options):
        return Plan(n_frames, None, 1.0, 0.0, 0)

    def run(self, video, options, masks=None, progress=None):
        n_frames, height, width = video.frames.shape[:3]
        cam2world = np.tile(np.eye(4), (n_frames, 1, 1))
        cam2world[:, 0, 3] = np.arange(n_frames)
        intrinsics = np.tile(Camera.centred(0.8 * width, width, height).intrinsics, (n_frames, 1, 1))
        depth = np.full((n_frames, height, width), 3, np.float32)
        return Estimate(cam2world, intrinsics, depth, depth, Motion.none(depth.shape), ("It is a wall.",))


@pytest.fixture
def flat(monkeypatch):
    card = SystemCard("flat", "A wall", "none", None, 0, "For tests.")
    monkeypatch.setattr("easi3r.system.registry._ROWS", dict(_ROWS))
    register(card, lambda weights, device, precision, progress: None, Flat)
    return card


def test_a_system_from_outside_reconstructs_and_saves(flat, frames, tmp_path):
    assert flat in easi3r.systems()
    result = easi3r.reconstruct(frames, "flat")
    assert result.info["system"] == "flat" and "It is a wall." in result.info["warnings"]
    wanted = {"scene.glb", "player.html", "arrays.npz", "report.json", "dataset"}
    assert set(result.save(tmp_path / "out", files=wanted)) == wanted
    assert np.array_equal(easi3r.load_reconstruction(tmp_path / "out").depth, result.depth)


def test_frames_that_show_nothing_reach_no_system(flat, frames):
    dark = np.concatenate([frames, np.zeros_like(frames[:1])])
    result = easi3r.reconstruct(video.read(dark, 9, 160, 8), "flat")
    assert result.info["frames_left_out"] == [T] and not result.confidence[T].any()
    assert np.array_equal(result.cam2world[T], result.cam2world[T - 1])


def test_the_preview_runs_without_torch(tmp_path):
    video.write(tmp_path / "clip.mp4", synthetic.render("street", 3, 96, 64, seconds=0.3).frames, 8)
    code = (
        "import sys, easi3r\n"
        "easi3r.reconstruct(sys.argv[1], easi3r.load_system('preview')).save(sys.argv[2])\n"
        "assert 'torch' not in sys.modules and 'gradio' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "clip.mp4"), str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
