"""What goes wrong is a plain sentence on the page, nothing is lost, and the page lives on."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from served import Served, drop, open_page, put, quick_settings, tab

from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.ui.workspace import Workspace

pytestmark = pytest.mark.slow

PANDA = sorted(EXAMPLE_PICTURES.glob("*.png"))[:2]
DROP = """(place, bytes) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], "panda.png", { type: "image/png" }));
    const dropped = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
    place.dispatchEvent(dropped);
    return dropped.defaultPrevented;
}"""
"""Drops a picture, as a mouse does; the browser shows it instead of the page if that is allowed."""

QUICK: dict[str, object] = {
    **{"steps": 3000, "batch": 1, "evaluate_every": 0, "checkpoint_every": 1},
    **{"preview": "", "timestep_sampling": "uniform"},
}


def test_a_bad_picture_is_named_and_the_good_ones_are_taken(
    page: Page, served: Served, tmp_path: Path
) -> None:
    bad = tmp_path / "torn.png"
    bad.write_bytes(PANDA[0].read_bytes()[:200])
    lone = tmp_path / "nobody.txt"
    lone.write_text("on a beach")
    other = tmp_path / "notes.pdf"
    other.write_bytes(b"%PDF-1.4")
    open_page(page, served)
    drop(page, [*PANDA, bad, lone, other])
    expect(page.locator("#seen img")).to_have_count(2)
    expect(page.locator("#seen").get_by_role("button", name="<…>")).to_have_count(2)
    told = page.locator("#warnings [role=alert]")
    expect(told.filter(has_text="torn.png")).to_be_visible()
    expect(told.filter(has_text="nobody.txt belongs to no picture here")).to_be_visible()
    expect(told.filter(has_text="notes.pdf is a PDF document")).to_be_visible()


def test_what_the_server_does_not_take_is_told_and_the_next_can_be_dropped(
    page: Page, served: Served
) -> None:
    open_page(page, served)
    refused = "That is too much at once"
    page.route("**/gradio_api/upload?*", lambda asked: asked.fulfill(status=413, body=refused))
    drop(page, PANDA)
    expect(page.get_by_text(refused)).to_be_visible()
    expect(page.locator("#drop [data-testid=status-tracker] .error")).to_have_count(1)
    expect(page.locator("#drop [data-testid=status-tracker] .error")).to_be_hidden()
    page.unroute_all()
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)


def test_a_picture_that_is_dropped_beside_its_place_is_not_shown_instead_of_the_page(
    page: Page, served: Served
) -> None:
    open_page(page, served)
    picture = list(PANDA[0].read_bytes())
    assert page.locator("#masthead").evaluate(DROP, picture)
    assert page.locator("#drop button").evaluate(DROP, picture)
    expect(page.locator("#seen img")).to_have_count(1)
    expect(page.locator("#warnings [role=alert]")).to_have_count(0)


def test_pictures_that_cannot_be_written_are_told_and_can_be_dropped_again(
    page: Page, served: Served
) -> None:
    open_page(page, served)
    in_the_way = served.folder / "pictures" / page.evaluate("window.pseudowordDataSet")
    in_the_way.touch()
    drop(page, PANDA)
    expect(page.get_by_text("cannot write")).to_be_visible()
    expect(page.locator("#teach-start")).to_have_text("Teach")
    expect(page.locator("#teach-start")).to_be_enabled()
    in_the_way.unlink()
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)


def test_what_is_missing_is_asked_for(page: Page, served: Served) -> None:
    told = page.locator("#start-told [role=alert]")
    open_page(page, served)
    page.click("#teach-start")
    expect(told).to_contain_text("Give the new word a name first.")
    put(page, "name", "nothing")
    expect(told).to_have_count(0)  # it is not missing any more
    page.click("#teach-start")
    expect(told).to_contain_text("Drop three to five pictures")
    drop(page, PANDA)
    expect(page.locator("#seen img")).to_have_count(2)
    expect(told).to_have_count(0)


def test_a_setting_that_is_wrong_is_called_as_on_the_page(page: Page, served: Served) -> None:
    _ready(page, served, "wrong")
    quick_settings(page, steps="many")
    page.click("#teach-start")
    told = page.locator("#start-told [role=alert]")
    expect(told).to_contain_text("“Steps”: should be")


def test_a_base_model_that_is_not_there_fails_with_a_sentence(page: Page, served: Served) -> None:
    _ready(page, served, "lost")
    base = page.locator("#teach-base input")
    base.fill("nobody/nothing")
    base.blur()
    page.click("#teach-start")
    failed = page.locator("#status [role=alert]")
    expect(failed).to_contain_text("nobody/nothing")
    expect(failed).not_to_contain_text("Traceback")
    (job,) = Workspace(served.folder).ids("queue")
    in_the_way = served.folder / "trash" / job
    in_the_way.touch()
    page.get_by_role("button", name="Remove from the list").click()
    expect(page.get_by_text("cannot write")).to_be_visible()
    in_the_way.unlink()
    page.get_by_role("button", name="Remove from the list").click()
    expect(page.locator("#status")).not_to_contain_text("nobody/nothing")
    page.get_by_role("button", name="Undo: bring it back").click()
    expect(page.locator("#status")).to_contain_text("nobody/nothing")


@pytest.fixture
def with_processes(tmp_path: Path) -> Iterator[Served]:
    """A page whose processes are its own."""
    made = Served(tmp_path / "workspace", own_worker=True)
    yield made
    made.stop()
    made.end_trainings()


def test_killed_processes_lose_nothing_and_no_two_tabs_learn_one_word(
    page: Page, with_processes: Served
) -> None:
    served = with_processes
    _ready(page, served, "victim")
    quick_settings(page, **QUICK)
    page.click("#teach-start")
    expect(page.locator("#start-told")).to_contain_text("<victim> was put into the queue")

    other = page.context.new_page()
    _ready(other, served, "victim")
    other.click("#teach-start")
    expect(other.locator("#start-told [role=alert]")).to_contain_text(
        "<victim> is being learned already"
    )
    other.close()

    expect(page.locator("#status")).to_contain_text("learning <victim>")
    expect(page.locator("#status .when")).to_contain_text(" of 3000")
    os.kill(_worker_pid(served), signal.SIGKILL)
    before = page.locator("#status .when").inner_text()
    expect(page.locator("#status .when")).not_to_have_text(before)  # it trains on
    os.kill(_pid(served), signal.SIGKILL)
    failed = page.locator("#status [role=alert]")
    expect(failed).to_contain_text("ended from outside: killed")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#status .when")).to_contain_text(" of 3000")
    expect(page.locator("#job-notes")).to_contain_text("resuming <victim> from step")

    page.get_by_role("button", name="Stop and keep the word").click()
    expect(page.locator("#status")).to_contain_text("stopped")
    tab(page, "Words")
    expect(page.locator("#library")).to_contain_text("<victim>")
    tab(page, "Teach")
    page.click("#teach-start")
    expect(page.locator("#start-told [role=alert]")).to_contain_text(
        "there is a word <victim> already"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="files are limited by prlimit")
def test_a_failed_write_is_told_and_the_word_before_it_is_kept(page: Page, served: Served) -> None:
    _ready(page, served, "full")
    quick_settings(page, **QUICK)
    page.click("#teach-start")
    expect(page.locator("#status")).to_contain_text("learning <full>")
    expect(page.get_by_role("button", name="Use the word")).to_be_visible()
    resource.prlimit(_pid(served), resource.RLIMIT_FSIZE, (500, 500))
    expect(page.locator("#status [role=alert]")).to_contain_text("No larger file is allowed here")
    expect(page.get_by_role("button", name="Use the word")).to_be_visible()


def _ready(page: Page, served: Served, name: str) -> None:
    """A tab with two pictures and a name."""
    open_page(page, served)
    drop(page, PANDA)
    expect(page.locator("#seen img").nth(1)).to_be_visible()
    put(page, "name", name)


def _worker_pid(served: Served) -> int:
    """Of the process that works on the queue."""
    command = ["pgrep", "-f", f"pseudoword.ui.worker {served.folder}"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _pid(served: Served) -> int:
    """Of the process that trains."""
    (running,) = (served.folder / "queue").glob("*/running.json")
    return int(json.loads(running.read_text())["pid"])
