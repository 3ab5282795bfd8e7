"""The contrastive stage: a text encoder learns what captions mean by matching them to pictures.

A CLIPTextModel is trained together with a small convolutional picture tower, which learns many
times faster than a vision transformer. The base model does not keep the tower. The similarity model
distils its tower into a vision transformer (see `similarity_model.py`).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from basemodel.captions import caption
from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage, warm_cosine
from basemodel.painter import Painter
from basemodel.pixels import to_pixels
from basemodel.rng import keyed
from basemodel.scenes import COLOUR_WORDS, Scene, SceneMaker
from basemodel.settings import TEXT_TOKENS, ClipSettings, Settings
from basemodel.tokenizer import token_ids
from basemodel.world import STYLES

TEXT_ENCODER = 1
"""First part of the random key."""


def text_config(settings: ClipSettings, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """The config of a small CLIP text transformer."""
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


class ContrastiveModel(torch.nn.Module):
    """A text encoder and a picture tower, matched by cosine similarity."""

    def __init__(self, settings: ClipSettings, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_model = CLIPTextModel(text_config(settings, tokenizer))
        self.text_out = torch.nn.Linear(settings.width, settings.projection, bias=False)
        self.picture = PictureTower(settings.projection)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.66))

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity logits [B,B], one row per caption; and picture embeddings [B,projection]."""
        text = F.normalize(self.text_out(self.text_model(ids).pooler_output).float(), dim=-1)
        embedding = self.picture(pixels)
        pictures = F.normalize(embedding.float(), dim=-1)
        return self.logit_scale.clamp(max=4.6).exp() * text @ pictures.T, embedding


class Labels(torch.nn.Module):
    """Linear classifiers on a picture's embedding.

    They teach the tower to tell names and styles apart long before captions do.
    """

    def __init__(self, projection: int, drawings: Drawings) -> None:
        super().__init__()
        self.drawings = drawings
        sizes = {"thing": len(drawings.things), "style": len(STYLES), "ground": len(COLOUR_WORDS)}
        self.heads = torch.nn.ModuleDict(
            {name: torch.nn.Linear(projection, size) for name, size in sizes.items()}
        )

    def forward(self, embedding: torch.Tensor, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        """Cross-entropy of each label, for embeddings [B,projection] of the scenes' pictures."""
        first = [scene.rows[0] for scene in scenes]
        labels = {
            "thing": self.drawings.thing[first],
            "style": self.drawings.style[first],
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


def augment(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blur a batch or add noise, each with a chance of 1/4: a soft picture means the same."""
    chance = rng.random()
    if chance < 0.25:
        pixels = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    elif chance < 0.5:
        noise = torch.from_numpy(rng.standard_normal(pixels.shape, np.float32))
        pixels = pixels + 0.1 * noise
    return pixels


def make_batch(
    maker: SceneMaker, count: int, rng: np.random.Generator
) -> tuple[list[Scene], list[str]]:
    """Scenes and captions: half of them random, half in groups that differ only by style.

    Among random scenes the name alone finds the right picture. The groups make the text encoder
    learn what style words mean.
    """
    scenes = [maker.scene(rng) for _ in range(count // 2)]
    captions = [caption(s, maker.drawings, rng) for s in scenes]
    while len(scenes) < count:
        group = maker.scenes_in_styles(rng, min(4, count - len(scenes)))
        scenes += group
        captions += [caption(s, maker.drawings, rng, whole=True) for s in group]
    return scenes, captions


class ContrastiveStage(Stage):
    """Trains a text encoder and a picture tower to match captions and pictures."""

    def __init__(
        self,
        name: str,
        key: int,
        model: ContrastiveModel,
        drawings: Drawings,
        tokenizer: CLIPTokenizer,
        clip: ClipSettings,
        settings: Settings,
        deadline: float,
    ) -> None:
        """As for any stage.

        Args:
            name: of the stage.
            key: first part of the random key.
            model: what is trained.
            drawings: all that it may see.
            tokenizer: of the captions.
            clip: settings of this model.
            settings: of the recipe.
            deadline: time.time() after which training stops.
        """
        device = pick_device()
        self.model = model.to(device).train()
        modules: dict[str, torch.nn.Module] = {"model": self.model}
        self.labels = Labels(clip.projection, drawings).to(device) if clip.labels else None
        if self.labels:
            modules["labels"] = self.labels
        self.key, self.clip, self.tokenizer, self.device = key, clip, tokenizer, device
        self.maker, self.painter = SceneMaker(drawings), Painter(drawings, settings.painters)
        super().__init__(name, settings, clip.steps, modules, _adamw(modules), deadline)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Captions find their pictures, pictures find their captions, and labels are right."""
        rng = keyed(self.settings.seed, self.key, step)
        scenes, captions = make_batch(self.maker, self.clip.batch, rng)
        pixels = augment(to_pixels(self.painter(scenes)), rng).to(self.device)
        ids = token_ids(self.tokenizer, captions).to(self.device)
        with mixed(self.device):
            logits, embedding = self.model(ids, pixels)
            labels = self.labels(embedding, scenes) if self.labels else {}
        loss, matched = contrastive_loss(logits)
        numbers = {"matched": matched, **{name: float(value) for name, value in labels.items()}}
        return loss + sum(labels.values()), numbers

    def rate(self, step: int) -> float:
        """Warm-up and cosine."""
        return warm_cosine(step, self.steps, self.clip.learning_rate, min(100, self.steps // 5))


def contrastive_loss(logits: torch.Tensor) -> tuple[torch.Tensor, float]:
    """CLIP's symmetric loss of logits [B,B], and the share of captions that find their picture."""
    target = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return loss, float((logits.argmax(1) == target).float().mean())


def _adamw(modules: dict[str, torch.nn.Module]) -> torch.optim.AdamW:
    """AdamW, with weight decay for matrices only."""
    parameters = [p for module in modules.values() for p in module.parameters()]
    matrices = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )


def build_text_encoder(
    drawings: Drawings, tokenizer: CLIPTokenizer, settings: Settings, deadline: float
) -> tuple[CLIPTextModel, bool]:
    """The text encoder, and False if the deadline came before it was trained."""
    torch.manual_seed(settings.seed)
    model, trained = ContrastiveModel(settings.clip, tokenizer), drawings.for_training()
    stage = ContrastiveStage(
        "clip", TEXT_ENCODER, model, trained, tokenizer, settings.clip, settings, deadline
    )
    done = stage.train()
    return model.eval().requires_grad_(False).text_model, done
