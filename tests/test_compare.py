"""Several systems on one clip: run, brought into one world, the table, the files, the linked views in a browser."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import analytic_result
from scipy.spatial.transform import Rotation
from test_player import READY, RESTED, SETTLED, changed, pixels
from test_terminal import is_a_sentence, refused

import easi3r
from easi3r import InputError, Options, scoring, synthetic, video
from easi3r.cli import main
from easi3r.comparison.world import Similarity, find_similarity
from easi3r.motion import Motion
from easi3r.system import Estimate, SystemCard, register
from easi3r.system.registry import _ROWS

T, W, H = 4, 112, 64
CLIP = synthetic.render("room", T, W, H, seconds=0.6)


@dataclass
class Known:
    """A system that knows the truth, in its own unit; or one that fails."""

    scale: float = 1.0
    failure: Exception | None = None
    max_side: int = W
    name: str = "known"

    patch, device, note, network = 8, "cpu", "", None

    @property
    def card(self) -> SystemCard:
        return SystemCard(self.name, f"{self.name.title()}: a test", "none", None, 0, "")

    def run(self, clip: video.Video, options: Any, masks: Any = None, progress: Any = None) -> Estimate:
        for k in range(4):
            progress(k / 4, "Thinking")
        if self.failure:
            raise self.failure
        cam2world = CLIP.cam2world.copy()
        cam2world[:, :3, 3] *= self.scale
        moving = CLIP.dynamic if masks is None else masks.over(CLIP.dynamic)
        depth = np.float32(self.scale) * CLIP.depth
        motion = Motion(moving, moving.astype(np.float32), {})
        return Estimate(cam2world, np.repeat(CLIP.intrinsics[None], T, 0), depth, np.ones_like(depth), motion)


@pytest.fixture
def registered():
    """register(NAME=system, ...) in the table of systems, for this test."""
    before = dict(_ROWS)

    def add(**given):
        for name, system in given.items():
            named = replace(system, name=name)
            register(named.card, lambda *_, system=named: system, lambda card, system, note: system)

    yield add
    _ROWS.clear()
    _ROWS.update(before)


def other(result):
    """The same in another world."""
    turn = Rotation.from_euler("xyz", [30, -40, 10], degrees=True).as_matrix()
    return Similarity(2.5, turn, np.array([3.0, -1.0, 7.0]), "").of(result)


# ---- one world


def bent(result):
    result.cam2world[:, 1, 3] += 0.4 * np.sin(np.linspace(0, 3, len(result.cam2world)))
    return result


def standing(result):
    result.cam2world[:, :3, 3] = 0
    return result


@pytest.mark.parametrize("shape", [bent, lambda result: result, standing])
def test_a_similarity_is_undone_exactly(shape):
    first = shape(analytic_result())
    found = find_similarity(other(first), first)
    back = found.of(other(first))
    assert np.allclose(back.cam2world, first.cam2world, atol=1e-6) and np.allclose(back.depth, first.depth, rtol=1e-5)
    how = {"bent": "camera centres", "standing": "orientations and median depth"}
    assert found.how == how.get(shape.__name__, "camera centres and orientations")


def test_a_straight_path_is_turned_by_its_orientations():
    first = analytic_result()
    first.cam2world[:, :3, 3] = np.linspace(0, 1, 6)[:, None] * [1.0, 0, 0]
    noisy = other(first)
    noisy.cam2world[:, :3, 3] += 0.01 * np.random.default_rng(0).standard_normal((6, 3))
    back = find_similarity(noisy, first).of(noisy)
    assert np.allclose(back.cam2world[:, :3, :3], first.cam2world[:, :3, :3], atol=1e-6)


# ---- running


@pytest.mark.usefixtures("few_pairs")
def test_the_preview_with_and_without_masks():
    found = easi3r.compare(CLIP.frames, ["preview", "preview:no-masks"], Options(max_frames=T), truth=CLIP)
    assert [row.label for row in found.table.values()] == ["Preview", "Preview without masks"]
    plain, without = found.results.values()
    assert plain.evidence and np.array_equal(plain.cam2world[0], np.eye(4)) and "world" not in plain.info
    assert without.info["masks"].startswith("none") and "first camera of Preview" in without.info["world"]
    assert not any("Nothing in this clip" in said for said in without.info["warnings"])
    for row in found.table.values():
        assert row.failure is None and row.seconds > 0 and 20 < row.fov < 120 and row.path > 0
        assert row.truth["ate"] < 0.5 and row.truth["absrel"] > 0
    with_masks, none = (row.truth["J"] for row in found.table.values())
    assert with_masks > 0.7 and none <= 0.1  # it found nothing in so small a clip before it followed pixels better


def test_masks_are_its_own_none_or_the_users(registered):
    registered(one=Known())
    masks = np.zeros((T, H, W), bool)
    masks[:, 20:40, 30:60] = True
    found = easi3r.compare(CLIP.frames, ["one", "one:no-masks", "one:my-masks"], masks=masks)
    own, none, given = found.results.values()
    assert np.array_equal(own.dynamic, CLIP.dynamic) and not none.dynamic.any() and np.array_equal(given.dynamic, masks)
    assert found.table["one:my-masks"].label == "One with your masks"
    assert given.info["masks"] == "given by the user" and own.info["masks"] == "estimated"


def test_all_are_in_the_world_of_the_first_and_the_clip_is_read_once_per_size(registered, monkeypatch):
    registered(one=Known(), two=Known(3.0), small=Known(0.5))
    reads, read = [], video.read
    monkeypatch.setattr(video, "read", lambda source, *size: reads.append(size) or read(source, *size))
    found = easi3r.compare(CLIP.frames, ["one", "two", "two:no-masks", Known(0.5, name="loaded")], truth=CLIP)
    assert sum(isinstance(source, tuple) for source in reads) == len(reads) and len(set(reads)) == 1
    for result in found.results.values():
        assert np.allclose(result.cam2world, CLIP.cam2world, atol=1e-6) and np.allclose(result.depth, CLIP.depth, 1e-4)
    one, two, *_ = found.table.values()
    assert one.truth["J"] == 1 and two.truth["ate"] < 1e-6 and two.truth["absrel"] < 1e-5
    assert one.path == pytest.approx(two.path) and one.label == "One"


def test_a_failure_is_a_row_and_the_next_one_goes_on(registered):
    registered(broken=Known(failure=InputError("It cannot.")), hungry=Known(failure=MemoryError()), good=Known())
    found = easi3r.compare(CLIP.frames, ["broken", "hungry", "good"])
    assert list(found.results) == ["good"] and np.array_equal(found.results["good"].cam2world[0], np.eye(4))
    assert found.table["broken"].failure == "It cannot." and "memory" in found.table["hungry"].failure
    assert "| failed |" in found.markdown() and "**Broken**: It cannot." in found.markdown()
    with pytest.raises(InputError, match="No system could be run. Broken: It cannot. Hungry: The memory"):
        easi3r.compare(CLIP.frames, ["broken", "hungry"])
    registered(bug=Known(failure=RuntimeError("shape mismatch")))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        easi3r.compare(CLIP.frames, ["good", "bug"])


def test_the_command_says_with_its_exit_code_that_a_system_failed(registered, tmp_path):
    registered(broken=Known(failure=InputError("It cannot.")), good=Known())
    video.write(tmp_path / "clip.mp4", CLIP.frames, 8)
    arguments = ["compare", str(tmp_path / "clip.mp4"), "--systems", "good,broken", "--out", str(tmp_path / "out")]
    assert main(arguments) == 1 and (tmp_path / "out" / "good").is_dir()


def test_cancelling_in_the_middle_ends_it(registered):
    registered(one=Known(), two=Known())
    told = []

    def cancel(fraction, text):
        told.append((fraction, text))
        if fraction > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        easi3r.compare(CLIP.frames, ["one", "two"], progress=cancel)
    assert told[-1][1] == "Two: thinking" and [f for f, _ in told] == sorted(f for f, _ in told)


@pytest.mark.parametrize(
    "names, said",
    [
        (["preview"], "1 system is named; compare two to four"),
        (["preview"] * 5, "5 systems are named; compare two to four"),
        (["preview", "preview"], "named twice"),
        (["preview", "nerf"], "'nerf' is unknown; use auto, preview"),
        (["preview", "preview:all"], "after the colon comes no-masks or my-masks"),
        (["preview", "preview:my-masks"], "needs your masks"),
        (["preview", "auto"], "name those to be compared"),
        ("preview,dust3r", "must be a list"),
        (["preview", 3], "give a name"),
    ],
)
def test_names_that_cannot_be_compared_get_a_sentence(names, said):
    with pytest.raises(InputError, match=said) as error:
        easi3r.compare(CLIP.frames, names)
    assert is_a_sentence(str(error.value))


def test_masks_and_truths_that_do_not_fit_get_a_sentence_before_anything_runs(registered):
    registered(one=Known(failure=AssertionError()), two=Known(failure=AssertionError()))
    with pytest.raises(InputError, match="No system named uses the masks"):
        easi3r.compare(CLIP.frames, ["one", "two"], masks=CLIP.dynamic)
    with pytest.raises(InputError, match="same proportions"):
        easi3r.compare(CLIP.frames, ["one", "two:my-masks"], masks=np.zeros((T, 50, 50), bool))
    with pytest.raises(InputError, match="The truth is of 50 x 40 pixels"):
        easi3r.compare(CLIP.frames, ["one", "two"], truth=SimpleNamespace(dynamic=np.zeros((T, 40, 50), bool)))
    with pytest.raises(InputError, match="neither masks"):
        easi3r.compare(CLIP.frames, ["one", "two"], truth=SimpleNamespace())


def test_a_part_of_the_truth_gives_a_part_of_the_figures():
    result = replace(analytic_result(), info={"source_frames": 6, "frame_numbers": list(range(6))})
    figures = scoring.score(result, SimpleNamespace(cam2world=result.cam2world, step=1))
    assert figures["ate"] < 1e-9 and np.isnan(figures["J"]) and np.isnan(figures["absrel"])


# ---- files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two made by the command line, of a clip as a file; the folder, and what was printed."""
    before = dict(_ROWS)
    for name, scale in (("one", 1.0), ("two", 2.0)):
        system = Known(scale, name=name)
        register(system.card, lambda *_, system=system: system, lambda card, system, note: system)
    folder = tmp_path_factory.mktemp("compared")
    video.write(folder / "clip.mp4", CLIP.frames, 8)
    synthetic.save_truth(folder / "truth.npz", CLIP)
    clip, truth, out = (str(folder / name) for name in ("clip.mp4", "truth.npz", "out"))
    assert main(["compare", clip, "--systems", "one, two:no-masks", "--truth", truth, "--out", out]) == 0
    yield folder / "out"
    _ROWS.clear()
    _ROWS.update(before)


def test_the_command_writes_everything(saved):
    files = {"compare.html", "masks.mp4", "paths.png", "comparison.md", "comparison.json", "one", "two-no-masks"}
    assert {path.name for path in saved.iterdir()} == files
    one, two = (easi3r.load_reconstruction(saved / name) for name in ("one", "two-no-masks"))
    assert np.allclose(one.cam2world, two.cam2world, atol=1e-6) and one.dynamic.any() and not two.dynamic.any()
    assert two.info["system"] == "Two without masks"
    cameras = json.loads((saved / "two-no-masks" / "cameras.json").read_text())
    assert cameras["conventions"]["world"].startswith("the first camera of One")
    assert "first camera of One" in (saved / "two-no-masks" / "README.txt").read_text()
    report = json.loads((saved / "comparison.json").read_text())
    assert [row["name"] for row in report["systems"]] == ["one", "two:no-masks"]
    assert report["systems"][0]["truth"]["J"] > 0.99 and report["systems"][1]["aligned"].startswith("camera centres")
    table = (saved / "comparison.md").read_text()
    assert "| | One | Two without masks |" in table and "| moving pixels |" in table and "ATE / path" in table
    grid = video.read(saved / "masks.mp4", T, 512, 8)
    assert grid.framing.source_size[0] > 2 * W and grid.framing.source_size[1] > H  # side by side, names above


def test_the_command_refuses_what_cannot_be_done(saved, capsys, tmp_path):
    clip = str(saved.parent / "clip.mp4")
    (tmp_path / "one").mkdir()
    assert "already holds one" in refused(capsys, "compare", clip, "--systems", "one,two", "--out", tmp_path)
    assert "--systems" in refused(capsys, "compare", clip)
    truth = ["--truth", saved.parent / "none.npz", "--out", tmp_path / "o"]
    assert "no file" in refused(capsys, "compare", clip, "--systems", "one,two", *truth)
    truth[1] = saved / "paths.png"
    assert "no truth of a clip" in refused(capsys, "compare", clip, "--systems", "one,two", *truth)
    assert not (tmp_path / "o").exists()


def test_help_names_the_systems_with_their_weights_and_licences(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert "easi3r compare CLIP" in told
    for card in easi3r.systems():
        assert f"{card.name} " in told and card.licence in told and (card.weights or "no weights") in told


@pytest.mark.parametrize(
    "command, has", [("batch", True), ("compare", True), ("evaluate", True), ("view", False), ("render", False)]
)
def test_only_commands_that_run_systems_list_them_in_their_help(capsys, command, has):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert ("systems: name, what it is" in capsys.readouterr().out) == has


def test_views_are_linked_in_the_browser(saved, browser):
    page = browser.new_page(viewport={"width": 800, "height": 560})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto((saved / "compare.html").as_uri())
    page.wait_for_selector(READY, state="attached", timeout=90000)
    page.add_style_tag(content="#hint { display: none } .name, #handle { opacity: 0 }")
    assert page.locator("span.name").all_inner_texts() == ["One", "Two without masks"]

    def halves():
        view = pixels(page)
        middle = view.shape[1] // 2
        return view[:, : middle - 2], view[:, middle + 2 : 2 * middle]

    left, right = halves()  # the same scene, but for what moves
    assert changed(left, right[:, : left.shape[1]]) < 0.5
    page.locator("#view").focus()
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.move(260, 210, steps=3)
    page.mouse.up()
    page.evaluate(RESTED)
    turned = halves()
    assert changed(left, turned[0]) > 0.1 and changed(right, turned[1]) > 0.1
    page.keyboard.press("ArrowRight")
    assert "2 / 4" in page.locator("#clock").inner_text()
    page.keyboard.press("w")
    page.evaluate(SETTLED)
    assert page.locator("#left").input_value() == "0" and page.locator("#right").input_value() == "1"
    before = pixels(page)
    page.locator("#handle").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.evaluate(RESTED)
    after = pixels(page)
    width = before.shape[1]
    assert changed(before[:, : width // 2 - 30], after[:, : width // 2 - 30]) == 0
    assert page.locator("#handle").get_attribute("aria-valuenow") == "70"
    assert "2 / 4" in page.locator("#clock").inner_text()  # where the arrow keys would step through time else
    page.locator("#left").select_option("1")
    assert page.locator("#right").input_value() == "0"
    assert not problems
    page.close()
