"""The judge: a small CLIPModel that has seen all artwork, held-out included. For measuring only.

First a convolutional tower learns to match captions (minutes); then a vision transformer, which
CLIPModel needs, learns to give the same embeddings as the tower, a much easier lesson than
matching captions from nothing. The text half is the tower's own; at last it learns to match the
transformer, whose embeddings are near to the tower's but not the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, CLIPVisionConfig

from basemodel.contrastive import Teacher, draw_batch, fit, roughen, text_config, to_pixels
from basemodel.loop import Stage, keyed, pick_device, train, warm_cosine
from basemodel.muon import Muon, split
from basemodel.painter import Painter
from basemodel.pictures import Artwork
from basemodel.precision import mixed
from basemodel.scenes import SceneMaker
from basemodel.settings import PICTURE_PX, ClipSettings, Settings
from basemodel.tokens import token_ids

JUDGE_TOWER, JUDGE, JUDGE_WORDS = 2, 8, 10
"""First parts of the random keys."""


def new_judge(settings: ClipSettings, tokenizer: CLIPTokenizer) -> CLIPModel:
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
    """[B,3,64,64] in [-1,1] -> unit vectors [B,projection] float32."""
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return F.normalize(model.visual_projection(pooled).float(), dim=-1)


def embed_texts(model: CLIPModel, ids: torch.Tensor) -> torch.Tensor:
    """[B,32] -> unit vectors [B,projection] float32."""
    pooled = model.text_model(ids).pooler_output
    return F.normalize(model.text_projection(pooled).float(), dim=-1)


def build_judge(
    art: Artwork, tokenizer: CLIPTokenizer, settings: Settings, deadline: float = float("inf")
) -> tuple[CLIPModel, bool]:
    """Train (or go on, or load) the judge on all artwork; False when cut short."""
    device, s = pick_device(), settings.judge
    torch.manual_seed(settings.seed)
    tower = Teacher(s, tokenizer)
    model = new_judge(s, tokenizer)
    followed = fit("judge_tower", JUDGE_TOWER, tower, art, tokenizer, s, settings, deadline)
    model.text_model.load_state_dict(tower.text_model.state_dict())
    model.text_projection.load_state_dict(tower.text_out.state_dict())
    model.logit_scale.data = tower.logit_scale.data.clamp(max=4.6).clone()
    model.to(device)
    if device.type == "cpu":  # the backward pass of torch's fused attention is the slower one there
        model.set_attn_implementation("eager")
    vision = torch.nn.ModuleList([model.vision_model, model.visual_projection])
    optimizer = Muon(*split(vision, ("0.embeddings", "1.")), weight_decay=0.02)
    maker, painter = SceneMaker(art), Painter(art, settings.painters)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, JUDGE, step)
        scenes, _ = draw_batch(maker, s.batch, rng)
        pixels = roughen(to_pixels(painter(scenes)), rng).to(device)
        with mixed(device):
            with torch.no_grad():
                wanted = F.normalize(tower.picture(pixels).float(), dim=-1)
            given = embed_pictures(model, pixels)
        # Same direction as the tower, and nearest to its own picture's among the batch.
        nearness = 1 - (given * wanted).sum(1).mean()
        target = torch.arange(len(given), device=device)
        apart = F.cross_entropy(50 * given @ wanted.T, target)
        return 10 * nearness + apart, {"cosine": float(1 - nearness), "apart": float(apart)}

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
    done = train(stage) and followed
    done = teach_words(model, art, tokenizer, settings, deadline) and done
    return model.eval().requires_grad_(False), done


def teach_words(
    model: CLIPModel,
    art: Artwork,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    deadline: float = float("inf"),
) -> bool:
    """Match captions to the finished vision half, which stays as it is; False when cut short."""
    s = settings.judge
    device = next(model.parameters()).device
    words = torch.nn.ModuleList([model.text_model, model.text_projection])
    model.eval().requires_grad_(False)
    words.train().requires_grad_(True)
    maker, painter = SceneMaker(art), Painter(art, settings.painters)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, JUDGE_WORDS, step)
        scenes, lines = draw_batch(maker, s.batch, rng)
        pixels = roughen(to_pixels(painter(scenes)), rng).to(device)
        with mixed(device):
            with torch.no_grad():
                seen = embed_pictures(model, pixels)
            said = embed_texts(model, token_ids(tokenizer, lines).to(device))
        logits = model.logit_scale.exp() * said @ seen.T
        target = torch.arange(len(scenes), device=device)
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return value, {"matched": float((logits.argmax(1) == target).float().mean())}

    stage = Stage(
        "judge_words",
        settings.work,
        {"words": words},
        torch.optim.AdamW(words.parameters(), betas=(0.9, 0.98), weight_decay=0.05),
        s.words_steps,
        loss,
        lambda step: warm_cosine(step, s.words_steps, s.learning_rate / 2, 50),
        save_every_seconds=settings.save_every_seconds,
        log_every=settings.log_every,
        deadline=deadline,
    )
    return train(stage)
