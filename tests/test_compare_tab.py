"""The page's tab "Compare", driven as a visitor would."""

import zipfile
from dataclasses import replace

import pages
import pytest
from huggingface_hub import constants

from easi3r import InputError
from easi3r.web import choices, clips, compute
from easi3r.web.pool import POOL

pytestmark = pytest.mark.usefixtures("few_pairs")


@pytest.fixture(scope="module")
def page(browser, address, walk):
    """The tab with a clip to compare on, of one visitor who tries one thing after the other."""
    page = pages.open_page(browser, address)
    pages.upload(page, walk)
    pages.open_tab(page, "Compare")
    page.locator("#compare-plan", has_text="2 runs one after another").wait_for(timeout=90000)
    yield page
    page.close()


def wait_for(page, text):
    page.wait_for_function(
        f"document.querySelector('#compare-status :is(input, textarea)')?.value.startsWith('{text}')", timeout=120000
    )


def test_a_comparison_is_cancelled(page):
    before = pages.our_folders()
    page.locator("#compare").click()
    page.locator("#compare-cancel").click(timeout=90000)
    wait_for(page, "Cancelled")
    assert not page.locator("#compare-views iframe").count()
    pages.wait_for_folders(before)


def test_two_systems_are_compared(page, tmp_path):
    page.locator("#compare").click()
    wait_for(page, "done")
    table = page.locator("#compare-table")
    assert "Preview without masks" in table.inner_text() and "moving pixels" in table.inner_text()
    inside = page.frame_locator("#compare-views iframe")
    inside.get_by_text("Preview without masks", exact=True).first.wait_for(timeout=90000)
    with page.expect_download() as download:
        page.locator("#compare-everything").click()
    download.value.save_as(tmp_path / "all.zip")
    names = set(zipfile.ZipFile(tmp_path / "all.zip").namelist())
    wanted = {"compare.html", "comparison.json", "comparison.md", "masks.mp4", "paths.png"}
    assert wanted | {"preview/scene.glb", "preview-no-masks/scene.glb"} <= names


def test_one_that_fails_is_a_sentence_in_the_table(page, monkeypatch, tiny_result):
    def run(clip, system, options, masks, progress):
        if masks is not None:
            raise InputError("This one cannot be run today.")
        return replace(tiny_result, info={**tiny_result.info, "source": clip.name})

    monkeypatch.setattr(compute, "run", run)
    page.locator("#compare").click()
    table = page.locator("#compare-table", has_text="Preview without masks: This one cannot be run today.")
    table.wait_for(timeout=90000)
    assert "failed" in table.inner_text()
    wait_for(page, "done")


def test_what_cannot_run_here_is_greyed_with_the_reason(page):
    missing = [choice for choice in choices.choices() if not choice.ready]
    if not missing:
        pytest.skip("all weights are on this machine")
    for choice in missing:
        box = page.locator(f"#with-{choice.name}")
        assert box.locator("input").is_disabled() and "weights are not here" in box.inner_text()


def test_the_plan_says_what_is_wrong_with_the_choice():
    taken = choices.Chosen("clip.mp4", "clip.mp4", "", (64, 48), 30, 1.0)
    say = lambda names, masks=False: choices.plan(taken, 24, names, masks)
    assert "Tick two to 4; 1 is ticked." in say(["preview"])
    assert "needs your masks" in say(["preview", "preview:my-masks"])
    assert "about" in say(["preview", "preview:my-masks"], True)


def test_the_page_offers_to_fetch_real_depth(browser, address, monkeypatch, tmp_path):
    if not clips.offer():
        pytest.skip("there is a GPU, or the weights are on this machine")
    page = pages.open_page(browser, address)
    assert "137 MB, Apache-2.0" in page.locator("#offer").inner_text()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    page.locator("#offer").click()
    page.get_by_text("the model hub cannot be reached").wait_for(timeout=90000)
    assert page.locator("#offer").is_visible()
    page.get_by_label("Close", exact=False).first.click()
    monkeypatch.setattr(POOL, "system", lambda name, report: report(1, f"Fetching {name}"))
    page.locator("#offer").click()
    page.locator("#offer").wait_for(state="hidden", timeout=90000)
    pages.open_tab(page, "Compare")
    page.locator("#fetch > button").click()
    page.locator("#fetch-da3").click()
    wait_for(page, "Fetched: tick it above.")
    page.close()
