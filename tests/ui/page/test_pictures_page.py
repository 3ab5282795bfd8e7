"""Pictures on the page: cropped, masked with a brush, captioned, taken out, found again."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from served import LONG_MS, Served, drop, open_page

from pseudoword.ui.pictures import DataSets
from pseudoword.ui.workspace import Workspace

pytestmark = pytest.mark.slow


def wait_until(page: Page, holds: Callable[[], object]) -> None:
    """Give the page time until `holds`."""
    until = time.monotonic() + LONG_MS / 1000
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        page.wait_for_timeout(100)


def test_a_picture_is_cropped_masked_captioned_and_taken_out(
    page: Page, served: Served, tmp_path: Path
) -> None:
    paths = [tmp_path / "wide.png", tmp_path / "other.png"]
    for path in paths:
        Image.effect_noise((240, 120), 80).convert("RGB").save(path)
    open_page(page, served)
    drop(page, paths)
    expect(page.locator("#seen img")).to_have_count(2, timeout=LONG_MS)
    data_sets = DataSets(Workspace(served.folder))
    (mine,) = data_sets.workspace.ids("pictures")

    page.locator("#seen button").first.click()
    expect(page.locator("#edit")).to_contain_text("wide.png", timeout=LONG_MS)
    across = page.get_by_role("slider", name="Left to right")
    across.focus()
    across.press("Home")  # the keyboard is enough
    across.press("Tab")
    zoom = page.get_by_label("number input for Zoom")
    zoom.fill("2")
    zoom.press("Enter")
    zoom.blur()
    wait_until(page, lambda: data_sets.one(mine, "0001").crop == (0, 30, 60, 90))

    page.get_by_role("tab", name="Mask").click()
    canvas = page.locator("#canvas canvas").first
    expect(canvas).to_be_visible(timeout=LONG_MS)
    page.wait_for_timeout(1500)  # the editor fits the picture into its place
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    assert place
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 30, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1500)  # it sends what was painted after a moment
    page.get_by_role("button", name="Only what is painted counts").click()
    wait_until(page, lambda: data_sets.one(mine, "0001").masked)
    mask = data_sets.mask(mine, "0001")
    assert mask is not None
    painted = mask.histogram()[255] / (mask.width * mask.height)
    assert 0.005 < painted < 0.6
    page.get_by_role("button", name="Everything counts").click()
    wait_until(page, lambda: not data_sets.one(mine, "0001").masked)

    page.get_by_role("button", name="Captions").click()
    page.locator("#captions [data-row='1'][data-col='1']").dblclick()
    page.keyboard.type("in the snow")
    page.keyboard.press("Enter")
    wait_until(page, lambda: data_sets.one(mine, "0002").caption == "in the snow")
    expect(page.locator("#seen")).to_contain_text("in the snow", timeout=LONG_MS)

    page.get_by_role("button", name="Take this picture out").click()
    expect(page.locator("#seen img")).to_have_count(1, timeout=LONG_MS)
    open_page(page, served)
    expect(page.locator("#seen img")).to_have_count(1, timeout=LONG_MS)
    expect(page.locator("#seen")).to_contain_text("in the snow")
