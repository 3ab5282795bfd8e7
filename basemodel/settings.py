"""Every number of the recipe in one place, as three presets: `cpu`, `gpu` and `mini`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
WORLD = HERE / "world"
BUNDLED = HERE.parent / "src" / "pseudoword" / "bundled"

PICTURE_PX = 64
LATENT_CHANNELS = 16
LATENT_SIDE = 8
TEXT_TOKENS = 32
TEXT_WIDTH = 256


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance, and how far its contrast is brought back, 0 to 1."""

    scale: float
    rescale: float = 0.0


GUIDANCE = Guidance(3.5, 1.0)
"""The best guidance for the finished model; its model_index.json names it."""


@dataclass(frozen=True)
class ClipSettings:
    """A contrastive model: the one that trains the text encoder, or the similarity model."""

    steps: int
    batch: int = 128
    learning_rate: float = 1e-3
    width: int = TEXT_WIDTH
    text_layers: int = 3
    vision_layers: int = 4
    heads: int = 4
    projection: int = 256
    labels: bool = False
    """Also learn names, styles and backgrounds as labels."""
    distil_steps: int = 0
    """Similarity model only: steps in which the vision transformer is distilled from the tower."""
    text_steps: int = 0
    """Similarity model only: steps in which the text half learns to match the transformer."""


@dataclass(frozen=True)
class VaeSettings:
    """The autoencoder: 64 px pictures to 8x8x16 latents."""

    steps: int
    batch: int = 16
    learning_rate: float = 2e-3
    channels: tuple[int, ...] = (32, 64, 128, 128)
    kl_weight: float = 1e-3


@dataclass(frozen=True)
class UnetSettings:
    """The U-Net, and the pool of latents that it is trained on."""

    steps: int
    batch: int = 64
    learning_rate: float = 1.2e-3
    warmup_steps: int = 200
    cooldown_steps: int = 6750
    """Number of last steps in which the learning rate goes down."""
    cooldown_share: float = 0.25
    """At most this share of all steps."""
    channels: tuple[int, ...] = (128, 192, 192)
    heads: int = 4
    ema_decay: float = 0.999
    caption_dropout: float = 0.1
    shard_size: int = 8192
    """Composed pictures that are made and encoded together."""
    pool_shards: int = 8
    """Number of shards in the pool's sliding window."""
    uses_per_picture: float = 4
    """How often each picture is used, on average, while it is in the pool."""


@dataclass(frozen=True)
class Settings:
    """A whole run. Files in `work` may be deleted; those in `bundled` are shipped."""

    work: Path
    bundled: Path
    clip: ClipSettings
    similarity: ClipSettings
    vae: VaeSettings
    unet: UnetSettings
    seed: int = 20
    threads: int = 2
    painters: int = 0
    """Processes that compose pictures; 0: the training process does it."""
    save_every_seconds: float = 120.0
    binding_every: int = 250
    grid_every: int = 1000
    log_every: int = 50
    binding_pictures: int = 192
    """Pictures whose right and wrong captions are compared while the U-Net is trained."""
    sampler_steps: int = 25
    """Of the pictures that are drawn to look at or to measure."""
    tokenizer_captions: int = 40_000
    """Captions that the tokenizer is learned from."""
    unseen_pictures: int = 256
    """Pictures of held-out things that measure the VAE; half of them while it is trained."""
    whitened: int = 512
    """Pictures from which the mean and deviation of latents are measured."""
    measured_prompts: int = 200
    sheet_prompts: int = 64
    packing_effort: int = 6
    """0 to 6; more takes longer and makes the shipped drawings smaller."""
    shipped_drawings: bool = False
    """Use only the drawings that are shipped with the benchmark: no network, no rendering."""


CPU = Settings(
    work=HERE / "work",
    bundled=BUNDLED,
    clip=ClipSettings(steps=5000, labels=True),
    similarity=ClipSettings(
        steps=2500,
        width=192,
        text_layers=2,
        projection=192,
        labels=True,
        distil_steps=4500,
        text_steps=1200,
    ),
    vae=VaeSettings(steps=1500),
    unet=UnetSettings(steps=27_000),
)

# The stages as they ran on one H200 with 13 painters, in twenty minutes; that program also ran its
# steps as CUDA graphs. The similarity model was not trained again.
GPU = replace(
    CPU,
    painters=13,
    threads=4,
    clip=replace(CPU.clip, steps=8855, batch=512),
    vae=replace(CPU.vae, steps=4948, batch=256),
    unet=replace(
        CPU.unet,
        steps=22_300,
        batch=512,
        cooldown_steps=7805,
        cooldown_share=0.35,
        ema_decay=0.9995,
        shard_size=4096,
        pool_shards=72,
        uses_per_picture=2.5,
    ),
)

# Every stage as small as possible: it shows that the recipe runs and resumes, but learns nothing.
_MINI_CLIP = ClipSettings(
    steps=4, batch=16, width=32, text_layers=1, vision_layers=1, projection=32, labels=True
)
MINI = Settings(
    work=HERE / "work" / "mini",
    bundled=HERE / "work" / "mini" / "bundled",
    clip=_MINI_CLIP,
    similarity=replace(_MINI_CLIP, distil_steps=4, text_steps=4),
    vae=VaeSettings(steps=4, batch=8, channels=(8, 8, 8, 8)),
    unet=UnetSettings(
        steps=4, batch=8, channels=(32, 32), shard_size=64, pool_shards=2, warmup_steps=2
    ),
    threads=1,
    save_every_seconds=0.0,
    log_every=2,
    binding_every=4,
    grid_every=4,
    binding_pictures=16,
    sampler_steps=2,
    tokenizer_captions=500,
    unseen_pictures=8,
    whitened=16,
    measured_prompts=2,
    sheet_prompts=8,
    packing_effort=0,
    shipped_drawings=True,
)

PRESETS = {"cpu": CPU, "gpu": GPU, "mini": MINI}
