"""Is the model binding words to pictures? Loss gaps on fixed noise, and grids to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.checkpoint import write_whole
from basemodel.contrastive import to_pixels
from basemodel.loop import keyed
from basemodel.pictures import Artwork
from basemodel.pool import encode
from basemodel.precision import mixed
from basemodel.scenes import COLOUR_WORDS, Scene, SceneMaker, paint
from basemodel.settings import GUIDANCE, Guidance, Settings
from basemodel.tokens import token_ids
from basemodel.world import STYLES, asked_styles
from pseudoword.benchmark.compose import article

PROBES = 7
GRID_PROMPTS = (
    "a photo of a cat in noto style on a blue background",
    "a twemoji of an apple on a white background",
    "a fluent fox on a green background",
    "a house in flat style on a yellow background",
    "a blob rose on a black background",
    "a firefox banana on a purple background",
    "a twemoji of a car on a red background",
    "a guitar",
    "a photo of a robot in fluent style on an orange background",
    "a noto pizza on a teal background",
    "a drawing of a tree in the style of flat on a pink background",
    "a twemoji of a dog and a heart on a white background",
    "three noto bananas on a gray background",
    "a flat bird on the left on a blue background",
    "a fluent helicopter on a white and red checked background",
    "a photo of an animal",
)


def plain_caption(name: str, takes_article: bool, style: str, ground: str) -> str:
    """The one fixed wording that probes and judged prompts use."""
    thing = f"{article(name)} {name}" if takes_article else name
    return f"a {style} of {thing} on {article(ground)} {ground} background"


class Probes:
    """Fixed pictures with a right caption and wrong ones; gap = how much the wrong one costs."""

    def __init__(
        self,
        art: Artwork,
        vae: AutoencoderKL,
        encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        settings: Settings,
        alphas: torch.Tensor,
    ) -> None:
        rng = keyed(settings.seed, PROBES)
        maker = SceneMaker(art)
        styles = asked_styles()
        captions: dict[str, list[str]] = {k: [] for k in ("right", "name", "style", "ground")}
        scenes: list[Scene] = []
        for _ in range(settings.probes):
            scene = maker.draw(rng)
            ground = COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))]
            scenes.append(
                replace(
                    scene,
                    kind="single",
                    rows=scene.rows[:1],
                    boxes=((0.5, 0.5, 0.82),),
                    colours=(ground,),
                    pattern="",
                    place="",
                )
            )
            thing = art.things[art.thing[scene.rows[0]]]
            style = STYLES[int(art.style[scene.rows[0]])].word
            others = [t for t in art.things if not t.held_out and t.kind != thing.kind]
            other = others[rng.integers(len(others))]
            wrong_style = str(rng.choice([w for w in styles if w != style]))
            wrong_ground = str(rng.choice([w for w in COLOUR_WORDS if w != ground]))
            name = (thing.words, thing.article)
            captions["right"].append(plain_caption(*name, style, ground))
            captions["name"].append(plain_caption(other.words, other.article, style, ground))
            captions["style"].append(plain_caption(*name, wrong_style, ground))
            captions["ground"].append(plain_caption(*name, style, wrong_ground))
        device = alphas.device
        latents = encode(vae, to_pixels([paint(s, art) for s in scenes])).to(device)
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(device)
        self.t = torch.linspace(100, 950, settings.probes, device=device).long()
        keep = alphas[self.t].sqrt()[:, None, None, None]
        spoil = (1 - alphas[self.t]).sqrt()[:, None, None, None]
        self.given, self.wanted = keep * latents + spoil * noise, keep * noise - spoil * latents
        self.states: dict[str, torch.Tensor] = {}
        for key, lines in captions.items():
            with torch.no_grad():
                self.states[key] = encoder(token_ids(tokenizer, lines).to(device)).last_hidden_state

    @torch.no_grad()
    def gaps(self, unet: UNet2DConditionModel) -> dict[str, float]:
        """The right caption's loss, and how much worse a wrong name, style or background is."""
        losses: dict[str, float] = {}
        unet.eval()
        for key, states in self.states.items():
            with mixed(self.given.device):
                out = unet(self.given, self.t, states).sample.float()
            losses[key] = float((out - self.wanted).pow(2).mean())
        unet.train()
        right = losses.pop("right")
        return {"right": right, **{f"gap_{key}": value - right for key, value in losses.items()}}


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
    prompts: list[str],
    seed: int,
    guidance: Guidance = GUIDANCE,
    steps: int = 25,
) -> np.ndarray:
    """Pictures for prompts, [B,64,64,3] uint8: what the pipeline does, for a whole batch."""
    device = next(unet.parameters()).device
    ids = token_ids(tokenizer, [""] * len(prompts) + prompts).to(device)
    states = encoder(ids).last_hidden_state
    config = unet.config
    shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
    latents = torch.from_numpy(keyed(seed).standard_normal(shape, np.float32)).to(device)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        with mixed(device):
            out = unet(torch.cat([latents, latents]), t.to(device), states).sample.float()
        plain, asked = out.chunk(2)
        led = plain + guidance.scale * (asked - plain)
        led = rescale_noise_cfg(led, asked, guidance.rescale)
        latents = scheduler.step(led, t, latents).prev_sample
    with mixed(device):
        pixels = vae.decode(latents / vae.config.scaling_factor).sample.float()
    drawn: np.ndarray = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    return drawn.transpose(0, 2, 3, 1)


def tile(pictures: np.ndarray, columns: int, scale: int = 2) -> Image.Image:
    """Pictures [B,H,W,3] side by side."""
    rows = [
        np.concatenate(list(pictures[i : i + columns]), 1)
        for i in range(0, len(pictures) // columns * columns, columns)
    ]
    sheet = Image.fromarray(np.concatenate(rows, 0))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)


def draw_grid(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
    path: Path,
    seed: int,
) -> None:
    """The fixed prompts drawn from fixed noise, as one PNG."""
    unet.eval()
    drawn = sample(unet, vae, encoder, tokenizer, scheduler, list(GRID_PROMPTS), seed)
    unet.train()
    write_whole(path, lambda file: tile(drawn, 8).save(file, "PNG"))
