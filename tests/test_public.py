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
from pseudoword.config.method import LAYERED, MethodName
from pseudoword.errors import (
    BaseModelError,
    ConceptError,
    PictureError,
    PseudowordError,
    SettingsError,
    StorageError,
)
from pseudoword.formats import WRITERS
from pseudoword.methods import METHODS, Method
from pseudoword.models import base_model
from pseudoword.notebook import EXAMPLE_WORDS

WORD = EXAMPLE_WORDS / "panda.safetensors"


def test_the_public_names() -> None:
    assert sorted(pseudoword.__all__) == [
        "Base",
        "Comparison",
        "Concept",
        "Demo",
        "Environment",
        "Evaluation",
        "Gallery",
        "Inspection",
        "Loaded",
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
        "env",
        "evaluate",
        "gallery",
        "generate",
        "inspect",
        "load",
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
        *("train", "train-many", "generate", "inspect", "prepare", "plan", "bases", "demo", "env"),
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


def test_the_settings_know_which_methods_give_each_layer_rows_of_its_own() -> None:
    layered = {name for name, kind in METHODS.items() if kind.reads_layers != Method.reads_layers}
    assert layered == LAYERED


WRONG: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "a cat", "scheduler": "DMP"},
    "train": {"token": "<cat>", "preview": ["[name] --ss DMP"]},
    "train_many": {"preview": ["[name] --ss DMP"]},
    "evaluate": {"similarity_model": "nowhere/at/all"},
    "bench": {"compare": "optimiser=adamm"},
    "prepare": {"pictures": "nowhere"},
    "plan": {"base": "nowhere/at/all"},
    "load": {"base": "nowhere/at/all"},
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
    if name == "evaluate":
        given["concept"] = WORD
    with pytest.raises(PseudowordError, match=r"nowhere|DMP|adamm"):
        function(**given)
    assert not out.exists()


ERRORS: list[tuple[str, dict[str, Any], type[PseudowordError]]] = [
    ("train", {"pictures": "none", "token": "<x>"}, PictureError),
    ("train", {"pictures": ".", "token": "<x>", "base": "./none"}, BaseModelError),
    ("train", {"pictures": ".", "token": ""}, SettingsError),
    ("generate", {"prompt": "a", "concept": "./none"}, ConceptError),
    ("generate", {"prompt": "a", "base": "./none"}, BaseModelError),
    ("generate", {"prompt": "a", "lora": "none.safetensors"}, SettingsError),
    ("load", {"base": "./none"}, BaseModelError),
    ("load", {"device": "none"}, SettingsError),
    ("inspect", {"file": "./none"}, ConceptError),
    ("inspect", {"file": WORD, "base": ""}, SettingsError),
    ("inspect", {"file": WORD, "base": "./none"}, BaseModelError),
    ("convert", {"source": "./none", "out": "a.pt"}, ConceptError),
    ("convert", {"source": WORD, "out": "a.none"}, SettingsError),
    ("convert", {"source": WORD, "out": "a.png", "picture": "none.png"}, PictureError),
    ("convert", {"source": WORD, "out": "file/a.pt"}, StorageError),
    ("gallery", {"folder": "none"}, ConceptError),
    ("gallery", {"folder": ".", "out": "a.none"}, SettingsError),
    ("gallery", {"folder": WORD.parent, "out": "file/a.png"}, StorageError),
    ("prepare", {"pictures": "none"}, PictureError),
    ("prepare", {"pictures": "drawn", "out": "a.none"}, SettingsError),
    ("prepare", {"pictures": "drawn", "words": "./none"}, ConceptError),
    ("prepare", {"pictures": "drawn", "base": "./none"}, BaseModelError),
    ("prepare", {"pictures": "drawn", "out": "file/a.png"}, StorageError),
    ("push", {"folder": "none", "to": "me/word"}, ConceptError),
    ("push", {"folder": WORD, "to": "a b"}, SettingsError),
    ("bench", {"base": "./none"}, BaseModelError),
    ("bench", {"compare": "none=1"}, SettingsError),
    ("plan", {"base": "none"}, BaseModelError),
    ("plan", {"resolution": 63}, SettingsError),
    ("demo", {"out": ""}, SettingsError),
    ("demo", {"out": "file/demo"}, StorageError),
]
"""A function, what it is given, and what it raises; `file` is a file, `drawn` a folder."""


@pytest.mark.parametrize(("name", "given", "error"), ERRORS)
def test_what_a_function_raises_is_in_its_help(
    name: str,
    given: dict[str, Any],
    error: type[PseudowordError],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "drawn").symlink_to(pictures, target_is_directory=True)
    function = getattr(pseudoword, name)
    with pytest.raises(error) as raised:
        function(**given)
    listed = str(inspect.getdoc(function)).partition("Raises:")[2]
    assert any(f" {kind.__name__}:" in listed for kind in raised.type.__mro__[:2])


def test_type_checkers_read_the_types_of_the_package() -> None:
    assert (Path(pseudoword.__file__).parent / "py.typed").is_file()
