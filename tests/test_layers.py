"""Imports go one way: no file imports another that leads back to it, not even inside a function."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TREES = {"pseudoword": ROOT / "src", "basemodel": ROOT, "benchmarks": ROOT}
"""Package -> the folder that it lies in."""


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Dotted name -> file, of all modules of a package."""
    names = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports below a node, those inside functions too; not those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from statements(other)
        else:
            yield from statements(child)


def imported(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The known modules that a module imports. `from package import module` imports the module,
    `from package import name` the package."""
    found = set()
    for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        source = statement.module or ""
        if statement.level:
            parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            base = parents[: len(parents) - statement.level + 1]
            source = ".".join([*base, source] if source else base)
        for alias in statement.names:
            state = f"{source}.{alias.name}"
            found.add(state if state in known else source)
    return found & known.keys() - {name}


def cycle(trees: Mapping[str, Path]) -> str:
    """One import cycle, as `a → b → a`; empty where there is none."""
    known: dict[str, Path] = {}
    for package, folder in trees.items():
        known |= modules(folder, package)
    graph = {name: imported(name, path, known) for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " → ".join(reversed(error.args[1]))
    return ""


def test_imports_go_one_way() -> None:
    assert not cycle(TREES)


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
        ("from some.other import name", "try:\n    import some.one\nexcept ImportError:\n    pass"),
    ],
)
def test_a_cycle_is_found(one: str, other: str, tmp_path: Path) -> None:
    found = cycle(package(tmp_path, one=one, other=other))
    assert found in ("some.one → some.other → some.one", "some.other → some.one → some.other")


def test_a_cycle_through_a_package_is_found(tmp_path: Path) -> None:
    trees = package(tmp_path, __init__="from some.one import name", one="from some import value")
    assert "some.one" in cycle(trees)


def test_an_import_for_the_type_checker_is_no_cycle(tmp_path: Path) -> None:
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from some import one"
    assert not cycle(package(tmp_path, one="from some import other", other=checked))
