"""The page, driven as a visitor would: headless Chromium through Playwright. Skips where no browser is installed."""

import io
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easi3r import synthetic, video

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address():
    import app

    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
    yield url
    app.demo.close()


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    video.write(path, synthetic.render("street", 10, 224, 128).frames, 8)
    return path


def open_page(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(address)
    page.wait_for_selector("#run")
    return page


def upload(page, clip):
    page.locator("#clip input[type=file]").set_input_files(str(clip))
    page.wait_for_function("document.querySelector('#plan').innerText.match(/pairs|⚠/)", timeout=20000)


def wait_until_done(page):
    page.wait_for_function("document.querySelector('#status input, #status textarea')?.value.startsWith('done')", timeout=90000)


def share_drawn(canvas):
    """Share of the canvas that differs from its corner; the buttons' row on top left out."""
    pixels = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)[45:]
    return (np.abs(pixels - pixels[0, 0]).max(2) > 12).mean()


def our_folders():
    return set(Path(tempfile.gettempdir()).glob("easi3r-*"))


def test_a_clip_becomes_a_scene_videos_and_files(browser, address, clip, tmp_path):
    before = our_folders()
    page = open_page(browser, address)
    upload(page, clip)
    assert "10 frames" in page.locator("#plan").inner_text()
    page.locator("#run").click()
    wait_until_done(page)
    deadline = time.time() + 60
    canvas = page.locator("#model canvas")
    while not (canvas.count() and share_drawn(canvas) > 0.05):
        assert time.time() < deadline, "the 3D view stays blank"
        time.sleep(0.3)
    for name in ("masks", "depth"):
        page.wait_for_function(f"(v => v && v.readyState >= 2 && v.videoWidth > 0 && !v.error)(document.querySelector('#{name} video'))")
    assert "preview" in page.locator("#report").inner_text()
    with page.expect_download() as download:
        page.locator("#everything").click()
    assert download.value.suggested_filename == "easi3r-results.zip"
    assert "poses.txt" in page.locator("#poses").inner_text().replace("\n", "")
    assert our_folders() == before, "a run leaves files behind"
    page.close()


def test_a_bad_file_gets_a_sentence(browser, address, tmp_path):
    bad = tmp_path / "letter.mp4"
    bad.write_text("Dear reader, this is not a video.")
    page = open_page(browser, address)
    upload(page, bad)
    assert "cannot be read as a video" in page.locator("#plan").inner_text()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text="cannot be read as a video").wait_for(timeout=20000)
    page.close()


def test_two_visitors_get_their_own_results(browser, address, clip, tmp_path):
    other = tmp_path / "other.mp4"
    video.write(other, synthetic.render("room", 7, 160, 96).frames, 8)
    pages = [open_page(browser, address) for _ in range(2)]
    for page, own in zip(pages, (clip, other)):
        upload(page, own)
    for page in pages:
        page.locator("#run").click()
    for page in pages:
        wait_until_done(page)
    texts = [page.locator("#report").inner_text() for page in pages]
    assert "10 frames" in texts[0] and "7 frames" in texts[1]
    for page in pages:
        page.close()


def test_cancel_stops_a_run(browser, address):
    long = Path(__file__).parents[1] / "examples" / "street.mp4"
    before = our_folders()
    page = open_page(browser, address)
    upload(page, long)
    page.locator("#run").click()
    page.locator("#cancel").click(timeout=20000)
    page.wait_for_function("document.querySelector('#status input, #status textarea').value.startsWith('Cancelled')", timeout=10000)
    deadline = time.time() + 20
    while our_folders() != before:
        assert time.time() < deadline, "the cancelled run goes on, or leaves files behind"
        time.sleep(0.3)
    page.close()
