"""Imports go one way: no file imports, even inside a function, a file that leads back to it."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TREES = {"pseudoword": ROOT / "src", "basemodel": ROOT, "benchmarks": ROOT}
"""Package -> the folder that it lies in."""

CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Dotted name -> file, of all modules of a package."""
    names = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


def statements(node: ast.AST, for_types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports below a node, also those inside functions.

    Those under `if TYPE_CHECKING` only if `for_types`.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) in CHECKING and not for_types:
            yield from statements(ast.Module(child.orelse, []), for_types)
        else:
            yield from statements(child, for_types)


def class_paths(node: ast.AST) -> set[str]:
    """The modules in texts like "package.module:Class", which are imported by their names."""
    values = (child.value for child in ast.walk(node) if isinstance(child, ast.Constant))
    return {text.partition(":")[0] for text in values if isinstance(text, str) and ":" in text}


def imported(name: str, path: Path, known: Mapping[str, Path], for_types: bool) -> set[str]:
    """The known modules that a module imports.

    `from package import module` imports the module, `from package import name` the package.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    result = class_paths(tree)
    for statement in statements(tree, for_types):
        if isinstance(statement, ast.Import):
            result |= {alias.name for alias in statement.names}
            continue
        source = statement.module or ""
        if statement.level:
            parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            base = parents[: len(parents) - statement.level + 1]
            source = ".".join([*base, source] if source else base)
        for alias in statement.names:
            member = f"{source}.{alias.name}"
            result.add(member if member in known else source)
    return result & known.keys() - {name}


def cycle(trees: Mapping[str, Path], for_types: bool = False) -> str:
    """One import cycle, as `a → b → a`; empty if there is none."""
    known: dict[str, Path] = {}
    for package, folder in trees.items():
        known |= modules(folder, package)
    graph = {name: imported(name, path, known, for_types) for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " → ".join(reversed(error.args[1]))
    return ""


def test_imports_go_one_way() -> None:
    assert not cycle(TREES)


def test_the_recipe_goes_one_way_for_type_checkers_too() -> None:
    assert not cycle({"basemodel": ROOT, "benchmarks": ROOT}, for_types=True)


def package(folder: Path, **files: str) -> Mapping[str, Path]:
    (folder / "some").mkdir()
    for name, text in {"__init__": "", **files}.items():
        (folder / "some" / f"{name}.py").write_text(text)
    return {"some": folder}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("import some.other", "import some.one"),
        ("from some import other", "from some.one import name"),
        ("from . import other", "from .one import name"),
        ("from some.other import name", "def later():\n    from some import one"),
        ("import some.other", 'PATH = "some.one:Class"'),
        ("from some.other import name", "try:\n    import some.one\nexcept ImportError:\n    pass"),
    ],
)
def test_a_cycle_is_found(one: str, other: str, tmp_path: Path) -> None:
    result = cycle(package(tmp_path, one=one, other=other))
    assert result in ("some.one → some.other → some.one", "some.other → some.one → some.other")


def test_a_cycle_through_a_package_is_found(tmp_path: Path) -> None:
    trees = package(tmp_path, __init__="from some.one import name", one="from some import value")
    assert "some.one" in cycle(trees)


def test_an_import_for_the_type_checker_is_no_cycle(tmp_path: Path) -> None:
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from some import one"
    trees = package(tmp_path, one="from some import other", other=checked)
    assert not cycle(trees)
    assert cycle(trees, for_types=True)
