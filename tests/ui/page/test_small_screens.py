"""On a phone nothing is cut off or covered, and what comes of a press is seen beside it."""

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Page, expect
from served import Served, drop, open_page, put, tab

pytestmark = pytest.mark.slow

PHONE = {"width": 360, "height": 640}

LONG = "x" * 150

BEYOND = """() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const text = texts.currentNode, all = document.createRange();
        if (!text.textContent.trim() || !text.parentElement.checkVisibility()) continue;
        all.selectNodeContents(text);
        if (all.getBoundingClientRect().right > innerWidth + 1) found.push(text.textContent);
    }
    return found;
}"""
"""Texts that reach over the right edge."""

LAID_OUT = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Comes when all that watches its own size has been told of another one."""


@pytest.fixture
def phone(page: Page, served: Served) -> Page:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    open_page(page, served)
    return page


def place(page: Page, what: str) -> FloatRect:
    found = page.locator(what).bounding_box()
    assert found is not None
    return found


def test_long_names_stay_on_the_screen(phone: Page, tmp_path: Path) -> None:
    paths = [tmp_path / f"{LONG}.png", tmp_path / "b.png", tmp_path / "c.png"]
    for path, colour in zip(paths, ("red", "red", "blue"), strict=True):
        Image.new("RGB", (64, 64), colour).save(path)
    put(phone, "name", LONG)
    drop(phone, paths)
    expect(phone.locator("#seen img")).to_have_count(3)
    expect(phone.locator("#warnings")).to_contain_text(LONG)
    expect(phone.locator("#seen")).to_contain_text(f"<{LONG}>")
    phone.locator("#seen button").last.click()
    expect(phone.locator("#edit")).to_be_in_viewport()
    expect(phone.locator("#framed img")).to_be_visible()
    frame, framed = place(phone, "#framed"), place(phone, "#framed img")
    assert framed["y"] + framed["height"] <= frame["y"] + frame["height"]
    phone.click("#teach-start")
    expect(phone.locator("#status")).to_contain_text(LONG)
    assert phone.evaluate(BEYOND) == []


def test_nothing_covers_the_name_of_the_page(phone: Page) -> None:
    for width in (PHONE["width"], 320):
        phone.set_viewport_size({"width": width, "height": 640})
        phone.wait_for_function("width => innerWidth === width", arg=width)
        title, button = place(phone, "#masthead h1"), place(phone, "#shade")
        text = phone.evaluate("""() => {
            const all = document.createRange();
            all.selectNodeContents(document.querySelector("#masthead h1"));
            return all.getBoundingClientRect().right;
        }""")
        assert max(text, title["x"] + title["width"]) <= button["x"]
        assert place(phone, "#teach-start")["width"] >= 0.9 * width


def test_pictures_are_drawn_below_the_buttons_that_draw_them(phone: Page) -> None:
    tab(phone, "Use")
    expect(phone.locator("#results")).to_be_visible()
    order = ["#draw", "#sweep", "#results", "#use-n", "#bring"]
    assert order == sorted(order, key=lambda one: place(phone, one)["y"])
    assert phone.evaluate(BEYOND) == []
    wide = place(phone, "#tabs")["width"]
    tab(phone, "Words")  # with little in it
    expect(phone.locator("#library")).to_be_visible()
    assert place(phone, "#tabs")["width"] == wide


def test_all_settings_can_be_read_on_any_screen(page: Page, served: Served) -> None:
    """Names of switches are whole, and help says what it says elsewhere."""
    open_page(page, served)
    page.get_by_role("button", name="All settings").first.click()
    settings = page.locator("#teach-more .setting")
    expect(settings.last).to_be_visible()
    for width in (1280, 900, 360):
        page.set_viewport_size({"width": width, "height": 720})
        page.wait_for_function("width => innerWidth === width", arg=width)
        page.evaluate(LAID_OUT)
        assert min(settings.evaluate_all("all => all.map(one => one.clientWidth)")) > 200
        assert page.evaluate(BEYOND) == []
    expect(page.locator("#teach-device")).to_contain_text("variable PSEUDOWORD_DEVICE names")
