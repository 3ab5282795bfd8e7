"""How much memory training and drawing need, computed from a model's configs without its weights.

Training, encoding and drawing run on the meta device, where tensors have shapes but no numbers. The
peak of live bytes is counted. `benchmarks/memory.py` compares it with measurements. Files are
mapped while weights are copied from them; these pages are not counted, since the system frees them
when memory is needed.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel
from torch import nn

from pseudoword import methods
from pseudoword.config import PlanConfig, Quantize
from pseudoword.config.method import MethodName, MethodSettings
from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.formats.keys import OUTPUT_SUFFIX
from pseudoword.methods import Initialisation
from pseudoword.models import base_model, detection
from pseudoword.models.compute.block_offload import blocks_of
from pseudoword.models.compute.frozen_layers import can_pack, packed_nbytes
from pseudoword.models.compute.live_memory import count_peak, nbytes
from pseudoword.models.compute.precision import shapes_of
from pseudoword.models.detection import Detected
from pseudoword.models.family import Family
from pseudoword.models.loading import devices, single_file_configs
from pseudoword.models.loading.quantisation import quantized_layers
from pseudoword.models.picture_size import picture_size
from pseudoword.models.reading.text_encoder import watched
from pseudoword.placeholders import pack_placeholder
from pseudoword.text import reason
from pseudoword.training import encoded_prompts, loss
from pseudoword.training.encoded_prompts import PromptsOfWord

PROCESS_NBYTES = 600 << 20
"""Python with torch, diffusers and transformers, or a GPU's context: about the same, measured."""

CHOICES: Sequence[tuple[bool, Quantize]] = (
    *((False, "none"), (False, "8bit"), (False, "4bit")),
    *((True, "none"), (True, "8bit")),
)
"""Whether blocks are away, and how weights are quantised: what can be chosen together."""

QUANTIZED: dict[Quantize, float] = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""Bytes per weight of a linear layer; 4 bits come with a float for each 64 weights."""


class Need(BaseModel):
    """What training needs with one choice of quantisation and checkpointing."""

    quantize: Quantize
    gradient_checkpointing: bool
    weights_nbytes: int
    """the denoiser and the text encoders, also as laid out for a CPU"""
    step_nbytes: int
    """what a training step needs in addition, at its peak"""
    nbytes: int
    """everything together, with the process itself"""


class PictureNeed(BaseModel):
    """What one picture needs with one choice of quantisation and offloading."""

    quantize: Quantize
    offload: bool
    """whether each block is on the device only while it is at work"""
    encode_nbytes: int
    """the peak while it is encoded, before training"""
    draw_nbytes: int
    """the peak while it is drawn"""


class Plan(BaseModel):
    """What a base model needs at a resolution and batch size; the VAE is gone while it trains."""

    base: str
    family: str
    recognised_by: str
    """what identified the kind of model"""
    resolution: int
    batch: int
    method: str
    device: str
    """the kind of device: cpu, cuda, xpu or mps"""
    dtype: str
    parts: dict[str, int]
    """bytes of each part's weights, not quantised"""
    pictures: list[PictureNeed]
    """what one picture needs before and after training"""
    train: list[Need]
    train_offloaded: list[Need]
    """with each block on the device only while it is at work"""

    @property
    def draw_nbytes(self) -> int:
        """The peak while one picture is drawn; not quantised."""
        return self.picture("none").draw_nbytes

    def picture(self, quantize: str, *, offload: bool = False) -> PictureNeed:
        """What one picture needs with these settings."""
        return next(
            one for one in self.pictures if (one.quantize, one.offload) == (quantize, offload)
        )

    def need(self, quantize: str, checkpointing: bool, *, offload: bool = False) -> Need:
        """What training needs with these settings; `offload` comes with checkpointing."""
        return next(
            need
            for need in (self.train_offloaded if offload else self.train)
            if need.quantize == quantize
            and (offload or need.gradient_checkpointing == checkpointing)
        )


@dataclass(frozen=True)
class _Peaks:
    """The most bytes that live beside the weights, in each kind of work."""

    encode: int
    """of one picture"""
    draw: int
    """of one picture"""
    step: int
    """of training"""
    step_checkpointing: int
    step_offloaded: int


def plan_memory(config: PlanConfig) -> Plan:
    """Compute what is needed; the public `plan`.

    Raises:
        BaseModelError: the base is not known. Of a base on the hub, only configs are fetched.
        SettingsError: the model does not work with the resolution.
    """
    place = base_model.placement(config, empty=True)
    found = detection.detect(_of_published_size(config))
    family = base_model.build(found, place)
    side, _ = picture_size(
        config.resolution,
        own=family.resolution,
        multiple_of=family.resolution_step,
        model=config.base,
    )
    modules: dict[str, nn.Module] = dict(family.modules())
    parts = {name: nbytes(module) for name, module in modules.items()}
    device = devices.planned_for(config.device)
    where = shapes_of(device)
    with where, _counting(f"{config.base} at {side} pixels, {config.batch} at once"):
        peaks = _peaks(found, family, side, config)
        gone = {"vae"}
        if config.output_embedding:
            gone |= {*encoded_prompts.freed(family, [_rows(family, True)])}
    without_vae = [module for name, module in modules.items() if name != "vae"]
    in_training = [module for name, module in modules.items() if name not in gone]
    packed = [module for module in without_vae if can_pack(module, device, place.dtype)]
    drawing = sum(packed_nbytes(module, False) for module in packed)
    beside = parts.get("vae", 0) + PROCESS_NBYTES
    return Plan(
        base=config.base,
        family=family.name,
        recognised_by=found.recognised_by,
        resolution=side,
        batch=config.batch,
        method=config.method,
        device=device.type,
        dtype=str(place.dtype).removeprefix("torch."),
        parts=parts,
        pictures=[
            _picture(without_vae, drawing, quantize, offload, beside, peaks)
            for offload, quantize in CHOICES
        ],
        train=[
            _need(in_training, packed, quantize, checkpointing, step)
            for checkpointing, step in ((False, peaks.step), (True, peaks.step_checkpointing))
            for quantize in ("none", "8bit", "4bit")
        ],
        train_offloaded=[
            _need(in_training, (), quantize, True, peaks.step_offloaded, offload=True)
            for offload, quantize in CHOICES
            if offload
        ],
    )


def _of_published_size(config: PlanConfig) -> PlanConfig:
    """`config`, whose base is a folder of configs where it was a name such as `sd1`."""
    if config.base not in config.sizes or Path(config.base).exists():
        return config
    return config.model_copy(update={"base": str(single_file_configs.folder(config.base))})


def _peaks(found: Detected, family: Family, side: int, config: PlanConfig) -> _Peaks:
    """Count them for pictures of `side` pixels."""
    after = config.output_embedding
    sparing = base_model.build(found, replace(family.placement, checkpointing=True))
    with_blocks_away = base_model.build(found, replace(family.placement, offload_blocks=True))
    latents = _latents(family, side, config.batch)
    return _Peaks(
        encode=_encode(family, side),
        draw=_draw(family, side),
        step=_step(family, latents, config.method, after),
        step_checkpointing=_step(sparing, latents, config.method, after),
        step_offloaded=_step(with_blocks_away, latents, "classic", after),
    )


@contextmanager
def _counting(what: str) -> Iterator[None]:
    """Turn errors of the arithmetic of shapes into an error that explains them."""
    try:
        # Where the caller looks for NaN, torch would look at numbers that are not there.
        with torch.autograd.set_detect_anomaly(mode=False):
            yield
    except PseudowordError:
        raise
    except Exception as error:
        raise BaseModelError(
            f"{what}: the memory for it cannot be computed ({reason(error)}). The configs of the "
            "base do not fit together, or the size is far too large."
        ) from error


def _weights(
    modules: Sequence[nn.Module], quantize: Quantize, offload: bool = False
) -> tuple[int, int]:
    """Bytes of the quantised weights, and of the largest one when it is unpacked.

    With `offload`, of all blocks only the largest is on the device.
    """
    if offload:
        total, extra = _weights(modules, quantize)
        blocks = [_weights([block], quantize)[0] for one in modules for block in blocks_of(one)]
        return total - sum(blocks) + max(blocks, default=0), extra
    total = sum(nbytes(module) for module in modules)
    if quantize == "none":
        return total, 0
    layers = [
        (layer.weight, bits)
        for one in modules
        for _, _, layer, bits in quantized_layers(one, quantize)
    ]
    sizes = [weight.nbytes for weight, _ in layers]
    packed = sum(int(weight.numel() * QUANTIZED[bits]) for weight, bits in layers)
    return total - sum(sizes) + packed, max(sizes, default=0)


def _need(
    modules: Sequence[nn.Module],
    packed: Sequence[nn.Module],
    quantize: Quantize,
    checkpointing: bool,
    step: int,
    *,
    offload: bool = False,
) -> Need:
    """What training needs with `modules`; those of them that are `packed` are twice in memory."""
    weights, extra = _weights(modules, quantize, offload)
    if quantize == "none":
        weights += sum(packed_nbytes(module) for module in modules if module in packed)
    return Need(
        quantize=quantize,
        gradient_checkpointing=checkpointing,
        weights_nbytes=weights,
        step_nbytes=step + extra,
        nbytes=weights + step + extra + PROCESS_NBYTES,
    )


def _picture(
    modules: Sequence[nn.Module],
    packed: int,
    quantize: Quantize,
    offload: bool,
    beside: int,
    peaks: _Peaks,
) -> PictureNeed:
    """What one picture needs.

    Args:
        modules: the denoiser and the text encoders.
        packed: bytes of their weights as laid out for a CPU, if they are not quantised nor away.
        quantize: how they are quantised.
        offload: whether their blocks are away.
        beside: bytes of the VAE, and of the process itself.
        peaks: what lives beside weights.
    """
    weights, extra = _weights(modules, quantize, offload)
    if quantize == "none" and not offload:
        extra = packed
    return PictureNeed(
        quantize=quantize,
        offload=offload,
        encode_nbytes=beside + weights + peaks.encode,
        draw_nbytes=beside + weights + extra + peaks.draw,
    )


def _step(family: Family, latents: torch.Tensor, method: MethodName, after: bool) -> int:
    """A training step of one word, forward and backward, with latents `[B, C, h, w]`.

    With `after`, its rows go in after the text encoders, where these are read; then the prompts
    were encoded before.
    """
    rows = _rows(family, after)
    start = Initialisation(rows, dict.fromkeys(rows, 1.0), 1.0, family.layers, family.device)
    learned = methods.begin(start, MethodSettings(method=method))
    sample = stand_in(latents)
    if after:
        encoded_prompts.keep(family, [PromptsOfWord(rows, sample.prompts)])
    with count_peak() as peak:
        word = learned.rows(0)
        loss.losses(family, [word], sample).sum().backward()
        return peak()


@torch.no_grad()
def _rows(family: Family, after: bool) -> dict[str, torch.Tensor]:
    """A word of one vector; with `after`, it goes in after each encoder whose states are read."""
    rows = {
        key: torch.zeros(1, encoder.width, device="meta", dtype=torch.float32)
        for key, encoder in family.encoders.items()
    }
    if not after:
        return rows
    with watched(family.encoders) as states:
        family.encode_text([pack_placeholder(0)], {pack_placeholder(0): rows})
    return {key + OUTPUT_SUFFIX if key in states else key: own for key, own in rows.items()}


@torch.no_grad()
def _encode(family: Family, side: int) -> int:
    with count_peak() as peak:
        family.encode_pictures(torch.zeros(1, 3, side, side, device="meta", dtype=torch.float32))
        return peak()


@torch.no_grad()
def _draw(family: Family, side: int) -> int:
    """The larger of a guided denoising step and of decoding."""
    sample = stand_in(_latents(family, side, 2))
    with count_peak() as denoising:
        condition = family.encode_text(["a cat", ""], {})
        family.predict(sample.latents, sample.t, condition, sample.micro_conditioning)
    with count_peak() as decoding:
        family.decode(sample.latents[:1])
    return max(denoising(), decoding())


def stand_in(latents: torch.Tensor) -> loss.Batch:
    """A batch for one word around `latents` `[B, C, h, w]`; its numbers do not matter.

    Its prompts differ, as each is encoded once.
    """
    batch, device = len(latents), latents.device
    return loss.Batch(
        [f"a photo of {pack_placeholder(0)} {i}" for i in range(batch)],
        latents=latents,
        noise=torch.zeros_like(latents),
        t=torch.full((batch,), 1, device=device),
        micro_conditioning=torch.ones(batch, 6, dtype=torch.int64, device=device),
        mask=torch.ones_like(latents[:, :1]),
        weight=torch.ones(batch, device=device, dtype=torch.float32),
        delta=torch.full((batch,), math.inf, device=device, dtype=torch.float32),
    )


def _latents(family: Family, side: int, batch: int) -> torch.Tensor:
    pixels = torch.zeros(1, 3, side, side, device="meta", dtype=torch.float32)
    return family.encode_pictures(pixels).mean.repeat(batch, 1, 1, 1)
