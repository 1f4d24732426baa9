"""`easi3r evaluate`: golden figures of the published scripts, what is damaged or missing, runs from pictures."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import analytic_result
from PIL import Image
from scipy.spatial.transform import Rotation
from test_network import TINY, seeded

import easi3r
from easi3r import InputError, alignment, metrics, video
from easi3r.backbones.dust3r import Dust3rNetwork
from easi3r.backbones.dust3r.model import Config
from easi3r.cli import main
from easi3r.evaluation import working
from easi3r.evaluation.datasets import DATASETS
from easi3r.evaluation.formats import associate
from easi3r.evaluation.working import published_framing
from easi3r.motion import Motion
from easi3r.scoring import place_in_source
from easi3r.system import Estimate, registry
from easi3r.system.pairwise import Easi3r
from easi3r.system.preview import Preview

GOLDEN = Path(__file__).parent / "data" / "evaluation.tar.xz"  # as it is but for pictures, which scoring does not need
FAMILIES = ("davis", "tum", "adt", "dycheck", "sintel", "scannet", "bonn")
_NOT_COMPARED = ("hint", "published", "policy", "published_value", "published_error")


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return folder


def evaluate(*arguments):
    return main(["evaluate", *(str(argument) for argument in arguments)])


def listing(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def differences(found, expected, tolerance, path=""):
    """What of `expected` is not in `found`, or not as near as asked."""
    said = []
    for key, value in expected.items():
        here = f"{path}/{key}"
        if key in _NOT_COMPARED:
            continue
        if key not in found:
            said.append(f"{here} is not there")
        elif isinstance(value, dict):
            said += differences(found[key], value, tolerance, here)
        elif isinstance(value, float):
            if abs(found[key] - value) > tolerance.get(key, 1e-5) * abs(value):
                said.append(f"{here}: {found[key]}, not {value}")
        elif found[key] != value:
            said.append(f"{here}: {found[key]}, not {value}")
    return said


@pytest.mark.parametrize("family", FAMILIES)
def test_the_golden_figures_are_met(golden, family, tmp_path, capsys):
    before = listing(golden / family)
    for run in json.loads((golden / family / "expected.json").read_text())["runs"]:
        places = "--data", golden / family / run["data"], "--predictions", golden / family / run["predictions"]
        assert evaluate(run["set"], *places, "--json", tmp_path / "out.json", "--out", tmp_path / run["set"]) == 0
        found, expected = json.loads((tmp_path / "out.json").read_text()), run["expected"]
        for wanted in (expected, run.get("optional", {})):
            assert not differences(found, wanted, run.get("tolerance", {}))
        assert list(found["sequences"]) == list(expected["sequences"])
        said = capsys.readouterr().out
        named = [name for name, entry in expected["sequences"].items() if entry["state"] != "scored"]
        assert all(name in said for name in [*named, *expected["absent"]])
        assert all(entry["reason"] for name, entry in found["sequences"].items() if name in named)
        rows = (tmp_path / run["set"] / "sequences.csv").read_text().splitlines()
        assert len(rows) == 1 + len(expected["sequences"]) + len(expected["absent"])
        assert (tmp_path / run["set"] / "table.md").read_text().startswith(f"| {run['set']} |")
        assert "data:image/png" in (tmp_path / run["set"] / "report.html").read_text()
        assert json.loads((tmp_path / run["set"] / "result.json").read_text()) == found
    assert listing(golden / family) == before  # nothing is written beside the data


# ---------------------------------------------------------------------------------------------------------- by hand


def test_boundaries_match_within_a_disk():
    truth, near, far = np.zeros((3, 288, 512), bool)
    truth[100:150, 100:150], near[105:155, 100:150], far[100:150, 300:350] = True, True, True
    assert metrics.boundary_f(np.stack([truth, near, far]), np.stack([truth] * 3)) == pytest.approx([1, 1, 0])
    empty = np.zeros_like(truth)
    assert metrics.boundary_f(np.stack([empty, empty]), np.stack([empty, truth])) == pytest.approx([1, 0])


def test_the_published_size_of_pictures():
    assert [published_framing(size).size for size in ((854, 480), (910, 480), (1152, 480), (512, 512))] == [
        (512, 288),
        (512, 256),
        (512, 208),
        (512, 384),
    ]
    assert published_framing((1024, 436), stretched=True).size == (512, 208)


def test_stamps_are_paired_closest_first_and_once():
    assert associate(np.array([0.0, 0.01, 1.0]), np.array([0.011, 1.03])) == [(1, 0)]


def test_descent_looks_at_few_errors_and_finds_the_same():
    """Against the whole sum at every step, written out."""
    random = np.random.default_rng(0)
    truth = random.uniform(1, 9, 5000).astype(np.float32)
    depth = (0.3 * truth * (1 + 0.1 * random.standard_normal(5000)) + 0.1).astype(np.float32)
    start = metrics.lower_median(truth) / metrics.lower_median(depth)
    values, m, v = np.array([start, 0.0]), np.zeros(2), np.zeros(2)
    for step in range(1, 1001):
        sign = np.sign(np.float32(values[0]) * depth + np.float32(values[1]) - truth).astype(np.float64)
        slope = np.array([sign @ depth, sign.sum()])
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        values -= 1e-4 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    assert metrics.depth_alignments(depth, truth)["shift"] == pytest.approx(tuple(values), abs=2e-5)


# ------------------------------------------------------------------------------------------ damaged, missing, refused


def scored(folder, name, tmp_path, *more):
    code = evaluate(
        name, "--data", folder / "data", "--predictions", folder / "predictions", "--json", tmp_path / "j", *more
    )
    return code, json.loads((tmp_path / "j").read_text())


@pytest.fixture
def adt(golden, tmp_path):
    return shutil.copytree(golden / "adt", tmp_path / "adt")


def test_one_broken_sequence_does_not_end_the_run(adt, tmp_path):
    (adt / "data" / "Apartment_release_work_seq140_1.npz").write_bytes(b"PK\3\4 and no more")
    cook = adt / "predictions" / "Apartment_release_multiuser_cook_seq118_8" / "pred_traj.txt"
    cook.write_text("0 1 2 nonsense")
    code, found = scored(adt, "adt", tmp_path)
    states = {name: entry["state"] for name, entry in found["sequences"].items()}
    assert code == 0 and list(states.values()) == ["scored", "failed", "failed", "missing"] and found["scored"] == 1
    reasons = [entry["reason"] for entry in found["sequences"].values()]
    assert "pred_traj.txt" in reasons[1] and "seq140_1.npz" in reasons[2]


def test_where_nothing_is_scored_the_exit_code_is_1(adt, tmp_path):
    shutil.rmtree(adt / "predictions")
    (adt / "predictions").mkdir()
    code, found = scored(adt, "adt", tmp_path)
    assert code == 1 and found["mean"] == {} and not found["complete"]


def test_sequences_can_be_named_and_counted(adt, tmp_path):
    _, found = scored(adt, "adt", tmp_path, "--limit", 1)
    assert list(found["sequences"]) == ["Apartment_release_decoration_seq138_5"] and len(found["left_out"]) == 3
    _, found = scored(adt, "adt", tmp_path, "--sequences", "Apartment_release_work_seq140_1")
    assert list(found["sequences"]) == ["Apartment_release_work_seq140_1"] and not found["complete"]


def test_masks_of_any_size_and_none(golden, tmp_path):
    folder = shutil.copytree(golden / "davis", tmp_path / "davis")
    bear = folder / "predictions" / "bear"
    labels = [np.asarray(Image.open(path)) > 0 for path in sorted((folder / "data/Annotations/480p/bear").iterdir())]
    for i, label in enumerate(labels):  # the truth itself, at its own size
        Image.fromarray(label.astype(np.uint8) * 255).save(bear / f"dynamic_mask_{i}.png")
    for path in (folder / "predictions" / "blackswan").glob("dynamic_mask_*"):
        path.unlink()
    _, found = scored(folder, "davis-all", tmp_path, "--sequences", "bear,blackswan")
    assert found["sequences"]["bear"]["metrics"] == {"JM": 1, "JR": 1, "FM": 1, "FR": 1}
    assert found["sequences"]["blackswan"]["state"] == "missing"


def test_a_lost_pose_is_left_out(golden, tmp_path):
    folder = shutil.copytree(golden / "scannet", tmp_path / "scannet")
    np.savetxt(folder / "data" / "scene0711_00" / "pose" / "3.txt", np.full((4, 4), -np.inf))
    _, found = scored(folder, "scannet", tmp_path, "--sequences", "scene0711_00")
    entry = found["sequences"]["scene0711_00"]
    assert entry["state"] == "partial" and "1 frames have no known pose" in entry["reason"]


def refused(capsys, *arguments):
    capsys.readouterr()
    assert evaluate(*arguments) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ") and said.endswith(".") and "\n" not in said
    return said


def test_what_cannot_be_used_is_said_in_a_sentence(adt, tmp_path, capsys):
    data, given = ("--data", adt / "data"), ("--predictions", adt / "predictions")
    assert "davis16" in refused(capsys, "kitti", *data)
    assert "no folder" in refused(capsys, "adt", "--data", tmp_path / "nowhere")
    assert "no folder" in refused(capsys, "adt", *data, "--predictions", tmp_path / "nowhere")
    assert "no sequence" in refused(capsys, "tum", *data, *given)
    assert "only read" in refused(capsys, "adt", *data, *given, "--out", adt / "data" / "out")
    assert "only read" in refused(capsys, "adt", *data, *given, "--json", adt / "predictions" / "x.json")
    assert "no sequence 'x'" in refused(capsys, "adt", *data, *given, "--sequences", "x")
    assert "--limit" in refused(capsys, "adt", *data, *given, "--limit", 0)
    assert "--systems" in refused(capsys, "adt", *data, *given, "--systems", "preview")
    assert "masks" in refused(capsys, "adt", *data, "--masks-only")
    assert "--out" in refused(capsys, "adt", *data, "--resume")
    assert not (adt / "data" / "out").exists()


# ------------------------------------------------------------------------------------------------------------ a run


@pytest.fixture(scope="module")
def room():
    return analytic_result(4)


@pytest.fixture(scope="module")
def davis(room, tmp_path_factory):
    """Two sequences in DAVIS' layout; the second lacks a picture."""
    folder = tmp_path_factory.mktemp("davis")
    for name in ("bear", "boat"):
        pictures, labels = (folder / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for i in range(len(room.frames)):
            Image.fromarray(room.frames[i]).save(pictures / f"{i:05d}.jpg")
            Image.fromarray(room.dynamic[i].astype(np.uint8)).save(labels / f"{i:05d}.png")
    (folder / "JPEGImages" / "480p" / "boat" / "00002.jpg").unlink()
    return folder


class Guess:
    """In place of a system's run: what moves is bright; counts its runs."""

    runs = 0

    def __init__(self, monkeypatch):
        monkeypatch.setattr(Preview, "run", lambda system, *given: self.run(*given))

    def run(self, clip, options, masks=None, progress=None):
        self.runs, self.options, shape = self.runs + 1, options, clip.frames.shape[:3]
        moving = clip.frames.mean(-1) > 120
        poses = np.tile(np.eye(4), (shape[0], 1, 1))
        poses[:, 0, 3] = np.arange(shape[0]) ** 1.5
        matrices = np.tile(np.diag([500.0, 500, 1]), (shape[0], 1, 1))
        depth = np.full(shape, 2, np.float32)
        return Estimate(poses, matrices, depth, depth, Motion(moving, moving.astype(np.float32), {}))


def test_a_run_writes_the_published_files_and_can_be_resumed(davis, tmp_path, monkeypatch, capsys):
    guess, out = Guess(monkeypatch), tmp_path / "out"
    command = "davis-all", "--data", davis, "--systems", "preview", "--out", out
    before = listing(davis)
    assert evaluate(*command) == 0 and guess.runs == 1
    found = json.loads((out / "result.json").read_text())
    assert [entry["state"] for entry in found["sequences"].values()] == ["scored", "failed"]
    assert (
        "JPEGImages/480p/boat/00002.jpg" in found["sequences"]["boat"]["reason"]
        and not (out / "predictions" / "boat").exists()
    )
    assert not guess.options.refine and not guess.options.smooth and guess.options.flow  # as published
    folder = out / "predictions" / "bear"
    assert Image.open(folder / "dynamic_mask_3.png").size == (512, 384)
    assert np.loadtxt(folder / "pred_traj.txt").shape == (4, 8)
    assert np.load(folder / "frame_0003.npy").shape == (384, 512)
    assert np.loadtxt(folder / "pred_intrinsics.txt").shape == (4, 9) and (folder / "conf_0.npy").exists()
    assert "holds predictions" in refused(capsys, *command)
    assert "other options" in refused(capsys, *command, "--resume", "--no-flow")
    assert evaluate(*command, "--resume") == 0 and guess.runs == 1  # what failed is tried again, and fails again
    assert json.loads((out / "result.json").read_text())["sequences"]["bear"] == found["sequences"]["bear"]
    (folder / "run.json").unlink()  # as after a kill
    assert evaluate(*command, "--resume") == 0 and guess.runs == 2
    assert listing(davis) == before


def test_systems_have_a_folder_each_and_rows_in_one_table(davis, tmp_path, monkeypatch, capsys):
    Guess(monkeypatch)
    card = registry.row_of("preview").card
    monkeypatch.setitem(registry._ROWS, "other", registry.Row(card, registry._preview, registry.Preview))
    command = "davis-all", "--data", davis, "--systems", "preview,other", "--sequences", "bear", "--out", tmp_path / "o"
    assert evaluate(*command, "--json", tmp_path / "j") == 0
    assert set(json.loads((tmp_path / "j").read_text())["systems"]) == {"preview", "other"}
    table = (tmp_path / "o" / "table.md").read_text()
    assert table.count("**preview**") == table.count("**other**") == 2 and "Easi3R monst3r, SAM 2 [P]" in table
    assert (tmp_path / "o" / "other" / "predictions" / "bear" / "run.json").exists()
    assert (tmp_path / "o" / "preview" / "sequences.csv").exists()


def test_a_system_that_cannot_be_had_does_not_end_the_others(davis, tmp_path, monkeypatch, capsys):
    Guess(monkeypatch)
    command = "davis-all", "--data", davis, "--sequences", "bear", "--json", tmp_path / "j"

    def fails(*given):
        raise InputError("There is no network.")

    row = registry.Row(registry.row_of("preview").card, fails, Preview)
    monkeypatch.setitem(registry._ROWS, "far", row)
    assert evaluate(*command, "--systems", "far,preview") == 0
    found = json.loads((tmp_path / "j").read_text())["systems"]
    assert found["far"]["sequences"]["bear"]["reason"] == "There is no network." and found["preview"]["scored"] == 1
    assert "no network" in refused(capsys, *command, "--systems", "far")
    assert "unknown" in refused(capsys, *command, "--systems", "preview,fra")
    assert "named twice" in refused(capsys, *command, "--systems", "preview,preview")
    assert "no folder Annotations/480p" in refused(capsys, "davis16", "--data", tmp_path, "--systems", "preview")


def test_out_of_memory_is_the_sequence_s_end_and_not_the_run_s(davis, tmp_path, monkeypatch):
    guess = Guess(monkeypatch)

    def full(*given):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(guess, "run", full)
    command = "davis-all", "--data", davis, "--systems", "preview", "--sequences", "bear"
    assert evaluate(*command, "--json", tmp_path / "j") == 1
    assert json.loads((tmp_path / "j").read_text())["sequences"]["bear"]["reason"] == "out of memory"


@pytest.mark.parametrize("protocol", ["paper", "ours"])
def test_masks_alone_need_no_alignment(davis, tmp_path, monkeypatch, protocol):
    """Easi3R on a tiny seeded network."""
    tiny = Dust3rNetwork(seeded(Config(**TINY, head_type="linear")), "tiny", device="cpu", precision="float32")
    card = registry.row_of("preview").card  # needs no weights
    monkeypatch.setitem(registry._ROWS, "tiny", registry.Row(card, lambda *given: tiny, Easi3r))
    monkeypatch.setattr(alignment, "solve", None)
    monkeypatch.setattr(working, "LONG_SIDE", 128)
    command = "davis-all", "--data", davis, "--sequences", "bear", "--systems", "tiny", "--masks-only"
    command = *command, "--protocol", protocol
    assert evaluate(*command, "--out", tmp_path / "o") == 0
    made = sorted(path.name for path in (tmp_path / "o" / "predictions" / "bear").iterdir())
    assert made == [*(f"dynamic_mask_{i}.png" for i in range(4)), "run.json"]


def test_a_clip_of_one_s_own_is_run_as_a_visitor_s(room, tmp_path, monkeypatch):
    """The preview itself; J at the size of the clip, with other systems' masks beside it."""
    kept, run = [], easi3r.reconstruct
    monkeypatch.setattr(easi3r, "reconstruct", lambda *a, **k: kept.append(run(*a, **k)) or kept[0], raising=False)
    shape, data = np.array(room.dynamic.shape), tmp_path / "data"
    data.mkdir()
    video.write(data / "room.mp4", room.frames, 8)
    packed = np.packbits(room.dynamic, axis=-1)
    np.savez(data / "room_masks.npz", shape=shape, gt=packed, right=packed, wrong=np.packbits(~room.dynamic, axis=-1))
    command = "folder", "--data", data, "--systems", "preview", "--json", tmp_path / "j"
    assert evaluate(*command, "--out", tmp_path / "o") == 0
    assert "worst mask" in (tmp_path / "o" / "report.html").read_text()
    entry = json.loads((tmp_path / "j").read_text())["sequences"]["room"]
    (result,) = kept
    assert np.array_equal(result.frames, video.read(data / "room.mp4", 24, 512, 16).frames)
    expected = metrics.jaccard(place_in_source(result.dynamic, result.framing), room.dynamic).mean()
    assert entry["metrics"]["JM"] == pytest.approx(expected) and entry["others"] == {"right": 1, "wrong": 0}


def test_folders_of_pictures_with_what_is_known_of_them(room, tmp_path):
    folder, given = tmp_path / "data" / "mine", tmp_path / "given" / "mine"
    for place in (folder / "rgb", folder / "masks", folder / "depth", given):
        place.mkdir(parents=True)
    poses, lines = room.cam2world.copy(), []
    poses[:, 1, 3] += np.arange(4) ** 2  # a path along a line has no alignment
    for i, frame in enumerate(room.frames):
        Image.fromarray(frame).save(folder / "rgb" / f"{i}.png")
        Image.fromarray(room.dynamic[i]).save(folder / "masks" / f"{i}.png")
        depth = (2 + i + 0.01 * np.arange(640).reshape(20, 32)).astype(np.float32)
        np.save(folder / "depth" / f"{i}.npy", depth)
        np.save(given / f"frame_{i:04d}.npy", 3 * depth)
        x, y, z, w = Rotation.from_matrix(poses[i, :3, :3]).as_quat()
        lines.append([i, *(2 * poses[i, :3, 3]), w, x, y, z])
        shutil.copy(folder / "masks" / f"{i}.png", given / f"dynamic_mask_{i}.png")
    np.savetxt(given / "pred_traj.txt", lines)
    np.savetxt(folder / "groundtruth.txt", np.array(lines)[:, [0, 1, 2, 3, 5, 6, 7, 4]])
    command = "folder", "--data", tmp_path / "data", "--predictions", tmp_path / "given", "--json", tmp_path / "j"
    assert evaluate(*command) == 0
    entry = json.loads((tmp_path / "j").read_text())["sequences"]["mine"]
    assert entry["state"] == "scored" and entry["metrics"]["JM"] == 1
    assert entry["metrics"]["ATE"] == pytest.approx(0, abs=1e-9)
    assert entry["metrics"]["AbsRel_median"] == pytest.approx(0, abs=1e-6)


def test_sam_2_is_asked_for_by_its_weights(davis, tmp_path, monkeypatch):
    Guess(monkeypatch)
    asked = {}

    def refine(masks, frames, **how):
        asked.update(how, shape=frames.shape)
        return ~masks

    monkeypatch.setattr(easi3r, "refine_masks", refine, raising=False)
    command = "davis-all", "--data", davis, "--systems", "preview", "--sequences", "bear", "--out", tmp_path / "o"
    assert evaluate(*command, "--sam2", "weights") == 0
    assert (asked["method"], asked["weights"], asked["published"]) == ("sam2", "weights", True)


def test_every_set_has_its_row():
    assert set(DATASETS) == {
        *("davis16", "davis17", "davis-all", "tum", "tum90", "adt", "dycheck", "sintel", "sintel-depth", "scannet"),
        *("bonn", "folder"),
    }
    assert len(DATASETS["davis16"].names) == 20 and len(DATASETS["davis17"].names) == 30
    assert [len(DATASETS[name].names) for name in ("tum", "adt", "sintel", "bonn")] == [8, 8, 14, 5]
