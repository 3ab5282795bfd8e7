"""How good is the base model? Known (thing, style, background) prompts are drawn and scored.

True pictures that went through the VAE are scored in the same way. They show the best that the
similarity model can measure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from basemodel.artifacts import Artifacts
from basemodel.autoencoder import held_out_pictures, psnr, reconstruct
from basemodel.binding import BindingTest
from basemodel.captions import fixed_caption
from basemodel.logs import say
from basemodel.noise_schedule import new_scheduler
from basemodel.pixels import to_pictures, to_pixels
from basemodel.rng import keyed
from basemodel.sampling import sample
from basemodel.scenes import COLOUR_WORDS, Scene, paint
from basemodel.settings import GUIDANCE, Guidance, Settings
from basemodel.similarity_model import embed_pictures, embed_texts
from basemodel.tokenizer import token_ids
from basemodel.world import STYLES, known_styles
from pseudoword.benchmark.compose import SINGLE_BOX
from pseudoword.benchmark.scoring import background_colour
from pseudoword.files import write_whole

MEASURE = 9
"""First part of the random key."""

GUIDANCES = (
    Guidance(2.5),
    Guidance(3.5),
    Guidance(2.5, 1.0),
    Guidance(3.5, 1.0),
    Guidance(5.0, 1.0),
)
"""Tried on prompts of their own, so that the reported prompts do not choose the guidance."""


def guidance_key(guidance: Guidance) -> str:
    """Prefix of the keys of numbers that were measured with this guidance."""
    return f"guidance_{guidance.scale:g}_{guidance.rescale:g}"


@dataclass(frozen=True)
class KnownPrompt:
    """A prompt for a known thing in a known style, and the scene that it describes."""

    thing: int
    style: int
    background: str
    scene: Scene
    text: str


def known_prompts(artifacts: Artifacts, count: int, first: int = 0) -> list[KnownPrompt]:
    """Prompts from a fixed list: `count` of them from place `first` on.

    Each (thing, style) was in training, and no two prompts have the same.
    """
    drawings = artifacts.drawings.for_training()
    rng = keyed(artifacts.settings.seed, MEASURE)
    prompts = []
    for row in rng.permutation(len(drawings.rgba))[: first + count].tolist():
        background = COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))]
        thing, style = int(drawings.thing[row]), int(drawings.style[row])
        scene = Scene("single", (row,), (SINGLE_BOX,), (background,))
        name, article = drawings.things[thing].name, drawings.things[thing].article
        text = fixed_caption(name, article, STYLES[style].word, background)
        prompts.append(KnownPrompt(thing, style, background, scene, text))
    return prompts[first:]


def _draw(
    artifacts: Artifacts, prompts: list[KnownPrompt], guidance: Guidance = GUIDANCE
) -> np.ndarray:
    """A picture for each prompt, [B,64,64,3] uint8, from fixed noise."""
    return np.concatenate(
        [
            sample(
                artifacts.unet,
                artifacts.vae,
                artifacts.text_encoder,
                artifacts.tokenizer,
                [prompt.text for prompt in prompts[start : start + 50]],
                1000 + start,
                artifacts.settings.sampler_steps,
                guidance=guidance,
            )
            for start in range(0, len(prompts), 50)
        ]
    )


def _most_similar_style(artifacts: Artifacts, prompt: KnownPrompt, embedding: torch.Tensor) -> int:
    """Of the thing's true pictures in all styles, the style of the most similar one."""
    drawings = artifacts.drawings.for_training()
    rows = np.flatnonzero(drawings.thing == prompt.thing).tolist()
    scenes = [replace(prompt.scene, rows=(row,)) for row in rows]
    true = to_pixels([paint(scene, drawings) for scene in scenes])
    cosines = embed_pictures(artifacts.similarity_model, true) @ embedding
    return int(drawings.style[rows[int(cosines.argmax())]])


@torch.no_grad()
def _score(
    artifacts: Artifacts, prompts: list[KnownPrompt], pictures: np.ndarray
) -> dict[str, float]:
    """Shares of pictures [B,64,64,3] with the right style, background and thing."""
    model, things = artifacts.similarity_model.cpu(), artifacts.drawings.things
    styles = known_styles()

    def embed(captions: list[str]) -> torch.Tensor:
        return embed_texts(model, token_ids(artifacts.tokenizer, captions))

    @cache
    def all_things(style: str, background: str) -> torch.Tensor:
        return embed([fixed_caption(t.name, t.article, style, background) for t in things])

    keys = ("style", "style_nearest", "background", "thing", "thing_top5")
    hits: dict[str, list[float]] = {key: [] for key in keys}
    embeddings = embed_pictures(model, to_pixels(pictures))
    for prompt, picture, embedding in zip(prompts, pictures, embeddings, strict=True):
        thing, style = things[prompt.thing], STYLES[prompt.style].word
        by_style = embed(
            [fixed_caption(thing.name, thing.article, s, prompt.background) for s in styles]
        )
        best_style = styles[int((by_style @ embedding).argmax())]
        by_thing = all_things(style, prompt.background) @ embedding
        best_things = by_thing.argsort(descending=True)[:5].tolist()
        nearest_style = _most_similar_style(artifacts, prompt, embedding)
        hits["style"].append(best_style == style)
        hits["style_nearest"].append(nearest_style == prompt.style)
        hits["background"].append(background_colour(Image.fromarray(picture)) == prompt.background)
        hits["thing"].append(best_things[0] == prompt.thing)
        hits["thing_top5"].append(prompt.thing in best_things)
    return {key: float(np.mean(values)) for key, values in hits.items()}


def _binding(artifacts: Artifacts) -> dict[str, float]:
    """The finished U-Net's loss on fixed noise, and the cost of a wrong word."""
    alphas_cumprod = new_scheduler().alphas_cumprod.to(artifacts.unet.device)
    test = BindingTest(
        artifacts.all_drawings.for_training().without_extras(),
        artifacts.vae,
        artifacts.text_encoder,
        artifacts.tokenizer,
        artifacts.settings,
        alphas_cumprod,
    )
    return {f"binding_{key}": value for key, value in test.gaps(artifacts.unet).items()}


def measure(artifacts: Artifacts) -> None:
    """Measure all numbers of the model card, and keep them in work/measured.json."""
    settings, vae = artifacts.settings, artifacts.vae
    unseen = held_out_pictures(artifacts.drawings, settings.unseen_pictures, settings.seed)
    numbers = {"psnr_unseen": psnr(reconstruct(vae, unseen), unseen)} | _binding(artifacts)

    def add(prefix: str, prompts: list[KnownPrompt], pictures: np.ndarray) -> None:
        scores = _score(artifacts, prompts, pictures)
        numbers.update({f"{prefix}_{key}": value for key, value in scores.items()})

    count = settings.measured_prompts
    prompts = known_prompts(artifacts, count)
    drawings = artifacts.drawings.for_training()
    true = to_pixels([paint(prompt.scene, drawings) for prompt in prompts])
    add("drawn", prompts, _draw(artifacts, prompts))
    add("true", prompts, to_pictures(reconstruct(vae, true)))
    others = known_prompts(artifacts, count // 2, first=count)
    for guidance in GUIDANCES:
        add(guidance_key(guidance), others, _draw(artifacts, others, guidance))
    say("measure", " ".join(f"{key} {value:.3f}" for key, value in numbers.items()))
    write_whole(_file(settings), json.dumps(numbers, indent=2).encode())


def read_measured(settings: Settings) -> dict[str, float]:
    """The numbers that `measure` kept; empty if it has not run."""
    path = _file(settings)
    if not path.exists():
        return {}
    numbers: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return numbers


def _file(settings: Settings) -> Path:
    return settings.work / "measured.json"
