"""What editors, type checkers and notebooks know of the settings of the public functions."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import pseudoword
from pseudoword import api, keywords
from pseudoword.config import GenerateConfig, TrainConfig
from scripts import reference as script

FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]


@pytest.mark.parametrize(
    ("file", "make"),
    [
        (script.KEYWORDS, script.keywords),
        (script.COMMANDS, script.commands),
        (script.PYTHON, script.python),
    ],
    ids=["keywords.py", "commands.md", "python.md"],
)
def test_what_is_made_from_the_code_is_of_this_code(file: Path, make: Callable[[], str]) -> None:
    assert file.read_text(encoding="utf-8") == make(), "run `python scripts/reference.py`"


def test_all_that_results_hold_is_described() -> None:
    page = script.PYTHON.read_text(encoding="utf-8")
    hints = " ".join(re.findall(r"^- `\w+: ([^`]+)`", page, re.M))
    named = set(re.findall(r"\b[A-Z]\w+", hints)) - {"None", "Path", "Mapping", "Sequence", "Image"}
    assert "Similarities" in named
    assert named <= set(re.findall(r"^### (\w+)$", page, re.M))


def test_every_function_with_settings_says_which() -> None:
    taken = {name: get_type_hints(getattr(api, name)).get("settings") for name in FUNCTIONS}
    kinds = {name: keywords.KINDS[get_args(one)[0]] for name, one in taken.items() if one}
    assert set(kinds.values()) == set(keywords.KINDS.values())
    assert (kinds["train"], kinds["submit"]) == (TrainConfig, TrainConfig)
    assert kinds["generate"] is GenerateConfig


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_and_settings_together_are_those_of_the_function(name: str) -> None:
    listed = inspect.signature(getattr(pseudoword, name)).parameters
    own = inspect.signature(getattr(api, name)).parameters
    assert own.items() <= listed.items()
    settings = {key: one.default for key, one in listed.items() if key not in own}
    if "settings" not in own:
        assert not settings
        return
    kind = keywords.KINDS[get_args(get_type_hints(getattr(api, name))["settings"])[0]]
    of_function = {"pictures", "token", "base", "out"}
    assert kind.model_fields.keys() - settings.keys() <= of_function
    required = {"pictures": "pics", "token": "<a>"}
    required = {key: one for key, one in required.items() if key in kind.model_fields}
    assert kind.check(**required, **settings) == kind.check(**required)


def test_settings_are_completed_where_a_signature_is_asked() -> None:
    shown: Any = str(inspect.signature(pseudoword.train))
    assert "lr: float | str = '50%'" in shown
    assert re.search(r"steps: [^=]*\bint\b[^=]* = 'auto'", shown)
