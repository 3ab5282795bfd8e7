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
    augment,
    make_batch,
    text_config,
    train_contrastive,
)
from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage, train, warm_cosine
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


def build_similarity_model(
    drawings: Drawings, tokenizer: CLIPTokenizer, settings: Settings, deadline: float = float("inf")
) -> tuple[CLIPModel, bool]:
    """The similarity model, and False if the deadline came before it was trained."""
    device, s = pick_device(), settings.similarity
    torch.manual_seed(settings.seed)
    tower = ContrastiveModel(s, tokenizer)
    model = new_similarity_model(s, tokenizer)
    tower_done = train_contrastive(
        "judge_tower", TOWER, tower, drawings, tokenizer, s, settings, deadline
    )
    model.text_model.load_state_dict(tower.text_model.state_dict())
    model.text_projection.load_state_dict(tower.text_out.state_dict())
    model.logit_scale.data = tower.logit_scale.data.clamp(max=4.6).clone()
    model.to(device)
    vision_done = _distil_vision(model, tower, drawings, settings, deadline)
    text_done = _train_text(model, drawings, tokenizer, settings, deadline)
    return model.eval().requires_grad_(False), tower_done and vision_done and text_done


def _distil_vision(
    model: CLIPModel,
    tower: ContrastiveModel,
    drawings: Drawings,
    settings: Settings,
    deadline: float,
) -> bool:
    """Teach the vision transformer the tower's embeddings; False if the deadline came first."""
    s, device = settings.similarity, next(model.parameters()).device
    if device.type == "cpu":  # where the backward pass of torch's fused attention is slower
        model.set_attn_implementation("eager")
    vision = torch.nn.ModuleList([model.vision_model, model.visual_projection])
    optimizer = Muon(*split(vision, ("0.embeddings", "1.")), weight_decay=0.02)
    maker, painter = SceneMaker(drawings), Painter(drawings, settings.painters)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, VISION, step)
        scenes, _ = make_batch(maker, s.batch, rng)
        pixels = augment(to_pixels(painter(scenes)), rng).to(device)
        with mixed(device):
            with torch.no_grad():
                wanted = F.normalize(tower.picture(pixels).float(), dim=-1)
            embeddings = embed_pictures(model, pixels)
        # The same direction as the tower's, and of all in the batch most similar to its own.
        distance = 1 - (embeddings * wanted).sum(1).mean()
        target = torch.arange(len(embeddings), device=device)
        apart = F.cross_entropy(50 * embeddings @ wanted.T, target)
        return 10 * distance + apart, {"cosine": float(1 - distance), "apart": float(apart)}

    stage = Stage(
        "judge",
        settings.work,
        {"clip": model},
        optimizer,
        s.distil_steps,
        loss,
        lambda step: warm_cosine(step, s.distil_steps, 2 * s.learning_rate, 100),
        save_every_seconds=settings.save_every_seconds,
        log_every=settings.log_every,
        deadline=deadline,
    )
    return train(stage)


def _train_text(
    model: CLIPModel,
    drawings: Drawings,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    deadline: float,
) -> bool:
    """Train the text half to match the frozen vision half; False if the deadline came first."""
    s = settings.similarity
    device = next(model.parameters()).device
    text = torch.nn.ModuleList([model.text_model, model.text_projection])
    model.eval().requires_grad_(False)
    text.train().requires_grad_(True)
    maker, painter = SceneMaker(drawings), Painter(drawings, settings.painters)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, TEXT, step)
        scenes, captions = make_batch(maker, s.batch, rng)
        pixels = augment(to_pixels(painter(scenes)), rng).to(device)
        with mixed(device):
            with torch.no_grad():
                pictures = embed_pictures(model, pixels)
            texts = embed_texts(model, token_ids(tokenizer, captions).to(device))
        logits = model.logit_scale.exp() * texts @ pictures.T
        target = torch.arange(len(scenes), device=device)
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return value, {"matched": float((logits.argmax(1) == target).float().mean())}

    stage = Stage(
        "judge_words",
        settings.work,
        {"words": text},
        torch.optim.AdamW(text.parameters(), betas=(0.9, 0.98), weight_decay=0.05),
        s.text_steps,
        loss,
        lambda step: warm_cosine(step, s.text_steps, s.learning_rate / 2, 50),
        save_every_seconds=settings.save_every_seconds,
        log_every=settings.log_every,
        deadline=deadline,
    )
    return train(stage)
