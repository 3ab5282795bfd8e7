"""One file for each kind of base model: how it reads text, encodes pictures, denoises and draws.

To add a family: a file here, a line in `FAMILIES`, a builder in `tests/tiny.py`. The classes are
imported only when they are used, since diffusers and transformers take seconds to import.
"""

import importlib
from collections.abc import Mapping
from typing import Any

FAMILIES: Mapping[str, str] = {
    "sd": "pseudoword.models.families.sd:StableDiffusion",
    "sdxl": "pseudoword.models.families.sdxl:StableDiffusionXL",
    "sd3": "pseudoword.models.families.sd3:StableDiffusion3",
    "flux": "pseudoword.models.families.flux:Flux",
    "flux2": "pseudoword.models.families.flux2:Flux2",
    "flux2-klein": "pseudoword.models.families.flux2:Flux2Klein",
    "qwen-image": "pseudoword.models.families.qwen_image:QwenImage",
    "krea2": "pseudoword.models.families.krea2:Krea2",
    "z-image": "pseudoword.models.families.z_image:ZImage",
    "chroma": "pseudoword.models.families.chroma:Chroma",
    "auraflow": "pseudoword.models.families.auraflow:AuraFlow",
    "pixart": "pseudoword.models.families.pixart:PixArtSigma",
    "pixart-alpha": "pseudoword.models.families.pixart:PixArtAlpha",
    "sana": "pseudoword.models.families.sana:Sana",
    "sana-sprint": "pseudoword.models.families.sana_sprint:SanaSprint",
    "lumina2": "pseudoword.models.families.lumina2:Lumina2",
}
"""Family name, or that of a variant -> module and class."""


def load_class(family: str) -> Any:
    """The class of the family called `family`."""
    module, _, name = FAMILIES[family].partition(":")
    return getattr(importlib.import_module(module), name)
