"""Help pages: the short one fits on a screen, the long one leaves nothing out; no word is cut."""

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pseudoword.cli.app import app
from pseudoword.config import TrainConfig
from pseudoword.config.fields import OFTEN

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LONG = ["train", "train-many", "submit", "generate", "prepare", "evaluate", "bench", "plan"]
"""Commands with so many options that the short page shows some."""


def page(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


WIDTHS = {"0": 80, "7": 40, "39": 40, "40": 40, "50": 50, "80": 80, "400": 80, "many": 80}
"""What a terminal says of its columns, and how many a page may have."""


@pytest.mark.parametrize("name", LONG)
def test_help_fits_on_a_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = page(name, "--help").splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) < 80
    assert re.search(r"--help-all +Show \d+ more options", lines[-1])


def test_the_help_of_train_shows_the_settings_that_are_marked_and_no_others() -> None:
    marked = {n for n, field in TrainConfig.model_fields.items() if OFTEN in field.metadata}
    marked |= {"config", "restart", "overwrite", "help", "help-all"}
    shown = set(re.findall(r"^  (?:-h, )?--([a-z-]+)", page("train", "--help"), re.M))
    assert shown == marked


@pytest.mark.parametrize("name", LONG)
def test_help_all_shows_every_option_and_all_that_is_said_of_it(name: str) -> None:
    said = " ".join(page(name, "--help-all").split())
    for parameter in COMMANDS[name].params:
        assert all(option in said for option in (*parameter.opts, *parameter.secondary_opts)) or (
            parameter.param_type_name == "argument"
        )
        assert " ".join((parameter.help or "").split()) in said


@pytest.fixture(scope="module")
def all_words() -> dict[tuple[str, ...], list[str]]:
    """The words of every page, by what asks for it."""
    calls = [("--help",), *((n, which) for n in COMMANDS for which in ("--help", "--help-all"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        return {call: page(*call).split() for call in calls}


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_word_is_cut_and_no_line_too_long(
    columns: str, all_words: dict[tuple[str, ...], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for call, words in all_words.items():
        said = page(*call)
        assert said.isascii()
        assert max(map(len, said.splitlines())) < WIDTHS[columns]
        assert said.split() == words


def test_the_program_shows_its_commands_in_groups() -> None:
    said = page("--help")
    titles = re.findall(r"^(\w+):$", said, re.M)
    assert titles == ["Teach", "Draw", "Look", "Share", "Measure", "Help"]
    assert set(re.findall(r"^  ([a-z-]+) ", said, re.M)) == set(COMMANDS)


def test_a_mistake_tells_the_usage_without_cutting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    said = CliRunner().invoke(app, ["evaluate", "--helpp"]).stderr
    assert max(map(len, said.splitlines()[:2])) < 40
