"""The page at first sight: on a phone, in the dark, in other languages, by keyboard, for those who hear it."""

import pytest
from pages import open_tab, wait_until_done

from easi3r.web.files import Examples

CONTRAST = """selector => {
    const light = colour => { // relative luminance and opacity, WCAG 2.2
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        const [R, G, B] = [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return [.2126 * R + .7152 * G + .0722 * B, a];
    };
    return [...document.querySelectorAll(selector)].map(element => {
        let behind = element;
        while (light(getComputedStyle(behind).backgroundColor)[1] === 0) behind = behind.parentElement;
        const colours = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        const [a, b] = colours.map(colour => light(colour)[0]);
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    });
}"""
OURS = "#plan p, #plan small, #run, #examples button, #report p, [role=tab], #with-preview .info-text, main h1"
NAMELESS = """() => [...document.querySelectorAll("button")].filter(button => button.checkVisibility()
    && !button.innerText.trim() && !button.ariaLabel && !button.title).map(button => button.outerHTML)"""


@pytest.fixture
def visit(browser, address, monkeypatch, tiny_result):
    """visit(**options of the browser context) -> the page; examples are quick to show."""
    tiny_result.info["frames"] = 6
    monkeypatch.setattr(Examples, "load", lambda *_: tiny_result)
    contexts = []

    def come(**options):
        contexts.append(browser.new_context(device_scale_factor=0.5, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(90000)  # a busy machine is no failure
        page.goto(address)
        page.wait_for_selector("#run")
        page.wait_for_function("document.querySelector('#examples button')?.ariaLabel")
        return page

    yield come
    for context in contexts:
        context.close()


def test_on_a_phone_in_german_all_is_within_reach(visit):
    page = visit(viewport={"width": 390, "height": 844}, locale="de-DE")
    page.locator("#examples button").first.click()
    wait_until_done(page)
    page.wait_for_function("scrollY > 0")
    tabs = page.locator("#views [role=tab]")
    boxes = [tab.bounding_box() for tab in tabs.all()]
    assert len(boxes) >= 7 and not page.locator(".overflow-menu:visible").count()
    for box in boxes:
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] >= 44 and box["y"] > 0
    page.wait_for_function(
        "(box => 0 < box.top && box.bottom <= innerHeight)(document.querySelector('#player').getBoundingClientRect())"
    )
    for name in [*(tab.inner_text() for tab in tabs.all()), "Compare"]:
        open_tab(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#with-preview").bounding_box()["width"] > 200


def test_in_the_dark_our_words_can_be_read(visit):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.locator("#examples button").first.click()
    wait_until_done(page)
    found = page.evaluate(CONTRAST, OURS)
    open_tab(page, "Compare")
    found += page.evaluate(CONTRAST, "#with-preview .info-text, [role=tab]")
    assert len(found) > 20 and min(found) >= 4.5


def test_the_page_can_be_used_by_keyboard_and_heard(visit):
    page = visit(viewport={"width": 1280, "height": 900})
    focused = lambda selector: page.evaluate("s => document.activeElement.matches(s)", selector)
    for selector in ("#clip .upload-container", "#run", "#settings > button", "#examples button"):
        for _ in range(6):
            page.keyboard.press("Tab")
            if focused(selector):
                break
        assert focused(selector) and page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.locator("#examples button").first.get_attribute("aria-label") == "Toy train"
    page.keyboard.press("Enter")
    wait_until_done(page)
    page.locator(".for-ears", has_text="done").wait_for(state="attached")
    page.locator("#views [role=tab]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator("#views [role=tab]").nth(1).get_attribute("aria-selected") == "true"
    page.locator("#masks video").wait_for()
    page.wait_for_function(f"!({NAMELESS})().length", timeout=3000)  # the page names what gradio draws a moment later
