"""What is public, and that it stays so."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, get_args

import pytest
import typer

import pseudoword
from pseudoword.cli import app
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PlanConfig,
    Settings,
    TrainConfig,
)
from pseudoword.config.method import MethodName
from pseudoword.errors import PseudowordError
from pseudoword.formats import WRITERS
from pseudoword.methods import METHODS
from pseudoword.models import base_model
from pseudoword.notebook import EXAMPLE_WORDS


def test_the_public_names() -> None:
    assert sorted(pseudoword.__all__) == [
        "Base",
        "Comparison",
        "Concept",
        "Demo",
        "Evaluation",
        "Gallery",
        "Inspection",
        "Plan",
        "Prepared",
        "PseudowordError",
        "Pushed",
        "QueuedWord",
        "Trained",
        "Worked",
        "bases",
        "bench",
        "convert",
        "demo",
        "evaluate",
        "gallery",
        "generate",
        "inspect",
        "plan",
        "prepare",
        "push",
        "queue",
        "submit",
        "train",
        "train_many",
        "train_pack",
        "work",
    ]
    assert set(pseudoword.__all__) < set(dir(pseudoword))  # where a shell completes names
    for name in pseudoword.__all__:
        result = getattr(pseudoword, name)
        assert not isinstance(result, ModuleType), f"a module hides {name}"
        assert inspect.getdoc(result), name


def test_every_command_has_a_function_of_its_name() -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    assert set(commands) == {
        *("train", "train-many", "generate", "inspect", "prepare", "plan", "bases", "demo"),
        *("convert", "gallery", "push", "evaluate", "bench", "ui"),
        *("submit", "work", "queue"),
    }
    for name in commands.keys() - {"ui"}:  # a page, which itself calls those functions
        assert callable(getattr(pseudoword, name.replace("-", "_")))


def test_every_setting_is_explained_and_is_an_option() -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    kinds: dict[str, type[Settings]] = {"train": TrainConfig, "generate": GenerateConfig}
    kinds |= {"bench": BenchConfig, "evaluate": EvaluateConfig, "plan": PlanConfig}
    for name, kind in kinds.items():
        options = {parameter.name for parameter in commands[name].params}
        for field, info in kind.model_fields.items():
            assert info.description, field
            assert field in options


def test_settings_and_help_name_what_the_dicts_hold() -> None:
    commands = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    (option,) = [p for p in commands["convert"].params if p.name == "format_"]
    assert set(WRITERS) <= set(re.findall(r"[a-z0-9-]+", option.help))
    assert set(get_args(TrainConfig.model_fields["method"].annotation)) == set(METHODS)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nsys.argv = ['pseudoword', '--help']\nfrom pseudoword.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', {'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "HEAVY set()" in output
    assert "train" in output


def test_the_setting_takes_the_methods_there_are() -> None:
    assert tuple(METHODS) == get_args(MethodName)


WRONG: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "a cat", "scheduler": "DMP"},
    "train": {"token": "<cat>", "preview": ["[name] --ss DMP"]},
    "train_many": {"preview": ["[name] --ss DMP"]},
    "evaluate": {"similarity_model": "nowhere/at/all"},
    "bench": {"compare": "optimiser=adamm"},
    "prepare": {"pictures": "nowhere"},
    "plan": {"base": "nowhere/at/all"},
}
"""Function -> arguments one of which names something that is not there."""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_there_is_told_before_anything_is_loaded(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr(base_model, "load", load)
    monkeypatch.setattr(base_model, "build", load)
    monkeypatch.setattr(base_model, "load_named", load)
    function = getattr(pseudoword, name)
    taken = inspect.signature(function).parameters
    out = tmp_path.parent / f"{tmp_path.name}-out"
    usual = {"pictures": pictures, "out": out, "folder": pictures.parent}
    given = {one: value for one, value in usual.items() if one in taken} | WRONG[name]
    if "concept" in taken and "prompt" not in taken:
        given["concept"] = EXAMPLE_WORDS / "panda.safetensors"
    with pytest.raises(PseudowordError, match=r"nowhere|DMP|adamm"):
        function(**given)
    assert not out.exists()


def test_type_checkers_read_the_types_of_the_package() -> None:
    assert (Path(pseudoword.__file__).parent / "py.typed").is_file()
