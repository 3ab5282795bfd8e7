"""The stages in order. Each loads what earlier stages left in `work/`, training what is missing."""

from __future__ import annotations

from functools import cached_property

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from basemodel.autoencoder import build_vae, whiten
from basemodel.captions import caption
from basemodel.contrastive import build_teacher
from basemodel.denoiser import build_unet
from basemodel.judge import build_judge
from basemodel.logs import bring_logs_back
from basemodel.loop import keyed, say
from basemodel.pictures import Artwork, draw_all
from basemodel.scenes import SceneMaker
from basemodel.settings import Settings
from basemodel.tokens import learn_tokenizer

ORDER = ("pictures", "text", "vae", "unet", "judge", "measure", "export")
CAPTIONS_FOR_TOKENIZER = 40_000


class OutOfTimeError(Exception):
    """The deadline came before the stage was complete; running again goes on from there."""


class Recipe:
    """Every product of the recipe, made when first asked for and kept."""

    def __init__(
        self,
        settings: Settings,
        deadline: float = float("inf"),
        from_bundle: bool = False,
        as_is: bool = False,
    ) -> None:
        self.settings, self.from_bundle, self.as_is = settings, from_bundle, as_is
        self.deadline = 0.0 if as_is else deadline

    @property
    def _bundle(self) -> str:
        return str(self.settings.bundled / "emoji")

    @cached_property
    def drawn(self) -> Artwork:
        """All drawings, held-out and extra ones included."""
        art = draw_all(self.settings)
        say(
            "pictures",
            f"{len(art.rgba)} drawings of {len(art.things)} names; "
            f"{len(art.trained().rgba)} of them for training",
        )
        return art

    @cached_property
    def art(self) -> Artwork:
        """What is asked about: known and held-out names."""
        return self.drawn.named()

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """CLIP-format, learned from captions or the bundle's."""
        if self.from_bundle:
            return CLIPTokenizer.from_pretrained(self._bundle, subfolder="tokenizer")
        folder = self.settings.work / "tokenizer"
        if not (folder / "merges.txt").exists():
            trained = self.drawn.trained()
            maker, rng = SceneMaker(trained), keyed(self.settings.seed, 0)
            lines = [caption(maker.draw(rng), trained, rng) for _ in range(CAPTIONS_FOR_TOKENIZER)]
            learn_tokenizer(lines, folder)
        return CLIPTokenizer.from_pretrained(folder)

    @cached_property
    def text_encoder(self) -> CLIPTextModel:
        """Frozen, after the contrastive stage."""
        if self.from_bundle:
            model = CLIPTextModel.from_pretrained(
                self._bundle, subfolder="text_encoder", dtype=torch.float32
            )
            return model.eval().requires_grad_(False)
        model, done = build_teacher(self.drawn, self.tokenizer, self.settings, self.deadline)
        return self._checked(model, done)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """With unit latents: see `whiten`."""
        if self.from_bundle:
            vae = AutoencoderKL.from_pretrained(
                self._bundle, subfolder="vae", torch_dtype=torch.float32
            )
            return vae.eval().requires_grad_(False)
        vae, done = build_vae(self.art, self.settings, self.deadline)
        self._checked(vae, done)
        folded = whiten(vae, self.art, self.settings)
        deviation = folded["deviation"]
        say(
            "vae",
            f"latent deviation per channel {min(deviation):.2f} to {max(deviation):.2f}, "
            "now folded to 1",
        )
        return vae.requires_grad_(False)

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        """The denoiser's averaged weights."""
        start, first = None, 0
        if self.from_bundle:
            first = bring_logs_back(self.settings)
            start = UNet2DConditionModel.from_pretrained(
                self._bundle, subfolder="unet", torch_dtype=torch.float32
            )
        model, done = build_unet(
            self.drawn,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            self.settings,
            start,
            first,
            self.deadline,
        )
        return self._checked(model, done)

    @cached_property
    def judge(self) -> CLIPModel:
        """The measuring model."""
        if self.from_bundle:
            model = CLIPModel.from_pretrained(self.settings.bundled / "judge", dtype=torch.float32)
            return model.eval().requires_grad_(False)
        model, done = build_judge(self.art, self.tokenizer, self.settings, self.deadline)
        return self._checked(model, done)

    def _checked(self, model: torch.nn.Module, done: bool) -> torch.nn.Module:
        if not done and not self.as_is:
            raise OutOfTimeError
        return model

    def run(self, stages: list[str]) -> bool:
        """The wanted stages, in order. False when the deadline came first."""
        actions = {
            "pictures": lambda: self.drawn,
            "text": lambda: self.text_encoder,
            "vae": lambda: self.vae,
            "unet": lambda: self.unet,
            "judge": lambda: self.judge,
            "measure": self._measure,
            "export": self._export,
        }
        try:
            for name in ORDER:
                if name in stages:
                    actions[name]()
        except OutOfTimeError:
            say("recipe", "out of time; run the same command again to go on")
            return False
        return True

    def _measure(self) -> None:
        from basemodel.measure import measure

        measure(self)

    def _export(self) -> None:
        from basemodel.export import export_all

        export_all(self)
