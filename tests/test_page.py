"""The page, driven as a visitor would. Skips where no browser is installed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from huggingface_hub.file_download import repo_folder_name
from pages import (
    open_page,
    open_tab,
    our_folders,
    player,
    upload,
    upload_another,
    wait_for_folders,
    wait_until_done,
    wait_until_drawn,
)
from safetensors.torch import save_file
from test_network import JSON, TINY, seeded

from easi3r import InputError, synthetic, systems, video
from easi3r.backbones.dust3r.model import Config
from easi3r.reconstruction import Masked
from easi3r.web.files import Examples

pytestmark = pytest.mark.usefixtures("few_pairs")


def test_two_visitors_get_their_own_scenes_videos_and_files(browser, address, walk, tmp_path, soon_forgotten):
    drawn = np.zeros((3, 80, 128, 3), np.uint8)
    drawn[:, 15:45, 20:70] = 255
    video.write(tmp_path / "mask.mp4", drawn, 8)
    video.write(tmp_path / "other.mp4", synthetic.render("room", 3, 128, 80).frames, 8)
    before = our_folders()
    page, other = open_page(browser, address, 1280, 1000), open_page(browser, address)
    upload(page, walk)
    assert "4 frames" in page.locator("#plan").inner_text()
    upload(other, tmp_path / "other.mp4")
    other.locator("#settings button").first.click()
    other.locator("#own-mask input[type=file]").set_input_files(str(tmp_path / "mask.mp4"))
    other.locator("#own-mask", has_text="mask").wait_for()
    other.wait_for_timeout(500)
    for visitor in (page, other):
        visitor.locator("#run").click()
        visitor.get_by_role("tab", name="4D scene", exact=True).wait_for()
        open_tab(visitor, "Downloads")  # two scenes drawn by the processor would slow the runs
    for visitor in (page, other):
        wait_until_done(visitor)
    report = other.locator("#report").inner_text()
    assert "preview" in report and "3 frames" in report
    assert json.loads(everything(other).read("report.json"))["masks"] == "given by the user"
    other.close()

    assert "4 frames" in page.locator("#report").inner_text()
    names = set(everything(page).namelist())
    wanted = {"README.txt", "player.html", "scene.glb", "poses.txt"}
    assert wanted | {"dataset/transforms.json", "dataset/sparse/0/cameras.txt"} <= names
    listed = page.locator("#files").inner_text().replace("\n", "")
    assert "poses.txt" in listed and "static.ply" in listed
    open_tab(page, "4D scene")
    wait_until_drawn(page)
    for tab, names in {
        "Video": ["orbit"],
        "What moves": ["masks"],
        "Without movers": ["background"],
        "Depth": ["depth", "confidence"],
        "Look inside": ["inside"],
    }.items():
        open_tab(page, tab)
        for name in names:
            page.wait_for_function(
                "(v => v && v.readyState >= 2 && v.videoWidth > 0 && v.currentTime > 0 && !v.error)"
                f"(document.querySelector('#{name} video'))"
            )
    open_tab(page, "Camera path")
    page.wait_for_function("document.querySelector('#path img')?.naturalWidth == 960")
    page.close()
    wait_for_folders(before)


def everything(page):
    """The zip of all downloads, open."""
    with page.expect_download() as download:
        page.locator("#everything").click()
    assert download.value.suggested_filename == "easi3r-results.zip"
    return zipfile.ZipFile(download.value.path())


def test_an_example_is_there_at_once(browser, address, monkeypatch, tiny_result):
    tiny_result.info["frames"] = 6
    monkeypatch.setattr(Examples, "load", lambda *_: tiny_result)  # quicker to write and to draw than the real one
    page = open_page(browser, address)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#examples button.gallery-item, #examples button").first.click()
    page.wait_for_function(
        "document.querySelector('#report')?.innerText.includes('Computed beforehand')", timeout=90000
    )
    wait_until_done(page)
    page.wait_for_function(
        "(box => 0 <= box.top && box.bottom <= innerHeight)(document.querySelector('#player').getBoundingClientRect())"
    )
    wait_until_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not [url for url in asked if "ffmpeg" in url]  # 32 MB that only trimming needs
    page.close()


def test_what_gradio_would_never_answer_is_answered(browser, address, walk):
    page = open_page(browser, address)
    page.wait_for_timeout(5000)  # until nothing is asked for
    closed = []

    def close_at_once(route):
        if closed:
            return route.fallback()
        closed.append(route.request.url)
        return route.fulfill(content_type="text/event-stream", body='data: {"msg": "close_stream"}\n\n')

    page.route("**/queue/data*", close_at_once)
    upload(page, walk)
    assert closed
    page.close()


def test_a_run_shows_what_it_knows_and_survives_a_reload(browser, address, monkeypatch, walk, tiny_result):
    go_on, turned = threading.Semaphore(0), "JSON.stringify(state.view)"

    def in_steps(source, name, options, masks, progress):
        yield Masked(tiny_result.frames, tiny_result.timestamps, tiny_result.dynamic), ""
        assert go_on.acquire(timeout=60)
        yield replace(tiny_result, info={**tiny_result.info, "frames": 6, "coarse": True}), ""
        assert go_on.acquire(timeout=60)
        yield replace(tiny_result, info={**tiny_result.info, "frames": 6}), ""

    monkeypatch.setattr("easi3r.web.compute.reconstruct", in_steps)
    page = open_page(browser, address)
    upload(page, walk)
    page.locator("#run").click()
    page.wait_for_function("document.querySelector('#first-masks video')?.videoWidth > 0")
    page.locator("#examples button").first.click()
    page.locator("[data-testid=toast-body]", has_text="still being computed").wait_for()
    upload_another(page, walk, "walk.mp4")  # the example's clip was shown
    page.reload()
    page.wait_for_function("document.querySelector('#first-masks video')?.videoWidth > 0")
    page.locator("#plan", has_text="walk.mp4").wait_for()
    clip = Path(unquote(page.locator("#preview video").get_attribute("src")).partition("file=")[2])
    assert not page.locator("#real-size").is_visible()
    page.wait_for_function("scrollY > 0")  # to the run
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text="still being computed").wait_for()
    open_tab(page, "What moves")
    page.wait_for_function("document.querySelector('#masks video')?.videoWidth > 0")
    open_tab(page, "4D scene")
    go_on.release()
    page.locator("#report", has_text="A first look").wait_for()
    wait_until_drawn(page)
    before = player(page).evaluate(turned)
    page.locator("#player iframe").content_frame.locator("#view").hover()
    page.mouse.down()
    page.mouse.move(200, 500)
    page.mouse.up()
    view = player(page).evaluate(turned)
    go_on.release()
    wait_until_done(page)
    wait_until_drawn(page)
    assert "Made with analytic from 6 frames" in page.locator("#report").inner_text()
    assert player(page).evaluate(turned) == view != before
    assert page.locator("#real-size").is_visible()
    clip.unlink()
    page.reload()
    wait_until_done(page)
    wait_until_drawn(page)
    page.locator("#plan", has_text="Choose a clip").wait_for()
    assert not page.locator("#preview").is_visible()
    page.close()


def test_cancel_stops_a_run_and_takes_back_what_it_has_shown(browser, address, monkeypatch, walk, tiny_result):
    def begun(source, name, options, masks, progress):
        yield Masked(tiny_result.frames, tiny_result.timestamps, tiny_result.dynamic), ""
        yield replace(tiny_result, info={**tiny_result.info, "frames": 6, "coarse": True}), ""
        while True:
            progress(0.5, "Going on")  # raises once it is cancelled
            time.sleep(0.05)

    monkeypatch.setattr("easi3r.web.compute.reconstruct", begun)
    before = our_folders()
    page = open_page(browser, address)
    upload(page, walk)
    page.locator("#run").click()
    page.locator("#report", has_text="A first look").wait_for()
    open_tab(page, "What moves")
    page.wait_for_function("document.querySelector('#masks video')?.videoWidth > 0")
    page.locator("#cancel").click()
    page.wait_for_function(
        "document.querySelector('#status input, #status textarea').value.startsWith('Cancelled')", timeout=90000
    )
    page.locator("#masks video").wait_for(state="detached")
    open_tab(page, "4D scene")
    page.locator("#player", has_text="There is no result yet").wait_for()
    assert not page.locator("#report").inner_text().strip() and not page.locator("#mind").inner_text().strip()
    wait_for_folders(before)
    page.close()


def test_nobody_waits_for_a_run_that_its_visitor_has_left(browser, address, walk, monkeypatch):
    going_on = threading.Event()

    def a_long_step(*arguments):
        going_on.wait(30)
        raise InputError("It was of no use.")

    monkeypatch.setattr("easi3r.web.compute.reconstruct", a_long_step)
    before = our_folders()
    page = open_page(browser, address)
    upload(page, walk)
    page.locator("#run").click()
    page.locator("#cancel").wait_for()
    page.close()
    deadline = time.time() + 4
    while time.time() < deadline:
        urllib.request.urlopen(address, timeout=15).close()  # the run holds on for 30 seconds
        time.sleep(0.3)
    going_on.set()
    wait_for_folders(before)


@pytest.fixture
def zero_gpu(tmp_path):
    """(address, folder) of the page on a stand-in for ZeroGPU, see zero_gpu.py, with tiny weights in place of the real
    ones.
    """
    hub = tmp_path / "hub"
    for repository in {card.weights for card in systems() if card.weights}:
        model = hub / repo_folder_name(repo_id=repository, repo_type="model")
        for folder in (model / "refs", model / "snapshots" / "1"):
            folder.mkdir(parents=True)
        (model / "refs" / "main").write_text("1")
        (folder / "config.json").write_text(json.dumps(JSON))
        state = seeded(Config(**TINY, head_type="linear")).state_dict()
        packed = {name: tensor.contiguous() for name, tensor in state.items()}  # a network may have laid them out anew
        save_file(packed, folder / "model.safetensors")
    script = Path(__file__).with_name("zero_gpu.py")
    environment = {**os.environ, "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, script, tmp_path],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
    yield server.stdout.readline().strip(), tmp_path
    os.killpg(server.pid, signal.SIGKILL)  # with the process forked for the run
    server.wait()
    server.stdout.close()


def test_on_zero_gpu_a_run_gets_its_gpu_for_the_visitor(browser, zero_gpu, walk):
    address, folder = zero_gpu
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        device_scale_factor=0.5,
        extra_http_headers={"x-ip-token": "who.e30.asks"},
    )
    page = context.new_page()
    page.goto(address)
    upload(page, walk)
    page.locator("#settings button").first.click()
    # the preview first: it leaves the server with threads that the other's fork lacks
    for option, name in (("Preview:", "preview"), ("Easi3R on MonST3R (", "Easi3R on MonST3R")):
        page.locator("#system input").click()
        page.get_by_role("option", name=option).click()
        page.locator("#plan", has_text=name).wait_for()
        page.locator("#run").click()
        page.get_by_role("tab", name="4D scene", exact=True).wait_for()
        open_tab(page, "Downloads")
        page.locator("#report", has_text=f"Made with {name} from 4 frames").wait_for(timeout=90000)
        wait_until_done(page)
    (asked,) = [json.loads(line) for line in (folder / "asked").read_text().splitlines()]
    assert asked["token"] == "who.e30.asks" and 10 < int(asked["durationSeconds"]) < 20

    (folder / "refuse").touch()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text="exceeded your").wait_for(timeout=90000)
    page.locator("#cancel").wait_for(state="hidden")
    context.close()
