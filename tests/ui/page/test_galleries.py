"""Words to press: the newest of many, and those that a search finds."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from served import Served, open_page, tab

from pseudoword.concept import Concept
from pseudoword.formats import encode
from pseudoword.ui.desk import Desk
from pseudoword.ui.library import Library
from pseudoword.ui.page import galleries
from pseudoword.ui.page.galleries import WordGallery, tile
from pseudoword.ui.workspace import Workspace


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return Desk(tmp_path / "workspace")


def add(library: Library, name: str, file: str = "word.safetensors", **facts: str) -> str:
    """A word of the library; its id."""
    word = Concept(f"<{name}>", {"clip_l": torch.ones(1, 256)}, "sd", provenance=facts)
    (added,) = library.add(encode(word, "native")[""], file)
    return added.id


def gallery(desk: Desk) -> WordGallery:
    with gr.Blocks():
        return WordGallery(desk, "Words", 6, "words", none="None")


def names(found: list[Any]) -> list[str]:
    """What is shown, of the answer to a search."""
    shown = next(one for one in found if "label" in one)
    return [caption for _, caption in shown["value"]]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("cat", ["<red-cat>", "<blue-cat>"]),
        ("CAT  red", ["<red-cat>"]),
        ("Red_Cat", ["<red-cat>"]),
        ("grey tabby", ["<blue-cat>"]),  # began from
        ("cafe\u0301.pt", ["<cup>"]),  # comes from
        ("my model", ["<cup>"]),  # was learned on
        ("dog", []),
        (" ", ["<cup>", "<red-cat>", "<blue-cat>"]),
    ],
)
def test_a_search_finds_words_by_name_and_by_what_they_come_from(
    desk: Desk, search: str, found: list[str]
) -> None:
    add(desk.library, "blue-cat", init="grey tabby", init_mode="word")
    add(desk.library, "red-cat")
    add(desk.library, "cup", "caf\u00e9.pt", base="my-model")
    assert names(gallery(desk)._searched(search, "")) == found


def test_the_newest_words_are_shown_and_more_when_they_are_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "AT_ONCE", 2)
    for i in range(5):
        add(desk.library, f"cat-{i}")
    words = gallery(desk)
    _, shown, ids, told, more = words.listed(None, None)
    assert [caption for _, caption in shown["value"]] == ["<cat-4>", "<cat-3>"]
    assert ("newest 2 of 5 words" in told, more["visible"]) == (True, True)
    _, ids, told, _ = words._more("", ids)
    assert names(words.listed("", ids)) == ["<cat-4>", "<cat-3>", "<cat-2>", "<cat-1>"]
    _, ids, told, more = words._more("", ids)
    assert (len(ids.split()), told, more["visible"]) == (5, "", False)
    found = words._searched("cat-0", ids)
    assert names(found) == ["<cat-0>"]
    assert "1 of 5 words" in found[2]
    assert "none has that" in words._searched("dog", ids)[2]


def test_nothing_is_listed_while_a_page_is_loaded(desk: Desk) -> None:
    add(desk.library, "cat")  # by the time its tab is opened, another one may be the first
    words = gallery(desk)
    assert words._searched(None, None) == [gr.skip()] * 4
    assert names(words._searched("cat", None)) == names(words._searched("", "")) == ["<cat>"]


def test_there_is_a_search_where_there_are_many_words_or_one_was_typed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "FEW", 1)
    words = gallery(desk)
    add(desk.library, "cat")
    assert [words.listed(typed, None)[0]["visible"] for typed in (None, "c")] == [False, True]
    add(desk.library, "dog")
    assert words.listed(None, None)[0]["visible"]


def test_the_small_picture_of_a_word_is_made_once_and_anew_after_a_change(desk: Desk) -> None:
    name = add(desk.library, "cat")
    grey = tile(desk, desk.library.word(name))
    preview = desk.workspace.path("words", name) / "preview.png"
    Image.new("RGB", (600, 300), "red").save(preview)
    first = tile(desk, desk.library.word(name))
    with Image.open(first) as small:
        assert small.size == (256, 128)
    made = Path(first).stat().st_mtime_ns
    assert tile(desk, desk.library.word(name)) == first
    assert Path(first).stat().st_mtime_ns == made
    Image.new("RGB", (300, 600), "blue").save(preview)
    assert tile(desk, desk.library.word(name)) not in {grey, first}
    word = desk.library.word(name)
    preview.write_bytes(b"damaged")
    assert tile(desk, word) == grey
    preview.unlink()
    assert tile(desk, word) == grey


@pytest.mark.slow
def test_a_word_among_many_is_found_by_keyboard_and_searched_for_after_a_reload(
    page: Page, served: Served
) -> None:
    library = Library(Workspace(served.folder))
    for i in range(14):
        add(library, f"cat-{i}")
    open_page(page, served)
    tab(page, "Use")
    tiles = page.locator("#word-gallery .thumbnail-item")
    expect(tiles).to_have_count(14)
    search = page.get_by_label("Search the words").locator("visible=true")
    search.press_sequentially("cat-7")
    expect(tiles).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a photo of <cat-7>")
    page.reload()
    expect(search).to_have_value("cat-7")
    expect(tiles).to_have_count(1)
    expect(page.locator("#word-gallery-told")).to_contain_text("Found: 1 of 14 words")
    search.fill("")
    expect(tiles).to_have_count(14)
