"""Load the parts of a base model from a folder, the hub, or a single file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pseudoword.errors import BaseModelError
from pseudoword.models.compute.block_offload import keep_away
from pseudoword.models.compute.checkpointing import checkpoint_blocks
from pseudoword.models.compute.frozen_layers import can_pack, replace_forwards
from pseudoword.models.compute.letting_go import free_at_once
from pseudoword.models.compute.text_attention import replace_attention
from pseudoword.models.compute.transformer_blocks import replace_blocks
from pseudoword.models.diffusers_classes import diffusers_class
from pseudoword.models.loading import folder
from pseudoword.models.loading.encoder_part import EncoderPart, Take, whole, without_last_layers
from pseudoword.models.loading.header import read_header
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.loading.plain_weights import load_plain
from pseudoword.models.loading.quantisation import quantize
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import (
    advice_on_range,
    copy_mapped,
    find_not_finite,
    limit_weights,
)
from pseudoword.models.reading.text_encoder import TextEncoder

MOST_TENSORS, MOST_NUMBERS = 1 << 12, 1 << 37
"""Limits for a part whose files cannot be examined before."""


class ModelParts(ModelConfigs):
    """Loads each part of `source` on demand, frozen, and places it as `placement` says."""

    def __init__(self, source: BaseSource, placement: Placement, pipeline: str) -> None:
        super().__init__(source)
        self.placement = placement
        self.pipeline = pipeline
        """diffusers' pipeline class, whose loader reads single files"""

    def text_encoder(self, part: EncoderPart) -> TextEncoder:
        """A text encoder with its tokenizer."""
        import transformers

        take = part.take
        if self.source.clip_skip > 1:
            take = partial(without_last_layers, self.source.clip_skip - 1)

        def load() -> Any:
            model = self.load_frozen(getattr(transformers, part.kind), part.folder, take)
            if self.placement.device.type in {"cpu", "meta"}:
                replace_attention(model)
            if part.reads is not None:
                # no keys and values for the next token
                model.config.get_text_config().use_cache = False
                if self.placement.checkpointing and not self.placement.offload_blocks:
                    checkpoint_blocks(model)
            return model

        encoder = TextEncoder(self.reader(part), load, masked=part.masked)
        if part.reads is None:
            encoder.masked = getattr(encoder.model.config, "use_attention_mask", False)
        return encoder

    def load_frozen(
        self, kind: Any, part: str, take: Take = whole, dtype: torch.dtype | None = None
    ) -> Any:
        """Load the model `part` of class `kind`, without gradients, onto its device.

        On the meta device it is made from its config alone: shapes without numbers.

        Args:
            kind: its class in diffusers or transformers.
            part: the name of its folder.
            take: gives what is needed of the model.
            dtype: its precision, if it is not that of `placement`.

        Raises:
            BaseModelError: its files are damaged, or do not match its config.
        """
        place, is_vae = self.placement, part == "vae"
        dtype = dtype or place.dtype
        with self.explained(part):
            if place.device.type == "meta":
                make = self.maker(kind, part)
                with torch.device("meta"), limit_weights(MOST_TENSORS, MOST_NUMBERS):
                    model = make()
                model = take(model)
                nn.Module.to(model, dtype)  # diffusers' own warns of nothing
            else:
                model = take(self._with_weights(kind, part, dtype))
                self._check_finite(model, part, dtype)
                model = model if is_vae else quantize(model, place.quantize)
                stays_away = place.offload or (place.offload_blocks and not is_vae)
                model.to("cpu" if stays_away else place.device)
                copy_mapped(model)
            model.requires_grad_(False).eval()
            if not is_vae:
                self._replace_forwards(model)
            free_at_once(model)
            return model

    def _replace_forwards(self, model: nn.Module) -> None:
        """Let a frozen model compute with less memory and less work."""
        place = self.placement
        # who quantises or keeps blocks away wants to spare memory
        can_take_more = place.quantize == "none" and not place.offload_blocks
        packed = can_take_more and can_pack(model, place.device, place.dtype)
        replace_forwards(model, packed=packed)
        if packed:
            replace_blocks(model)
        if place.offload_blocks:
            keep_away(model, place.device)

    def _with_weights(self, kind: Any, part: str, dtype: torch.dtype) -> Any:
        """A part as its files have it."""
        if self.source.layout is None or self.source.file_part not in {None, part}:
            return self._from_folder(kind, part, dtype)
        if self.source.file_part is None:
            return self._from_single_file(part, dtype)
        return self._only_part_of_file(kind, part, dtype)

    def _check_finite(self, model: Any, part: str, dtype: torch.dtype) -> None:
        damaged = find_not_finite(model)
        if damaged:
            raise BaseModelError(
                f"{self.source.name}: its {part} has numbers that are not finite, in "
                f"{damaged}, so it can neither train nor draw: the file is damaged"
                f"{advice_on_range(dtype)}."
            )

    @contextmanager
    def on_device(self, *models: Any) -> Iterator[None]:
        """While open, `models` are on the device, also with `offload`."""
        for model in models if self.placement.offload else ():
            model.to(self.placement.device)
        try:
            yield
        finally:
            for model in models if self.placement.offload else ():
                model.to("cpu")

    def _from_folder(self, kind: Any, part: str, dtype: torch.dtype) -> Any:
        """Load a part in diffusers' layout, from a folder or the hub."""
        options = self.at(part) | {
            "variant": self.source.variant,
            "torch_dtype": dtype,
            "output_loading_info": True,
        }
        if self.is_here:
            paths, headers = folder.read_headers(Path(self.place) / part, self.source.variant)
            safe = paths[0].suffix == folder.WEIGHTS[0]
            if safe:
                with limit_weights(*folder.size_of(headers)):
                    model = load_plain(self.maker(kind, part), paths, headers, dtype)
                if model is not None:
                    return model
            with limit_weights(*folder.size_of(headers)):
                loaded = kind.from_pretrained(self.place, use_safetensors=safe, **options)
        else:
            with limit_weights(MOST_TENSORS, MOST_NUMBERS):
                loaded = self._from_hub(kind, part, options)
        model, info = loaded
        missing = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]
        if missing:
            raise ValueError(
                f"{len(missing)} weights are missing or do not fit, such as {missing[0]}"
            )
        return model

    def _from_hub(self, kind: Any, part: str, options: dict[str, Any]) -> Any:
        try:
            return kind.from_pretrained(self.place, use_safetensors=True, **options)
        except OSError:  # there are no safetensors: use torch's file, after a check of its header
            stem = "diffusion_pytorch_model" if hasattr(kind, "load_config") else "pytorch_model"
            variant = f".{self.source.variant}" if self.source.variant else ""
            read_header(self.fetched(f"{part}/{stem}{variant}.bin"))
            return kind.from_pretrained(self.place, use_safetensors=False, **options)

    def _from_single_file(self, part: str, dtype: torch.dtype) -> Any:
        without_others = {
            name: None
            for name, entry in self.read("model_index.json").items()
            if isinstance(entry, list) and name != part
        }
        header = read_header(Path(self.source.path))
        with limit_weights(*folder.size_of([header])):
            pipeline = diffusers_class(self.pipeline).from_single_file(
                self.source.path,
                config=self.place,
                torch_dtype=dtype,
                local_files_only=True,
                **without_others,
            )
        return _complete(getattr(pipeline, part))

    def _only_part_of_file(self, kind: Any, part: str, dtype: torch.dtype) -> Any:
        numbers = read_header(Path(self.source.path)).numel
        # what is one tensor there may be three here
        with limit_weights(MOST_TENSORS, numbers), _without_warnings_of_casts():
            try:
                model = kind.from_single_file(
                    self.source.path,
                    config=self.place,
                    subfolder=part,
                    config_revision=self.source.revision,
                    torch_dtype=dtype,
                    local_files_only=self.is_here,
                )
            except NotImplementedError as error:  # torch cannot move weights that are not there
                raise ValueError("the file lacks weights that its config asks for") from error
        return _complete(model)


@contextmanager
def _without_warnings_of_casts() -> Iterator[None]:
    """While open, diffusers does not warn of what its own reader of single files does."""
    logger = logging.getLogger("diffusers.models.modeling_utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _complete(model: Any) -> Any:
    """A model from a single file, if that had all of its weights.

    Raises:
        ValueError: it had not.
    """
    missing = [name for name, weight in model.named_parameters() if weight.is_meta]
    if missing:
        raise ValueError(f"the file lacks {len(missing)} weights, such as {missing[0]}")
    return model
