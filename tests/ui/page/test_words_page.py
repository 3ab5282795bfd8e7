"""Words on the page: brought along, looked at, renamed, drawn with and without, deleted, undone."""

from pathlib import Path

import pytest
import torch
from accessible import faults
from playwright.sync_api import Page, Route, expect
from served import Served, open_page, put, tab, wait_until

from pseudoword import formats
from pseudoword.concept import Concept

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An embedding from elsewhere that fits the bundled model."""
    rows = torch.randn(2, 256, generator=torch.Generator().manual_seed(0)) / 16
    path = tmp_path / "blob.pt"
    path.write_bytes(formats.encode(Concept("<blob>", {"clip_l": rows}, "sd"), "a1111")[""])
    return path


def test_a_word_from_elsewhere_is_used_renamed_deleted_and_brought_back(
    page: Page, served: Served, file: Path
) -> None:
    open_page(page, served)
    tab(page, "Use")
    page.set_input_files("#bring input[type=file]", file)
    expect(page.locator("#brought")).to_contain_text("<blob> is in the library")
    page.set_input_files("#bring input[type=file]", file)
    expect(page.locator("#brought [role=alert]")).to_contain_text("already")

    prompt, word = page.get_by_label("Prompt", exact=True), page.locator("#word-gallery button")
    prompt.fill("a drawing of")
    word.filter(has_text="<blob>").click()
    expect(prompt).to_have_value("a drawing of <blob>")
    asked: list[Route] = []
    page.route("**/gradio_api/queue/join*", lambda one: asked.append(one))
    word.filter(has_text="<blob>").click()
    prompt.fill("a painting of")  # meanwhile
    page.locator("#into label", has_text="negative prompt").click()
    word.filter(has_text="<blob>").click()
    wait_until(page, lambda: sum("event_data" in (it.request.post_data or "") for it in asked) > 1)
    for one in asked:
        one.continue_()
    page.unroute_all()
    expect(page.get_by_role("textbox", name="Negative prompt")).to_have_value("<blob>")
    expect(prompt).to_have_value("a painting of <blob>")
    page.get_by_role("textbox", name="Negative prompt").fill("")
    put(page, "use-sampler-steps", 2)
    page.click("#pair")
    expect(page.locator("#results img")).to_have_count(2)
    page.locator("#results img").first.click()
    expect(page.locator("#results .preview")).to_be_visible()
    assert faults(page) == []
    page.reload()
    expect(page.locator("#results img")).to_have_count(2)
    put(page, "use-sampler-steps", 0)
    page.click("#draw")
    expect(page.get_by_text("“Sampler steps”: should be")).to_be_visible()

    tab(page, "Words")
    page.locator("#library button", has_text="<blob>").click()
    expect(page.locator("#facts")).to_contain_text("2 of 256 numbers")
    expect(page.locator("#facts")).to_contain_text("sd, of these widths")
    title = formats.WRITERS["onetrainer"].title  # as in the list of downloads
    expect(page.locator("#facts")).to_contain_text(f"its own keys; download it as “{title}”")
    put(page, "rename", "")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("“Name of the new word” is empty")).to_be_visible()
    put(page, "rename", "drop")
    page.get_by_role("button", name="Rename").click()  # nothing covers it
    expect(page.locator("#library")).to_contain_text("<drop>")

    other = page.context.new_page()
    open_page(other, served)
    tab(other, "Words")
    other.locator("#library button", has_text="<drop>").click()
    expect(other.locator("#facts")).to_contain_text("<drop>")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#words-told")).to_contain_text("<drop> is deleted")
    expect(page.locator("#library")).not_to_contain_text("<drop>")
    other.get_by_role("button", name="Rename").click()
    expect(other.get_by_text("this word is not in this workspace any more")).to_be_visible()
    other.close()

    page.get_by_role("button", name="Undo: bring it back").locator("visible=true").click()
    expect(page.locator("#library")).to_contain_text("<drop>")
