"""On the page: how large the player and scene.glb may be."""

import zipfile

from conftest import analytic_result
from pages import open_page, open_tab, player, slide, upload, wait_until_done, wait_until_drawn


def files_of(page):
    """Name -> bytes of what the zip holds."""
    with page.expect_download() as download:
        page.locator("#everything").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_a_visitor_has_the_player_and_the_glb_smaller(browser, address, walk, monkeypatch):
    result = analytic_result(12, 192, 144)
    result.info["frames"] = 12
    monkeypatch.setattr("easi3r.web.compute.reconstruct", lambda *_: iter([(result, "")]))
    few = ["player.html", "scene.glb", "masks", "arrays.npz", "report.json"]  # the others take their time
    monkeypatch.setattr("easi3r.web.files.chosen_files", lambda _: few)
    page = open_page(browser, address)
    upload(page, walk)
    page.locator("#run").click()
    wait_until_done(page)
    wait_until_drawn(page)
    player(page).evaluate("state.view.yaw = 0.3")
    open_tab(page, "Downloads")
    before = files_of(page)
    before_size = len(before.pop("scene.glb"))
    page.locator("#files", has_text="2.0 MB").wait_for()
    page.locator("#thinning button").first.click()
    slide(page, "#player-mb", 2)
    page.locator("#apply-player-mb").click()
    page.locator("#files", has_text="2.0 MB").wait_for(state="detached")
    page.locator("#files", has_text="arrays").wait_for()
    after = files_of(page)
    assert 0.7e6 < len(after.pop("scene.glb")) <= 2e6 < before_size
    del before["player.html"]
    assert len(after.pop("player.html")) <= 2e6 and after == before
    wait_until_drawn(page)
    assert player(page).evaluate("state.view.yaw") == 0.3

    page.reload()
    open_tab(page, "Downloads")
    page.locator("#thinning button").first.click()
    assert page.locator("#player-mb input[type=number]").input_value() == "2"
    open_tab(page, "4D scene")
    page.locator("#real-size button").first.click()
    page.locator("#apply-size").click()
    page.locator("#report", has_text="in metres").wait_for()
    wait_until_done(page)
    open_tab(page, "Downloads")
    assert 0.7e6 < len(files_of(page)["scene.glb"]) <= 2e6  # as chosen for the result before
    page.close()
