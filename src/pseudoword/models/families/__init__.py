"""One file for each kind of base model: how it reads text, encodes pictures, denoises and draws.

To add a family: a file here and a line in `FAMILIES`; CONTRIBUTING.md says what else. The classes
are imported only when they are used, since diffusers and transformers take seconds to import.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudoword.models.families.latent import LatentFamily

FAMILIES: Mapping[str, str] = {
    "sd": "sd:StableDiffusion",
    "sdxl": "sdxl:StableDiffusionXL",
    "sd3": "sd3:StableDiffusion3",
    "flux": "flux:Flux",
    "flux2": "flux2:Flux2",
    "flux2-klein": "flux2:Flux2Klein",
    "qwen-image": "qwen_image:QwenImage",
    "krea2": "krea2:Krea2",
    "longcat-image": "longcat_image:LongCatImage",
    "z-image": "z_image:ZImage",
    "ovis-image": "ovis_image:OvisImage",
    "chroma": "chroma:Chroma",
    "auraflow": "auraflow:AuraFlow",
    "pixart": "pixart:PixArtSigma",
    "pixart-alpha": "pixart:PixArtAlpha",
    "sana": "sana:Sana",
    "sana-sprint": "sana_sprint:SanaSprint",
    "lumina2": "lumina2:Lumina2",
}
"""Family name, or that of a variant -> module here and class."""


def load_class(family: str) -> "type[LatentFamily]":
    """The class of the family called `family`."""
    module, _, name = FAMILIES[family].partition(":")
    kind: type[LatentFamily] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return kind
