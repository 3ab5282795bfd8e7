"""What every family offers, whatever model is behind it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.config import Quantize
from pseudoword.errors import BaseModelError
from pseudoword.models.injection import Reader, Words, injected, tokenize
from pseudoword.models.noise_schedule import NoiseSchedule

LEAST_LENGTH = 3
"""Tokens: the marks of begin and end, and a word."""

MicroConditioning = Tensor
"""How pictures were cut, `[B, 6]` in pixels: the original's height and width, the crop's top and
left in the scaled picture, and the result's height and width. SDXL is told so (Podell et al. 2023,
section 2.2), in this order; other families need not look."""


@dataclass(frozen=True)
class BaseSource:
    """Where a base model comes from: what the user called it, and what diffusers can load."""

    name: str
    path: str
    """a folder in diffusers' layout, a hub id, or a single-file checkpoint"""
    revision: str | None = None
    """branch, tag or commit on the hub"""
    variant: str | None = None
    """weights with this in their file name, such as `fp16`"""
    layout: str | None = None
    """for a single file: the folder with its configs and tokenizers"""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    """what to change in the scheduler's config, such as `prediction_type`"""


@dataclass(frozen=True)
class Placement:
    """Where a model computes, and how it is kept there."""

    device: torch.device
    dtype: torch.dtype
    quantize: Quantize = "none"
    checkpointing: bool = False
    """compute activations again in the backward pass instead of keeping them"""
    offload: bool = False
    """keep parts in main memory, but for the time they are at work in a drawing"""


@dataclass(frozen=True)
class GenerationSettings:
    """How pictures are drawn."""

    guidance: float
    guidance_rescale: float
    """how far the guided prediction is brought back to the contrast of the one that follows the
    prompt alone, 0 to 1"""
    sampler_steps: int
    width: int
    height: int
    scheduler: str | None = None
    """one of diffusers' schedulers by name; by default the model's own"""


@dataclass(frozen=True)
class Moments:
    """What the VAE knows of a picture: mean and std of its latent, `[B, C, h, w]`, scaled."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Condition:
    """Text as the denoiser reads it."""

    hidden: Tensor
    """[B, L, D] hidden states"""
    pooled: Tensor | None = None
    """[B, P] the text as one vector, for models that read it so too"""


def length(tokenizer: Any, config: Any) -> int:
    """How many tokens a text encoder reads, with the marks of begin and end.

    Raises:
        BaseModelError: a config does not say it by a number, or leaves no room for a word.
    """
    told = {
        "model_max_length": tokenizer.model_max_length,
        "max_position_embeddings": config.max_position_embeddings,
    }
    for name, value in told.items():
        if not isinstance(value, int | float) or not value >= LEAST_LENGTH:
            raise BaseModelError(
                f"a text encoder's {name} is {value!r:.60}, but should be a number from "
                f"{LEAST_LENGTH} on; 77 is usual"
            )
    return int(min(told.values()))


class TextEncoder(Reader):
    """A tokenizer and a frozen transformer, with words put in after the table lookup."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        super().__init__(tokenizer, length(tokenizer, model.config))
        self.model = model

    @property
    def table(self) -> Tensor:
        """The vocabulary's embeddings `[V, width]`."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    @property
    def width(self) -> int:
        """How many numbers one row has."""
        return self.table.shape[1]

    @cached_property
    def usual_norm(self) -> float:
        """The median norm of the vocabulary's rows."""
        return float(self.table.detach().float().norm(dim=-1).median())

    def token_ids(self, text: str) -> list[int]:
        """`text` as ids, without begin and end marks."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def __call__(self, prompts: Sequence[str], rows: Mapping[str, Tensor], **options: Any) -> Any:
        """Run the transformer on `prompts`; `rows` maps placeholders to `[n, width]`.

        Returns:
            The transformers model's own output, as `options` make it.
        """
        counts = {placeholder: len(r) for placeholder, r in rows.items()}
        tokens = tokenize(self.tokenizer, prompts, counts, self.length)
        largest = int(tokens.ids.max())
        if largest >= len(self.table):
            raise BaseModelError(
                f"the tokenizer has a token with the number {largest}, and its text encoder "
                f"{len(self.table)} rows: they are of different models"
            )
        device = self.table.device
        ids = tokens.ids.to(device)
        if getattr(self.model.config, "use_attention_mask", False):
            options["attention_mask"] = (ids != self.tokenizer.pad_token_id).long()
        if not rows:
            return self.model(ids, **options)
        stacked = torch.cat(list(rows.values()))
        with injected(self.model.get_input_embeddings(), stacked, tokens.slots.to(device)):
            return self.model(ids, **options)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep diffusers' and transformers' loading bars out of the way of ours."""
    import diffusers.utils.logging
    import transformers.utils.logging

    shown = [
        library
        for library in (diffusers.utils.logging, transformers.utils.logging)
        if library.is_progress_bar_enabled()
    ]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def sampled_digest(*modules: torch.nn.Module) -> str:
    """A hash over the first few numbers of every weight: quick, and enough to tell models apart."""
    weights = [w for module in modules for _, w in sorted(module.state_dict().items())]
    sample = torch.cat([w.flatten()[:16].float().cpu() for w in weights])
    return hashlib.blake2b(sample.numpy().tobytes(), digest_size=8).hexdigest()


class Family(Protocol):
    """A frozen base model."""

    name: str
    source: BaseSource
    placement: Placement
    noise_schedule: NoiseSchedule

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen weights."""
        ...

    @property
    def encoders(self) -> Mapping[str, TextEncoder]:
        """Text encoders that take new words, under ComfyUI's keys."""
        ...

    @property
    def resolution(self) -> int:
        """Side in pixels of the square pictures the model was made for."""
        ...

    @property
    def resolution_step(self) -> int:
        """Pictures' sides must be multiples of this many pixels."""
        ...

    @property
    def guidance(self) -> float:
        """How strongly it is best made to follow prompts, if nobody says otherwise."""
        ...

    @property
    def guidance_rescale(self) -> float:
        """How far guidance is best rescaled, if nobody says otherwise."""
        ...

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """All parts with weights by name: the text encoders, the denoiser, and the `vae`."""
        ...

    def fingerprint(self) -> str:
        """Tells base models apart, also those of one name: a hash over some of every weight."""
        ...

    def vae_digest(self) -> str:
        """A hash of the VAE's weights, for the key of cached latents."""
        ...

    def encode_pictures(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, h, w]` -> pixels `[B, 3, H, W]` in [-1, 1]."""
        ...

    def release_vae(self) -> None:
        """Let the VAE leave memory; it comes back by itself when a picture is drawn."""
        ...

    def encode_text(self, prompts: Sequence[str], words: Words) -> Condition:
        """`B` prompts, in which `words` are known, as the denoiser reads them."""
        ...

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        """What the denoiser predicts for `noisy` `[B, C, h, w]` at `t` `[B]`."""
        ...

    def scheduler(self, name: str | None = None) -> Any:
        """diffusers' scheduler `name` set up for this model, without state; by default its own.

        Raises:
            SettingsError: diffusers has none of that name that fits.
        """
        ...

    def changed_by(self, loras: Sequence[tuple[Path, float]]) -> AbstractContextManager[None]:
        """While open, the model is changed by LoRA files at these weights; then as it was.

        Raises:
            BaseModelError: a file is no LoRA for this model.
        """
        ...

    def check(self, how: GenerationSettings) -> None:
        """Find out whether the model can draw so, without drawing.

        Raises:
            SettingsError: its pipeline, or the scheduler, cannot; the message says why.
        """
        ...

    def draw(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str],
        words: Words,
        generators: Sequence[Generator],
        how: GenerationSettings,
    ) -> list[Image]:
        """Draw one picture per prompt with diffusers' own pipeline."""
        ...
