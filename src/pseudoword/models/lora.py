"""Apply LoRA files to a frozen model while pictures are drawn."""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from pseudoword.config.generate import file_and_weight
from pseudoword.errors import BaseModelError
from pseudoword.models.loading.header import Header, read_header
from pseudoword.models.loading.loaders import using_loaders
from pseudoword.models.loading.recognition import BASE_OF_TEXT_WIDTH, LORA_KEYS, describe_file
from pseudoword.models.loading.weights import copy_mapped, find_not_finite
from pseudoword.text import brief, reason

PEFT_METADATA = "lora_adapter_metadata"
"""The metadata entry for peft's settings."""

PATTERN = re.compile(r"[()*+?{|\\]")
"""Characters that make a name a regular expression."""

PAIRS = (("lora_A", "lora_B"), ("lora_down", "lora_up"), ("lora.down", "lora.up"))
"""Names of a layer's two matrices."""

Lora = tuple[Path, float]
"""A file and its weight."""


def parse(text: str) -> Lora:
    """Read `FILE` or `FILE:WEIGHT`; the name of the file may contain a colon.

    Raises:
        BaseModelError: the file is no LoRA.
        SettingsError: there is no such file, or the weight is no number, or a huge one.
    """
    path, weight = file_and_weight(text)
    _read_lora_header(path)
    return path, weight


@contextmanager
def apply_loras(pipeline: Any, loras: Sequence[Lora], text_width: int | None) -> Iterator[None]:
    """While open, diffusers' `pipeline` has `loras` applied; afterwards it is as before.

    Args:
        pipeline: with the parts that LoRA files change.
        loras: files and weights, at least one.
        text_width: of the text that the denoiser reads, if LoRA files show theirs.

    Raises:
        BaseModelError: peft is not installed, diffusers reads no LoRA for this kind of model, or a
            file is none for it.
    """
    if not hasattr(pipeline, "load_lora_weights"):
        raise BaseModelError(
            f"--lora {loras[0][0]} cannot be used: diffusers' {type(pipeline).__name__} reads no "
            "LoRA files. Leave it out."
        )
    names = [f"lora_{i}" for i in range(len(loras))]
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    try:
        for name, (path, _) in zip(names, loras, strict=True):
            _check_width_and_pairs(path, text_width)
            with using_loaders():
                _load(pipeline, path, name)
            if any(weight.is_meta for part in parts for weight in part.parameters()):
                raise BaseModelError(f"--lora {path} is incomplete: weights of a layer are missing")
            if any(find_not_finite(part) for part in parts):
                raise BaseModelError(
                    f"--lora {path} has numbers that are not finite: it is damaged"
                )
        pipeline.set_adapters(names, [weight for _, weight in loras])
        for part in parts:
            copy_mapped(part)
        yield
    finally:
        pipeline.unload_lora_weights()


def _load(pipeline: Any, path: Path, name: str) -> None:
    try:
        pipeline.load_lora_weights(
            str(path.parent), weight_name=path.name, adapter_name=name, local_files_only=True
        )
    except Exception as error:  # diffusers and peft have their own errors for what does not fit
        if "PEFT backend is required" in str(error):
            raise BaseModelError('--lora needs peft: pip install "pseudoword[lora]"') from error
        raise BaseModelError(f"--lora {path} cannot be used: {reason(error)}") from error
    adapters = itertools.chain.from_iterable(pipeline.get_list_adapters().values())
    if name not in adapters:
        raise BaseModelError(f"--lora {path} changes nothing: it has no layer of this base")


def _read_lora_header(path: Path) -> Header:
    header = read_header(path, "LoRA")
    if not any(map(header.has, LORA_KEYS)):
        raise BaseModelError(f"--lora {path} is no LoRA: it {describe_file(header)}.")
    pattern = next((name for name in _names_peft_matches(header) if PATTERN.search(name)), None)
    if pattern:
        raise BaseModelError(
            f"--lora {path} is refused: {brief(pattern)} is not the name of a layer but a pattern, "
            "which peft could try to match forever."
        )
    return header


def _partner_names(header: Header) -> Iterator[str]:
    """For each low-rank matrix of a layer, the name of the other one."""
    for name in header.shapes:
        for down, up in PAIRS:
            if down in name:
                yield name.replace(down, up)
            elif up in name:
                yield name.replace(up, down)


def _names_peft_matches(header: Header) -> Iterator[str]:
    """What peft uses as regular expressions: names of layers, and settings in its metadata."""
    yield from (name for name in header.shapes if any(key in name for key in LORA_KEYS))
    try:
        settings = json.loads(header.metadata.get(PEFT_METADATA, "{}"))
    except (ValueError, RecursionError):
        return
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if name.endswith(("_modules", "_pattern")):
            patterns = value if isinstance(value, list | dict) else [value]
            yield from (pattern for pattern in patterns if isinstance(pattern, str))


def _check_width_and_pairs(path: Path, width: int | None) -> None:
    """Refuse a LoRA for another text width than the denoiser's, or with half of a layer missing."""
    header = _read_lora_header(path)
    if width is not None and header.text_width not in {None, width}:
        theirs, ours = (BASE_OF_TEXT_WIDTH.get(w or 0, "") for w in (header.text_width, width))
        raise BaseModelError(
            f"--lora {path} does not fit: it is made for text of width {header.text_width} "
            f"{theirs}, the base reads {width} {ours}".rstrip()
        )
    missing = next((name for name in _partner_names(header) if name not in header.shapes), None)
    if missing:  # peft would fill it with random numbers
        raise BaseModelError(f"--lora {path} is incomplete: it lacks {brief(missing)}")
