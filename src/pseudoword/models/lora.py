"""LoRA files on a frozen model, for as long as pictures are drawn."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from pseudoword import lookup
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models.loading.header import Header, read_header
from pseudoword.models.loading.progress_bars import without_bars
from pseudoword.models.loading.recognition import BASE_OF_TEXT_WIDTH, LORA_KEYS, describe_file
from pseudoword.models.loading.weights import copy_mapped, find_not_finite
from pseudoword.text import brief, reason

MOST_WEIGHT = 100
"""Up or down; 1 is usual."""

PEFT_METADATA = "lora_adapter_metadata"
"""Where diffusers writes peft's settings into a file."""

PATTERN = re.compile(r"[()*+?{|\\]")
"""What makes more of a name than a name."""

PAIRS = (("lora_A", "lora_B"), ("lora_down", "lora_up"), ("lora.down", "lora.up"))
"""What the two matrices of a layer are called."""

Lora = tuple[Path, float]
"""A file, and how strongly it counts."""


def parse(text: str) -> Lora:
    """Read `FILE` or `FILE:WEIGHT`.

    A file may have a colon in its name.

    Raises:
        BaseModelError: the file is no LoRA.
        SettingsError: there is no such file, or the weight is no number, or a huge one.
    """
    name, colon, last = text.rpartition(":")
    # What is there as a whole is a file, whatever its name; so is `C:\\x` where nothing is there.
    weighted = colon and not lookup.exists(lookup.expand_home(text)) and not {"/", "\\"} & set(last)
    path = lookup.find(name if weighted else text, "--lora")
    if not isinstance(path, Path) or path.is_dir():
        raise SettingsError(
            f"--lora {brief(text)}: there is no such file here. Give FILE or FILE:WEIGHT."
        )
    try:
        weight = float(last) if weighted else 1.0
    except ValueError:
        raise SettingsError(
            f"--lora {brief(text)}: {brief(last)!r} behind the last : is no number"
        ) from None
    if not abs(weight) <= MOST_WEIGHT:
        raise SettingsError(f"--lora {brief(text)}: a weight of {weight:g} is beyond {MOST_WEIGHT}")
    _read_lora_header(path)
    return path, weight


@contextmanager
def applied(pipeline: Any, loras: Sequence[Lora]) -> Iterator[None]:
    """While open, the parts of diffusers' `pipeline` are changed by `loras`; then as they were.

    Raises:
        BaseModelError: peft is not installed, or a file is no LoRA for this model.
    """
    if not loras:
        yield
        return
    names = [f"lora_{i}" for i in range(len(loras))]
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    try:
        for name, (path, _) in zip(names, loras, strict=True):
            _check_width_and_pairs(path, pipeline.unet.config.cross_attention_dim)
            with without_bars():
                _load(pipeline, path, name)
            weights = [one for part in parts for one in part.named_parameters()]
            if any(weight.is_meta for _, weight in weights):
                raise BaseModelError(f"--lora {path} is not whole: numbers of a layer are missing")
            if any(find_not_finite(part) for part in parts):
                raise BaseModelError(f"--lora {path} has numbers that are not finite: it is broken")
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
    except Exception as error:  # diffusers and peft have errors of their own for what does not fit
        if "PEFT backend is required" in str(error):
            raise BaseModelError("--lora needs peft: pip install 'pseudoword[lora]'") from error
        raise BaseModelError(f"--lora {path} cannot be used: {reason(error)}") from error
    if name not in {one for several in pipeline.get_list_adapters().values() for one in several}:
        raise BaseModelError(f"--lora {path} changes nothing: it has no layer of this base's")


def _read_lora_header(path: Path) -> Header:
    found = read_header(path, "LoRA")
    if not any(found.has(mark) for mark in LORA_KEYS):
        raise BaseModelError(f"--lora {path} is no LoRA: it {describe_file(found)}.")
    strange = next((name for name in _names_peft_matches(found) if PATTERN.search(name)), None)
    if strange:
        raise BaseModelError(
            f"--lora {path} is refused: {brief(strange)} is not the name of a layer but a pattern, "
            "which peft could match for ever."
        )
    return found


def _partner_names(found: Header) -> Iterator[str]:
    """For each of the two narrow matrices that stand for a wide one, the name of the other."""
    for name in found.shapes:
        for one, other in PAIRS:
            if one in name:
                yield name.replace(one, other)
            elif other in name:
                yield name.replace(other, one)


def _names_peft_matches(found: Header) -> Iterator[str]:
    """What peft takes for regular expressions: names of layers, and what its metadata says."""
    yield from (name for name in found.shapes if any(mark in name for mark in LORA_KEYS))
    try:
        settings = json.loads(found.metadata.get(PEFT_METADATA, "{}"))
    except (ValueError, RecursionError):
        return
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if name.endswith(("_modules", "_pattern")):
            several = value if isinstance(value, list | dict) else [value]
            yield from (one for one in several if isinstance(one, str))


def _check_width_and_pairs(path: Path, said: int | Sequence[int]) -> None:
    """See that a LoRA fits a base whose U-Net reads text of a width, or of one for each block."""
    found = _read_lora_header(path)
    text_width = said if isinstance(said, int) else said[0]
    if found.text_width not in {None, text_width}:
        theirs, ours = (BASE_OF_TEXT_WIDTH.get(w or 0, "") for w in (found.text_width, text_width))
        raise BaseModelError(
            f"--lora {path} does not fit: it is made for text of width {found.text_width} "
            f"{theirs}, the base reads {text_width} {ours}".rstrip()
        )
    absent = next((name for name in _partner_names(found) if name not in found.shapes), None)
    if absent:  # peft would make one up
        raise BaseModelError(f"--lora {path} is not whole: it lacks {brief(absent)}")
