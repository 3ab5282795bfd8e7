"""Checks of a folder in diffusers' layout, before a library reads it."""

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.files import read_errors, read_regular
from pseudoword.models.loading.header import Header, read_header
from pseudoword.text import brief

Config = dict[str, Any]

LARGEST_CONFIG_NBYTES = 4 << 20
LARGEST_TEXT_NBYTES = 64 << 20
"""A larger vocabulary, list of merges or tokenizer is not read."""

MOST_BLOCKS = 8
"""Of a U-Net or a VAE; 4 are usual."""

WEIGHTS = (".safetensors", ".bin")
"""Endings of files with weights; the first is preferred."""


def check(folder: Path) -> None:
    """Refuse a model's folder with files that a library would never finish reading.

    Raises:
        BaseModelError: there is a pipe, a device, or a very large text.
    """
    for entry in _entries(folder):
        try:
            status = entry.stat()
        except OSError:  # a broken link: an error later, if the file is needed
            continue
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise BaseModelError(f"{entry.path} is no file, but a pipe or a device; remove it")
        is_text = entry.name.endswith((".json", ".txt", ".model"))
        if is_text and status.st_size > LARGEST_TEXT_NBYTES:
            raise BaseModelError(f"{entry.path} has {status.st_size / 1e6:,.0f} MB, far too many")


def read(path: Path) -> Config:
    """Read a config file, which holds a JSON object.

    Raises:
        BaseModelError: it does not exist, or holds no JSON object.
    """
    text = read_regular(path, LARGEST_CONFIG_NBYTES, BaseModelError)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{path} is damaged ({error or 'too deep'})") from error
    if not isinstance(config, dict):
        raise BaseModelError(f"{path} is damaged (it holds no object, but a {_json_type(config)})")
    return config


def read_headers(part: Path, variant: str | None) -> tuple[list[Path], list[Header]]:
    """Read the headers of the weights that a library would load: safetensors if there are any.

    Args:
        part: the part's folder.
        variant: for example `fp16`: only files with this in their names.

    Returns:
        The files, and their headers.

    Raises:
        BaseModelError: there are no such files, or one of them is damaged.
    """
    if (part / "adapter_config.json").exists():
        raise BaseModelError(
            f"{part} holds an adapter, which belongs to another model. Merge it into that model, "
            "and save the result as a base"
        )
    for ending in WEIGHTS:
        files = sorted(path for path in part.glob(f"*{ending}") if _has_variant(path, variant))
        if files:
            _check_index(part, {path.name for path in files})
            return files, [read_header(path, "model's part") for path in files]
    asked = f" for --variant {variant}" if variant else ""
    others = sorted(
        {p.stem.partition(".")[2] for e in WEIGHTS for p in part.glob(f"*.*{e}")} - {""}
    )
    instead = f". There are some for --variant {', '.join(others[:3])}" if others else ""
    raise BaseModelError(f"{part} holds no weights{asked}, neither .safetensors nor .bin{instead}")


def size_of(headers: Sequence[Header]) -> tuple[int, int]:
    """How many tensors and how many numbers these files hold together."""
    return sum(len(header.shapes) for header in headers), sum(header.numel for header in headers)


def whole_number(value: object, where: str, most: int) -> int:
    """Check that a value is a whole number from 1 to `most`.

    Raises:
        BaseModelError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BaseModelError(
            f"{where} is {_as_json(value)}, but should be a whole number from 1 to {most}"
        )
    return value


def finite_number(value: object, where: str) -> float:
    """Check that a value is a number from 0 to less than a million.

    Raises:
        BaseModelError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise BaseModelError(
            f"{where} is {_as_json(value)}, but should be a number from 0 to less than 1,000,000"
        )
    return float(value)


def halving_count(config: Mapping[str, Any], where: str, name: str = "block_out_channels") -> int:
    """How often a model with the blocks in `config[name]` halves the sides of its input.

    Raises:
        BaseModelError: the config has no valid list of blocks.
    """
    blocks = config[name]
    if not isinstance(blocks, list | tuple) or not 1 <= len(blocks) <= MOST_BLOCKS:
        raise BaseModelError(f"{where}: {name} should be a list of 1 to {MOST_BLOCKS} numbers")
    return len(blocks) - 1


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with read_errors(folder, BaseModelError):
        with os.scandir(folder) as listing:
            top = list(listing)
        for entry in top:
            yield entry
            if entry.is_dir():
                with os.scandir(entry.path) as listing:
                    yield from list(listing)


def _has_variant(path: Path, variant: str | None) -> bool:
    """Whether a file is of this variant: `model.fp16.safetensors` is of `fp16`."""
    _, dot, name = path.stem.partition(".")
    return name == variant or name.startswith(f"{variant}-") if variant else not dot


def _check_index(part: Path, names: set[str]) -> None:
    """Refuse sharded weights if a shard is missing, or is outside this folder."""
    # macOS puts a `._NAME` beside files on disks of others, and into archives
    for index in sorted(part.glob(f"[!.]*{WEIGHTS[0]}.index*.json")):
        listed = read(index).get("weight_map")
        if not isinstance(listed, dict):
            raise BaseModelError(f"{index} is damaged (it has no weight_map)")
        missing = [name for name in listed.values() if name not in names]
        if missing:
            raise BaseModelError(
                f"{index} names {_as_json(missing[0])}, which is not there. Download it again"
            )


def _json_type(value: object) -> str:
    return {list: "list", str: "text", type(None): "null"}.get(type(value), type(value).__name__)


def _as_json(value: object) -> str:
    return brief(json.dumps(value, default=str), 60)
