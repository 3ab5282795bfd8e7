"""What `queue` tells of a queue: on a terminal at a glance, elsewhere of each word."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pseudoword.api import QueuedWord
from pseudoword.cli.app import app
from pseudoword.cli.tables import MOST, MOST_REASONS, show_queue
from pseudoword.fleet.history import Event
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.queue import make_queue


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def some(state: str, count: int, **more: object) -> list[QueuedWord]:
    names = [f"{state}-{i:03}" for i in range(count)]
    return [QueuedWord.model_validate({"name": name, "state": state} | more) for name in names]


def large() -> list[QueuedWord]:
    # half an hour: six words an hour, so twelve and a half hours for 75
    done = some("done", 3, since=ago(60), claimed=ago(1800), tries=1)
    running = [
        word.model_copy(update={"since": ago(3600 * (i + 1)), "worker": f"gpu-{i % 4}"})
        for i, word in enumerate(some("running", MOST + 5, step=25, tries=1))
    ]
    return [*done, *running, *some("waiting", 75), *some("failed", 5, why="no face in it", tries=3)]


def told(
    words: list[QueuedWord],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    terminal: bool = True,
    every: bool = False,
) -> list[str]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "80")
    show_queue(words, "/shared/my queue", every=every)
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert all(len(line) <= 80 for line in lines if "│" in line)
    return lines


def test_of_many_words_a_terminal_shows_those_that_run_and_a_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(large(), monkeypatch, capsys)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert rows[0] == [f"running-{MOST + 4:03}", f"{MOST + 5} h 0 min", "25", "gpu-0"]
    assert len(rows) == MOST
    assert rows[-1][0] == "running-005"
    assert lines[MOST + 4 :] == [
        "88 words not shown here: --all shows each",
        "5 words failed: no face in it",
        "  failed-000, failed-001, failed-002 and 2 more",
        'to try again what failed: pseudoword queue "/shared/my queue" --retry all',
        "3 done in the last hour, about 6 an hour: about 12 h 30 min to go",
        "108 words: 75 waiting, 25 running on 4 workers, 3 done, 5 failed",
    ]


def test_a_word_whose_worker_is_gone_comes_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = some("running", 1, name="gone-0", since=ago(5), worker="gpu-9", why="it is gone")
    gone[0].stale = True
    lines = told([*large(), *gone], monkeypatch, capsys)
    rows = [line for line in lines if "│" in line]
    assert re.findall(r"[^│\s]+", rows[0]) == ["gone-0", "5", "s", "gpu-9:", "it", "is", "gone"]
    counts = "75 waiting, 25 running on 4 workers, 1 of workers that are gone, 3 done, 5 failed"
    assert lines[-1] == f"109 words: {counts}"


@pytest.mark.parametrize(("terminal", "every"), [(True, True), (False, False)])
def test_all_words_are_shown_where_they_are_asked_for_and_where_no_person_looks(
    terminal: bool,
    every: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = large()
    lines = told(words, monkeypatch, capsys, terminal=terminal, every=every)
    for word in words:
        assert sum(f"│ {word.name} " in line for line in lines) == 1
    assert sum("no face in it" in line for line in lines) == 6
    assert not any("--all" in line for line in lines)


def test_of_few_words_each_is_shown_and_a_reason_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*some("waiting", 2, why="no base"), *some("failed", MOST - 2, why="no face")]
    lines = told(words, monkeypatch, capsys)
    for word in words:
        assert sum(f"│ {word.name} " in line for line in lines) == 1
    assert [line for line in lines if "no base" in line] == ["2 words will be tried again: no base"]
    assert sum("no face" in line for line in lines) == 1
    assert lines[-1] == f"{MOST} words: 2 waiting, {MOST - 2} failed"


def test_of_many_reasons_a_terminal_shows_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = some("failed", MOST + 1)
    for i, word in enumerate(words):
        word.why = f"reason {'x' * i}"
    lines = told(words, monkeypatch, capsys)
    assert sum(": reason " in line for line in lines) == MOST_REASONS
    rest = f"{MOST + 1 - MOST_REASONS} words for other reasons: --all shows each"
    assert rest in lines


def test_nothing_is_foretold_where_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told([], monkeypatch, capsys) == ["no words"]
    waiting = some("waiting", MOST + 1)
    assert told(waiting, monkeypatch, capsys) == [
        f"{MOST + 1} words not shown here: --all shows each",
        f"{MOST + 1} words: {MOST + 1} waiting",
    ]
    done = some("done", MOST + 1, since=ago(60), claimed=ago(120))
    assert told([*done, *waiting], monkeypatch, capsys)[1] == f"{MOST + 1} done in the last hour"


def test_json_has_times(tmp_path: Path) -> None:
    queue = make_queue(tmp_path / "queue")
    queue.submit(Job("cat-1", "", b""))
    queue.submit(Job("dog-1", "", b""))
    claim = queue.claim("cat-1", "me", 60)
    assert claim
    queue.end(claim, Event(kind="done"))
    result = CliRunner().invoke(app, ["queue", queue.address, "--json", "--all"])
    assert result.exit_code == 0
    cat, dog = json.loads(result.stdout)
    times = queue.store.times("events")
    assert [datetime.fromisoformat(cat[time]) for time in ("claimed", "since")] == [*times.values()]
    assert (dog["since"], dog["claimed"]) == (None, None)
