"""The arguments of the public functions, of types that they do not declare."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pseudoword
from pseudoword import api
from pseudoword.arguments import checked
from pseudoword.errors import SettingsError
from pseudoword.progress import Progress, Silent

NO_TYPE_OF_ANY: tuple[Any, ...] = (object(), b"bytes", {}, 1.5, [object()], Silent)
"""None of these is what an argument may be; the last is a class where its instance belongs."""

GIVEN: dict[str, Any] = {"configs": [], "to": "me/word"}
"""What stands for an argument beside the wrong one, where a path does not do."""


def arguments() -> Iterator[Any]:
    for name in pseudoword.__all__:
        function = getattr(pseudoword, name)
        if inspect.isfunction(function):
            own = inspect.signature(getattr(api, name)).parameters.values()  # without settings
            for parameter in own:
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                    yield pytest.param(function, parameter, id=f"{name}-{parameter.name}")


@pytest.mark.parametrize(("function", "parameter"), arguments())
def test_an_argument_of_another_type_is_named(
    function: Callable[..., object],
    parameter: inspect.Parameter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD
    ]
    for wrong in NO_TYPE_OF_ANY:
        args = [wrong if one == parameter else GIVEN.get(one.name, "nothing") for one in needed]
        named = {} if parameter in needed else {parameter.name: wrong}
        with pytest.raises(SettingsError, match=rf"\b{parameter.name}\b"):
            function(*args, **named)
    assert not list(tmp_path.iterdir())  # nothing was begun


@checked
def takes(
    path: str | Path = "",
    count: int = 0,
    switch: bool = False,
    progress: Progress | None = None,
) -> None:
    """Takes some types of arguments."""


def test_what_does_as_well_is_taken(tmp_path: Path) -> None:
    takes(tmp_path, np.int64(3), switch=True, progress=Silent())  # type: ignore[arg-type]
    assert list(inspect.signature(takes).parameters) == ["path", "count", "switch", "progress"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": None}, "takes: path is None, but must be str or Path."),
        ({"count": True}, "takes: count is True, but must be int."),
        ({"switch": "no"}, "takes: switch is 'no', but must be bool."),
        (
            {"progress": Silent},
            "takes: progress is the class Silent, but must be Progress or None.",
        ),
        ({"path": Silent()}, "takes: path is of type Silent, but must be str or Path."),
    ],
)
def test_the_message_says_what_is_given_and_what_must_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        takes(**given)
    assert str(raised.value) == said


def test_pictures_may_come_one_after_another(tmp_path: Path) -> None:
    with pytest.raises(pseudoword.PseudowordError, match=r"none\.png"):
        pseudoword.train((tmp_path / name for name in ["none.png"]), "<toy>", out=tmp_path / "run")


def test_an_argument_too_many_or_too_few_is_told_as_python_tells_it() -> None:
    with pytest.raises(TypeError, match=r"takes\(\) takes from 0 to 4 positional arguments but 5"):
        takes("", 0, False, None, "")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"generate\(\) missing 1 required positional argument"):
        pseudoword.generate()  # type: ignore[call-arg]


def test_of_a_result_the_part_that_is_meant_is_named(tmp_path: Path) -> None:
    concept = pseudoword.Concept("<a>", {"clip_l": torch.zeros(1, 256)})
    word: Any = pseudoword.Trained(concept, tmp_path, effect=0.0, seconds=0.0)
    base: Any = pseudoword.bases()[0]
    for call, part in (
        (lambda: pseudoword.generate("a <a>", concept=word), "concept"),
        (lambda: pseudoword.inspect(word), "folder"),
        (lambda: pseudoword.load(base), "path"),
    ):
        with pytest.raises(SettingsError, match=rf"\. Give its `{part}`\.$"):
            call()
