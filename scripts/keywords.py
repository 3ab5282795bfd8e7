"""Make src/pseudoword/keywords.py: the settings of each public function, for editors and mypy.

    python scripts/keywords.py

The settings themselves are in `pseudoword.config`; this writes down what each of them takes.
"""

import argparse
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

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

FILE = Path(__file__).resolve().parent.parent / "src" / "pseudoword" / "keywords.py"

HEAD = '''"""Settings of the public functions as keyword arguments, for editors and type checkers.

Made from `pseudoword.config` by scripts/keywords.py. Change the settings there, never here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pseudoword import config
from pseudoword.commands.load import Loaded
'''

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


def made() -> str:
    """The whole file."""
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
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FILE), "-"]
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


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    FILE.write_text(made(), encoding="utf-8")
