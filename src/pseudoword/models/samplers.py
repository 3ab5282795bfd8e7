"""Whether one of diffusers' schedulers can take so many steps, before a model is run for it."""

import inspect
from typing import Any

import torch

from pseudoword.errors import SettingsError
from pseudoword.text import reason


def rehearse(scheduler: Any, steps: int) -> None:
    """Take `scheduler` through a drawing of one number, as diffusers' pipelines do.

    Each scheduler refuses in its own way, some only at their last step; a picture's size makes no
    difference to any.

    Args:
        scheduler: without state; it has some afterwards.
        steps: of the drawing.

    Raises:
        SettingsError: it cannot take so many, or comes to numbers that are not finite.
    """
    name = type(scheduler).__name__.removesuffix("Scheduler")
    told = f"--sampler-steps {steps} does not work with the scheduler {name}"
    most = scheduler.config.num_train_timesteps
    if steps > most:
        raise SettingsError(f"{told}: the model was trained for {most} steps. Give fewer.")
    try:
        end = _drawn(scheduler, steps)
    except Exception as error:  # whatever its arithmetic runs into
        raise SettingsError(
            f"{told}: diffusers refuses them ({reason(error)}). Give another number, "
            "or another --scheduler."
        ) from error
    if not torch.isfinite(end).all():
        raise SettingsError(
            f"{told}: it comes to numbers that are not finite. Give another number, "
            "or another --scheduler."
        )


def _drawn(scheduler: Any, steps: int) -> torch.Tensor:
    scheduler.set_timesteps(steps, device="cpu")
    known = inspect.signature(scheduler.step).parameters
    chance = {"generator": torch.Generator().manual_seed(0)} if "generator" in known else {}
    latents: torch.Tensor = torch.ones(1, 1, 1, 1) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        predicted = scheduler.scale_model_input(latents, t) * 0.1
        latents = scheduler.step(predicted, t, latents, return_dict=False, **chance)[0]
    return latents
