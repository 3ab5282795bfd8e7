"""The similarity model stage: a small CLIPModel that has seen all drawings, also held-out ones.

It is for measuring only, and is trained in three steps:

1. A convolutional tower and a text encoder learn to match pictures and captions.
2. A vision transformer, which CLIPModel needs, is distilled from the tower. That is much easier
   than learning to match captions from nothing.
3. The text encoder learns to match the transformer, because its embeddings differ a little from
   the tower's.

The stages' files are called judge, as in earlier runs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, CLIPVisionConfig

from basemodel.contrastive import (
    ContrastiveModel,
    ContrastiveStage,
    augment,
    contrastive_loss,
    make_batch,
    text_config,
)
from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage, warm_cosine
from basemodel.muon import Muon, split
from basemodel.painter import Painter
from basemodel.pixels import to_pixels
from basemodel.rng import keyed
from basemodel.scenes import SceneMaker
from basemodel.settings import PICTURE_PX, ClipSettings, Settings
from basemodel.tokenizer import token_ids

TOWER, VISION, TEXT = 2, 8, 10
"""First parts of the random keys."""


def new_similarity_model(settings: ClipSettings, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A small CLIPModel on 64 px pictures in 8 px patches, with random weights."""
    vision = CLIPVisionConfig(
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_attention_heads=settings.heads,
        hidden_act="gelu",
        num_hidden_layers=settings.vision_layers,
        image_size=PICTURE_PX,
        patch_size=8,
        projection_dim=settings.projection,
    )
    text = text_config(settings, tokenizer)
    return CLIPModel(
        CLIPConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=settings.projection,
        )
    )


def embed_pictures(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """Pixels [B,3,64,64] in [-1,1] -> unit vectors [B,projection] float32."""
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return F.normalize(model.visual_projection(pooled).float(), dim=-1)


def embed_texts(model: CLIPModel, ids: torch.Tensor) -> torch.Tensor:
    """Token ids [B,32] -> unit vectors [B,projection] float32."""
    pooled = model.text_model(ids).pooler_output
    return F.normalize(model.text_projection(pooled).float(), dim=-1)


class VisionStage(Stage):
    """Distils the convolutional tower into the vision transformer."""

    def __init__(
        self,
        model: CLIPModel,
        tower: ContrastiveModel,
        drawings: Drawings,
        settings: Settings,
        deadline: float,
    ) -> None:
        self.model, self.tower = model, tower
        self.device = next(model.parameters()).device
        if self.device.type == "cpu":  # where the backward pass of fused attention is slower
            model.set_attn_implementation("eager")
        self.maker, self.painter = SceneMaker(drawings), Painter(drawings, settings.painters)
        vision = torch.nn.ModuleList([model.vision_model, model.visual_projection])
        optimizer = Muon(*split(vision, ("0.embeddings", "1.")), weight_decay=0.02)
        steps = settings.similarity.distil_steps
        super().__init__("judge", settings, steps, {"clip": model}, optimizer, deadline)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The tower's direction; of all embeddings in the batch, the tower's own one is nearest."""
        rng = keyed(self.settings.seed, VISION, step)
        scenes, _ = make_batch(self.maker, self.settings.similarity.batch, rng)
        pixels = augment(to_pixels(self.painter(scenes)), rng).to(self.device)
        with mixed(self.device):
            with torch.no_grad():
                wanted = F.normalize(self.tower.picture(pixels).float(), dim=-1)
            embeddings = embed_pictures(self.model, pixels)
        distance = 1 - (embeddings * wanted).sum(1).mean()
        target = torch.arange(len(embeddings), device=self.device)
        apart = F.cross_entropy(50 * embeddings @ wanted.T, target)
        return 10 * distance + apart, {"cosine": float(1 - distance), "apart": float(apart)}

    def rate(self, step: int) -> float:
        """Warm-up and cosine."""
        return warm_cosine(step, self.steps, 2 * self.settings.similarity.learning_rate, 100)


class TextStage(Stage):
    """Trains the text half to match the vision half, which is frozen."""

    def __init__(
        self,
        model: CLIPModel,
        drawings: Drawings,
        tokenizer: CLIPTokenizer,
        settings: Settings,
        deadline: float,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        text = torch.nn.ModuleList([model.text_model, model.text_projection])
        model.eval().requires_grad_(False)
        text.train().requires_grad_(True)
        self.maker, self.painter = SceneMaker(drawings), Painter(drawings, settings.painters)
        optimizer = torch.optim.AdamW(text.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
        steps = settings.similarity.text_steps
        super().__init__("judge_words", settings, steps, {"words": text}, optimizer, deadline)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Captions find their pictures, and pictures find their captions."""
        rng = keyed(self.settings.seed, TEXT, step)
        scenes, captions = make_batch(self.maker, self.settings.similarity.batch, rng)
        pixels = augment(to_pixels(self.painter(scenes)), rng).to(self.device)
        with mixed(self.device):
            with torch.no_grad():
                pictures = embed_pictures(self.model, pixels)
            texts = embed_texts(self.model, token_ids(self.tokenizer, captions).to(self.device))
        loss, matched = contrastive_loss(self.model.logit_scale.exp() * texts @ pictures.T)
        return loss, {"matched": matched}

    def rate(self, step: int) -> float:
        """Warm-up and cosine."""
        return warm_cosine(step, self.steps, self.settings.similarity.learning_rate / 2, 50)


def build_similarity_model(
    drawings: Drawings, tokenizer: CLIPTokenizer, settings: Settings, deadline: float
) -> tuple[CLIPModel, bool]:
    """The similarity model, and False if the deadline came before it was trained."""
    s = settings.similarity
    torch.manual_seed(settings.seed)
    tower = ContrastiveModel(s, tokenizer)
    model = new_similarity_model(s, tokenizer)
    stage = ContrastiveStage(
        "judge_tower", TOWER, tower, drawings, tokenizer, s, settings, deadline
    )
    tower_done = stage.train()
    tower.eval().requires_grad_(False)
    model.text_model.load_state_dict(tower.text_model.state_dict())
    model.text_projection.load_state_dict(tower.text_out.state_dict())
    model.logit_scale.data = tower.logit_scale.data.clamp(max=4.6).clone()
    model.to(pick_device())
    vision_done = VisionStage(model, tower, drawings, settings, deadline).train()
    text_done = TextStage(model, drawings, tokenizer, settings, deadline).train()
    return model.eval().requires_grad_(False), tower_done and vision_done and text_done
