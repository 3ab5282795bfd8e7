"""The contrastive stage: a text encoder learns what captions mean by matching them to pictures.

A CLIPTextModel beside a small convolutional picture tower. Convolutions match captions to pictures
many times sooner than a vision transformer; the base throws the tower away, and the judge passes
it on to a vision transformer (see `judge.py`).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from basemodel.captions import caption
from basemodel.loop import Stage, keyed, pick_device, train, warm_cosine
from basemodel.painter import Painter
from basemodel.pictures import Artwork
from basemodel.precision import mixed
from basemodel.scenes import COLOUR_WORDS, Scene, SceneMaker
from basemodel.settings import TEXT_TOKENS, ClipSettings, Settings
from basemodel.tokens import token_ids
from basemodel.world import STYLES

TEACHER = 1
"""First part of the random key."""


def text_config(settings: ClipSettings, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """CLIP's text transformer, small."""
    return CLIPTextConfig(
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_attention_heads=settings.heads,
        hidden_act="gelu",
        num_hidden_layers=settings.text_layers,
        vocab_size=len(tokenizer),
        max_position_embeddings=TEXT_TOKENS,
        projection_dim=settings.projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


class PictureTower(torch.nn.Module):
    """A convolutional picture encoder: [B,3,64,64] -> [B,projection]."""

    def __init__(self, projection: int) -> None:
        super().__init__()
        widths = (96, 192, 256, 256)
        layers: list[torch.nn.Module] = [torch.nn.PixelUnshuffle(4)]  # [B,48,16,16]
        before = 48
        for number, width in enumerate(widths):
            layers += [
                torch.nn.Conv2d(before, width, 3, stride=1 + number % 2, padding=1),
                torch.nn.GroupNorm(8, width),
                torch.nn.SiLU(),
            ]
            before = width
        self.layers = torch.nn.Sequential(*layers)  # [B,256,4,4]
        self.out = torch.nn.Linear(16 * before, projection)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels [B,3,64,64] to embeddings [B,projection]."""
        out: torch.Tensor = self.out(self.layers(pixels).flatten(1))
        return out


class Teacher(torch.nn.Module):
    """Text encoder and picture tower, matched by cosine similarity."""

    def __init__(self, settings: ClipSettings, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_model = CLIPTextModel(text_config(settings, tokenizer))
        self.text_out = torch.nn.Linear(settings.width, settings.projection, bias=False)
        self.picture = PictureTower(settings.projection)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.66))

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity logits [B,B], one row per caption; and the pictures' embeddings."""
        text = F.normalize(self.text_out(self.text_model(ids).pooler_output).float(), dim=-1)
        embedding = self.picture(pixels)
        seen = F.normalize(embedding.float(), dim=-1)
        return self.logit_scale.clamp(max=4.6).exp() * text @ seen.T, embedding


class Labels(torch.nn.Module):
    """Plain classifiers over a picture's embedding.

    They teach the tower to tell names and styles apart long before captions do.
    """

    def __init__(self, projection: int, art: Artwork) -> None:
        super().__init__()
        self.art = art
        sizes = {"thing": len(art.things), "style": len(STYLES), "ground": len(COLOUR_WORDS)}
        self.heads = torch.nn.ModuleDict(
            {name: torch.nn.Linear(projection, size) for name, size in sizes.items()}
        )

    def forward(self, embedding: torch.Tensor, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        """Cross-entropy of each label, for embeddings [B,projection] of the scenes' pictures."""
        first = [scene.rows[0] for scene in scenes]
        labels = {
            "thing": self.art.thing[first],
            "style": self.art.style[first],
            "ground": np.array([COLOUR_WORDS.index(scene.colours[0]) for scene in scenes]),
        }
        return {
            name: F.cross_entropy(
                head(embedding).float(),
                torch.from_numpy(labels[name]).long().to(embedding.device),
                label_smoothing=0.05,
            )
            for name, head in self.heads.items()
        }


def to_pixels(pictures: np.ndarray | list[np.ndarray]) -> torch.Tensor:
    """uint8 [B,64,64,3] -> float [B,3,64,64] in [-1,1]."""
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 127.5 - 1


def roughen(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Sometimes blur or add noise, so that a slightly soft picture still means the same."""
    chance = rng.random()
    if chance < 0.25:
        pixels = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    elif chance < 0.5:
        noise = torch.from_numpy(rng.standard_normal(pixels.shape, np.float32))
        pixels = pixels + 0.1 * noise
    return pixels


def draw_batch(
    maker: SceneMaker, count: int, rng: np.random.Generator
) -> tuple[list[Scene], list[str]]:
    """Scenes and captions: half at random, half in groups that differ by style alone.

    Among random scenes the name gives the picture away and style is never needed; the groups make
    sure the text encoder learns what style words mean.
    """
    scenes = [maker.draw(rng) for _ in range(count // 2)]
    words = [caption(s, maker.art, rng) for s in scenes]
    while len(scenes) < count:
        group = maker.draw_alike(rng, min(4, count - len(scenes)))
        scenes += group
        words += [caption(s, maker.art, rng, whole=True) for s in group]
    return scenes, words


def fit(
    name: str,
    key: int,
    model: torch.nn.Module,
    art: Artwork,
    tokenizer: CLIPTokenizer,
    clip: ClipSettings,
    settings: Settings,
    deadline: float,
) -> bool:
    """Train (or go on, or just load) a contrastive model; False when cut short."""
    device = pick_device()
    model.to(device).train()
    modules = {"model": model}
    if clip.labels:
        modules["labels"] = Labels(clip.projection, art).to(device)
    maker, painter = SceneMaker(art), Painter(art, settings.painters)
    parameters = [p for module in modules.values() for p in module.parameters()]
    decay = [p for p in parameters if p.ndim >= 2]
    rest = [p for p in parameters if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, key, step)
        scenes, words = draw_batch(maker, clip.batch, rng)
        pixels = roughen(to_pixels(painter(scenes)), rng).to(device)
        ids = token_ids(tokenizer, words).to(device)
        with mixed(device):
            logits, embedding = model(ids, pixels)
            labels = modules["labels"](embedding, scenes) if clip.labels else {}
        target = torch.arange(len(scenes), device=device)
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        right = (logits.argmax(1) == target).float().mean()
        numbers = {"matched": float(right), **{k: float(v) for k, v in labels.items()}}
        return value + sum(labels.values()), numbers

    stage = Stage(
        name,
        settings.work,
        modules,
        optimizer,
        clip.steps,
        loss,
        lambda step: warm_cosine(step, clip.steps, clip.learning_rate, min(100, clip.steps // 5)),
        save_every_seconds=settings.save_every_seconds,
        log_every=settings.log_every,
        deadline=deadline,
    )
    done = train(stage)
    model.eval().requires_grad_(False)
    return done


def build_teacher(
    art: Artwork, tokenizer: CLIPTokenizer, settings: Settings, deadline: float = float("inf")
) -> tuple[CLIPTextModel, bool]:
    """The text encoder, taught on trained artwork."""
    torch.manual_seed(settings.seed)
    model = Teacher(settings.clip, tokenizer)
    done = fit("clip", TEACHER, model, art.trained(), tokenizer, settings.clip, settings, deadline)
    return model.text_model, done
