"""What a person does on the page counts, in the order in which it is done, fast or slow."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Page, Route, expect
from served import LONG_MS, Served, drop, free_port, open_page, put, put_number, tab, wait_until

from pseudoword.config import BaseChoice, PrepareConfig, TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.ui.desk import Desk
from pseudoword.ui.page import app
from pseudoword.ui.page import events as of_events
from pseudoword.ui.pictures import DataSets

pytestmark = pytest.mark.slow

PANDA = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]

LATE_ANSWERS = """
const usual = window.fetch;
window.fetch = async (...asked) => {
  const answer = await usual(...asked);
  if (!answer.url.includes("/queue/data")) return answer;
  const reader = answer.body.getReader();
  const late = new ReadableStream({
    async pull(to) {
      const { done, value } = await reader.read();
      await new Promise(passed => setTimeout(passed, 700));
      done ? to.close() : to.enqueue(value);
    },
  });
  return new Response(late, { status: answer.status, headers: answer.headers });
};
"""
"""A slow connection: what the server sends of events comes in after a while."""

OF_VALUES = {"change", "input", "blur", "release", "submit"}
"""Events that come after a control was changed."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return events_of(Desk(tmp_path_factory.mktemp("desk") / "workspace"))


def events_of(desk: Desk) -> dict[str, Any]:
    """All events of the page that call Python, by what they call."""
    return {f"{one._id} {one.name}": one for one in app.page(desk).fns.values() if one.fn}


def test_no_change_of_a_control_is_dropped_during_an_earlier_one(events: dict[str, Any]) -> None:
    draws = {name for name, one in events.items() if one.concurrency_id == "model"}
    dropped = {
        name
        for name, one in events.items()
        if OF_VALUES & {event for _, event in one.targets} and one.trigger_mode == "once"
    }
    assert dropped - draws == set()


def test_what_is_shown_of_settings_is_made_again_after_a_change_of_any(desk: Desk) -> None:
    page = app.page(desk)
    called = {getattr(one, "elem_id", None): key for key, one in page.blocks.items()}
    settings = {called.get(f"teach-{name}".replace("_", "-")) for name in TrainConfig.model_fields}
    settings = settings - {None} | {called["init"], called["kind"]}
    assert len(settings) > 50
    (estimated,) = (one for one in page.fns.values() if one.name == "_estimated")
    _, typed = estimated.inputs
    assert (typed._id, "change") in estimated.targets

    (keeps,) = (one for one in page.fns.values() if typed in one.outputs and len(one.targets) > 9)
    assert {key for key, event in keeps.targets if event == "change"} >= settings
    assert {one._id for one in keeps.inputs} >= settings


def test_pictures_are_looked_at_again_after_a_change_of_all_that_decides_how(desk: Desk) -> None:
    page = app.page(desk)
    called = {getattr(one, "elem_id", None): key for key, one in page.blocks.items()}
    decide = PrepareConfig.model_fields.keys() - BaseChoice.model_fields | {"base"}
    ids = {called.get(f"teach-{name}".replace("_", "-")) for name in decide} - {None}
    (looks,) = (one for one in page.fns.values() if one.name == "_seen_anew")
    changes = {key for key, event in looks.targets if event == "change"}
    assert changes >= ids | {called["kind"]}
    assert len(ids) > 9


def test_what_the_browser_does_by_itself_waits_for_no_answer(desk: Desk) -> None:
    """Gradio runs the events of one change one after the other; those of a load each alone."""
    waits: dict[tuple[int | None, str], str] = {}
    for one in app.page(desk).fns.values():
        for trigger in (it for it in one.targets if it[0] is not None and it[1] != "load"):
            assert one.fn or trigger not in waits, f"{one.js} waits for {waits[trigger]}"
            waits |= {trigger: str(one.name)} if one.fn else {}


def test_no_event_takes_a_form_full_of_controls(events: dict[str, Any]) -> None:
    """Gradio would look through the whole page for each, now and at each later event."""
    assert {name: len(one.inputs) for name, one in events.items() if len(one.inputs) > 9} == {}


def test_what_waits_for_its_turn_is_not_told_anew_of_a_press(events: dict[str, Any]) -> None:
    """Gradio would tell it of the press before."""
    told = {name: one.trigger_mode for name, one in events.items() if one.collects_event_data}
    assert "always_last" not in told.values(), told


def test_no_two_events_show_something_in_one_place_at_once(events: dict[str, Any]) -> None:
    """Of two answers, the older one could come last. A state shows nothing by itself."""

    def places(one: Any) -> set[int]:
        return {it._id for it in one.outputs if not isinstance(it, gr.State)}

    queued = [(name, one) for name, one in events.items() if one.queue]
    for name, one in queued:
        for other, two in queued:
            if name != other and places(one) & places(two):
                turns = {(it.concurrency_id, it.concurrency_limit) for it in (one, two)}
                assert len(turns) == 1, (name, other)
                assert one.concurrency_limit == 1, name


def test_pictures_are_looked_at_again_after_all_that_decides_their_sentences(
    desk: Desk,
) -> None:
    page = app.page(desk)
    called = {getattr(one, "elem_id", ""): key for key, one in page.blocks.items()}
    looks = [one for one in page.fns.values() if called["seen"] in [o._id for o in one.outputs]]
    changes = {key for one in looks for key, event in one.targets if event == "change"}
    assert {called[f"teach-{one}"] for one in ("template", "also", "resolution")} <= changes


def test_what_was_seen_is_told_by_the_page_not_by_the_server(events: dict[str, Any]) -> None:
    """Which may be further than what was seen when something was pressed."""
    asks = {
        name
        for name, one in events.items()
        if any(isinstance(given, gr.State) for given in one.inputs) and one.name != "_polled"
    }
    assert asks == set()


def test_no_dropped_file_is_lost_or_taken_twice(events: dict[str, Any]) -> None:
    """Gradio leaves out an upload that comes during an earlier one; then both come together."""
    taking = {
        name: one.trigger_mode
        for name, one in events.items()
        if any(given.get_block_name() in {"file", "uploadbutton"} for given in one.inputs)
    }
    assert taking
    assert set(taking.values()) == {"multiple"}, taking


@pytest.mark.parametrize("error", [SettingsError("it cannot be"), PermissionError(13, "no way")])
def test_every_event_tells_its_errors_in_a_sentence_that_is_seen(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would see what is told of an event that is not queued."""
    events = events_of(desk)
    told: list[str] = []
    monkeypatch.setattr(of_events, "tell", told.append)

    class Fails:
        def __getattr__(self, _name: str) -> Any:
            raise error

    for part in ("library", "queue", "data_sets", "drawing"):
        object.__setattr__(desk, part, Fails())
    for name, one in events.items():
        before = len(told)
        one.fn(*["a thing" for _ in one.inputs])
        assert one.queue or len(told) == before, name
    assert len(told) > len(events) / 3


def test_no_event_shows_its_progress_on_the_canvas(events: dict[str, Any]) -> None:
    """All events of the page would draw and upload it again."""
    for name, one in events.items():
        places = one.outputs if one.show_progress_on is None else one.show_progress_on
        assert "imageeditor" not in {place.get_block_name() for place in places}, name


def test_no_output_is_told_of_progress_that_is_hidden(events: dict[str, Any]) -> None:
    """The browser would tell each again at every event, and search the whole page for it."""
    hidden = {name: one for name, one in events.items() if one.show_progress == "hidden"}
    assert hidden
    assert [name for name, one in hidden.items() if one.show_progress_on != []] == []


@dataclass
class Slow:
    """A page in this process, which lets something take as long as a test wants, the first time."""

    url: str
    desk: Desk
    began: threading.Event
    may_go_on: threading.Event
    fails: bool = False
    """whether that fails in the end, the first time"""


@pytest.fixture
def slow(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Slow]:
    """Its parameter names the method of `DataSets` that is slow.

    Ask for it before `page`: it waits at its end for browsers that have it open.
    """
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    made = Slow("", desk, threading.Event(), threading.Event())
    usual = getattr(DataSets, request.param)

    def slow_first(*given: Any) -> Any:
        if not made.began.is_set():
            made.began.set()
            assert made.may_go_on.wait(LONG_MS / 1000)
            if made.fails:
                raise SettingsError("it cannot be")
        return usual(*given)

    monkeypatch.setattr(DataSets, request.param, slow_first)
    blocks = app.page(desk)
    port = free_port()
    app._launch(blocks, desk, tmp_path / "uploads", "127.0.0.1", port, False, None)
    made.url = f"http://127.0.0.1:{port}"
    yield made
    made.may_go_on.set()
    blocks.close(verbose=False)


@pytest.mark.parametrize("slow", ["set_crop"], indirect=True)
@pytest.mark.parametrize("fails", [False, True])
def test_the_last_edit_of_a_picture_counts_and_is_of_the_picture_it_was_made_of(
    slow: Slow, page: Page, fails: bool
) -> None:
    """Also if the edit before it fails: Gradio sends what has waited after a success only."""
    slow.fails = fails
    open_page(page, slow)
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)
    (mine,) = slow.desk.workspace.ids("pictures")
    page.locator("#seen button").first.click()
    expect(page.locator("#edit")).to_contain_text(PANDA[0].name)

    put_number(page, "Zoom", 2)
    assert slow.began.wait(LONG_MS / 1000)
    put_number(page, "Zoom", 4)
    put_number(page, "Left to right", 0)
    if not fails:  # else it would be made up for when another picture is pressed
        page.locator("#seen button").nth(1).click()
    slow.may_go_on.set()
    if fails:
        expect(page.get_by_text("it cannot be")).to_be_visible()
    else:
        expect(page.locator("#edit")).to_contain_text(PANDA[1].name)

    first, second = slow.desk.data_sets.pictures(mine)
    side = slow.desk.data_sets.open(mine, first.id).height
    expected = (0, side * 3 // 8, side // 4, side * 5 // 8)
    wait_until(page, lambda: slow.desk.data_sets.one(mine, first.id).crop == expected)
    assert slow.desk.data_sets.one(mine, second.id).crop is None


def test_an_answer_comes_although_the_connection_for_it_was_just_closed(
    own_page: Page, served: Served
) -> None:
    page, asked = own_page, []
    page.add_init_script(LATE_ANSWERS)
    page.on("request", lambda one: asked.append(one.post_data or ""))
    open_page(page, served)
    page.wait_for_timeout(5000)  # until what a new page asks for is answered
    # No setting has changed: all were sent once for the pictures, and once for the estimate.
    assert len([data for data in asked if "AdamW" in data]) == 2
    tab(page, "Words")
    page.wait_for_timeout(300)  # its answer is on the way, and the server has closed behind it
    tab(page, "Teach")
    page.click("#teach-start")
    expect(page.locator("#start-told")).to_contain_text("Give the new word a name first.")


AT_ONCE = """() => {
    const name = document.querySelector("#name textarea, #name input");
    name.value = "x";
    name.dispatchEvent(new Event("input", { bubbles: true }));
    document.querySelector("#teach-start").click();
}"""


def test_what_is_typed_counts_however_soon_a_button_is_pressed(page: Page, served: Served) -> None:
    """Programs that type and press for a person take no time, and leave the cursor where it is."""
    open_page(page, served)
    page.evaluate(AT_ONCE)
    expect(page.locator("#start-told")).to_contain_text("Drop three to five pictures")


def test_the_example_fills_in_what_a_person_has_not_written(page: Page, served: Served) -> None:
    open_page(page, served)
    put(page, "name", "my-panda")
    page.click("#example")
    expect(page.locator("#seen img")).to_have_count(4)
    expect(page.locator("#seen")).to_contain_text("<my-panda> in noto style on a gray background")
    expect(page.locator("#init textarea, #init input")).to_have_value("bear")
    expect(page.locator("#name textarea, #name input")).to_have_value("my-panda")
    expect(page.locator("#example")).to_be_hidden()
    page.click("#others")
    expect(page.locator("#example")).to_be_visible()
    expect(page.locator("#seen")).to_be_hidden()
    put(page, "init", "cat")
    page.click("#example")
    expect(page.locator("#seen img")).to_have_count(4)
    expect(page.locator("#init textarea, #init input")).to_have_value("cat")


@pytest.fixture
def late_pictures(page: Page) -> list[Route]:
    """Holds the questions that bring pictures on their way to the server."""
    held: list[Route] = []

    def hold(asked: Route) -> None:
        if "gradio.FileData" in (asked.request.post_data or ""):
            held.append(asked)
        else:
            asked.continue_()

    page.route("**/gradio_api/queue/join*", hold)
    return held


def test_nothing_is_taught_before_the_pictures_are_read(
    page: Page, served: Served, late_pictures: list[Route]
) -> None:
    open_page(page, served)
    put(page, "name", "early")
    begin = page.locator("#teach-start")
    for _ in range(2):  # each time, not only the first
        drop(page, PANDA)
        expect(begin).to_have_text("Reading the pictures …")
        expect(begin).to_be_disabled()
        wait_until(page, lambda: late_pictures)
        late_pictures.pop().continue_()
        expect(begin).to_have_text("Teach")
        expect(begin).to_be_enabled()
        expect(page.locator("#seen img")).to_have_count(2)
        page.click("#others")
        expect(page.locator("#seen img")).to_have_count(0)


@pytest.mark.parametrize("slow", ["add"], indirect=True)
def test_a_word_may_be_named_while_its_pictures_are_read(slow: Slow, page: Page) -> None:
    open_page(page, slow)
    drop(page, PANDA)
    assert slow.began.wait(LONG_MS / 1000)
    with page.expect_request("**/gradio_api/queue/join*") as named:
        put(page, "name", "hasty")
    assert named.value.response()
    slow.may_go_on.set()
    expect(page.locator("#seen")).to_contain_text("<hasty>")
    expect(page.locator("#seen img")).to_have_count(2)


def test_what_was_typed_and_dropped_is_there_when_the_page_is_loaded_again(
    page: Page, served: Served
) -> None:
    name, init = (page.locator(f"#{one} input, #{one} textarea") for one in ("name", "init"))

    def kept() -> object:
        return page.evaluate("localStorage.getItem('pseudoword-typed')")

    def until_kept(act: Callable[[], object]) -> None:
        before = kept()
        act()
        wait_until(page, lambda: kept() != before)

    open_page(page, served)
    wait_until(page, kept)  # a page that is loaded writes, too
    until_kept(lambda: put(page, "name", "my cat"))
    until_kept(lambda: put(page, "init", "woman"))
    until_kept(page.reload)
    expect(name).to_have_value("my cat")
    expect(init).to_have_value("woman")
    until_kept(lambda: put(page, "init", "object"))
    until_kept(page.get_by_label("a person").click)
    expect(init).to_have_value("person")
    until_kept(lambda: put(page, "init", "woman"))
    until_kept(page.get_by_label("a style").click)
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)
    page.reload()
    expect(page.locator("#seen img")).to_have_count(2)
    expect(page.locator("#start-told [role=alert]")).to_have_count(0)
    expect(name).to_have_value("my cat")
    expect(init).to_have_value("woman")  # as typed
    expect(page.get_by_label("a style")).to_be_checked()
    expect(page.locator("#seen")).to_contain_text("<my-cat>")


@pytest.fixture
def last_part(page: Page) -> Iterator[list[Route]]:
    """Holds back a part of the page, which is not loaded until it may go on."""
    parts = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    (part,) = (it for it in parts.glob("Index-*.js") if b"from localStorage" in it.read_bytes())
    waits: list[Route] = []
    page.route(f"**/assets/{part.name}", lambda asked: waits.append(asked))
    yield waits
    page.unroute_all()


def test_what_is_dropped_while_the_page_is_loaded_is_taken(
    page: Page, served: Served, last_part: list[Route]
) -> None:
    page.goto(served.url)
    drop(page, PANDA)
    expect(page.locator("#teach-start")).to_have_text("Reading the pictures …")
    last_part[0].continue_()
    expect(page.locator("#seen img")).to_have_count(2)
    expect(page.locator("#teach-start")).to_have_text("Teach")
    expect(page.locator("#warnings [role=alert]")).to_have_count(0)


def test_what_is_pressed_while_the_page_is_loaded_counts(
    page: Page, served: Served, last_part: list[Route]
) -> None:
    page.goto(served.url)
    page.press("#example", "Enter")  # Gradio lays something over it, which no key minds
    expect(page.locator("#name textarea, #name input")).to_have_value("panda")
    last_part[0].continue_()
    expect(page.locator("#seen img")).to_have_count(4)
    expect(page.locator("#name textarea, #name input")).to_have_value("panda")


def test_another_server_reads_what_the_browser_has_kept(desk: Desk) -> None:
    kept = [
        {one.storage_key: one.secret for one in app.page(desk).blocks.values() if _is_kept(one)}
        for _ in range(2)
    ]
    assert kept[0] == kept[1]
    assert kept[0]


def _is_kept(block: object) -> bool:
    return isinstance(block, gr.BrowserState)


@pytest.mark.parametrize("slow", ["add"], indirect=True)
def test_pictures_that_are_dropped_while_others_are_read_are_taken_too(
    slow: Slow, page: Page
) -> None:
    open_page(page, slow)
    drop(page, PANDA[:1])
    assert slow.began.wait(LONG_MS / 1000)
    with page.expect_request("**/gradio_api/queue/join*"):
        drop(page, PANDA[1:])
    slow.may_go_on.set()
    expect(page.locator("#seen img")).to_have_count(2)
