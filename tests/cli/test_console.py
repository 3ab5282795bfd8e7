import contextlib
import io
import itertools
import os
import pty
import signal
import subprocess
import sys

import pytest
import rich.console

from pseudoword.cli.console import Console


def lines(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int = 120
) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    made = rich.console.Console

    def console(**_options: object) -> rich.console.Console:
        return made(file=out, force_terminal=terminal, width=width, highlight=False)

    monkeypatch.setattr(rich.console, "Console", console)
    return Console(), out


def test_a_log_gets_plain_lines_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    console, out = lines(monkeypatch, terminal=False)
    with console:
        console.phase("learning <cat> [x]")
        for step in range(1, 4):
            console.advance(step, 3, f"loss {step}")
        console.note("[name] is kept")
    said = out.getvalue().splitlines()
    assert said[:2] == ["starting", "learning <cat> [x]"]
    assert said[2].startswith("learning <cat> [x]: 3/3 (loss 3, ")
    assert said[3] == "[name] is kept"
    assert "\x1b" not in out.getvalue()


def test_a_log_says_in_words_how_long_it_takes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pseudoword.cli.console.LOG_EVERY_SECONDS", 1.0)
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, out = lines(monkeypatch, terminal=False)
    console.phase("learning")
    for step in range(3):
        console.advance(step, 2000, "loss 1")
        now[0] += 4
    assert out.getvalue().splitlines()[1:] == [
        "learning: 1/2000 (loss 1, 4.0 s each, at most 2 h 13 min left)",
        "learning: 2/2000 (loss 1, 4.0 s each, at most 2 h 13 min left)",
    ]


def test_a_log_forgets_how_slow_the_first_steps_were(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, out = lines(monkeypatch, terminal=False)
    console.phase("learning")
    for step in range(1, 700):
        now[0] += 20 if step <= 3 else 0.125
        console.advance(step, 10_000)
    said = out.getvalue().splitlines()
    assert "20.0 s each" in said[2]
    assert said[-1].endswith("(8.0/s, at most 19 min left)")


def test_a_bar_forgets_the_hours_in_which_the_computer_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, out = lines(monkeypatch, terminal=True)
    with console:
        console.phase("learning")
        for step in range(1, 200):
            now[0] += 7200 if step == 10 else 1.0
            console.advance(step, 1000)
    assert out.getvalue().rfind("1.0/s") > out.getvalue().rfind("s each")


def test_a_signal_that_ends_it_leaves_the_cursor_to_be_seen() -> None:
    """In a terminal of its own: what a bar hides stays hidden in the shell that follows."""
    code = (
        "import signal\nfrom pseudoword.cli.console import Console\n"
        "with Console():\n signal.raise_signal(signal.SIGTERM)"
    )
    terminal, its_end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stderr=its_end, env={**os.environ, "TERM": "xterm"}
    )
    os.close(its_end)
    said = b""
    with contextlib.suppress(OSError):  # once it has ended
        while more := os.read(terminal, 1024):
            said += more
    os.close(terminal)
    assert child.wait() == -signal.SIGTERM
    assert said.rfind(b"\x1b[?25h") > said.rfind(b"\x1b[?25l") >= 0


def test_what_takes_no_time_by_the_clock_has_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    console, out = lines(monkeypatch, terminal=False)
    with console:
        console.phase("reading")
        monkeypatch.setattr("time.monotonic", lambda: 1.0)
        console.advance(1, 3)
        console.advance(3, 3)
    assert out.getvalue().splitlines()[-1] == "reading: 3/3"


@pytest.mark.parametrize(("seconds", "speed"), [(0.25, "4.0/s"), (1, "1.0/s"), (90, "90.0 s each")])
def test_speed_is_never_told_as_nothing(
    monkeypatch: pytest.MonkeyPatch, seconds: float, speed: str
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, out = lines(monkeypatch, terminal=False)
    console.phase("drawing")
    console.advance(0, 1)
    now[0] += seconds
    console.advance(1, 1)
    assert out.getvalue().splitlines()[1:] == [f"drawing: 1/1 ({speed})"]


def test_a_log_has_no_empty_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    console, out = lines(monkeypatch, terminal=False)
    console.phase("reading 1 picture")
    console.advance(1, 1)
    assert out.getvalue().splitlines() == ["reading 1 picture", "reading 1 picture: 1/1"]


def test_a_terminal_that_can_move_no_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console, out = lines(monkeypatch, terminal=True)
    with console:
        console.phase("learning")
        console.advance(3, 3, "loss 3")
    assert out.getvalue() == "starting\nlearning\nlearning: 3/3 (loss 3)\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_in_a_name_is_markup_or_steers(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, out = lines(monkeypatch, terminal)
    with console:
        console.phase("a [/bold]:cat:\x1b]0;x\x07")
        console.advance(1, 1, "[red]\x1b[2J")
        console.note("b [/bold]:cat:\x1b]0;x\x07\u202e")
    assert r"a [/bold]:cat:\x1b]0;x\x07" in out.getvalue()
    assert r"b [/bold]:cat:\x1b]0;x\x07\u202e" in out.getvalue()
    assert r"[red]\x1b[2J" in out.getvalue()
    assert "\x1b]0" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_terminal_gets_a_bar_that_ends_full(monkeypatch: pytest.MonkeyPatch) -> None:
    console, out = lines(monkeypatch, terminal=True)
    with console:
        console.phase("loading [x]")
        console.phase("learning")
        console.advance(3, 3, "loss 3")
    assert "loading [x]" in out.getvalue()
    assert "1/1" in out.getvalue()
    assert "3/3" in out.getvalue()


def test_a_phase_that_ends_early_leaves_nothing_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console, out = lines(monkeypatch, terminal=True)
    with console:
        console.phase("learning")
        console.advance(80, 2000)
        console.phase("drawing")
    assert "80/80" in out.getvalue()


@pytest.mark.parametrize("width", [40, 72, 80])
def test_a_narrow_terminal_shows_how_far_a_phase_with_a_long_name_is(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    console, out = lines(monkeypatch, terminal=True, width=width)
    with console:
        console.phase("measuring which timesteps move <w00>, <w01>, <w02> and 3 more")
        console.advance(38, 40, "loss 0.4567")
        console.phase("learning <w00>, <w01>, <w02> and 3 more")
        console.advance(1998, 2000, "loss 0.4567")
        console.advance(1999, 2000, "loss 0.4567")
    last = [line for line in out.getvalue().splitlines() if "learning" in line][-1]
    assert "1999/2000" in last
