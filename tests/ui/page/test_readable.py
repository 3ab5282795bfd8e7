"""Text is told from what is behind it, and a screen reader reads words."""

import pytest
from playwright.sync_api import Page, expect
from served import Served, drop, open_page, tab, wait_until

from pseudoword.example_files import EXAMPLE_PICTURES

pytestmark = pytest.mark.slow

PANDA = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]

FAINT = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const over = ([r, g, b, a = 1], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
    const behind = (one) => {
        if (!one) return [255, 255, 255];
        const colour = parts(getComputedStyle(one).backgroundColor);
        return colour[3] === undefined ? colour : over(colour, behind(one.parentElement));
    };
    const linear = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = (c) => c.map(linear).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const faint = new Set();
    const look = (one, text, style) => {
        const below = behind(one);
        const both = [light(over(parts(style.color), below)), light(below)].sort((a, b) => b - a);
        const large = parseFloat(style.fontSize) >= 24;
        if ((both[0] + 0.05) / (both[1] + 0.05) < (large ? 3 : 4.5)) faint.add(text.trim());
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, one = text.parentElement;
        if (text.textContent.trim() && one.checkVisibility({ checkVisibilityCSS: true })) {
            look(one, text.textContent, getComputedStyle(one));
        }
    }
    for (const one of document.querySelectorAll("input[placeholder], textarea[placeholder]")) {
        if (!one.checkVisibility()) continue;
        look(one, one.placeholder, getComputedStyle(one, "::placeholder"));
    }
    return [...faint];
}"""
"""Texts in sight with less contrast than the guidelines for the web ask for (WCAG 2, AA)."""

AT_REST = """() => document.getAnimations().every(
    (one) => one.playState !== "running" || one.effect.getTiming().iterations === Infinity
)"""

LISTEN = """() => {
    window.said = [];
    const hear = () => {
        const live = document.querySelectorAll("[aria-live]");
        window.said.push(...[...live].map((one) => one.textContent));
    };
    new MutationObserver(hear).observe(document.body, {
        childList: true, subtree: true, characterData: true,
    });
}"""


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_all_text_can_be_read(page: Page, served: Served, shade: str) -> None:
    page.emulate_media(color_scheme="light" if shade == "light" else "dark")
    open_page(page, served)
    page.get_by_role("button", name="All settings").first.click()
    expect(page.locator("#teach-more-search")).to_be_visible()
    assert page.evaluate("document.body.classList.contains('dark')") is (shade == "dark")
    for name in ("Teach", "Use", "Words"):
        tab(page, name)
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
        wait_until(page, lambda: page.evaluate(AT_REST))
        assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="light")


def test_a_screen_reader_says_that_it_is_done(page: Page, served: Served) -> None:
    open_page(page, served)
    expect(page.get_by_role("group", name="It is")).to_be_visible()
    expect(page.get_by_role("button", name="Pictures: drop three to five")).to_be_visible()
    page.evaluate(LISTEN)
    drop(page, PANDA)
    wait_until(page, lambda: {"Done", "common.complete"} & set(page.evaluate("window.said")))
    assert not [said for said in page.evaluate("window.said") if said.startswith("common.")]
