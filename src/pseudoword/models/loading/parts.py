"""The parts of a base model, each loaded when asked for: from a folder, the hub, or one file."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.models.injection import Reader
from pseudoword.models.loading import folder
from pseudoword.models.loading.header import read_header
from pseudoword.models.loading.progress_bars import without_bars
from pseudoword.models.loading.quantisation import quantize
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import copy_mapped, find_not_finite, limit_weights
from pseudoword.models.text_encoder import TextEncoder, length
from pseudoword.text import reason

MOST_TENSORS, MOST_NUMBERS = 1 << 12, 1 << 37
"""In a part, where it is not known how many its files have."""

LEAST_TOKENS = 512
"""Every byte is one, in a word and at its end."""

MOST_TIMESTEPS = 100_000
"""A thousand are usual."""

TOO_LARGE = ". Perhaps they are too large for float16: try --dtype float32"


class ModelParts:
    """Loads what `source` holds, frozen, to where `placement` says."""

    def __init__(self, source: BaseSource, placement: Placement, pipeline: str) -> None:
        self.source = source
        self.placement = placement
        self.pipeline = pipeline
        """diffusers' pipeline class, whose loader knows the keys of single files"""
        if self._is_here:
            folder.check(Path(self._configs))

    def text_encoder(self, kind: Any, suffix: str = "") -> TextEncoder:
        """The text encoder and the tokenizer whose names end in `suffix`; `kind` is its class."""
        return TextEncoder(self._tokenizer(suffix), self.frozen(kind, f"text_encoder{suffix}"))

    def reader(self, suffix: str = "") -> Reader:
        """How the text encoder whose name ends in `suffix` reads; known without its weights."""
        from transformers import CLIPTextConfig

        tokenizer = self._tokenizer(suffix)
        return Reader(
            tokenizer, length(tokenizer, self._config_of(CLIPTextConfig, f"text_encoder{suffix}"))
        )

    def _tokenizer(self, suffix: str) -> Any:
        from transformers import CLIPTokenizer

        part = f"tokenizer{suffix}"
        tokenizer = self._config_of(CLIPTokenizer, part)
        if len(tokenizer) < LEAST_TOKENS:  # transformers makes up what is not there
            raise BaseModelError(f"{self.source.name}: its {part} has no vocabulary")
        return tokenizer

    def frozen(self, kind: Any, part: str, **options: Any) -> Any:
        """A model, on its device, that asks for no gradient; `options` go to diffusers' loader.

        On the meta device it is made from its config alone: shapes without numbers.

        Raises:
            BaseModelError: its files are damaged, or do not fit its config.
        """
        options = {"torch_dtype": self.placement.dtype, **options}
        with self._explained(part):
            if self.placement.device.type == "meta":
                model = self.empty(kind, part).to(options["torch_dtype"])
                return model.requires_grad_(False).eval()
            if self.source.layout is None:
                model = self._from_folder(kind, part, options)
            else:
                model = self._from_single_file(part, options["torch_dtype"])
            broken = find_not_finite(model)
            if broken:
                raise BaseModelError(
                    f"{self.source.name}: its {part} has numbers that are not finite, in {broken}, "
                    "so it can neither learn nor draw: the file is broken"
                    f"{TOO_LARGE if options['torch_dtype'] is torch.float16 else ''}."
                )
            if part != "vae":
                model = quantize(model, self.placement.quantize)
            model.to("cpu" if self.placement.offload else self.placement.device)
            copy_mapped(model)
            return model.requires_grad_(False).eval()

    @contextmanager
    def at_work(self, *models: Any) -> Iterator[None]:
        """While open, `models` are on the device, wherever they live."""
        for model in models if self.placement.offload else ():
            model.to(self.placement.device)
        try:
            yield
        finally:
            for model in models if self.placement.offload else ():
                model.to("cpu")

    def scheduler(self, kind: Any) -> Any:
        """A scheduler of class `kind`, set up as the model's own."""
        where = f"{self.source.name}: its scheduler"
        folder.whole(self.config(kind, "scheduler"), "num_train_timesteps", where, MOST_TIMESTEPS)
        return self._config_of(kind, "scheduler", **self.source.scheduler)

    def config(self, kind: Any, part: str) -> dict[str, Any]:
        """The config of a part, without loading it; what it leaves unsaid is `kind`'s default."""
        options = inspect.signature(kind.__init__).parameters
        defaults = {name: o.default for name, o in options.items() if o.default is not o.empty}
        return defaults | self._read(f"{part}/{kind.config_name}")

    def setting(self, name: str, default: Any) -> Any:
        """An entry of the whole model's own config, `model_index.json`."""
        return self._read("model_index.json").get(name, default)

    def _read(self, name: str) -> dict[str, Any]:
        """A config file, of the folder or of the hub."""
        with self._explained(name):
            if self._is_here:
                return folder.read(Path(self._configs) / name)
            return folder.read(self._fetched(name))

    def _fetched(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.source.path, name, revision=self.source.revision))

    @property
    def _is_here(self) -> bool:
        return Path(self._configs).is_dir()

    @property
    def _configs(self) -> str:
        return self.source.layout or self.source.path

    def _at(self, part: str) -> dict[str, Any]:
        return {"subfolder": part, "revision": self.source.revision}

    def _config_of(self, kind: Any, part: str, **changes: Any) -> Any:
        with self._explained(part):
            return kind.from_pretrained(self._configs, **self._at(part), **changes)

    def empty(self, kind: Any, part: str) -> Any:
        """A part made from its config alone, on the meta device: shapes without numbers."""
        if hasattr(kind, "load_config"):
            make, config = kind.from_config, self._read(f"{part}/{kind.config_name}")
        else:
            make, config = kind, kind.config_class.from_pretrained(self._configs, **self._at(part))
        with torch.device("meta"), limit_weights(MOST_TENSORS, MOST_NUMBERS):
            return make(config)

    def _from_folder(self, kind: Any, part: str, options: dict[str, Any]) -> Any:
        """A part of a folder in diffusers' layout, or of a repository that is one."""
        options |= self._at(part) | {"variant": self.source.variant, "output_loading_info": True}
        if self._is_here:
            found = folder.read_headers(Path(self.source.path) / part, self.source.variant)
            safe = found[0][0].suffix == folder.WEIGHTS[0]
            tensors = sum(len(one.shapes) for _, one in found)
            with limit_weights(tensors, sum(one.numel for _, one in found)):
                loaded = kind.from_pretrained(self.source.path, use_safetensors=safe, **options)
        else:
            with limit_weights(MOST_TENSORS, MOST_NUMBERS):
                loaded = self._from_hub(kind, part, options)
        model, told = loaded
        absent = [*told.get("missing_keys", ()), *told.get("mismatched_keys", ())]
        if absent:
            raise ValueError(
                f"{len(absent)} weights are missing or do not fit, such as {absent[0]}"
            )
        return model

    def _from_hub(self, kind: Any, part: str, options: dict[str, Any]) -> Any:
        try:
            return kind.from_pretrained(self.source.path, use_safetensors=True, **options)
        except OSError:  # there are none: then what torch wrote, once it was looked at
            stem = "diffusion_pytorch_model" if hasattr(kind, "load_config") else "pytorch_model"
            variant = f".{self.source.variant}" if self.source.variant else ""
            read_header(self._fetched(f"{part}/{stem}{variant}.bin"))
            return kind.from_pretrained(self.source.path, use_safetensors=False, **options)

    def _from_single_file(self, part: str, dtype: Any) -> Any:
        import diffusers

        kind = getattr(diffusers, self.pipeline)
        others = {
            name: None
            for name, entry in self._read("model_index.json").items()
            if isinstance(entry, list) and name != part
        }
        found = read_header(Path(self.source.path))
        with limit_weights(len(found.shapes), found.numel):
            pipeline = kind.from_single_file(
                self.source.path,
                config=self._configs,
                torch_dtype=dtype,
                local_files_only=True,
                **others,
            )
        model = getattr(pipeline, part)
        absent = [name for name, weight in model.named_parameters() if weight.is_meta]
        if absent:
            raise ValueError(f"the file lacks {len(absent)} weights, such as {absent[0]}")
        return model

    @contextmanager
    def _explained(self, part: str) -> Iterator[None]:
        """Turn what goes wrong while `part` is loaded into an error that says so."""
        try:
            with without_bars():
                yield
        except PseudowordError:
            raise
        except Exception as error:  # each library has errors of its own for damaged files
            hint = ". If its parts have sizes of their own, say them with --configs"
            raise BaseModelError(
                f"{self.source.name}: its {part} cannot be loaded: {reason(error)}"
                f"{hint if self.source.layout else ''}"
            ) from error
