"""What the configs of a base model say, from a folder or the hub, without its weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.models.diffusers_classes import defaults_of
from pseudoword.models.loading import folder
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.loaders import using_loaders
from pseudoword.models.loading.source import BaseSource
from pseudoword.models.reading.clip_reader import ClipReader, prompt_length
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.text import reason

LEAST_TOKENS = 512
"""A CLIP vocabulary has at least one token per byte, inside and at the end of a word."""

FEWEST_ENTRIES = 128
"""Other tokenizers have at least 100 special tokens, or one for each byte."""

MOST_TIMESTEPS = 100_000
"""1000 is usual."""


class ModelConfigs:
    """The configs and tokenizers of `source`."""

    def __init__(self, source: BaseSource) -> None:
        self.source = source
        self._known: dict[str, folder.Config] = {}
        if self.is_here:
            folder.check(Path(self.place))

    @property
    def place(self) -> str:
        """The folder or the hub id that they are in."""
        return self.source.layout or self.source.path

    @property
    def is_here(self) -> bool:
        """Whether that is a folder."""
        return Path(self.place).is_dir()

    def scheduler(self, kind: Any) -> Any:
        """A scheduler of class `kind` with the settings of the model's own."""
        self.timesteps(kind)
        config = self.read(f"scheduler/{kind.config_name}")
        with self.explained("scheduler"):
            return kind.from_config(config, **self.source.scheduler)

    def timesteps(self, kind: Any) -> int:
        """How many timesteps the model was trained with, by the config of its scheduler."""
        value = self.config(kind, "scheduler").get("num_train_timesteps")
        where = f"{self.source.name}: its scheduler: num_train_timesteps"
        return folder.whole_number(value, where, MOST_TIMESTEPS)

    def config(self, kind: Any, part: str) -> dict[str, Any]:
        """The config of a part that need not be loaded; missing entries have `kind`'s defaults."""
        return defaults_of(kind) | self.read(f"{part}/{kind.config_name}")

    def setting(self, name: str, default: Any) -> Any:
        """An entry of `model_index.json`, the config of the whole model."""
        return self.read("model_index.json").get(name, default)

    def has(self, part: str) -> bool:
        """Whether the model has `part`, which others of its family may lack."""
        entry = self.setting(part, None)
        return isinstance(entry, list) and len(entry) == 2 and entry[1] is not None

    def read(self, name: str) -> dict[str, Any]:
        """A config file of the folder or the hub, which is asked for it once."""
        if name not in self._known:
            with self.explained(name):
                path = Path(self.place) / name if self.is_here else self.fetched(name)
                self._known[name] = folder.read(path)
        return self._known[name]

    def fetched(self, name: str) -> Path:
        """A file of the hub."""
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.place, name, revision=self.source.revision))

    def at(self, part: str) -> dict[str, Any]:
        """Where a part is, as options of a library's loader."""
        return {"subfolder": part, "revision": self.source.revision}

    def _from_pretrained(self, kind: Any, part: str) -> Any:
        with self.explained(part):
            return kind.from_pretrained(self.place, **self.at(part))

    def reader(self, part: EncoderPart) -> PromptReader:
        """How a text encoder reads prompts, without its weights."""
        from transformers import AutoTokenizer, CLIPTextConfig, CLIPTokenizer

        kind = AutoTokenizer if part.reads else CLIPTokenizer
        tokenizer = self._from_pretrained(kind, part.tokenizer)
        # transformers makes an empty one if the file is missing
        if len(tokenizer) < (FEWEST_ENTRIES if part.reads else LEAST_TOKENS):
            raise BaseModelError(f"{self.source.name}: its {part.tokenizer} has no vocabulary")
        if part.reads:
            return part.reads(tokenizer)
        config = self._from_pretrained(CLIPTextConfig, part.folder)
        return ClipReader(tokenizer, prompt_length(tokenizer, config))

    def maker(self, kind: Any, part: str) -> Callable[[], Any]:
        """A function that makes a part from its config alone."""
        if hasattr(kind, "load_config"):
            return partial(kind.from_config, self.read(f"{part}/{kind.config_name}"))
        config = kind.config_class.from_pretrained(self.place, **self.at(part))
        for name in config.sub_configs:  # they state the precision too, as the library sets it
            if (sub_config := getattr(config, name, None)) is not None:
                sub_config.dtype = config.dtype
        return partial(kind, config)

    @contextmanager
    def explained(self, part: str) -> Iterator[None]:
        """Turn any error while `part` is loaded into a `BaseModelError` that names the part."""
        try:
            with using_loaders():
                yield
        except PseudowordError:
            raise
        except Exception as error:  # each library has its own errors for damaged files
            hint = ""
            if self.source.file_part is not None:
                hint = f". Perhaps --configs {self.source.layout} is another model of its kind"
            elif self.source.layout is not None:
                hint = ". If its parts have unusual sizes, give their configs with --configs"
            raise BaseModelError(
                f"{self.source.name}: its {part} cannot be loaded: {reason(error)}{hint}"
            ) from error
