"""What the configs of denoisers and schedulers say of sizes and noise, checked."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.models import samplers
from pseudoword.models.loading import folder
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.noise_schedule import Diffusion, prediction_type

LARGEST_SAMPLE = 4096
"""Latent positions along a side of a picture; 64 to 128 are usual."""


def sample_side(config: Mapping[str, Any], where: str) -> int:
    """A denoiser's `sample_size`: latent positions along a side of the pictures it was made for.

    Raises:
        BaseModelError: it is no whole number, or not of a square.
    """
    size = config["sample_size"]
    if isinstance(size, list | tuple) and len(size) == 2 and size[0] == size[1]:
        size = size[0]
    return folder.whole_number(size, f"{where}: sample_size", LARGEST_SAMPLE)


def diffusion_schedule(configs: ModelConfigs) -> Diffusion:
    """The noise schedule of a model that predicts ε or v.

    Raises:
        BaseModelError: its scheduler's config describes none, or the model predicts something else.
    """
    from diffusers import DDPMScheduler

    own = type(samplers.own_scheduler(configs))
    if "beta_schedule" not in signature(own).parameters:  # such as those of EDM and of a flow
        raise BaseModelError(
            f"{configs.source.name}: its scheduler is {own.__name__}, which adds noise in "
            "another way than models of its family do, so a word cannot be learned for it"
        )
    scheduler = configs.scheduler(DDPMScheduler)
    alphas = scheduler.alphas_cumprod
    if not ((alphas >= 0) & (alphas <= 1)).all():
        raise BaseModelError(
            f"{configs.source.name}: its scheduler's config gives no valid noise schedule "
            "(beta_start, beta_end or beta_schedule)"
        )
    return Diffusion(alphas, prediction_type(scheduler.config.prediction_type))
