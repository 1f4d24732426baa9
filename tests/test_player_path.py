"""Camera moves in the player and in the page, made as a visitor would: headless Chromium. Skips without a browser."""

import html
import io
import json

import av
import numpy as np
import pytest
import torch
from conftest import analytic_result
from pages import open_page, open_tab, wait_until_done
from PIL import Image
from test_player import RESTED, SETTLED

from easi3r.export.camera_path import read_camera_path, render_camera_path
from easi3r.export.opening import find_opening
from easi3r.export.player import write_player
from easi3r.export.scene import Scene
from easi3r.web.files import Examples

READY = "html[data-state=ready]"


@pytest.fixture(scope="module")
def scene():
    return Scene(analytic_result(6, 128, 96))


@pytest.fixture
def show(browser, tmp_path):
    """show(scene, **options of the browser context) -> page with the player of it, the camera move open."""
    contexts = []

    def open_player(scene, **options):
        write_player(scene, tmp_path / "player.html")
        contexts.append(browser.new_context(**{"viewport": {"width": 700, "height": 640}, **options}))
        page = contexts[-1].new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto((tmp_path / "player.html").as_uri())
        page.wait_for_selector(READY, state="attached", timeout=90000)
        press(page, "move")
        return page

    yield open_player
    for context in contexts:
        assert not context.pages[0].problems
        context.close()


def press(page, *names):
    for name in names:
        page.locator(f"#{name}").click()


def said(page):
    return page.locator("#hint").inner_text()


def drag(page, dx):
    page.mouse.move(300, 150)
    page.mouse.down()
    page.mouse.move(300 + dx, 150, steps=3)
    page.mouse.up()


def downloaded(page):
    with page.expect_download() as download:
        press(page, "save")
    assert download.value.suggested_filename == "camera_path.json"
    return json.loads(download.value.path().read_text())


def as_nerfstudio_reads(document):
    """What its get_path_from_json makes of a document: (N,3,4) poses, (N,) focals and times."""
    views = document["camera_path"]
    poses = torch.stack([torch.tensor(view["camera_to_world"]).view(4, 4)[:3] for view in views])
    half = torch.tensor([view["fov"] for view in views]) * (torch.pi / 360)
    assert document["camera_type"] == "perspective" and document["seconds"] > 0
    return poses, document["render_height"] / 2 / half.tan(), torch.tensor([view["render_time"] for view in views])


def test_views_become_a_path_that_is_read_again(show, scene, tmp_path):
    page = show(scene)
    assert "ready-made" in said(page)
    press(page, "fly")
    assert said(page) == "Add a second view first."
    press(page, "add", "save")
    assert said(page) == "Add a second view first."
    for dx in (60, 60):
        drag(page, dx)
        press(page, "add")
    page.locator("#seconds").fill("2")
    document = downloaded(page)
    path = read_camera_path(document)
    assert path.size == (1280, 720) and path.fps == 24 and len(path.times) == 48
    assert path.times[0] == 0 and path.times[-1] == 1
    opening = find_opening(scene, (1.2, 0.75), narrows=True)
    assert np.allclose(path.cam2world[0, :3, 3], opening.eye, atol=1e-5)  # the first view is that of the beginning
    assert np.allclose(path.cam2world[0, :3, :3], opening.axes, atol=1e-5)
    steps = np.linalg.norm(np.diff(path.cam2world[:, :3, 3], axis=0), axis=1)
    assert steps.min() > 0 and np.abs(np.diff(steps)).max() < 0.15 * steps.max()  # no jerk at the second view
    poses, focals, times = as_nerfstudio_reads(document)
    assert poses.shape == (48, 3, 4) and torch.isfinite(focals).all() and times[-1] == 1
    assert len(document["keyframes"]) == 3 and document["keyframes"][1]["render_time"] == 0.5

    (tmp_path / "mine.json").write_text(json.dumps(document))
    press(page, "clear")
    assert page.locator("#views button").count() == 0
    page.locator("#file").set_input_files(tmp_path / "mine.json")
    page.locator("#views button").nth(2).wait_for()
    again = read_camera_path(downloaded(page))
    assert np.allclose(again.cam2world, path.cam2world, atol=1e-5) and np.allclose(again.fov, path.fov, atol=1e-4)
    for text in ("no json", '{"keyframes": [1, 2]}', '{"camera_path": []}'):
        (tmp_path / "bad.json").write_text(text)
        page.locator("#file").set_input_files(tmp_path / "bad.json")
        page.locator("#hint", has_text="“bad.json” is no camera path").wait_for()
        page.locator("#views button").first.click()
        assert page.locator("#views button").count() == 3
    kinds = {  # what others write -> (views, a part of what is said)
        "of the kind “equirectangular”": ({"camera_type": "equirectangular"}, 3),
        "3 views. The move is cut to 60 seconds.": ({"seconds": 90}, 3),
        "4 views. The clip plays once": ({"is_cycle": True}, 4),
        "evenly along them": ({"keyframes": [{**each, "render_time": 0.5} for each in document["keyframes"]]}, 3),
    }
    for words, (changes, count) in kinds.items():
        (tmp_path / "other.json").write_text(json.dumps({**document, **changes}))
        page.locator("#file").set_input_files(tmp_path / "other.json")
        page.locator("#hint", has_text=words).wait_for()
        assert page.locator("#views button").count() == count
    page.locator("#views button").nth(2).click()
    press(page, "drop")
    assert page.locator("#views button").count() == 2 and page.locator("#drop").is_disabled()
    page.locator("#seconds").fill("1000")
    press(page, "save")
    assert said(page) == "Give a length between 1 and 60 seconds."


def test_the_clip_runs_along_the_move_once(show, scene):
    page = show(scene)
    press(page, "around")
    page.locator("#seconds").fill("1")
    assert page.locator("#time").input_value() == "0"
    page.locator("#along").fill("600")
    assert page.locator("#time").input_value() == "3"
    page.locator("#views button").last.click()
    assert page.locator("#time").input_value() == "5" and page.locator("#along").input_value() == "1000"
    page.keyboard.press(" ")
    page.locator("#fly[aria-label='Stop the move']").wait_for()
    page.locator("#fly[aria-label='Play the move']").wait_for(timeout=90000)  # at the end it stops
    assert page.locator("#along").input_value() == "1000" and page.locator("#time").input_value() == "5"


def test_ready_made_moves(show, scene):
    page = show(scene)
    opening = find_opening(scene, (1.2, 0.75), narrows=True)
    press(page, "around")
    path = read_camera_path(downloaded(page))
    away = np.linalg.norm(opening.target - path.cam2world[:, :3, 3], axis=1)
    ahead = (opening.target - path.cam2world[:, :3, 3]) / away[:, None]
    assert np.abs(away / opening.away - 1).max() < 0.02
    assert ((ahead * path.cam2world[:, :3, 2]).sum(axis=1) > np.cos(np.radians(0.5))).all()

    press(page, "dolly")
    path = read_camera_path(downloaded(page))
    away = np.linalg.norm(opening.target - path.cam2world[:, :3, 3], axis=1)
    assert away[0] > 1.9 * away[-1] and (np.diff(path.fov) > 0).all()
    size = 1 / (away * np.tan(np.radians(path.fov / 2)))
    assert np.abs(size / size[0] - 1).max() < 1e-3

    press(page, "follow")
    path, result = read_camera_path(downloaded(page)), scene.result
    middles = [np.median(points[moving], axis=0) for points, moving in zip(result.points(), result.dynamic)]
    for k in (0, 60, 119):
        step = round(path.times[k] * 5)
        x, y, z = np.linalg.inv(path.cam2world[k])[:3] @ [*middles[step], 1]
        assert z > 0 and np.hypot(x, y) / z < 0.5 * np.tan(np.radians(path.fov[k] / 2))


def test_where_nothing_moves_nobody_is_followed(show):
    still = analytic_result(3)
    still.dynamic[:] = False
    page = show(Scene(still))
    assert page.locator("#follow").is_disabled() and page.locator("#around").is_enabled()


def test_the_video_shows_what_the_player_showed(show, scene, tmp_path):
    page = show(scene)
    press(page, "around")
    page.locator("#along").fill("700")
    page.add_style_tag(content="#hint, #film, #picture { visibility: hidden }")  # what lies over the scene
    page.evaluate(RESTED)
    page.evaluate(SETTLED)
    area = page.locator("#picture").bounding_box()
    assert abs(area["width"] / area["height"] - 16 / 9) < 0.02
    seen = Image.open(io.BytesIO(page.screenshot(clip=area))).convert("RGB").resize((160, 90), Image.Resampling.BOX)
    document = downloaded(page)
    at = round(0.7 * (len(document["camera_path"]) - 1))
    one = {**document, "camera_path": document["camera_path"][at : at + 2], "seconds": 1}
    render_camera_path(scene, read_camera_path(one), tmp_path / "path.mp4")
    with av.open(str(tmp_path / "path.mp4")) as file:
        first = next(file.decode(video=0)).to_ndarray(format="rgb24")
    filmed = np.asarray(Image.fromarray(first).resize((160, 90), Image.Resampling.BOX))
    alike = {
        (x, y): np.corrcoef(np.roll(seen, (y, x), (0, 1)).ravel(), filmed.ravel())[0, 1]
        for x, y in [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)]
    }
    assert max(alike, key=alike.get) == (0, 0) and alike[0, 0] > 0.85, alike  # they close gaps in ways of their own


def test_on_a_phone_everything_is_within_reach(show, scene):
    page = show(scene, viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    press(page, "follow")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#view").bounding_box()["height"] > 300
    controls = [control for control in page.locator("#way :is(button, input), #move").all() if control.is_visible()]
    assert len(controls) > 12 and not page.locator("#render").is_visible() and not page.locator("#play").is_visible()
    for control in controls:
        area, name = control.bounding_box(), control.get_attribute("aria-label") or control.inner_text()
        assert name and area["height"] >= 34 and area["width"] >= 34
    press(page, "move")
    assert page.locator("#play").is_visible() and not page.locator("#way").is_visible()


def test_a_page_around_it_is_asked_for_the_video(browser, scene, tmp_path):
    write_player(scene, tmp_path / "player.html")
    text = html.escape((tmp_path / "player.html").read_text(encoding="utf-8"))
    page = browser.new_page()
    page.set_content(f'<iframe name="easi3r-page" width="600" height="700" srcdoc="{text}"></iframe>')
    page.evaluate("addEventListener('message', event => { window.told = event.data; })")
    frame = page.frame_locator("iframe")
    frame.locator(READY).wait_for(state="attached", timeout=90000)
    frame.locator("#move").click()
    frame.locator("#render").click()
    assert frame.locator("#hint").inner_text() == "Add a second view first." and not page.evaluate("window.told")
    frame.locator("#dolly").click()
    frame.locator("#render").click()
    page.wait_for_function("window.told")
    told = page.evaluate("told")
    assert told["easi3r"] == "path" and len(read_camera_path(told["document"]).times) == 120
    assert told["without"] == [] and told["still"]
    for name in ("move", "more", "moving", "static", "move", "render"):
        frame.locator(f"#{name}").click()
    page.wait_for_function("told.without.length")
    assert page.evaluate("told.without") == list(range(256))  # as they are numbered, and what has no number
    assert page.evaluate("told.still") is False
    page.close()


def test_the_page_renders_a_move_and_cancels_one(browser, address, monkeypatch):
    result = analytic_result()
    result.info["frames"] = 6
    monkeypatch.setattr(Examples, "load", lambda *_: result)
    page = open_page(browser, address)
    page.locator("#examples button.gallery-item, #examples button").first.click()
    wait_until_done(page)
    frame = page.frame_locator("#player iframe")
    frame.locator(READY).wait_for(state="attached", timeout=90000)
    page.evaluate("dispatchEvent(new MessageEvent('message', { data: { easi3r: 'path', document: { a: 1 } } }))")
    page.locator("[data-testid=toast-body]", has_text="This is no camera path").wait_for(timeout=90000)
    frame.locator("#move").click()
    frame.locator("#around").click()
    frame.locator("#seconds").fill("60")
    frame.locator("#render").click()
    page.locator("#cancel").click(timeout=90000)
    status = "document.querySelector('#status :is(input, textarea)').value.startsWith"
    page.wait_for_function(f"{status}('Cancelled')", timeout=90000)
    assert not page.locator("#camera-move").is_visible()
    open_tab(page, "4D scene")
    frame.locator(READY).wait_for(state="attached", timeout=90000)
    assert frame.locator("#views button").count() == 5  # the move is still there
    frame.locator("#seconds").fill("1")
    frame.locator("#render").click()
    page.wait_for_function(
        "(v => v && v.readyState >= 2 && v.videoWidth === 1280)(document.querySelector('#camera-move video'))",
        timeout=90000,
    )
    with page.expect_download() as download:
        page.locator("#camera-move-file").click()
    assert download.value.suggested_filename == "camera_path.mp4"
    page.reload()
    page.wait_for_selector("#player iframe", state="attached", timeout=90000)
    open_tab(page, "Video")
    page.locator("#camera-move video").wait_for(timeout=90000)
    page.close()
