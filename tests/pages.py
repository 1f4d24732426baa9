"""Driving the page as a visitor would, in headless Chromium through Playwright; fixtures are in conftest.py."""

import functools
import shutil
import tempfile
import time
from pathlib import Path

# The first that is there; without the window that it keeps for nobody to see, Chromium does with 40 % of the time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]


def open_page(browser, address, width=390, height=844):
    """A page of a phone's size unless said otherwise, and coarse: drawing in software takes as long as all the rest."""
    page = _context(browser).new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.set_default_timeout(90000)  # a busy machine is no failure
    page.goto(address)
    page.wait_for_selector("#run")
    return page


@functools.cache
def _context(browser):
    """Its pages, each of a visitor of its own, load gradio's scripts once."""
    return browser.new_context(device_scale_factor=0.5)


def upload(page, clip):
    page.locator("#clip input[type=file]").set_input_files(clip)
    page.wait_for_function("document.querySelector('#plan').innerText.match(/pairs|⚠/)", timeout=90000)


def upload_another(page, files, text):
    page.locator("#clip input[type=file]").set_input_files(files)
    page.locator("#plan", has_text=text).wait_for(timeout=90000)


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def slide(page, slider, value):
    box = page.locator(f"{slider} input[type=range]")
    for _ in range(50):
        box.fill(str(value))
        box.dispatch_event("pointerup")
        page.wait_for_timeout(100)  # gradio sets a slider back to what it was a moment after it is shown first
        if page.locator(f"{slider} input[type=number]").input_value() == str(value):
            return
    raise AssertionError(f"{slider} does not stay at {value}")


def wait_until_done(page):
    page.wait_for_function(
        "document.querySelector('#status input, #status textarea')?.value.startsWith('done')", timeout=90000
    )


def wait_until_drawn(page):
    """The scene in the page."""
    frame = page.locator("#player iframe").content_frame
    frame.locator("html[data-state=ready]").wait_for(state="attached", timeout=90000)


def player(page):
    """The frame of the player, to evaluate in."""
    return page.locator("#player iframe").element_handle().content_frame()


def our_folders():
    return {p for p in Path(tempfile.gettempdir()).glob("easi3r-*") if "api" not in p.name}


def wait_for_folders(before):
    """A visitor's files live as long as their page, or until they cancel."""
    deadline = time.time() + 20
    while not our_folders() <= before:
        assert time.time() < deadline, "files are left behind"
        time.sleep(0.3)
