"""The configs that a single-file checkpoint does not hold, as a folder that diffusers reads.

A single-file checkpoint holds weights only. diffusers would download configs and tokenizer from the
hub; ours come with the package, so no network is needed. The numbers are those of the published
models; `clip_merges.txt` is the vocabulary of OpenAI's CLIP (MIT).
"""

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pseudoword.files import cache_folder, move
from pseudoword.models.diffusers_classes import defaults_of, diffusers_class

HERE = Path(__file__).parent

Layout = dict[str, dict[str, Any]]
"""Part of a model (`unet`, `vae` …; `model_index` for the model itself) -> its config."""


def layout(name: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Layout:
    """The configs called `name`, with `changes` to some parts; None removes an entry."""
    layouts: dict[str, Any] = json.loads((HERE / "single_file_configs.json").read_bytes())
    own = layouts[name]
    parent = own.pop("like", None)
    configs: Layout = layout(parent) if parent else {}
    for update in (own, changes or {}):
        for part, values in update.items():
            configs[part] = {**configs.get(part, {}), **values}
    return {
        part: {key: value for key, value in values.items() if value is not None}
        for part, values in configs.items()
    }


def folder(name: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """A folder with the configs and tokenizers of `layout(name, changes)`, in the cache.

    Where there can be no cache, it is there until the process ends.
    """
    configs = layout(name, changes)
    for part in ("unet", "vae"):
        configs[part] = _with_defaults(configs[part])
    digest = hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()[:12]
    called = f"{name}-{digest}"
    try:
        return _written(cache_folder() / "layouts" / called, configs)
    except OSError:
        return _written(_folder_of_process() / called, configs)


@cache
def _folder_of_process() -> Path:
    made = tempfile.mkdtemp(prefix="pseudoword-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _written(path: Path, configs: Layout) -> Path:
    """`path`, a folder with `configs`, which is written unless it is there.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as temporary:
        for part, values in configs.items():
            if part.startswith("tokenizer"):
                clip_tokenizer(**values).save_pretrained(Path(temporary, part))
            else:
                target = Path(temporary, _file_of(part))
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(values, indent=2), encoding="utf-8")
        try:
            move(Path(temporary), path)
        except OSError:
            if not path.is_dir():  # else another process was first
                raise
    return path


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """A config of diffusers with all default values: the single-file loader needs them."""
    return defaults_of(diffusers_class(config["_class_name"])) | config


def clip_tokenizer(pad_token: str) -> Any:
    """CLIP's tokenizer (Radford et al. 2021), made from its merges with this padding token."""
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
