"""The page in a browser: from pictures dropped to a word's file downloaded."""

from pathlib import Path

import pytest
from accessible import faults
from PIL import Image
from playwright.sync_api import Page, expect
from served import Served, drop, open_page, put, quick_settings, tab

from pseudoword import formats
from pseudoword.example_files import EXAMPLE_PICTURES

pytestmark = pytest.mark.slow

PANDA = sorted(path for path in EXAMPLE_PICTURES.iterdir() if path.suffix in {".png", ".txt"})


def test_a_word_is_taught_used_and_downloaded(page: Page, served: Served, tmp_path: Path) -> None:
    open_page(page, served)
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(4)
    expect(page.locator("#seen")).to_contain_text("on a green background")
    put(page, "name", "my panda")
    quick_settings(
        page, steps=3000, batch=1, evaluate_every=0, checkpoint_every=1,
        preview_every=10, preview="a [name] --s 2", timestep_sampling="uniform",
    )  # fmt: skip
    page.click("#teach-start")
    told = page.locator("#start-told")
    expect(told).to_contain_text("<my-panda> was put into the queue")

    put(page, "name", "second")
    put(page, "teach-steps", "2")
    put(page, "teach-batch", "2")  # else it would join the first one
    page.click("#teach-start")
    expect(told).to_contain_text("<second> was put into the queue")
    expect(page.locator("#queue")).to_contain_text("<second> waits")

    bar = page.locator("#status [role=progressbar]")
    expect(page.locator("#status")).to_contain_text("learning <my-panda>")
    expect(page.locator("#filmstrip img")).to_be_visible()
    before = _steps(page)
    expect(page.locator("#curves canvas, #curves svg").first).to_be_visible()

    open_page(page, served)  # the page is loaded again, in the middle of the run
    expect(bar).to_be_visible()
    expect(page.locator("#filmstrip img")).to_be_visible()
    page.wait_for_function(
        "before => parseInt(document.querySelector('#status .when')?.innerText) > before",
        arg=before,
    )
    _looks_like_a_page(page, tmp_path / "teach.png")
    assert faults(page) == []
    page.get_by_role("button", name="Stop and keep the word").click()
    expect(page.locator("#queue")).to_contain_text("<my-panda> was stopped")
    page.locator("#queue label", has_text="<my-panda>").click()
    expect(page.locator("#status")).to_contain_text("stopped")  # until then, it is <second>'s
    page.get_by_role("button", name="Use the word").click()

    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a photo of <my-panda>")
    put(page, "use-sampler-steps", "2")
    page.click("#draw")
    drawn = page.locator("#results img").first
    expect(drawn).to_be_visible()
    _looks_like_a_page(page, tmp_path / "use.png")
    picture = tmp_path / "drawn.png"
    picture.write_bytes(page.request.get(str(drawn.get_attribute("src"))).body())
    put(page, "use-sampler-steps", "9")
    page.get_by_label("Prompt", exact=True).fill("something else")
    page.set_input_files("#bring input[type=file]", picture)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a photo of <my-panda>")
    steps = page.locator("#use-sampler-steps textarea, #use-sampler-steps input").first
    expect(steps).to_have_value("2")

    tab(page, "Words")
    page.locator("#library button", has_text="<my-panda>").click()
    page.locator("#format input").click()
    page.get_by_role("option", name="AUTOMATIC1111", exact=True).click()
    expect(page.locator("#files a[download]").first).to_be_visible()
    _looks_like_a_page(page, tmp_path / "words.png")
    assert faults(page) == []
    with page.expect_download() as started:
        page.locator("#files a[download]").first.click()
    file = tmp_path / started.value.suggested_filename
    started.value.save_as(file)
    assert file.suffix == ".pt"
    word = formats.read(file)
    assert word.token == "<my-panda>"
    assert {len(rows) for rows in word.vectors.values()} == {3}

    tab(page, "Teach")
    expect(page.locator("#queue")).to_contain_text("<second> is ready")


def _looks_like_a_page(page: Page, path: Path) -> None:
    """A picture of the tab has something in it, and nothing sticks out on the right."""
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as shot:
        assert page.viewport_size is not None
        assert shot.width == page.viewport_size["width"]
        assert shot.height > 600
        assert len(shot.convert("RGB").quantize(256).getcolors() or ()) > 30
    wide = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})  # of a phone
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size(wide)


def _steps(page: Page) -> int:
    """How many steps the status tells."""
    told = page.locator("#status .when").inner_text()
    return int(told.split(" of ")[0])
