"""Pictures on the page: cropped, masked with a brush, captioned, taken out, found again."""

from pathlib import Path

import pytest
from accessible import faults
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, Route, expect
from served import Served, drop, open_page, put_number, wait_until

from pseudoword.ui.pictures import DataSets
from pseudoword.ui.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.mark.browser_context_args(device_scale_factor=0.25)  # the canvas is drawn by the CPU
def test_a_picture_is_cropped_masked_captioned_and_taken_out(
    own_page: Page, served: Served, tmp_path: Path
) -> None:
    page = own_page
    paths = [tmp_path / "wide.png", tmp_path / "other.png"]
    for path in paths:
        Image.effect_noise((240, 120), 80).convert("RGB").save(path)
    open_page(page, served)
    drop(page, paths)
    expect(page.locator("#seen img")).to_have_count(2)
    data_sets = DataSets(Workspace(served.folder))
    (mine,) = data_sets.workspace.ids("pictures")

    page.locator("#seen button").first.click()
    expect(page.locator("#edit")).to_contain_text("wide.png")
    across = page.get_by_role("slider", name="Left to right")
    across.focus()
    across.press("Home")  # the keyboard is enough
    put_number(page, "Zoom", 2)
    wait_until(page, lambda: data_sets.one(mine, "0001").crop == (0, 30, 60, 90))

    assert faults(page) == []
    page.get_by_role("tab", name="Mask").click()
    canvas = page.locator("#canvas canvas").first
    expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    place = _at_rest(page, canvas)
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 30, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=3)
    page.mouse.up()
    use_mask = page.get_by_role("button", name="Only what is painted counts")
    use_mask.click()

    def masked() -> bool:
        if page.get_by_text("nothing is painted").count():  # yet: the editor takes its time
            page.locator(".toast-close").first.click()
            use_mask.click()
        return data_sets.one(mine, "0001").masked

    wait_until(page, masked)
    mask = data_sets.mask(mine, "0001")
    assert mask is not None
    painted = mask.histogram()[255] / (mask.width * mask.height)
    assert 0.005 < painted < 0.6
    page.get_by_role("button", name="Everything counts").click()
    wait_until(page, lambda: not data_sets.one(mine, "0001").masked)

    file = tmp_path / "white.png"
    Image.new("L", (240, 120), 255).save(file)
    late: list[Route] = []

    def hold(asked: Route) -> None:
        if b"white.png" in (asked.request.post_data_buffer or b""):
            late.append(asked)
        else:  # the canvas, which is sent like files
            asked.continue_()

    page.route("**/gradio_api/upload", hold)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Mask from a file").click()
    chooser.value.set_files(file)
    wait_until(page, lambda: late)
    page.locator("#seen button").nth(1).click()
    expect(page.locator("#edit")).to_contain_text("other.png")
    late[0].continue_()
    wait_until(page, lambda: any(one.masked for one in data_sets.pictures(mine)))
    assert not data_sets.one(mine, "0002").masked  # it was chosen for the first
    page.locator("#seen button").first.click()
    expect(page.locator("#edit")).to_contain_text("wide.png")

    page.get_by_role("button", name="Captions").click()
    page.locator("#captions [data-row='1'][data-col='1']").dblclick()
    assert faults(page) == []
    page.keyboard.type("in the snow")
    page.keyboard.press("Enter")
    wait_until(page, lambda: data_sets.one(mine, "0002").caption == "in the snow")
    expect(page.locator("#seen")).to_contain_text("in the snow")

    other = page.context.new_page()  # which has seen both
    open_page(other, served)
    expect(other.locator("#seen img")).to_have_count(2)
    page.get_by_role("button", name="Take this picture out").click()
    expect(page.locator("#seen img")).to_have_count(1)
    other.locator("#seen button").first.click()
    expect(other.get_by_text("it was taken out")).to_be_visible()
    other.locator("#seen button").nth(1).click()
    expect(other.locator("#edit")).to_contain_text("other.png")
    other.close()
    open_page(page, served)
    expect(page.locator("#seen img")).to_have_count(1)
    expect(page.locator("#seen")).to_contain_text("in the snow")


def _at_rest(page: Page, canvas: Locator) -> FloatRect:
    """Where the canvas is once the editor has fitted the picture into its place."""
    seen: list[FloatRect | None] = []

    def rests() -> bool:
        seen.append(canvas.bounding_box())
        return len(seen) > 10 and seen[-1] is not None and len(set(map(str, seen[-10:]))) == 1

    wait_until(page, rests)
    assert seen[-1] is not None
    return seen[-1]
