"""A connection that is lost, and comes back: Gradio loads the page again by itself then."""

import pytest
from playwright.sync_api import Page, Route, expect
from served import Served, drop, open_page, put, quick_settings, tab

from pseudoword.example_files import EXAMPLE_PICTURES

pytestmark = pytest.mark.slow


def test_what_was_typed_is_there_when_a_lost_connection_is_back_and_what_is_not_is_told(
    own_page: Page, served: Served
) -> None:
    page = own_page
    open_page(page, served)
    put(page, "name", "before")
    quick_settings(page, steps="77")
    page.locator("#teach-flip input").check()
    tab(page, "Use")
    put(page, "prompt", "a cat")
    put(page, "use-n", 2)
    page.route("**/gradio_api/queue/join*", lambda asked: asked.abort())
    page.locator("#draw").click()
    page.wait_for_function("sessionStorage.getItem('pseudoword-drawing')")
    page.unroute_all()
    page.context.set_offline(True)
    expect(page.get_by_text("Connection to the server was lost")).to_be_visible()
    put(page, "prompt", "a cat on a mat")
    put(page, "use-n", 3)
    page.context.set_offline(False)
    expect(page.get_by_text("Connection to the server was lost")).to_have_count(0)

    expect(page.get_by_role("tab", name="Use", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    expect(page.locator("#prompt textarea")).to_have_value("a cat on a mat")
    expect(page.locator("#use-n input")).to_have_value("3")
    expect(page.get_by_text("What was to be drawn here is lost")).to_be_visible()
    tab(page, "Teach")
    expect(page.locator("#name textarea, #name input")).to_have_value("before")
    page.get_by_role("button", name="All settings").first.click()
    expect(page.locator("#teach-steps textarea, #teach-steps input")).to_have_value("77")
    expect(page.locator("#teach-flip input")).to_be_checked()

    pictures = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]
    page.route("**/gradio_api/queue/join*", _lose_pictures)
    drop(page, pictures)
    told = page.locator("#start-told [role=alert]")
    expect(told).to_contain_text("loaded again while pictures were on their way")
    page.unroute_all()
    drop(page, pictures)
    expect(page.locator("#seen img")).to_have_count(2)
    expect(told).to_have_count(0)


def _lose_pictures(asked: Route) -> None:
    if "gradio.FileData" in (asked.request.post_data or ""):
        asked.abort()
    else:
        asked.continue_()


DENIED = """for (const name of ["localStorage", "sessionStorage"]) {
    const get = () => { throw new DOMException("Access is denied.", "SecurityError"); };
    Object.defineProperty(window, name, { configurable: true, get });
}"""
"""What a browser does in a frame on another site, or where cookies are blocked."""


def test_a_page_that_may_store_nothing_works(own_page: Page, served: Served) -> None:
    page = own_page
    page.add_init_script(DENIED)
    open_page(page, served)
    drop(page, sorted(EXAMPLE_PICTURES.glob("*.png"))[:2])
    expect(page.locator("#seen img")).to_have_count(2)
    put(page, "name", "before")
    tab(page, "Use")
    put(page, "prompt", "a cat")
    tab(page, "Teach")
    expect(page.locator("#name textarea, #name input")).to_have_value("before")
