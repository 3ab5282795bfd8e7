"""What helps in a notebook."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("IPython", reason="needs IPython, which is not installed")

from pseudoword import notebook
from pseudoword.errors import SettingsError
from pseudoword.progress import Progress


class Screen:
    """What cells would show: the last update of each output."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []

    def display(self, first: Any, **_how: Any) -> "Output":
        self.outputs.append(first)
        return Output(self, len(self.outputs) - 1)


class Output:
    def __init__(self, screen: Screen, at: int) -> None:
        self._screen, self._at = screen, at

    def update(self, shown: Any, **_how: Any) -> None:
        self._screen.outputs[self._at] = shown


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    found = Screen()
    monkeypatch.setattr(notebook, "display", found.display)
    monkeypatch.setattr(notebook, "get_ipython", object)
    return found


def test_it_shows_how_far_the_phase_is_and_keeps_the_notes(screen: Screen) -> None:
    progress: Progress = notebook.LiveProgress()
    progress.note("a picture is blurred")
    progress.phase("learning <cat>")
    progress.advance(8, 8, "loss 0.5000")
    status = screen.outputs[0]
    assert 'value="8" max="8"' in status["text/html"]
    assert "learning &lt;cat&gt;, 8 of 8 after 0 s, loss 0.5000" in status["text/html"]
    assert "a picture is blurred" in status["text/plain"]


def test_what_a_file_is_called_does_nothing_in_the_page(screen: Screen) -> None:
    notebook.LiveProgress().note("<script>alert(1)</script>\x1b[2J")
    assert "<script>" not in screen.outputs[0]["text/html"]
    assert "\x1b" not in screen.outputs[0]["text/html"]


def test_the_curves_are_those_of_the_log_so_far(screen: Screen, tmp_path: Path) -> None:
    log = '{"step": 1, "loss": 0.5, "lr": 0.1, "norm": 1}\n'
    progress = notebook.LiveProgress(tmp_path)
    progress.phase("loading")
    assert screen.outputs[1] == {"text/plain": ""}  # there is no log yet
    (tmp_path / "log.jsonl").write_text(log)
    progress.advance(1, 9)
    assert screen.outputs[1] == {"text/plain": ""}  # they are drawn every few seconds only
    progress.advance(9, 9)
    assert screen.outputs[1].data.startswith(b"\x89PNG")


@pytest.mark.parametrize("log", ['{"step": 1, "lo', "5", '{"loss": "x"}', '{"loss": 1}'])
def test_a_damaged_log_stops_no_training(log: str, screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(log)
    notebook.LiveProgress(tmp_path).advance(9, 9)
    assert screen.outputs[1] == {"text/plain": ""}


def test_where_a_notebook_runs_as_a_script_it_prints_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5, "lr": 0.1, "norm": 1}\n')
    progress = notebook.LiveProgress(tmp_path)
    progress.phase("learning <cat>")
    progress.advance(1, 2, "loss 0.5000")
    progress.note("a picture is blurred\x1b[2J")
    progress.advance(2, 2)
    assert capsys.readouterr().out == "learning <cat>\na picture is blurred\\x1b[2J\n"


def test_a_script_s_output_need_not_have_every_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what is written to a file on Windows."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    notebook.LiveProgress().note("learning <猫> – “toy”")
    assert written.getvalue().decode("cp1252").split() == ["learning", r"<\u732b>", "–", "“toy”"]


def test_a_grid_has_a_row_for_each_label() -> None:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    made = notebook.grid({"one": pictures, "two": pictures}, heads=["a", "b"], side_px=40)
    colours = [colour for _, colour in made.getcolors(1 << 16) or []]
    assert {(255, 0, 0), (0, 0, 255)} <= set(colours)
    assert made.width > 2 * 40
    assert made.height > 2 * 40


def test_a_table_shows_every_letter_as_it_is() -> None:
    told = notebook.table([{"word": "<a|b>", "n": 1}, {"word": "<c>", "n": 2}])
    assert told.data.splitlines() == [
        "| word | n |",
        "| --- | --- |",
        r"| \<a\|b\> | 1 |",
        r"| \<c\> | 2 |",
    ]


def test_what_is_empty_is_no_riddle() -> None:
    assert notebook.table([]).data == "*no rows*"
    with pytest.raises(SettingsError, match="no rows"):
        notebook.grid({})


def test_a_table_has_a_column_for_each_key_of_any_row() -> None:
    told = notebook.table([{"a": 1}, {"b": 2}])
    assert told.data.splitlines()[2:] == ["| 1 |  |", "|  | 2 |"]
