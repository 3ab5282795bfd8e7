"""Drawings, tokenizer and trained models: each is made when it is first used."""

from __future__ import annotations

from functools import cached_property

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from basemodel.autoencoder import build_vae, whiten
from basemodel.captions import caption
from basemodel.contrastive import build_text_encoder
from basemodel.denoiser import build_unet
from basemodel.drawings import Drawings, draw_all
from basemodel.logs import copy_logs_from_bundle, say
from basemodel.rng import keyed
from basemodel.scenes import SceneMaker
from basemodel.settings import Settings
from basemodel.similarity_model import build_similarity_model
from basemodel.tokenizer import learn_tokenizer


class OutOfTimeError(Exception):
    """The deadline came before a stage was complete; the next run continues it."""


class Artifacts:
    """Drawings, tokenizer and models. What `work` lacks is made or trained; the rest is loaded."""

    def __init__(
        self,
        settings: Settings,
        deadline: float = float("inf"),
        from_bundle: bool = False,
        as_is: bool = False,
    ) -> None:
        """Nothing is made yet.

        Args:
            settings: of the recipe.
            deadline: time.time() after which training stops with OutOfTimeError.
            from_bundle: load the shipped models; only the U-Net is trained further.
            as_is: train nothing; take every stage's last checkpoint.
        """
        self.settings, self.from_bundle, self.as_is = settings, from_bundle, as_is
        self.deadline = 0.0 if as_is else deadline

    @property
    def _shipped_base(self) -> str:
        return str(self.settings.bundled / "emoji")

    @cached_property
    def all_drawings(self) -> Drawings:
        """All drawings, with held-out and extra ones."""
        drawings = draw_all(self.settings)
        say(
            "pictures",
            f"{len(drawings.rgba)} drawings of {len(drawings.things)} names; "
            f"{len(drawings.for_training().rgba)} of them for training",
        )
        return drawings

    @cached_property
    def drawings(self) -> Drawings:
        """Drawings of known and held-out names, without extra ones."""
        return self.all_drawings.without_extras()

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """In CLIP's format; learned from captions, or the bundle's."""
        if self.from_bundle:
            return CLIPTokenizer.from_pretrained(self._shipped_base, subfolder="tokenizer")
        folder = self.settings.work / "tokenizer"
        if not (folder / "merges.txt").exists():
            trained = self.all_drawings.for_training()
            maker, rng = SceneMaker(trained), keyed(self.settings.seed, 0)
            captions = [
                caption(maker.scene(rng), trained, rng)
                for _ in range(self.settings.tokenizer_captions)
            ]
            learn_tokenizer(captions, folder)
        return CLIPTokenizer.from_pretrained(folder)

    @cached_property
    def text_encoder(self) -> CLIPTextModel:
        """Trained by the contrastive stage, then frozen."""
        if self.from_bundle:
            model = CLIPTextModel.from_pretrained(
                self._shipped_base, subfolder="text_encoder", dtype=torch.float32
            )
            return model.eval().requires_grad_(False)
        model, done = build_text_encoder(
            self.all_drawings, self.tokenizer, self.settings, self.deadline
        )
        return self._complete(model, done)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """With latents of unit deviation; see `whiten`."""
        if self.from_bundle:
            vae = AutoencoderKL.from_pretrained(
                self._shipped_base, subfolder="vae", torch_dtype=torch.float32
            )
            return vae.eval().requires_grad_(False)
        vae, done = build_vae(self.drawings, self.settings, self.deadline)
        self._complete(vae, done)
        deviation = whiten(vae, self.drawings, self.settings)["deviation"]
        say(
            "vae",
            f"latent deviation per channel {min(deviation):.2f} to {max(deviation):.2f}, "
            "now folded to 1",
        )
        return vae.requires_grad_(False)

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        """The U-Net with averaged weights."""
        start, first = None, 0
        if self.from_bundle:
            first = copy_logs_from_bundle(self.settings)
            start = UNet2DConditionModel.from_pretrained(
                self._shipped_base, subfolder="unet", torch_dtype=torch.float32
            )
        model, done = build_unet(
            self.all_drawings,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            self.settings,
            self.deadline,
            start,
            first,
        )
        return self._complete(model, done)

    @cached_property
    def similarity_model(self) -> CLIPModel:
        """The CLIPModel that measures pictures."""
        if self.from_bundle:
            model = CLIPModel.from_pretrained(self.settings.bundled / "judge", dtype=torch.float32)
            return model.eval().requires_grad_(False)
        model, done = build_similarity_model(
            self.drawings, self.tokenizer, self.settings, self.deadline
        )
        return self._complete(model, done)

    @property
    def has_similarity_model(self) -> bool:
        """Whether its training has begun."""
        return (self.settings.work / "judge.pt").exists()

    def _complete(self, model: torch.nn.Module, done: bool) -> torch.nn.Module:
        if not done and not self.as_is:
            raise OutOfTimeError
        return model
