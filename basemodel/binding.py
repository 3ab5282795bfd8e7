"""Does the U-Net bind words to pictures? Measured by the cost of a wrong word on fixed noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.captions import fixed_caption
from basemodel.devices import mixed
from basemodel.drawings import Drawings
from basemodel.noise_schedule import noisy
from basemodel.pixels import to_pixels
from basemodel.pool import encode
from basemodel.rng import keyed
from basemodel.scenes import COLOUR_WORDS, Scene, SceneMaker, paint
from basemodel.settings import Settings
from basemodel.tokenizer import token_ids
from basemodel.world import STYLES, known_styles
from pseudoword.benchmark.compose import SINGLE_BOX

BINDING = 7
"""First part of the random key."""


class BindingTest:
    """Fixed noisy pictures, each with a right caption and with captions with one wrong word."""

    def __init__(
        self,
        drawings: Drawings,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        settings: Settings,
        alphas_cumprod: torch.Tensor,
    ) -> None:
        rng, device = keyed(settings.seed, BINDING), alphas_cumprod.device
        scenes, captions = _scenes_and_captions(drawings, settings.binding_pictures, rng)
        latents = encode(vae, to_pixels([paint(s, drawings) for s in scenes])).to(device)
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(device)
        self.t = torch.linspace(100, 950, len(scenes), device=device).long()
        self.latents, self.target = noisy(alphas_cumprod, latents, noise, self.t)
        self.hidden: dict[str, torch.Tensor] = {}
        for name, lines in captions.items():
            with torch.no_grad():
                ids = token_ids(tokenizer, lines).to(device)
                self.hidden[name] = text_encoder(ids).last_hidden_state

    @torch.no_grad()
    def gaps(self, unet: UNet2DConditionModel) -> dict[str, float]:
        """The loss with the right caption, and how much a wrong name, style or background adds."""
        losses: dict[str, float] = {}
        unet.eval()
        for name, hidden in self.hidden.items():
            with mixed(self.latents.device):
                prediction = unet(self.latents, self.t, hidden).sample.float()
            losses[name] = float((prediction - self.target).pow(2).mean())
        unet.train()
        right = losses.pop("right")
        return {"right": right, **{f"gap_{name}": loss - right for name, loss in losses.items()}}


def _scenes_and_captions(
    drawings: Drawings, count: int, rng: np.random.Generator
) -> tuple[list[Scene], dict[str, list[str]]]:
    """Single things on plain backgrounds; their captions are right, or wrong in one word."""
    maker, styles = SceneMaker(drawings), known_styles()
    captions: dict[str, list[str]] = {k: [] for k in ("right", "name", "style", "ground")}
    scenes = []
    for _ in range(count):
        scene = maker.scene(rng)
        background = COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))]
        scenes.append(
            replace(
                scene,
                kind="single",
                rows=scene.rows[:1],
                boxes=(SINGLE_BOX,),
                colours=(background,),
                pattern="",
                place="",
            )
        )
        thing = drawings.things[drawings.thing[scene.rows[0]]]
        style = STYLES[int(drawings.style[scene.rows[0]])].word
        others = [t for t in drawings.things if not t.held_out and t.kind != thing.kind]
        other = others[rng.integers(len(others))]
        wrong_style = str(rng.choice([w for w in styles if w != style]))
        wrong_background = str(rng.choice([w for w in COLOUR_WORDS if w != background]))
        name = (thing.name, thing.article)
        captions["right"].append(fixed_caption(*name, style, background))
        captions["name"].append(fixed_caption(other.name, other.article, style, background))
        captions["style"].append(fixed_caption(*name, wrong_style, background))
        captions["ground"].append(fixed_caption(*name, style, wrong_background))
    return scenes, captions
