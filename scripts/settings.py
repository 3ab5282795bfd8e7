"""Make what is made from the settings: src/pseudoword/keywords.py and docs/commands.md.

    python scripts/settings.py

The first tells editors and type checkers what each setting of a public function takes, the second
has all options of all commands. The settings themselves are in `pseudoword.config`.
"""

import argparse
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined
from typer import Context
from typer.main import get_command

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
PAGE = ROOT / "docs" / "commands.md"
WIDTH = 120

HEAD = '''"""Settings of the public functions as keyword arguments, for editors and type checkers.

Made from `pseudoword.config` by scripts/settings.py. Change the settings there, never here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pseudoword import config
from pseudoword.commands.load import Loaded
'''

INTRODUCTION = (
    "All options of all commands, with their defaults. From Python they are arguments: "
    "`--clip-skip 2` is `clip_skip=2`, and `--no-average` is `average=False`. Names that other "
    "trainers have for them are in [training.md](training.md#names-that-you-may-know)."
)

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
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(KEYWORDS), "-"]
    return subprocess.run(
        command, input="\n".join(parts), stdout=subprocess.PIPE, text=True, check=True
    ).stdout


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


def page() -> str:
    """All commands with all of their options, but for other trainers' names of them."""
    program: Any = get_command(app)
    lines = ["# Commands and settings", "", *_paragraph(INTRODUCTION)]
    shown: dict[str, tuple[Rows, str]] = {}
    for name, command in program.commands.items():
        groups = groups_of(command, Context(command, info_name=name), everything=True)
        groups.pop(OTHER_NAMES, None)
        lines += ["", f"## {name}", "", *_paragraph(command.help)]
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


def _plain(text: str) -> str:
    """A text of the help, as Markdown has to have it."""
    escaped = re.sub(r"([<*])", r"\\\1", text)
    named = re.sub(r"(?<![\w-])(--[a-z][a-z-]+)", r"`\1`", escaped)
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
    PAGE.write_text(page(), encoding="utf-8")
