"""Layouts: the configs that a checkpoint in one file leaves out, as a folder diffusers reads.

A single-file checkpoint holds weights only. diffusers would fetch configs and tokenizer from the
hub; these come with the package, so that such a file works without a network. The numbers are
those of the published models; `clip_merges.txt` is the vocabulary of OpenAI's CLIP (MIT).
"""

import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudoword.files import cache_folder

HERE = Path(__file__).parent

Layout = dict[str, dict[str, Any]]
"""Part of a model (`unet`, `vae` …; `model_index` for the whole) -> its config."""


def names() -> list[str]:
    """The layouts that come with the package."""
    return list(json.loads((HERE / "single_file_configs.json").read_bytes()))


def layout(name: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Layout:
    """The configs called `name`, with `changes` to some parts; a change to None removes."""
    known: dict[str, Any] = json.loads((HERE / "single_file_configs.json").read_bytes())
    own = known[name]
    parent = own.pop("like", None)
    made: Layout = layout(parent) if parent else {}
    for some in (own, changes or {}):
        for part, values in some.items():
            made[part] = {**made.get(part, {}), **values}
    return {
        part: {key: value for key, value in values.items() if value is not None}
        for part, values in made.items()
    }


def folder(name: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Where `layout(name, changes)` lies as a folder of configs and tokenizers; made if absent."""
    made = {part: _with_defaults(values) for part, values in layout(name, changes).items()}
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    path = cache_folder() / "layouts" / f"{name}-{digest}"
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent))
    for part, values in made.items():
        if part.startswith("tokenizer"):
            clip_tokenizer(**values).save_pretrained(beside / part)
        else:
            target = beside / _file_of(part)
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(values, indent=2))
    try:
        beside.rename(path)
    except OSError:  # another process was first
        shutil.rmtree(beside)
    return path


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """A config of diffusers with what it leaves unsaid: the loader of single files wants it all."""
    import diffusers

    kind = getattr(diffusers, config.get("_class_name", ""), None)
    if kind is None or not issubclass(kind, diffusers.ModelMixin):
        return config
    options = inspect.signature(kind.__init__).parameters
    return {k: o.default for k, o in options.items() if o.default is not o.empty} | config


def clip_tokenizer(pad_token: str) -> Any:
    """CLIP's tokenizer (Radford et al. 2021), made from its merges; only padding differs."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    merges = (HERE / "clip_merges.txt").read_text(encoding="utf-8").splitlines()
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(code) for code in printable]
    letters += sorted(set(ByteLevel.alphabet()) - set(letters))
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [merge.replace(" ", "") for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        {word: i for i, word in enumerate(words)},
        [tuple(merge.split()) for merge in merges],
        pad_token=pad_token,
        model_max_length=77,
    )


def _file_of(part: str) -> str:
    if part == "model_index":
        return "model_index.json"
    return f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json"
