"""The 4D player, opened as a visitor would: headless Chromium through Playwright. Skips where there is no browser."""

import html
import io
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from conftest import analytic_result
from pages import BROWSER, FLAGS
from PIL import Image

from easi3r import synthetic
from easi3r.camera import Framing, transform
from easi3r.errors import InputError
from easi3r.export import player
from easi3r.export.player import FOLDER, SCRIPTS, filmed, write_player
from easi3r.export.scene import Scene

GROUND = [0x12, 0x14, 0x1A]  # the background at first
READY = "html[data-state=ready]"
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
RESTED = """new Promise(done => {
    const look = () => !state.dirty && coarseness() === 1 ? done() : requestAnimationFrame(look);
    look();
})"""  # all is drawn, however slow the computer


@pytest.fixture(scope="module")
def browser():
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with playwright_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser, tmp_path):
    """show(result, **options of the browser context) -> page with the player of that result; no errors so far."""
    contexts = []

    def open_player(result, state=READY, script=None, **options):
        write_player(Scene(result), tmp_path / "player.html")
        contexts.append(browser.new_context(**{"viewport": {"width": 700, "height": 560}, **options}))
        page = contexts[-1].new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto((tmp_path / "player.html").as_uri())
        page.wait_for_selector(state, state="attached", timeout=90000)
        page.add_style_tag(content="#hint, #film { display: none }")  # so that pictures can be compared
        assert not page.problems
        return page

    yield open_player
    for context in contexts:
        context.close()


def pixels(page, clip=None):
    """(H,W,3) int: the part `clip` (a bounding box) of the page as it is drawn, by default the 3D view."""
    page.evaluate(SETTLED)
    shot = page.screenshot(clip=clip or page.locator("#view").bounding_box())
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def drawn(view):
    """(H,W) bool: where something else than the background is seen."""
    return np.abs(view - GROUND).max(axis=-1) > 30


def changed(before, after):
    """Share of the pixels that differ visibly."""
    return (np.abs(before - after).max(axis=-1) > 20).mean()


def press(page, *names):
    for name in names:
        if not page.locator(f"#{name}").is_visible():
            page.locator("#more").click()
        page.locator(f"#{name}").click()
    page.evaluate(SETTLED)


def through_camera(page, step, size):
    """What the player shows of frame `step` through its camera, as an image of that (width, height)."""
    if page.locator("#through").get_attribute("aria-pressed") == "false":
        press(page, "through")
    page.locator("#time").fill(str(step))
    page.evaluate(SETTLED)  # only then it is known where the picture lies
    picture = pixels(page, page.locator("#picture").bounding_box())
    return np.asarray(Image.fromarray(picture.astype(np.uint8)).resize(size, Image.Resampling.BOX)).astype(int)


def shot(page, clip):
    """(H,W,3) uint8: that part of the page."""
    page.evaluate(SETTLED)
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))


def room():
    clip = synthetic.render("room", 3, 256, 144)
    ones = np.ones(clip.depth.shape, np.float32)
    return replace(
        analytic_result(3),
        frames=clip.frames,
        timestamps=clip.timestamps,
        cam2world=clip.cam2world,
        intrinsics=np.repeat(clip.intrinsics[None], 3, axis=0),
        depth=clip.depth,
        confidence=ones,
        dynamic=clip.dynamic,
        motion=0 * ones,
        framing=Framing.fit((256, 144), 256, 16),
    )


def test_the_camera_sees_the_clip_again(show):
    result = room()
    page = show(result, viewport={"width": 1024, "height": 720})
    for step in range(3):
        seen = through_camera(page, step, (256, 144))
        error = np.abs(seen - result.frames[step])
        assert error.mean() < 9 and np.median(error) < 5, f"frame {step}: {error.mean():.1f}"
        moving = error[result.dynamic[step]].mean()
        assert moving < 13, f"moving pixels of frame {step}: {moving:.1f}"
        # a picture shifted by one pixel would fit worse
        shifted = [
            np.abs(np.roll(seen, by, (0, 1)) - result.frames[step]).mean() for by in ((0, 1), (0, -1), (1, 0), (-1, 0))
        ]
        assert error.mean() < min(shifted)


def test_first_view_fills_the_canvas_with_the_clips_colours(show):
    page = show(analytic_result(6, 128, 96))
    view = pixels(page)
    assert drawn(view).mean() > 0.6
    bright = np.abs(view - [210, 150, 40]).max(axis=-1) <= 2  # the box, in exactly the colour of the clip
    assert bright.mean() > 0.01
    note = page.locator("#note").inner_text()
    assert "analytic" in note and "scale is arbitrary" in note


def test_controls_change_the_picture(show):
    page = show(analytic_result(6, 128, 96))
    press(page, "more")
    first = pixels(page)
    page.locator("#time").fill("5")
    last = pixels(page)
    assert changed(first, last) > 0.01 and "6 / 6" in page.locator("#clock").inner_text()
    for name, share in (("static", 0.4), ("moving", 0.005), ("trail", 0.01), ("path", 0.0005)):
        press(page, name)
        assert changed(last, pixels(page)) > share, name
        press(page, name)
        assert changed(last, pixels(page)) == 0, name
    page.locator("#dots").fill("0.3")
    assert changed(last, pixels(page)) > 0.05
    page.locator("#dots").fill("1")
    page.locator("#ground").fill("#ffffff")
    assert (pixels(page) > 250).all(axis=-1).mean() > (last > 250).all(axis=-1).mean() + 0.03


def test_only_what_moves_is_shown_of_its_moment(show):
    result = analytic_result(6, 128, 96)
    page = show(result)
    press(page, "static")
    for step in (0, 3, 5):
        seen = drawn(through_camera(page, step, (128, 96)))
        overlap = (seen & result.dynamic[step]).sum() / (seen | result.dynamic[step]).sum()
        assert overlap > 0.8, f"frame {step}: {overlap:.2f}"


def test_mouse_and_keyboard(show):
    page = show(analytic_result(6, 128, 96))
    views = [pixels(page)]
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for button, key in (("left", None), ("right", None), ("left", "Shift")):
        page.mouse.move(x, y)
        if key:
            page.keyboard.down(key)
        page.mouse.down(button=button)
        page.mouse.move(x + 60, y + 20, steps=4)
        page.mouse.up(button=button)
        if key:
            page.keyboard.up(key)
        views.append(pixels(page))
    page.mouse.wheel(0, 300)
    views.append(pixels(page))
    assert all(changed(before, after) > 0.1 for before, after in pairwise(views))
    page.keyboard.press("r")
    assert changed(views[0], pixels(page)) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#time").input_value() == "1"
    press(page, "moving")  # a button that was clicked does not take the space bar for itself
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    page.wait_for_selector("#clock:not(:text(' 2 / 6'))", timeout=90000)
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    assert page.locator("#moving").get_attribute("aria-pressed") == "false"


def test_a_drag_leaves_the_camera_where_it_was(show):
    page = show(analytic_result(6, 128, 96), viewport={"width": 512, "height": 560})
    press(page, "path")
    seen = through_camera(page, 0, (128, 96))
    area = page.locator("#picture").bounding_box()
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.move(201, 200)
    page.mouse.up()
    assert page.locator("#through").get_attribute("aria-pressed") == "false"
    assert not page.locator("#picture").is_visible()
    freely = Image.fromarray(pixels(page, area).astype(np.uint8)).resize((128, 96))
    assert np.corrcoef(seen.ravel(), np.asarray(freely).ravel())[0, 1] > 0.25


def test_touch_turns_zooms_and_moves(show):
    page = show(analytic_result(6, 128, 96), viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    touch = page.context.new_cdp_session(page)

    def drag(*paths):
        for kind, share in [("touchStart", 0), *(("touchMove", k / 4) for k in range(1, 5)), ("touchEnd", 1)]:
            points = [
                {"x": x + share * (x2 - x), "y": y + share * (y2 - y), "id": k}
                for k, (x, y, x2, y2) in enumerate(paths)
            ]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else points})
        return pixels(page)

    press(page, "static", "path", "more")  # the moving box alone: where it is and how large

    def box(view):
        rows, columns = np.nonzero(drawn(view))
        return np.array([columns.mean(), rows.mean()]), len(rows)

    place, _ = box(pixels(page))
    turned_place, turned_size = box(drag((200, 200, 200, 240)))
    assert np.abs(turned_place - place).max() > 3 and turned_size > 0
    moved_place, _ = box(drag((150, 200, 190, 230), (250, 200, 290, 230)))
    (right, down) = moved_place - turned_place  # what is nearer than the middle of the scene moves a little farther
    assert 30 < right < 80 and 20 < down < 60
    _, pinched = box(drag((120, 200, 160, 200), (260, 200, 220, 200)))  # fingers close in: everything gets smaller
    assert 0.05 * turned_size < pinched < 0.7 * turned_size
    assert page.evaluate("scrollX + scrollY") == 0


def two_movers():
    """The box, and a part of the wall that is said to move; of the width 128."""
    result = analytic_result(6, 128, 96)
    result.dynamic[:, 8:26, 92:112] = True
    return result


def at(page, row, column):
    """Where a pixel of a frame of 128 x 96 is on the screen while one looks through the camera."""
    area = page.locator("#picture").bounding_box()
    return area["x"] + area["width"] * (column + 0.5) / 128, area["y"] + area["height"] * (row + 0.5) / 96


def place(result, t, row, column):
    """(3,) world: what that pixel shows."""
    ray = np.linalg.inv(result.intrinsics[t]) @ [column, row, 1]
    return transform(result.cam2world[t], ray * result.depth[t, row, column])


def test_the_film_runs_in_step_in_a_corner(show):
    result = analytic_result(6, 128, 96)
    page = show(result)
    page.add_style_tag(content="#film { display: block !important }")
    for step in (0, 4):
        page.locator("#time").fill(str(step))
        page.evaluate(SETTLED)
        code = "[...document.querySelector('#film canvas').getContext('2d').getImageData(0, 0, 128, 96).data]"
        seen = np.reshape(page.evaluate(code), (96, 128, 4))[..., :3]
        errors = [np.abs(seen - frame).mean() for frame in result.frames.astype(int)]
        assert np.argmin(errors) == step and errors[step] < 6
    sizes = [page.locator("#film").bounding_box()["width"]]
    for _ in range(2):
        page.locator("#film").click()
        sizes.append(page.locator("#film").bounding_box()["width"])
    assert sizes[0] == sizes[2] and sizes[1] > 2 * sizes[0]


@pytest.mark.parametrize("number, size", [(30, 300), (300, 90), (1200, 20)])
def test_the_film_stays_small(number, size):
    frames = np.random.default_rng(0).integers(0, 256, (number, size, 2 * size, 3), np.uint8)  # the worst there is
    pictures = filmed.encode(frames, 2_400_000)
    assert sum(map(len, pictures)) <= 2_400_000 and len(pictures) == min(number, len(pictures))
    assert number > 300 or len(pictures) == number


def test_the_film_lies_exactly_on_what_is_reconstructed(show):
    result = analytic_result(6, 128, 96)
    page = show(result, viewport={"width": 512, "height": 560})
    page.add_style_tag(content="#handle, .name { opacity: 0 }")
    page.locator("#time").fill("3")
    press(page, "wipe")
    area = page.locator("#picture").bounding_box()
    page.locator("#handle").focus()

    def wiped(key, times):
        for _ in range(times):
            page.keyboard.press(key)
        page.evaluate(RESTED)
        return shot(page, area).astype(int)

    half, film, scene = wiped("ArrowLeft", 0), wiped("ArrowRight", 25), wiped("ArrowLeft", 50)
    middle = half.shape[1] // 2
    assert (half[:, : middle - 2] == film[:, : middle - 2]).all()  # nothing is blended
    assert (half[:, middle + 2 :] == scene[:, middle + 2 :]).all()
    small = np.asarray(Image.fromarray(film.astype(np.uint8)).resize((128, 96), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - result.frames[3]).mean() < 5
    inner = (slice(20, -20), slice(20, -20))
    shift, _ = cv2.phaseCorrelate(*(view[inner].mean(axis=-1).astype(np.float32) for view in (film, scene)))
    assert np.abs(shift).max() < 0.8, shift  # of 3.9 that a pixel of the frame has on the screen
    press(page, "through")  # to look freely ends it
    assert page.locator("#wipe").get_attribute("aria-pressed") == "false"
    assert not page.locator("#handle").is_visible()


def test_colours_tell_time_confidence_and_motion(show):
    page = show(two_movers())
    press(page, "through", "more")
    page.locator("#time").fill("5")
    box = [int(x) for x in at(page, 72, 80)]
    clip = {"x": box[0] - 2, "y": box[1] - 2, "width": 5, "height": 5}
    for mode, said, rgb in (
        ("seen", "first seen at 0 s", [255, 160, 50]),
        ("motion", "moves (1)", [247, 194, 119]),  # 0.9
        ("confidence", "unsure", None),
    ):
        before = pixels(page)
        page.locator("#paint").select_option(mode)
        assert changed(before, pixels(page)) > 0.3
        assert said in page.locator("#legend").inner_text()
        colour = shot(page, clip).reshape(-1, 3).mean(axis=0)
        if rgb:
            hue = colour / colour.max() - np.array(rgb) / max(rgb)
            assert np.abs(hue).max() < 0.05, (mode, colour)
    page.locator("#paint").select_option("picture")
    assert not page.locator("#legend").is_visible()


def test_movers_are_shown_and_followed_one_by_one(show):
    result = two_movers()
    page = show(result)
    press(page, "static", "path", "through")
    page.locator("#time").fill("3")
    chips = page.locator(".chip")
    assert chips.all_inner_texts() == ["Mover 1", "Mover 2"]
    wall = np.zeros((96, 128), bool)
    wall[8:26, 92:112] = True
    for hidden, seen in ((0, wall), (1, result.dynamic[3] & ~wall)):
        chips.nth(hidden).click()
        found = drawn(through_camera(page, 3, (128, 96)))
        assert (found & seen).sum() / (found | seen).sum() > 0.75
        chips.nth(hidden).click()
    press(page, "reset", "moving")
    before = pixels(page)
    press(page, "trail")
    after = pixels(page)
    near = [(np.abs(view - [255, 60, 120]).max(axis=-1) < 40).sum() for view in (before, after)]  # of the box
    assert near[0] == 0 and near[1] > 50


def test_a_length_is_measured_and_given(show):
    result = two_movers()
    page = show(result)
    press(page, "measure", "through")
    assert "two places" in page.locator("#hint").text_content()
    row, column = (int(x.mean()) for x in np.nonzero(result.dynamic[0, 40:]))
    pixels_of_it = (40 + row, column), (20, 30)  # on the box, which moves, and on the wall
    for row, column in pixels_of_it:
        page.mouse.click(*at(page, row, column))
    true = np.linalg.norm(place(result, 0, *pixels_of_it[0]) - place(result, 0, *pixels_of_it[1]))
    said, unit = page.locator("#length").inner_text().split()
    assert float(said) == pytest.approx(true, rel=0.02) and unit == "units"
    for wrong in ("0", "-2", "abc", "", "0x10", "1.2.3", "3 km", "9" * 300, "1000001"):
        page.locator("#metres").fill(wrong)
        press(page, "resize")
        assert "above zero in metres" in page.locator("#wrong").inner_text()
    page.locator("#metres").fill("2,5 m")
    page.keyboard.press("Enter")
    assert page.locator("#length").inner_text() == "2.5 m" and not page.locator("#wrong").inner_text()
    assert "in this window only" in page.locator("#note").inner_text()
    press(page, "through")
    page.mouse.click(3, 3)
    assert "nothing there" in page.locator("#hint").text_content()
    assert page.locator("#length").inner_text() == "2.5 m"
    page.locator("#view").focus()
    page.keyboard.press("Enter")  # clicks on the middle
    assert page.locator("#length").inner_text() == "–"
    assert not page.problems


def test_a_scene_in_metres_says_so(show):
    result = analytic_result(2)
    result.info["scale"] = {"unit": "m", "from": "a length of 2.00 m"}
    note = show(result).locator("#note").inner_text()
    assert "In metres, from a length of 2.00 m." in note and "arbitrary" not in note


def test_in_the_page_it_passes_on_what_the_visitor_says(browser, tmp_path):
    result = two_movers()
    write_player(Scene(result), tmp_path / "player.html")
    text = html.escape((tmp_path / "player.html").read_text(encoding="utf-8"))
    page = browser.new_page(viewport={"width": 720, "height": 640})
    page.set_content(
        "<script>told = []; addEventListener('message', event => told.push(event.data))</script>"
        f'<body style="margin: 0"><iframe name="easi3r-page" width="700" height="600" srcdoc="{text}"></iframe>'
    )
    inside = page.frame_locator("iframe")
    inside.locator(READY).wait_for(state="attached", timeout=90000)
    inside.locator("#time").fill("2")
    for name in ("through", "correct"):
        inside.locator(f"#{name}").click()
    area = inside.locator("#picture").bounding_box()
    row, column = (int(x.mean()) for x in np.nonzero(result.dynamic[2, 40:]))
    for k, (v, u, said) in enumerate([(row + 40, column, "It stands still"), (20, 20, "It moves")]):
        page.mouse.click(area["x"] + area["width"] * (u + 0.5) / 128, area["y"] + area["height"] * (v + 0.5) / 96)
        assert inside.locator("#offer button").inner_text() == said
        inside.locator("#offer button").click()
        page.wait_for_function(f"told.length == {k + 1}")
        told = page.evaluate(f"told[{k}]")
        assert told["easi3r"] == "call" and told["moving"] == (said == "It moves")
        seen, meant = place(result, told["frame"], told["row"], told["column"]), place(result, 2, v, u)
        assert np.linalg.norm(seen - meant) < 0.1
    inside.locator("#measure").click()
    area = inside.locator("#picture").bounding_box()
    for u in (30, 60):
        page.mouse.click(area["x"] + area["width"] * (u + 0.5) / 128, area["y"] + area["height"] * 20.5 / 96)
    inside.locator("#metres").fill("3")
    inside.locator("#resize").click()
    page.wait_for_function("told.length == 3")
    told = page.evaluate("told[2]")
    assert told["easi3r"] == "scale" and told["metres"] == 3
    assert np.allclose(told["from"], place(result, 2, 20, 30), atol=0.1)
    assert np.allclose(told["to"], place(result, 2, 20, 60), atol=0.1)
    page.close()


@pytest.mark.parametrize("more", [False, True])
def test_a_phone_has_room_for_everything(show, more):
    page = show(analytic_result(), viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    if more:
        press(page, "more")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#view").bounding_box()["height"] > (280 if more else 400)
    controls = [control for control in page.locator("button, select, input").all() if control.is_visible()]
    assert len(controls) == (17 if more else 9)
    for control in controls:
        area = control.bounding_box()
        assert area["height"] >= 32 and area["width"] >= 32 and area["x"] + area["width"] <= 390
    assert page.locator("#note").bounding_box()["y"] + page.locator("#note").bounding_box()["height"] <= 700
    longer = "document.querySelectorAll('button, label, option').forEach(each => each.append(' and so forth'))"
    page.evaluate(longer)  # another language
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#view").bounding_box()["height"] > 240


def changed_result(case):
    result = analytic_result(int(case) if case in "12" else 6)
    if case == "portrait":
        for name in ("frames", "depth", "confidence", "dynamic", "motion"):
            setattr(result, name, getattr(result, name)[:, :, 16:48])
        result.intrinsics[:, 0, 2] -= 16
    if case == "nothing moves":
        result.dynamic[:] = False
    if case == "everything moves":
        result.dynamic[:] = True
    if case == "half unusable":
        result.confidence[:, :, :32] = 0
    if case == "no confidence":
        result.confidence[:] = 0
    return result


@pytest.mark.parametrize(
    "case", ["1", "2", "portrait", "nothing moves", "everything moves", "half unusable", "no confidence"]
)
def test_unusual_results_are_shown(show, case):
    page = show(changed_result(case), viewport={"width": 420, "height": 400})
    assert drawn(pixels(page)).mean() > 0.2
    assert page.locator("#play").is_disabled() == (case == "1")
    assert page.locator("#moving").is_disabled() == (case == "nothing moves")
    assert page.locator("#trail").is_disabled() == (case in ("nothing moves", "1"))
    assert page.locator("#static").is_disabled() == (case == "everything moves")
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.evaluate(SETTLED)
    assert not page.problems


def test_a_result_without_depth_gets_a_sentence(show):
    result = analytic_result(2)
    result.depth[:] = 0
    assert "nothing to show" in show(result, "html[data-state=failed]").locator("#status").inner_text()


def test_a_browser_without_webgl_gets_a_sentence(show):
    blind = "HTMLCanvasElement.prototype.getContext = () => null"
    page = show(analytic_result(2), "html[data-state=failed]", blind)
    assert "WebGL is missing" in page.locator("#status").inner_text()


def test_embedded_it_asks_for_nothing(browser, tmp_path):
    result = replace(analytic_result(2), info={"system": 'my </script><b>folder</b> & "more"'})
    write_player(Scene(result), tmp_path / "player.html")
    text = (tmp_path / "player.html").read_text(encoding="utf-8")
    page, asked = browser.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(f'<iframe width="600" height="500" srcdoc="{html.escape(text)}"></iframe>')
    frame = page.frame_locator("iframe")
    frame.locator(READY).wait_for(state="attached", timeout=90000)
    assert 'my </script><b>folder</b> & "more"' in frame.locator("#note").inner_text()
    frame.locator("#time").fill("1")
    assert drawn(pixels(page, {"x": 20, "y": 80, "width": 500, "height": 200})).mean() > 0.3
    page.goto((tmp_path / "player.html").as_uri())
    page.wait_for_selector(READY, state="attached")
    page.evaluate(SETTLED)
    assert set(asked) - {"about:srcdoc"} == {(tmp_path / "player.html").as_uri()}
    page.close()


def test_every_script_is_whole_by_itself_and_is_in_the_page(browser):
    assert sorted(SCRIPTS) == sorted(path.name for path in FOLDER.glob("*.js"))
    page = browser.new_page()
    for name in SCRIPTS:
        source = (FOLDER / name).read_text(encoding="utf-8")
        page.evaluate("source => { new Function(source) }", '"use strict";' + source)  # raises a SyntaxError
        assert max(map(len, source.split("\n"))) <= 120, name
    page.close()


def test_24_frames_stay_below_12_megabytes(tmp_path):
    short = analytic_result(6, 512, 288)
    arrays = ("frames", "cam2world", "intrinsics", "depth", "confidence", "dynamic", "motion")
    longer = {name: np.concatenate([getattr(short, name)] * 4) for name in arrays}
    result = replace(short, timestamps=np.arange(24) / 8, **longer)
    noise = np.random.default_rng(0)
    result.depth *= 1 + 0.01 * noise.standard_normal(result.depth.shape, np.float32)  # noise compresses badly
    grain = noise.integers(-6, 7, result.frames.shape)
    result.frames = (result.frames + grain).clip(0, 255).astype(np.uint8)
    result.dynamic[:, :, :120] = True  # a quarter of the picture moves
    write_player(Scene(result), tmp_path / "player.html")
    assert 2e6 < (tmp_path / "player.html").stat().st_size < 12e6


def test_a_long_clip_is_unpacked_as_it_plays_and_the_time_line_says_what_is_left_out(show, monkeypatch):
    monkeypatch.setattr(player, "_COARSEST", 0.6)  # as if more moved than the file may hold
    result = analytic_result(201, 64, 48)
    page = show(result, bypass_csp=True)  # which forbids what `wait_for_function` does
    unpacked = "blocks[0].map(block => Boolean(block.rows))"
    assert page.locator("#every").inner_text() == "what moves: every 2nd frame"
    assert page.evaluate(unpacked) == [True, True, False]  # those of 100 frames each
    press(page, "static")
    for step in (200, 101, 20):
        page.locator("#time").fill(str(step))
        page.wait_for_function("rowsOf(scene, blockOf(scene, state.step))")
        seen, moment = drawn(through_camera(page, step, (64, 48))), step // 2 * 2
        overlap = (seen & result.dynamic[moment]).sum() / (seen | result.dynamic[moment]).sum()
        assert overlap > 0.75, f"frame {step}: {overlap:.2f}"
        row, column = np.argwhere(result.dynamic[moment]).mean(axis=0)
        box = page.locator("#picture").bounding_box()
        at = box["x"] + (column + 0.5) / 64 * box["width"], box["y"] + (row + 0.5) / 48 * box["height"]
        found = page.evaluate("([x, y]) => pick(x, y)", at)
        assert found["frame"] == moment and found["mover"]["name"] == "Mover 1"
        assert np.allclose(found["place"], world_point(result, moment, at, box), atol=0.15)
    assert page.evaluate(unpacked) == [True, True, False]
    press(page, "trail")
    page.wait_for_function("blocks[0].every(block => block.rows)")
    assert not page.problems


def world_point(result, t, at, box):
    """(3,) of what frame t shows at a place (x, y) of the page, whose part `box` has its picture."""
    column, row = ((at[k] - box["xy"[k]]) / box[side] * n - 0.5 for k, side, n in ((0, "width", 64), (1, "height", 48)))
    ray = np.linalg.inv(result.intrinsics[t]) @ [column, row, 1]
    return transform(result.cam2world[t], ray * result.depth[t, round(row), round(column)])


def test_it_is_thinned_until_it_is_small_enough_and_says_so(tmp_path):
    result = analytic_result(6, 256, 192)
    result.dynamic[:] = True
    result.frames = np.random.default_rng(0).integers(0, 256, result.frames.shape, np.uint8)  # compresses badly
    write_player(Scene(result), tmp_path / "whole.html")
    assert '"thinned": 1.0' in (tmp_path / "whole.html").read_text()
    most = int(0.8 * (tmp_path / "whole.html").stat().st_size)
    write_player(Scene(result, player_mb=most / 1e6), tmp_path / "player.html")
    assert 0.5 * most < (tmp_path / "player.html").stat().st_size <= most
    assert '"thinned": 1.0,' not in (tmp_path / "player.html").read_text()


@pytest.mark.parametrize("cut", [-0.1, 1, 1.5, float("nan")])
def test_a_cut_out_of_range_is_named(cut):
    with pytest.raises(InputError, match=f"cut is {cut}"):
        Scene(analytic_result(2), cut)
