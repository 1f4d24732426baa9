"""A length that is known: results in metres, and what their files say then."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import plyfile
import pygltflib
import pytest
from conftest import analytic_result
from pages import open_page, open_tab, player, upload, wait_until_done, wait_until_drawn
from test_compare import CLIP, Known, registered  # noqa: F401 - a fixture
from test_terminal import is_a_sentence, refused

import easi3r
from easi3r import InputError, Options
from easi3r.bundle.ground_plane import find_ground
from easi3r.cli import main
from easi3r.export import load_reconstruction
from easi3r.scale import Height, Like, Pixels, Places, Unit, in_metres, of_places, parse_scale

EYES = 1 + 0.2 * np.linspace(0, 1, 6)  # heights of the cameras of `analytic_result` above its floor


def source_pixel(result, t, row, column):
    """(x, y) in the original video of a pixel of the working size."""
    return (result.framing.to_source(np.eye(3)) @ [column, row, 1])[:2].tolist()


# ------------------------------------------------------------------------------------------- what is given


@pytest.mark.parametrize(
    "given, scale",
    [
        ("height=1.6", Height(1.6)),
        (" Height = .5 ", Height(0.5)),
        ("0:120,200-340.5,210=2.5", Pixels(2.5, 0, ((120, 200), (340.5, 210)))),
        ("1.54", Unit(1.54)),
        (np.float32(0.25), Unit(0.25)),
        (2, Unit(2)),
    ],
)
def test_three_ways_to_give_a_length(given, scale):
    assert parse_scale(given) == scale
    assert parse_scale(Options(scale=given).scale) == scale  # as text, which a report can hold
    assert Options().scale is None


@pytest.mark.parametrize(
    "given",
    [
        *("0", "-1", "nan", "inf", "abc", "", "1e999", "height=0", "height=-1.6", "height=tall", "height", "1,5"),
        *("0:1,2-3,4=0", "0:1,2-1,2=1", "0:1,2-3,4", "1:2-3=4", "-1:1,2-3,4=1", "0:1,-2-3,4=1", "0.5:1,2-3,4=1"),
        *("1e300", "1e-300", "1000001", "height=1e7", "height=1e-7", "0:1,2-3,4=2e6", 1e7, 9e-7),
        *(0, -2.5, float("nan"), True, {"height": 1}, [1.6], b"1", 10**400),
    ],
)
def test_what_is_no_length_gets_a_sentence_before_the_run(given):
    with pytest.raises(InputError, match="scale") as error:
        Options(scale=given)
    assert is_a_sentence(str(error.value))


def test_what_the_player_sends_wrong_gets_a_sentence():
    right = {"from": [0, 0, 1], "to": [0.5, 0, 1], "metres": 2}
    assert of_places(right) == Places(2.0, ((0, 0, 1), (0.5, 0, 1)))
    assert of_places({**right, "metres": "1e0"}).metres == 1
    wrong = [{"metres": value} for value in (0, -1, "abc", None, float("nan"), [1], 1e300, "1e-300")]
    wrong += [{"to": value} for value in ([1, 2], None, "abc", [1, 2, float("inf")], [[1], 2, 3])]
    for part in wrong:
        with pytest.raises(InputError) as error:
            of_places({**right, **part})
        assert is_a_sentence(str(error.value))
    with pytest.raises(InputError, match="same place"):
        in_metres(analytic_result(), of_places({**right, "to": right["from"]}))


# ------------------------------------------------------------------------------------------- in metres


def test_all_lengths_follow_and_the_next_size_replaces_the_last(tiny_result):
    tall = in_metres(tiny_result, Height(3.2))
    factor = 3.2 / np.median(EYES)
    assert tall.info["scale"] == {
        "unit": "m",
        "metres_per_unit": pytest.approx(factor, rel=0.01),
        "from": "the camera's height above the ground, given as 3.2 m",
    }
    factor = tall.info["scale"]["metres_per_unit"]
    assert np.allclose(tall.points(), factor * tiny_result.points(), atol=1e-5)
    assert tall.depth.dtype == np.float32 and np.array_equal(tall.cam2world[0], np.eye(4))
    assert "scale" not in tiny_result.info and tiny_result.cam2world[-1, 0, 3] == pytest.approx(0.9)  # as it was

    first, second = tall.points()[2, [40, 30], [10, 50]]
    there = of_places({"from": first.tolist(), "to": second.tolist(), "metres": 1})
    again = in_metres(tall, there)
    assert np.linalg.norm(np.subtract(*again.points()[2, [40, 30], [10, 50]])) == pytest.approx(1, rel=1e-5)
    per_unit = again.depth[0, 20, 20] / tiny_result.depth[0, 20, 20]
    assert again.info["scale"]["metres_per_unit"] == pytest.approx(per_unit, rel=1e-5)
    assert again.info["scale"]["from"] == "the distance between two points of the scene, given as 1 m"
    for unit in (tiny_result, again):  # how long a unit is means that of the run
        assert np.allclose(in_metres(unit, Unit(2.5)).depth, 2.5 * tiny_result.depth, rtol=1e-5)


def test_what_is_solved_anew_is_as_large_as_before(tiny_result):
    before = in_metres(tiny_result, Height(3.2))
    cam2world = tiny_result.cam2world.copy()
    cam2world[:, :3, 3] *= 0.7
    anew = replace(tiny_result, depth=0.7 * tiny_result.depth, cam2world=cam2world)
    again = in_metres(anew, Like(before))
    assert np.allclose(again.points(), before.points(), atol=1e-4)
    assert again.info["scale"]["from"] == before.info["scale"]["from"]
    with pytest.raises(InputError, match="other frames"):
        in_metres(analytic_result(5), Like(before))


def test_two_pixels_of_the_original_video(tiny_result):
    ends = [source_pixel(tiny_result, 3, *at) for at in ((40, 10), (30, 50))]
    length = np.linalg.norm(np.subtract(*tiny_result.points()[3, [40, 30], [10, 50]]))
    text = "3:{:.3f},{:.3f}-{:.3f},{:.3f}=2".format(*ends[0], *ends[1])
    sized = in_metres(tiny_result, parse_scale(text))
    assert sized.info["scale"]["metres_per_unit"] == pytest.approx(2 / length, rel=1e-3)
    assert sized.info["scale"]["from"] == "the distance between two points in frame 3, given as 2 m"
    for text, said in (
        ("6:30,30-90,90=2", "frames used are 0 to 5"),
        ("0:30,30-900,90=2", "900,90 of scale lies outside"),
        ("0:5,3-90,90=2", "Nothing is known of the depth at 5,3"),  # no confidence in that corner
    ):
        with pytest.raises(InputError, match=said) as error:
            in_metres(tiny_result, parse_scale(text))
        assert is_a_sentence(str(error.value))


def test_without_level_ground_there_is_no_height(tiny_result):
    normal, offset = find_ground(tiny_result)
    assert normal @ [0, 1, 0] > 0.999 and offset == pytest.approx(1, abs=0.01)
    upwards = tiny_result.points()[..., 1] < 0.9
    for bare in (
        replace(tiny_result, confidence=np.where(upwards, tiny_result.confidence, 0)),  # only the wall is seen
        replace(tiny_result, dynamic=np.ones_like(tiny_result.dynamic)),
        replace(tiny_result, confidence=0 * tiny_result.confidence),
    ):
        assert find_ground(bare) is None
        with pytest.raises(InputError, match="No level ground") as error:
            in_metres(bare, Height(1.6))
        assert is_a_sentence(str(error.value))


def test_a_table_above_what_is_seen_of_the_floor_is_not_the_ground(tiny_result):
    depth, sure = tiny_result.depth.copy(), np.ones_like(tiny_result.depth)
    floor = tiny_result.points()[..., 1] > 0.99
    floor[..., :45] = False  # the table hides the rest
    depth[floor] *= 1.5
    assert find_ground(replace(tiny_result, confidence=sure)) is not None
    assert find_ground(replace(tiny_result, depth=depth, confidence=sure)) is None


# ------------------------------------------------------------------------------------------- runs


@pytest.mark.usefixtures("registered")
def test_a_run_is_in_metres_from_its_first_look_on(monkeypatch):
    still = ~CLIP.dynamic[1] & (CLIP.depth[1] < 5)
    (row, column), (v, u) = np.argwhere(still)[[100, -100]].tolist()
    rays = np.array([[column, row, 1], [u, v, 1]]) @ np.linalg.inv(CLIP.intrinsics).T
    metres = np.linalg.norm(np.subtract(*(rays * CLIP.depth[1, [row, v], [column, u]][:, None])))
    options = Options(scale=f"1:{column},{row}-{u},{v}={metres}", max_frames=4)
    result = easi3r.reconstruct(CLIP.frames, Known(0.3), options)
    assert np.allclose(result.depth, CLIP.depth, rtol=1e-5) and result.info["options"]["scale"] == options.scale
    never = Known(failure=AssertionError("a run has begun"))
    for wrong in ("9:1,1-5,5=1", "0:1,1-500,5=1"):
        with pytest.raises(InputError, match=r"frames used are 0 to 3|outside"):
            easi3r.reconstruct(CLIP.frames, never, Options(scale=wrong))
    flat = Known()
    monkeypatch.setattr("easi3r.bundle.ground_plane.find_ground", lambda result: None)
    kept = easi3r.reconstruct(CLIP.frames, flat, Options(scale="height=1.6"))
    assert "no real size, its scale is arbitrary: No level ground" in kept.info["warnings"][0]
    assert "scale" not in kept.info


def test_a_comparison_keeps_the_metres_of_its_first(registered):  # noqa: F811
    registered(one=Known(0.3), two=Known(2.5))
    found = easi3r.compare(CLIP.frames, ["one", "two"], Options(max_frames=4, scale=2))
    for result in found.results.values():
        assert np.allclose(result.depth, 0.6 * CLIP.depth, rtol=1e-4)
    one, two = (result.info["scale"] for result in found.results.values())
    assert one["metres_per_unit"] == 2 and two["metres_per_unit"] == pytest.approx(0.6 / 2.5, rel=1e-4)
    assert one["from"] == "the length of one unit, given as 2 m" and two["from"] == one["from"] + ", in One"


def test_the_terminal_says_metres_or_what_is_wrong(tmp_path, capsys, monkeypatch):
    sized = in_metres(analytic_result(), Unit(2))
    seen = []
    monkeypatch.setattr("easi3r.reconstruct", lambda *given: seen.append(given[2].scale) or sized)
    monkeypatch.setattr(type(sized), "save", lambda *_, **__: {})
    assert main(["clip.mp4", "--out", str(tmp_path / "o"), "--system", "preview", "--scale", "1.5"]) == 0
    assert seen == ["1.5"]
    assert "Lengths are in metres, from the length of one unit, given as 2 m." in capsys.readouterr().out
    assert "scale is 'abc'; it must be" in refused(capsys, "clip.mp4", "--scale", "abc")


# ------------------------------------------------------------------------------------------- files

FILES = ["README.txt", "scene.glb", "camera.gltf", "static.ply", "poses.txt", "path.png", "cameras.json", "dataset"]
FILES += ["depth", "arrays.npz", "report.json", "player.html"]
GIVEN = "the camera's height above the ground, given as 1.6 m"


def test_every_file_is_in_metres_and_says_so(tiny_result, tmp_path):
    sized = in_metres(tiny_result, Height(1.6))
    factor = sized.info["scale"]["metres_per_unit"]
    files = sized.save(tmp_path, files=FILES)
    read = {name: Path(path).read_text() for name, path in files.items() if Path(path).suffix in (".txt", ".json")}
    assert f"Metres, in all files, from {GIVEN}." in " ".join(read["README.txt"].split())
    assert "rbitrary" not in read["README.txt"] and json.loads(read["report.json"])["scale"]["from"] == GIVEN
    cameras = json.loads(read["cameras.json"])
    assert cameras["scale"] == "metres" and cameras["conventions"]["scale"] == f"metres, from {GIVEN}"
    assert cameras["frames"][5]["cam2world"][0][3] == pytest.approx(0.9 * factor)
    assert np.loadtxt(files["poses.txt"])[5, 1] == pytest.approx(0.9 * factor, rel=1e-6)
    scale = json.loads((tmp_path / "depth" / "scale.json").read_text())
    assert scale["unit"] == "metres" and scale["scale"] * 65535 == pytest.approx(sized.depth.max(), rel=0.02)
    for cloud in ("static.ply", "dataset/sparse_pc.ply"):
        cloud = plyfile.PlyData.read(tmp_path / cloud)
        assert cloud.comments[1] == f"Lengths are in metres, from {GIVEN}."
        assert cloud["vertex"]["z"].max() == pytest.approx(6 * factor, rel=0.02)  # the wall
    assert json.loads((tmp_path / "dataset" / "transforms.json").read_text())["unit"] == "metres"
    assert GIVEN in (tmp_path / "dataset" / "sparse" / "0" / "cameras.txt").read_text()
    assert f'"from": "{GIVEN}"' in Path(files["player.html"]).read_text()
    for name in ("scene.glb", "camera.gltf"):  # glTF means metres
        extras = pygltflib.GLTF2().load(files[name]).scenes[0].extras
        assert extras == {"units_per_world_unit": 1, "lengths": f"Lengths are in metres, from {GIVEN}."}
    again = load_reconstruction(tmp_path)
    assert again.info["scale"] == sized.info["scale"] and np.array_equal(again.depth, sized.depth)


# ------------------------------------------------------------------------------------------- the page


def test_a_visitor_gives_a_size_and_everything_follows(browser, address, walk, monkeypatch, tiny_result):
    tiny_result.info["frames"] = 6
    monkeypatch.setattr("easi3r.web.compute.reconstruct", lambda *_: iter([(tiny_result, "")]))
    few = ["player.html", "arrays.npz", "report.json"]  # the others take their time
    monkeypatch.setattr("easi3r.web.files.chosen_files", lambda _: few)
    page = open_page(browser, address)
    upload(page, walk)
    page.locator("#run").click()
    wait_until_done(page)
    assert "The scale is arbitrary." in page.locator("#report").inner_text()
    wait_until_drawn(page)
    before = player(page).evaluate("(orbitBy => { state.view.yaw = 0.3; return state.view; })()")
    page.locator("#real-size button").first.click()
    for wrong in ("-1", "2000000"):
        page.locator("#height input").fill(wrong)
        page.locator("#apply-size").click()
        page.locator("[data-testid=toast-body]", has_text=f"The height is {wrong}").wait_for()
    page.locator("#height input").fill("1.6")
    page.locator("#apply-size").click()
    page.locator("#report", has_text="in metres, from the camera's height above the ground, given as 1.6 m").wait_for()
    wait_until_drawn(page)
    factor = 1.6 / np.median(EYES)
    after = player(page).evaluate("state.view")
    assert after["away"] / before["away"] == pytest.approx(factor, rel=0.02) and after["yaw"] == 0.3
    wait_until_done(page)

    say = "([from, to]) => parent.postMessage({easi3r: 'scale', from, to, metres: 3}, '*')"
    player(page).evaluate(say, [[0, 0, 0], [0, 0, 1]])
    page.locator("#report", has_text="two points of the scene, given as 3 m").wait_for()
    wait_until_done(page)
    wait_until_drawn(page)
    assert player(page).evaluate("state.view.away") == pytest.approx(3 * after["away"], rel=0.02)
    player(page).evaluate(say, [[0, 0, 0], [0, 0, 0]])
    page.locator("[data-testid=toast-body]", has_text="same place").wait_for()
    assert "given as 3 m" in page.locator("#report").inner_text()
    open_tab(page, "Downloads")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
