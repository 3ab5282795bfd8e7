"""A model in diffusers' layout: what lies in its folder, looked at before a library reads it."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.files import read_regular, reading
from pseudoword.models.loading.header import Header, read_header
from pseudoword.text import brief

Config = dict[str, Any]

LARGEST_CONFIG_NBYTES = 4 << 20
LARGEST_TEXT_NBYTES = 64 << 20
"""Vocabularies, merges and tokenizers."""

WEIGHTS = (".safetensors", ".bin")
"""Endings of files with weights, in the order in which they are preferred."""


def check(folder: Path) -> None:
    """See that there is nothing in a model's folder, or in its parts, that a library would wait for
    or never finish.

    Raises:
        BaseModelError: there is a pipe, a device, or a text of gigabytes.
    """
    for entry in _entries(folder):
        try:
            found = entry.stat()
        except OSError:  # a link to nothing: whoever needs it says so
            continue
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise BaseModelError(f"{entry.path} is no file, but a pipe or a device; take it away")
        is_text = entry.name.endswith((".json", ".txt", ".model"))
        if is_text and found.st_size > LARGEST_TEXT_NBYTES:
            raise BaseModelError(f"{entry.path} has {found.st_size / 1e6:,.0f} MB, far too many")


def read(path: Path) -> Config:
    """The JSON object in a config file.

    Raises:
        BaseModelError: there is none.
    """
    text = read_regular(path, LARGEST_CONFIG_NBYTES, BaseModelError)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{path} is damaged ({error or 'too deep'})") from error
    if not isinstance(found, dict):
        raise BaseModelError(f"{path} is damaged (it holds no object, but a {_json_type(found)})")
    return found


def read_headers(part: Path, variant: str | None) -> list[tuple[Path, Header]]:
    """The files with a part's weights that a library would load, all looked at.

    safetensors if there are any, else what torch wrote.

    Args:
        part: the part's folder.
        variant: such as `fp16`: the files with this in their names.

    Raises:
        BaseModelError: one of them is damaged, or none of that kind, or there are none.
    """
    if (part / "adapter_config.json").exists():
        raise BaseModelError(
            f"{part} holds an adapter, which stands for another model. Merge the two, and save the "
            "whole as a base"
        )
    for ending in WEIGHTS:
        files = sorted(path for path in part.glob(f"*{ending}") if _has_variant(path, variant))
        if files:
            _check_index(part, {path.name for path in files})
            return [(path, read_header(path, "model's part")) for path in files]
    wanted = f" for --variant {variant}" if variant else ""
    others = sorted(
        {p.stem.partition(".")[2] for e in WEIGHTS for p in part.glob(f"*.*{e}")} - {""}
    )
    instead = f". There are some for --variant {', '.join(others[:3])}" if others else ""
    raise BaseModelError(f"{part} holds no weights{wanted}, neither .safetensors nor .bin{instead}")


def whole(config: Mapping[str, Any], name: str, where: str, most: int) -> int:
    """A whole number from 1 to `most` in a config.

    Raises:
        BaseModelError: it is none.
    """
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BaseModelError(
            f"{where}: {name} is {_as_json(value)}, but should be a whole number from 1 to {most}"
        )
    return value


def number(value: object, where: str) -> float:
    """A number that is not negative and not infinite.

    Raises:
        BaseModelError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise BaseModelError(f"{where} is {_as_json(value)}, but should be a number from 0 on")
    return float(value)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with reading(folder, BaseModelError):
        with os.scandir(folder) as found:
            top = list(found)
        for entry in top:
            yield entry
            if entry.is_dir():
                with os.scandir(entry.path) as found:
                    yield from list(found)


def _has_variant(path: Path, variant: str | None) -> bool:
    """`model.fp16.safetensors` is of the variant `fp16`, `model.safetensors` of none."""
    _, dot, found = path.stem.partition(".")
    return found == variant or found.startswith(f"{variant}-") if variant else not dot


def _check_index(part: Path, names: set[str]) -> None:
    """See that what is split into several files is all there, and nowhere else."""
    for index in sorted(part.glob(f"*{WEIGHTS[0]}.index*.json")):
        listed = read(index).get("weight_map")
        if not isinstance(listed, dict):
            raise BaseModelError(f"{index} is damaged (it has no weight_map)")
        absent = [name for name in listed.values() if name not in {*names}]
        if absent:
            raise BaseModelError(
                f"{index} names {_as_json(absent[0])}, which is not there. Download it again"
            )


def _json_type(value: object) -> str:
    return {list: "list", str: "text", type(None): "null"}.get(type(value), type(value).__name__)


def _as_json(value: object) -> str:
    return brief(json.dumps(value, default=str), 60)
