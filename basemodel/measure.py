"""How good is the base? Known (thing, style, background) prompts, drawn and judged.

The same judging of true pictures, composed and passed through the VAE, shows what the judge can
tell at best.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from basemodel.autoencoder import held_out_pictures, psnr, reconstruct
from basemodel.checkpoint import write_whole
from basemodel.contrastive import to_pixels
from basemodel.denoiser import new_scheduler
from basemodel.judge import embed_pictures, embed_texts
from basemodel.loop import keyed, say
from basemodel.probes import Probes, plain_caption, sample
from basemodel.scenes import COLOUR_WORDS, Scene, paint
from basemodel.settings import GUIDANCE, Guidance
from basemodel.tokens import token_ids
from basemodel.world import STYLES, asked_styles
from pseudoword.benchmark.scoring import background_colour

if TYPE_CHECKING:
    from basemodel.recipe import Recipe

MEASURE = 9

GUIDANCES = (
    Guidance(2.5),
    Guidance(3.5),
    Guidance(2.5, 1.0),
    Guidance(3.5, 1.0),
    Guidance(5.0, 1.0),
)
"""Tried on prompts of their own, so that the one to choose isn't chosen by what is reported."""


def guidance_key(guidance: Guidance) -> str:
    """Where the numbers drawn with it are kept."""
    return f"guidance_{guidance.scale:g}_{guidance.rescale:g}"


@dataclass(frozen=True)
class Asked:
    """One known prompt and the scene that would answer it."""

    thing: int
    style: int
    ground: str
    scene: Scene
    prompt: str


def known_prompts(recipe: Recipe, count: int, first: int = 0) -> list[Asked]:
    """Prompts whose (thing, style) was in training, no two alike: `count` of a fixed list, from
    its place `first` on."""
    art = recipe.art.trained()
    rng = keyed(recipe.settings.seed, MEASURE)
    asked = []
    for row in rng.permutation(len(art.rgba))[: first + count].tolist():
        ground = COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))]
        thing, style = int(art.thing[row]), int(art.style[row])
        scene = Scene("single", (row,), ((0.5, 0.5, 0.82),), (ground,))
        words = art.things[thing]
        prompt = plain_caption(words.words, words.article, STYLES[style].word, ground)
        asked.append(Asked(thing, style, ground, scene, prompt))
    return asked[first:]


def draw(recipe: Recipe, asked: list[Asked], guidance: Guidance = GUIDANCE) -> np.ndarray:
    """A picture for each, [B,64,64,3] uint8, from fixed noise."""
    return np.concatenate(
        [
            sample(
                recipe.unet,
                recipe.vae,
                recipe.text_encoder,
                recipe.tokenizer,
                new_scheduler(),
                [a.prompt for a in asked[start : start + 50]],
                seed=1000 + start,
                guidance=guidance,
            )
            for start in range(0, len(asked), 50)
        ]
    )


def _nearest_style(recipe: Recipe, one: Asked, vector: torch.Tensor) -> int:
    """The style of the true picture of the same thing that is nearest to a picture's embedding."""
    art = recipe.art.trained()
    rows = np.flatnonzero(art.thing == one.thing).tolist()
    scenes = [replace(one.scene, rows=(row,)) for row in rows]
    near = embed_pictures(recipe.judge, to_pixels([paint(s, art) for s in scenes])) @ vector
    return int(art.style[rows[int(near.argmax())]])


@torch.no_grad()
def judged(recipe: Recipe, asked: list[Asked], pictures: np.ndarray) -> dict[str, float]:
    """Shares of pictures [B,64,64,3] that show the asked style, background and thing."""
    judge, things = recipe.judge.cpu(), recipe.art.things
    seen = embed_pictures(judge, to_pixels(pictures))

    @cache
    def of_all_things(style: str, ground: str) -> torch.Tensor:
        lines = [plain_caption(t.words, t.article, style, ground) for t in things]
        return embed_texts(judge, token_ids(recipe.tokenizer, lines))

    styles = asked_styles()
    keys = ("style", "style_nearest", "background", "thing", "thing_top5")
    hits: dict[str, list[float]] = {key: [] for key in keys}
    for one, picture, vector in zip(asked, pictures, seen, strict=True):
        thing, style = things[one.thing], STYLES[one.style].word
        by_style = [plain_caption(thing.words, thing.article, w, one.ground) for w in styles]
        near = embed_texts(judge, token_ids(recipe.tokenizer, by_style)) @ vector
        by_thing = of_all_things(style, one.ground) @ vector
        ranked = by_thing.argsort(descending=True)[:5].tolist()
        hits["style"].append(styles[int(near.argmax())] == style)
        hits["thing"].append(ranked[0] == one.thing)
        hits["thing_top5"].append(one.thing in ranked)
        hits["style_nearest"].append(_nearest_style(recipe, one, vector) == one.style)
        hits["background"].append(background_colour(Image.fromarray(picture)) == one.ground)
    return {key: float(np.mean(values)) for key, values in hits.items()}


def binding(recipe: Recipe) -> dict[str, float]:
    """The finished denoiser's loss on fixed noise, and what a wrong word costs; see `Probes`."""
    models = recipe.vae, recipe.text_encoder, recipe.tokenizer
    alphas = new_scheduler().alphas_cumprod.to(recipe.unet.device)
    probes = Probes(recipe.drawn.trained().named(), *models, recipe.settings, alphas)
    return {f"binding_{key}": value for key, value in probes.gaps(recipe.unet).items()}


def measure(recipe: Recipe) -> dict[str, float]:
    """All numbers of the model card; also kept in work/measured.json."""
    unseen = held_out_pictures(recipe.art, 256, recipe.settings.seed)
    found = {"psnr_unseen": psnr(reconstruct(recipe.vae, unseen), unseen)} | binding(recipe)
    count = recipe.settings.measured_prompts
    asked = known_prompts(recipe, count)
    art = recipe.art.trained()
    true = to_pixels([paint(a.scene, art) for a in asked])
    back = reconstruct(recipe.vae, true)
    best = ((back.clamp(-1, 1) + 1) * 127.5).round().byte().numpy().transpose(0, 2, 3, 1)
    found |= {f"drawn_{k}": v for k, v in judged(recipe, asked, draw(recipe, asked)).items()}
    found |= {f"true_{k}": v for k, v in judged(recipe, asked, best).items()}
    others = known_prompts(recipe, count // 2, first=count)
    for guidance in GUIDANCES:
        marks = judged(recipe, others, draw(recipe, others, guidance))
        found |= {f"{guidance_key(guidance)}_{k}": v for k, v in marks.items()}
    say("measure", " ".join(f"{k} {v:.3f}" for k, v in found.items()))
    path = recipe.settings.work / "measured.json"
    write_whole(path, lambda file: file.write(json.dumps(found, indent=2).encode()))
    return found
