"""Make what is made from the code: keywords.py, docs/commands.md and docs/python.md.

    python scripts/reference.py

The first, in src/pseudoword, tells editors and type checkers what settings the public functions
take; the second has all options of all commands, the third all public functions and classes.
"""

import argparse
import ast
import inspect
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic_core import PydanticUndefined
from typer import Context
from typer.main import get_command

from pseudoword import api
from pseudoword.cli.app import app
from pseudoword.cli.help import OTHER_NAMES, Rows, groups_of
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    LoadConfig,
    PlanConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
    WorkConfig,
)
from pseudoword.config.fields import Auto

ROOT = Path(__file__).resolve().parent.parent
KEYWORDS = ROOT / "src" / "pseudoword" / "keywords.py"
COMMANDS = ROOT / "docs" / "commands.md"
PYTHON = ROOT / "docs" / "python.md"
WIDTH = 120

HEAD = '''"""Settings of the public functions as keyword arguments, for editors and type checkers.

Made from `pseudoword.config` by scripts/reference.py. Change the settings there, never here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pseudoword import config
from pseudoword.commands.load import Loaded
'''

OF_COMMANDS = (
    "All options of all commands, with their defaults. From Python they are arguments: "
    "`--clip-skip 2` is `clip_skip=2`, and `--no-average` is `average=False`. Names that other "
    "trainers have for them are in [training.md](training.md#names-that-you-may-know)."
)
OF_PYTHON = (
    "All that `import pseudoword` gives. Settings (`**settings`) are explained in "
    "[commands.md](commands.md), where they are options: `clip_skip=2` is `--clip-skip 2`. Errors "
    "are in `pseudoword.errors`. A `progress` has the methods of `pseudoword.progress.Progress`: "
    "`phase(text)`, `advance(done, total, detail)` and `note(text)`."
)

LISTS = {"Args:", "Raises:", "Attributes:"}
"""Sections of docstrings that list something."""

KINDS: dict[str, tuple[type[Settings], tuple[str, ...]]] = {
    "Train": (TrainConfig, ("pictures", "token")),
    "TrainMany": (TrainConfig, ("pictures", "token", "out")),
    "Work": (WorkConfig, ()),
    "Load": (LoadConfig, ("base",)),
    "Generate": (GenerateConfig, ()),
    "Prepare": (PrepareConfig, ("pictures",)),
    "Evaluate": (EvaluateConfig, ("pictures",)),
    "Bench": (BenchConfig, ()),
    "Plan": (PlanConfig, ()),
}
"""Functions -> their settings, and which of them they have as arguments or do not take."""

IN_MEMORY = {"Train", "Generate", "Evaluate"}
"""Functions whose base model may be in memory already."""


def keywords() -> str:
    """What settings the public functions take."""
    parts = [HEAD]
    for name, (kind, own) in KINDS.items():
        parts.append(
            f"class {name}Settings(TypedDict, total=False):\n"
            f'    """Fields of `pseudoword.config.{kind.__name__}`."""\n'
        )
        for field, info in kind.model_fields.items():
            if field not in own:
                takes = list(_taken(info.annotation, info.metadata))
                if field == "base" and name in IN_MEMORY:
                    takes.append("Loaded")
                parts.append(f"    {field}: {' | '.join(dict.fromkeys(takes))}")
    parts.append("KINDS: Mapping[object, type[config.Settings]] = {")
    parts += [f"    {name}Settings: config.{kind.__name__}," for name, (kind, _) in KINDS.items()]
    parts.append('}\n"""Which class has the defaults."""\n')
    return _formatted("\n".join(parts))


def _formatted(code: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(KEYWORDS), "-"]
    return subprocess.run(command, input=code, stdout=subprocess.PIPE, text=True, check=True).stdout


def _taken(hint: Any, metadata: Sequence[Any] = ()) -> Iterator[str]:
    """The types that a field takes, which may be more than the one it then has."""
    for one in metadata:
        said = getattr(one, "json_schema_input_type", PydanticUndefined)
        if said not in (PydanticUndefined, Any):
            yield from _taken(said)
            return
    of, parts = get_origin(hint), get_args(hint)
    if of is Annotated:
        yield from _taken(parts[0], parts[1:])
    elif of in (Union, types.UnionType):
        for part in parts:
            yield from _taken(part)
    elif of is tuple:
        items = " | ".join(dict.fromkeys(_taken(parts[0])))
        yield from (items, f"Sequence[{items}]")
    elif of is Literal:
        yield f"Literal[{', '.join(map(repr, parts))}]"
    elif hint is Auto:
        yield "Literal['auto']"
    elif hint is Path:
        yield from ("str", "Path")
    elif hint is types.NoneType:
        yield "None"
    elif hint in (bool, int, float, str):
        yield hint.__name__
    else:
        raise ValueError(f"what does {hint} take?")


def commands() -> str:
    """All commands with all of their options, but for other trainers' names of them."""
    program: Any = get_command(app)
    lines = ["# Commands and settings", "", *_paragraph(OF_COMMANDS)]
    shown: dict[str, tuple[Rows, str]] = {}
    for name, command in program.commands.items():
        groups = groups_of(command, Context(command, info_name=name), everything=True)
        groups.pop(OTHER_NAMES, None)
        lines += ["", f"## {name}", "", *_paragraph(" ".join(command.help.split()))]
        same: dict[str, list[str]] = {}
        for title, rows in groups.items():
            there, where = shown.setdefault(title, (rows, name))
            less = [f"`{term.split()[0]}`" for term, _ in there if term not in dict(rows)]
            if where != name and set(rows) <= set(there) and len(less) <= 1:
                without = f" (without {less[0]})" if less else ""
                same.setdefault(where, []).append(f"*{title}*{without}")
                continue
            lines += ["", f"**{title}**", ""]
            for term, meaning in rows:
                lines += _paragraph(f"- `{term}`: {_plain(meaning)}", "  ")
        for where, titles in same.items():
            told = f"{', '.join(titles)}: as for [{where}](#{where})."
            lines += ["", *_paragraph(told)]
    return "\n".join(lines) + "\n"


def python() -> str:
    """All public functions, and the classes of what they return."""
    lines = ["# From Python", "", *_paragraph(OF_PYTHON)]
    public = {name: getattr(api, name) for name in api.__all__}
    classes = {name: one for name, one in public.items() if inspect.isclass(one)}
    functions = [one for one in public.items() if one[0] not in classes]
    for name, function in sorted(functions, key=lambda one: _line(one[1])):
        lines += ["", f"## {name}", "", "```python", *_call(name, function), "```"]
        lines += _docstring(function)
    lines += ["", "## Classes"]
    for name, kind in sorted((classes | _within(classes.values())).items()):
        lines += ["", f"### {name}", *_docstring(kind)]
        if fields := _fields(kind):
            lines += ["", *fields]
    return "\n".join(lines) + "\n"


def _within(kinds: Iterable[type]) -> dict[str, type]:
    """The classes of the package that the fields of others have, and the fields of those."""
    found: dict[str, type] = {}
    for kind in kinds:
        for name, hint in get_type_hints(kind).items():
            if not name.startswith("_"):
                found |= {one.__name__: one for one in _classes(hint)}
    return found | _within(found.values()) if found else found


def _classes(hint: Any) -> Iterator[type]:
    """The classes of the package in a type such as `list[Need]`."""
    for part in get_args(hint):
        yield from _classes(part)
    if inspect.isclass(hint) and hint.__module__.startswith("pseudoword."):
        yield hint


def _line(function: Any) -> int:
    """Where a function is written: what people use first stands first there."""
    return int(inspect.unwrap(function).__code__.co_firstlineno)


def _call(name: str, function: Any) -> list[str]:
    """A function's arguments with their types, as it is written."""
    signature = inspect.signature(function)
    code = f"def {name}{signature}: ..."
    return _formatted(re.sub(r"\*\*settings: [^)]*", "**settings", _bare(code))).splitlines()


def _bare(code: str) -> str:
    """`code` without the modules of classes."""
    return re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])", "", code)


def _docstring(thing: object) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, code, and a list for each of its sections."""
    for block in (inspect.getdoc(thing) or "").split("\n\n"):
        title, _, inside = block.partition("\n")
        yield ""
        if title == "Returns:":
            yield from _paragraph(f"{title} {' '.join(inside.split())}")
        elif title in LISTS:
            yield from (f"{title}", "")
            for entry in re.split(r"\n(?= {4}\S)", inside):
                name, colon, text = " ".join(entry.split()).partition(": ")
                said = f"`{name}`: {_plain(text)}" if colon else _plain(name)
                yield from _paragraph(f"- {said}", "  ")
        elif block.startswith("    "):
            yield from ("```python", *textwrap.dedent(block).splitlines(), "```")
        else:
            yield from _paragraph(" ".join(block.split()))


def _fields(kind: type) -> list[str]:
    """What an object of a class has, with what is said of it."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    lines = []
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    told_above = "Attributes:" in (inspect.getdoc(kind) or "")
    for node, behind in zip(body, [*body[1:], None], strict=True):
        said = ""
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if told_above:
                continue
            name, hint = node.target.id, ast.unparse(node.annotation)
            meant = get_type_hints(kind)[name]
            if get_origin(meant) is Literal:
                hint = " | ".join(map(repr, get_args(meant)))
            elif isinstance(node.annotation, ast.Name) and get_args(meant):  # a name for a type
                hint = _bare(str(meant))
            if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
                said = str(behind.value.value)
        elif isinstance(node, ast.FunctionDef) and any(
            isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list
        ):
            name, hint = node.name, ast.unparse(node.returns) if node.returns else ""
            said = ast.get_docstring(node) or ""
        else:
            continue
        if not name.startswith("_"):
            told = f"- `{name}: {hint}`" + (f": {_plain(' '.join(said.split()))}" if said else "")
            lines += _paragraph(told, "  ")
    return lines


def _plain(text: str) -> str:
    """A text of the help, as Markdown has to have it."""
    parts = re.split("(`+[^`]+`+)", text)
    for i, part in list(enumerate(parts))[::2]:  # the others are code
        escaped = re.sub(r"([<*])", r"\\\1", part)
        parts[i] = re.sub(r"(?<![\w-])(--[a-z][a-z-]+)", r"`\1`", escaped)
    named = "".join(parts)
    said, _, more = named.partition("  [")
    kept = [one for one in more.removesuffix("]").split("; ") if one and "=x" not in one]
    return " ".join([said, *(f"*{one[0].upper()}{one[1:]}.*" for one in kept)])


def _paragraph(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    KEYWORDS.write_text(keywords(), encoding="utf-8")
    COMMANDS.write_text(commands(), encoding="utf-8")
    PYTHON.write_text(python(), encoding="utf-8")
