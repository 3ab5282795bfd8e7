"""For `ceiling.py`: what of the bundled base learns the pictures of a word, and how it draws."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pseudoword.concept import Concept
from pseudoword.config.base_choice import BUNDLED
from pseudoword.models.family import Condition, Family
from pseudoword.models.generation import generate
from pseudoword.training.initialisation import rows_of_words

BASE = "emoji"
TOKEN = "<word>"
BATCH = 4
SAMPLER_STEPS = 10
STRENGTH = 0.5
"""The part of the timesteps that a picture is drawn over from."""

RATES = {"rows": 0.5, "states": 0.1, "unet": 1e-4}
"""Of Adam, down to zero over the run. For rows and states it is a share of the usual size of their
numbers."""


@dataclass(frozen=True)
class Learner:
    """What learns."""

    rows: int = 0
    """vectors of the word; 0: the starting word stays"""
    states: bool = False
    """whether something is added to the text encoder's output"""
    layers: bool = False
    """whether each cross-attention layer has states of its own"""
    unet: str = ""
    """names of weights of the U-Net, as a regular expression; empty for none"""
    known: bool = False
    """whether it learns known things or styles again, not new ones"""
    pictures: int = 0
    """how many pictures of a style it learns from; 0: those of the benchmark"""
    asked_styles: bool = False
    """whether the last of a thing's five pictures are in the styles that the new prompts ask for"""
    restyled: bool = False
    """whether it then learns anew, also from what it draws over these pictures in those styles"""


@dataclass(frozen=True)
class Asked:
    """A prompt with `[name]`, and the right picture for it."""

    text: str
    picture: Image
    thing: str
    style: str
    background: str


class TextStates(nn.Module):
    """What is added to the text encoder's output, for all layers alike or for each its own."""

    def __init__(self, family: Family, learner: Learner) -> None:
        super().__init__()
        with torch.no_grad():
            hidden = family.encode_text(["a"], {}).hidden
        self.layers = len(family.layers) if learner.layers else 1
        self.added = nn.Parameter(torch.zeros(self.layers, *hidden.shape[1:]))
        self.usual_number = float(hidden.square().mean().sqrt())

    def condition(self, text: Condition, scale: float = 1.0) -> Condition:
        """Text `[B, L, D]`, for several layers joined along the tokens."""
        hidden = text.hidden[:, None] + scale * self.added
        return Condition(hidden.flatten(1, 2), layered=self.layers > 1)


class Learned:
    """A thing or style, and what of the model learns it."""

    def __init__(self, family: Any, learner: Learner, init_word: str) -> None:
        self._family, self._word = family, init_word
        self.groups: list[dict[str, Any]] = []
        ((self._key, encoder),) = family.encoders.items()
        self.rows: nn.Parameter | None = None
        if learner.rows:
            start = rows_of_words(family, init_word, "auto", learner.rows)[self._key]
            self.rows = nn.Parameter(start.clone())
            self._norms = start.norm(dim=-1, keepdim=True)
            usual = encoder.median_norm / encoder.width**0.5
            self.groups.append({"params": [self.rows], "lr": RATES["rows"] * usual})
        self._states = TextStates(family, learner) if learner.states else None
        if self._states:
            rate = RATES["states"] * self._states.usual_number
            self.groups.append({"params": [self._states.added], "lr": rate})
        self._unet = _free_unet(learner.unet) if learner.unet else None
        if self._unet:
            weights = [w for w in self._unet.parameters() if w.requires_grad]
            self.groups.append({"params": weights, "lr": RATES["unet"]})

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While open, the family reads and draws with what was learned."""
        family = self._family
        unet = family.denoiser
        if self._states:
            plain, states = family.encode_text, self._states
            family.encode_text = lambda *text: states.condition(plain(*text))
            # without a change, but for as many layers
            family.encode_negative = lambda *text: states.condition(plain(*text), scale=0)
        assert family.layers  # found in its own U-Net, before another one takes its place
        family.denoiser = self._unet or unet
        try:
            yield
        finally:
            family.denoiser = unet
            for name in ("encode_text", "encode_negative"):
                family.__dict__.pop(name, None)

    def learn(self, asked: Sequence[Asked], steps: int, seed: int) -> None:
        """Minimise the loss of training on these pictures."""
        family, schedule = self._family, self._family.noise_schedule
        source = torch.Generator().manual_seed(seed)
        latents = family.encode_pictures(pixels([one.picture for one in asked])).mean
        optimiser = torch.optim.Adam(self.groups)
        falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
        micro = torch.zeros(BATCH, 6, dtype=torch.int64)
        for _ in range(steps):
            which = torch.randint(len(asked), (BATCH,), generator=source)
            # one from each quarter of the timesteps
            t = (torch.arange(BATCH) + torch.rand(BATCH, generator=source)) * schedule.timesteps
            t = (t / BATCH).long()
            clean = latents[which]
            noise = torch.randn(clean.shape, generator=source)
            text = self._text([asked[i] for i in which])
            found = family.predict(schedule.noisy(clean, noise, t), t, text, micro)
            optimiser.zero_grad()
            mse_loss(found, schedule.target(clean, noise, t)).backward()
            optimiser.step()
            falling.step()
            if self.rows is not None:
                with torch.no_grad():  # as long as the starting word, as by default
                    self.rows.mul_(self._norms / self.rows.norm(dim=-1, keepdim=True))

    def draw(self, asked: Sequence[Asked]) -> list[Image]:
        """One picture for each prompt."""
        concepts = []
        if self.rows is not None:
            concepts = [Concept(TOKEN, {self._key: self.rows.detach()}, self._family.name)]
        return generate(
            self._family, [self.prompt(one) for one in asked], concepts,
            seeds=range(len(asked)), sampler_steps=SAMPLER_STEPS,
        )  # fmt: skip

    @torch.no_grad()
    def draw_over(self, asked: Sequence[Asked]) -> list[Image]:
        """Each picture, drawn over for its prompt (img2img: Meng et al. 2022, arXiv 2108.01073)."""
        from diffusers import StableDiffusionImg2ImgPipeline

        family = self._family
        pipeline = StableDiffusionImg2ImgPipeline(
            family.modules()["vae"], None, None, family.denoiser, family.scheduler(), None, None,
            requires_safety_checker=False,
        )  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)
        drawn: list[Image] = pipeline(
            image=[one.picture.convert("RGB") for one in asked],
            prompt_embeds=self._text(asked).hidden,
            negative_prompt_embeds=family.encode_negative([""] * len(asked), {}).hidden,
            strength=STRENGTH,
            num_inference_steps=round(SAMPLER_STEPS / STRENGTH),
            guidance_scale=family.defaults.guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in range(len(asked))],
        ).images
        return drawn

    def _text(self, asked: Sequence[Asked]) -> Condition:
        words = {} if self.rows is None else {TOKEN: {self._key: self.rows}}
        text: Condition = self._family.encode_text([self.prompt(one) for one in asked], words)
        return text

    def prompt(self, asked: Asked) -> str:
        """The prompt with the word in it."""
        return asked.text.replace("[name]", self._word if self.rows is None else TOKEN)


def _free_unet(names: str) -> nn.Module:
    """A U-Net of its own, of which the weights of these names can learn."""
    from diffusers import UNet2DConditionModel

    unet: nn.Module = UNet2DConditionModel.from_pretrained(BUNDLED[BASE], subfolder="unet")
    for name, weight in unet.named_parameters():
        weight.requires_grad_(re.search(names, name) is not None)
    return unet


def pixels(pictures: Sequence[Image]) -> Tensor:
    """`[B, 3, H, W]` in [-1, 1]."""
    whole = np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures])
    return torch.from_numpy(whole / 127.5 - 1).permute(0, 3, 1, 2).contiguous()
