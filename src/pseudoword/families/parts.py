"""The parts of a base model, each loaded when asked for: from a folder, the hub, or one file."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pseudoword.errors import BaseModelError, reason
from pseudoword.families.base import Placement, Source, TextEncoder, length, without_bars
from pseudoword.families.quantized import quantize
from pseudoword.families.weights import not_finite, own
from pseudoword.inject import Reader

TOO_LARGE = ". Perhaps they are too large for float16: try --dtype float32"


class Parts:
    """Loads what `source` holds, frozen, to where `placement` says."""

    def __init__(self, source: Source, placement: Placement, pipeline: str) -> None:
        self.source = source
        self.placement = placement
        self.pipeline = pipeline
        """diffusers' pipeline class, whose loader knows the keys of single files"""

    def text_encoder(self, kind: Any, suffix: str = "") -> TextEncoder:
        """The text encoder and the tokenizer whose names end in `suffix`; `kind` is its class."""
        from transformers import CLIPTokenizer

        tokenizer = self._config_of(CLIPTokenizer, f"tokenizer{suffix}")
        return TextEncoder(tokenizer, self.frozen(kind, f"text_encoder{suffix}"))

    def reader(self, suffix: str = "") -> Reader:
        """How the text encoder whose name ends in `suffix` reads; known without its weights."""
        from transformers import CLIPTextConfig, CLIPTokenizer

        tokenizer = self._config_of(CLIPTokenizer, f"tokenizer{suffix}")
        return Reader(
            tokenizer, length(tokenizer, self._config_of(CLIPTextConfig, f"text_encoder{suffix}"))
        )

    def frozen(self, kind: Any, part: str, **options: Any) -> Any:
        """A model, on its device, that asks for no gradient; `options` go to diffusers' loader.

        On the meta device it is made from its config alone: shapes without numbers.
        """
        options = {"torch_dtype": self.placement.dtype, **options}
        if self.placement.device.type == "meta":
            with self._explained(part):
                model = self.empty(kind, part).to(options["torch_dtype"])
            return model.requires_grad_(False).eval()
        with self._explained(part):
            if self.source.layout is None:
                where = {"revision": self.source.revision, "variant": self.source.variant}
                model = kind.from_pretrained(self.source.path, subfolder=part, **where, **options)
            else:
                model = self._from_single_file(part, options["torch_dtype"])
                absent = [name for name, weight in model.named_parameters() if weight.is_meta]
                if absent:
                    raise ValueError(f"the file lacks {len(absent)} weights, such as {absent[0]}")
        broken = not_finite(model)
        if broken:
            raise BaseModelError(
                f"{self.source.name}: its {part} has numbers that are not finite, in {broken}, so "
                "it can neither learn nor draw: the file is broken"
                f"{TOO_LARGE if options['torch_dtype'] is torch.float16 else ''}."
            )
        if part != "vae":
            model = quantize(model, self.placement.quantize)
        model.to("cpu" if self.placement.offload else self.placement.device)
        own(model)
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
        return self._config_of(kind, "scheduler", **self.source.scheduler)

    def config(self, kind: Any, part: str) -> dict[str, Any]:
        """The config of a part, without loading it; what it leaves unsaid is `kind`'s default."""
        with self._explained(part):
            config: dict[str, Any] = kind.load_config(self._configs, **self._at(part))
        options = inspect.signature(kind.__init__).parameters
        defaults = {name: o.default for name, o in options.items() if o.default is not o.empty}
        return defaults | config

    def setting(self, name: str, default: Any) -> Any:
        """An entry of the whole model's own config, `model_index.json`."""
        path = Path(self._configs) / "model_index.json"
        if path.is_file():
            return json.loads(path.read_bytes()).get(name, default)
        import diffusers

        index = diffusers.DiffusionPipeline.load_config(
            self._configs, revision=self.source.revision
        )
        return index.get(name, default)

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
            make, config = kind.from_config, kind.load_config(self._configs, **self._at(part))
        else:
            make, config = kind, kind.config_class.from_pretrained(self._configs, **self._at(part))
        with torch.device("meta"):
            return make(config)

    def _from_single_file(self, part: str, dtype: Any) -> Any:
        import diffusers

        kind = getattr(diffusers, self.pipeline)
        index = json.loads((Path(self._configs) / "model_index.json").read_bytes())
        others = {
            name: None for name, entry in index.items() if isinstance(entry, list) and name != part
        }
        pipeline = kind.from_single_file(
            self.source.path,
            config=self._configs,
            torch_dtype=dtype,
            local_files_only=True,
            **others,
        )
        return getattr(pipeline, part)

    @contextmanager
    def _explained(self, part: str) -> Iterator[None]:
        """Turn what goes wrong while `part` is loaded into an error that says so."""
        try:
            with without_bars():
                yield
        except BaseModelError:
            raise
        except Exception as error:  # each library has errors of its own for damaged files
            hint = ". If its parts have sizes of their own, say them with --configs"
            raise BaseModelError(
                f"{self.source.name}: its {part} cannot be loaded: {reason(error)}"
                f"{hint if self.source.layout else ''}"
            ) from error
