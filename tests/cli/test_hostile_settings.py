"""Any value of any setting of any command: it ends well, or with a sentence; nothing is lost.

`benchmarks/hostile_settings.py` tries thousands.
"""

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hostile import ALWAYS, COMMANDS, MOST_CHARACTERS, SETTINGS, Sandbox, Try, tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pseudoword.config import Settings
from pseudoword.errors import SettingsError


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("hostile") / "home", base)


@pytest.mark.slow
@settings(
    max_examples=45,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(tries())
def test_any_command_line_ends_well_or_with_a_sentence_and_loses_nothing(
    sandbox: Sandbox, one: Try
) -> None:
    found = sandbox.run(one)
    assert not found.wrong, f"{one!r}: {found.said[-500:]}"


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"push", "bench", "demo"}))
def test_each_command_works_where_nothing_hostile_is_added(sandbox: Sandbox, command: str) -> None:
    words = [word.replace("~", " ") for word in ALWAYS[command]]
    words += ["--device", "cpu", "--base", "base"] if command in SETTINGS else []
    found = sandbox.run(Try(command, tuple(words)))
    assert (found.code, found.wrong) == (0, []), found.said


VALUES: list[Any] = [
    *(10**400, -(10**5000), 10**5000, -1, 0, 1, 2**63, 3.5, 1e308, math.nan, math.inf, -math.inf),
    *("", " ", "x", "auto", "1", "a\0b", "\udc80", "l" * 1_000_000, "\x1b[31m", b"bytes", True),
    *(
        None,
        [],
        ["x"],
        [[]],
        {},
        {"a": 1},
        {1, 2},
        Path(),
        Path("a\0"),
        object(),
        date(1979, 5, 27),
    ),
    *(SettingsError, [None], ("a", 1), ["l" * 10**6] * 3, range(3), 1j),
]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_any_python_value_is_a_setting_or_told_in_a_sentence(data: st.DataObject) -> None:
    kind: type[Settings] = data.draw(st.sampled_from(list(SETTINGS.values())))
    name = data.draw(st.sampled_from([*kind.model_fields, "no_such_setting", "", "n\nn"]))
    needed = {"pictures": ["p"], "token": "<cat>"}
    given = {key: value for key, value in needed.items() if key in kind.model_fields}
    value = data.draw(st.sampled_from(VALUES) | st.integers() | st.floats() | st.text())
    try:
        made = kind.check(**given | {name: value})
    except SettingsError as error:
        told = str(error)
    else:
        told = " ".join(made.without_effect()) or "-"
    assert told.strip()
    assert len(told) < MOST_CHARACTERS
    assert "\n" not in told
