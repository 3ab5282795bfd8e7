"""Text is told from what is behind it, and a screen reader reads words."""

import pytest
from accessible import faults
from playwright.sync_api import Page, expect
from served import Served, drop, open_page, tab, wait_until

from pseudoword.example_files import EXAMPLE_PICTURES

pytestmark = pytest.mark.slow

PANDA = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]

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
def test_all_can_be_read_named_and_pressed(page: Page, served: Served, shade: str) -> None:
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
        assert faults(page) == []
    page.emulate_media(color_scheme="light")


def test_a_screen_reader_says_that_it_is_done(page: Page, served: Served) -> None:
    open_page(page, served)
    expect(page.get_by_role("group", name="It is")).to_be_visible()
    expect(page.get_by_role("button", name="Pictures: drop three to five")).to_be_visible()
    page.evaluate(LISTEN)
    drop(page, PANDA)
    wait_until(page, lambda: {"Done", "common.complete"} & set(page.evaluate("window.said")))
    assert not [said for said in page.evaluate("window.said") if said.startswith("common.")]
