"""Settings of the public functions as keyword arguments, for editors and type checkers.

Made from `pseudoword.config` by scripts/reference.py. Change the settings there, never here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from pseudoword import config
from pseudoword.commands.load import Loaded


class TrainSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.TrainConfig`."""

    base: str | Path | Loaded
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    init: str | Path
    init_mode: Literal["auto", "rows", "mean", "nearest", "cross", "random", "file"]
    vectors: int | Literal["auto"]
    also: str | Sequence[str]
    output_embedding: bool
    resolution: int | None
    width: int | None
    height: int | None
    crop: Literal["centre", "random", "focal", "buckets"]
    crops: int
    flip: bool
    background: str
    mask: Literal["none", "alpha", "file"]
    unmasked_weight: float
    skip_bad: bool
    template: str | Path
    caption_lines: Literal["join", "random"]
    shuffle_tags: bool
    drop_tags: float
    keep_tags: int
    drop_caption: float
    words: str | Path | Sequence[str | Path]
    method: Literal["classic", "directional", "layered"]
    norm: Literal["none", "keep", "limit", "rescale", "pull"]
    norm_pull: float
    kappa: float
    nested: float
    latent_sampling: Literal["random", "deterministic", "once"]
    min_timestep: int
    max_timestep: int | None
    timestep_sampling: Literal["uniform", "stratified", "logit-normal", "mode", "importance"]
    noise_offset: float
    min_snr: float
    loss: Literal["l2", "huber"]
    huber_delta: float
    keep_context: float
    steps: int | Literal["auto"]
    extend: int
    max_steps: int
    batch: int
    accumulate: int
    lr: float | str
    schedule: Literal["constant", "linear", "cosine"]
    warmup: int
    optimiser: str
    optimiser_option: str | Sequence[str]
    clip_norm: float
    clip_value: float
    average: bool
    ema: float
    seed: int
    deterministic: bool
    graphs: bool
    gradient_checkpointing: bool
    offload: bool
    evaluate_every: int
    patience: int
    held_out: int | Literal["auto"]
    preview: str | Sequence[str]
    preview_every: int
    embedding_in_preview: bool
    save_every: int
    keep_last: int
    checkpoint_every: int
    log: (
        Literal["csv", "tensorboard", "wandb", "trackio"]
        | Sequence[Literal["csv", "tensorboard", "wandb", "trackio"]]
    )
    out: str | Path | None


class TrainManySettings(TypedDict, total=False):
    """Fields of `pseudoword.config.TrainConfig`."""

    base: str | Path
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    init: str | Path
    init_mode: Literal["auto", "rows", "mean", "nearest", "cross", "random", "file"]
    vectors: int | Literal["auto"]
    also: str | Sequence[str]
    output_embedding: bool
    resolution: int | None
    width: int | None
    height: int | None
    crop: Literal["centre", "random", "focal", "buckets"]
    crops: int
    flip: bool
    background: str
    mask: Literal["none", "alpha", "file"]
    unmasked_weight: float
    skip_bad: bool
    template: str | Path
    caption_lines: Literal["join", "random"]
    shuffle_tags: bool
    drop_tags: float
    keep_tags: int
    drop_caption: float
    words: str | Path | Sequence[str | Path]
    method: Literal["classic", "directional", "layered"]
    norm: Literal["none", "keep", "limit", "rescale", "pull"]
    norm_pull: float
    kappa: float
    nested: float
    latent_sampling: Literal["random", "deterministic", "once"]
    min_timestep: int
    max_timestep: int | None
    timestep_sampling: Literal["uniform", "stratified", "logit-normal", "mode", "importance"]
    noise_offset: float
    min_snr: float
    loss: Literal["l2", "huber"]
    huber_delta: float
    keep_context: float
    steps: int | Literal["auto"]
    extend: int
    max_steps: int
    batch: int
    accumulate: int
    lr: float | str
    schedule: Literal["constant", "linear", "cosine"]
    warmup: int
    optimiser: str
    optimiser_option: str | Sequence[str]
    clip_norm: float
    clip_value: float
    average: bool
    ema: float
    seed: int
    deterministic: bool
    graphs: bool
    gradient_checkpointing: bool
    offload: bool
    evaluate_every: int
    patience: int
    held_out: int | Literal["auto"]
    preview: str | Sequence[str]
    preview_every: int
    embedding_in_preview: bool
    save_every: int
    keep_last: int
    checkpoint_every: int
    log: (
        Literal["csv", "tensorboard", "wandb", "trackio"]
        | Sequence[Literal["csv", "tensorboard", "wandb", "trackio"]]
    )


class WorkSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.WorkConfig`."""

    pack: int
    lease: float
    tries: int
    stay: bool
    ray: str | None
    workers: int | None


class LoadSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.LoadConfig`."""

    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    gradient_checkpointing: bool


class GenerateSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.GenerateConfig`."""

    base: str | Path | Loaded
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    n: int
    seed: int
    negative: str
    guidance: float | None
    guidance_rescale: float | None
    sampler_steps: int | None
    resolution: int | None
    width: int | None
    height: int | None
    emphasis: Literal["original", "no-norm", "none"] | None
    toward: float
    toward_word: str | None
    rows: int | None
    scheduler: str | None
    offload: bool
    lora: str | Path | Sequence[str | Path]


class PrepareSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.PrepareConfig`."""

    base: str | Path
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    resolution: int | None
    width: int | None
    height: int | None
    crop: Literal["centre", "random", "focal", "buckets"]
    crops: int
    flip: bool
    background: str
    mask: Literal["none", "alpha", "file"]
    unmasked_weight: float
    skip_bad: bool
    template: str | Path
    caption_lines: Literal["join", "random"]
    shuffle_tags: bool
    drop_tags: float
    keep_tags: int
    drop_caption: float
    words: str | Path | Sequence[str | Path]
    seed: int


class EvaluateSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.EvaluateConfig`."""

    base: str | Path | Loaded
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    prompt: str | Sequence[str]
    compare_with: str | None
    n: int
    seed: int
    guidance: float | None
    sampler_steps: int | None
    similarity_model: str | Path | None
    out: str | Path


class BenchSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.BenchConfig`."""

    base: str | Path
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    compare: str | Sequence[str]
    concepts: int | None
    ceiling: bool
    relearn: bool
    pictures_each: int
    sampler_steps: int
    pack: int
    similarity_model: str | Path | None
    seed: int
    out: str | Path


class PlanSettings(TypedDict, total=False):
    """Fields of `pseudoword.config.PlanConfig`."""

    base: str | Path
    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    variant: str | None
    configs: str | Path | None
    prediction_type: Literal["auto", "epsilon", "v_prediction"]
    clip_skip: int
    quantize: Literal["none", "8bit", "4bit"]
    resolution: int | None
    batch: int
    method: Literal["classic", "directional", "layered"]
    output_embedding: bool


KINDS: Mapping[object, type[config.Settings]] = {
    TrainSettings: config.TrainConfig,
    TrainManySettings: config.TrainConfig,
    WorkSettings: config.WorkConfig,
    LoadSettings: config.LoadConfig,
    GenerateSettings: config.GenerateConfig,
    PrepareSettings: config.PrepareConfig,
    EvaluateSettings: config.EvaluateConfig,
    BenchSettings: config.BenchConfig,
    PlanSettings: config.PlanConfig,
}
"""Which class has the defaults."""
