"""The keyboard is enough, and it is seen where it is."""

import pytest
from playwright.sync_api import Page, expect
from served import Served, drop, open_page

from pseudoword.example_files import EXAMPLE_PICTURES

pytestmark = pytest.mark.slow

PANDA = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]

MARKED = """() => {
    const now = document.activeElement;
    const marked = [now, now.closest("label")].filter(Boolean).map(getComputedStyle);
    return marked.some((one) => one.outlineStyle === "solid" && parseFloat(one.outlineWidth) >= 2);
}"""
"""Whether what has the keyboard, or the label around it, has a frame."""

CALLED = "() => `${document.activeElement.tagName}#${document.activeElement.id}`"


def test_each_stop_of_the_keyboard_is_seen_and_a_word_is_asked_for(
    page: Page, served: Served
) -> None:
    open_page(page, served)
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)
    page.locator("#shade").focus()
    stops: list[str] = []
    while not stops or stops[-1] != "BUTTON#teach-start":
        page.keyboard.press("Tab")
        stops.append(page.evaluate(CALLED))
        assert page.evaluate(MARKED), stops[-1]
        assert len(stops) < 40, stops
    page.keyboard.press("Enter")
    expect(page.locator("#start-told")).to_contain_text("Give the new word a name first.")


def test_a_list_of_choices_is_shut_when_the_keyboard_leaves_it(page: Page, served: Served) -> None:
    open_page(page, served)
    page.locator("#teach-base input").focus()
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#teach-start")).to_be_focused()
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("Tab")
    more = page.get_by_role("button", name="All settings", exact=True)
    expect(more).to_be_focused()
    expect(more).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(more).to_have_attribute("aria-expanded", "true")
