"""Check whether a scheduler of diffusers can take a number of steps, before the model runs."""

import inspect
from typing import Any

import torch

from pseudoword.errors import SettingsError
from pseudoword.text import reason


def check_steps(scheduler: Any, steps: int) -> None:
    """Run all `steps` of `scheduler` on a latent of one number, as diffusers' pipelines do.

    Each scheduler refuses in its own way, some only at the last step; the size of the picture does
    not matter.

    Args:
        scheduler: a new one, since the steps change its state.
        steps: number of sampler steps.

    Raises:
        SettingsError: it cannot take this number of steps, or its numbers are not finite.
    """
    name = type(scheduler).__name__.removesuffix("Scheduler")
    problem = f"--sampler-steps {steps} does not work with the scheduler {name}"
    most = scheduler.config.num_train_timesteps
    if steps > most:
        raise SettingsError(f"{problem}: the model was trained with {most} timesteps. Give fewer.")
    try:
        latent = _run_steps(scheduler, steps)
    except Exception as error:  # any error of its arithmetic
        raise SettingsError(
            f"{problem}: diffusers refuses them ({reason(error)}). Give another number, "
            "or another --scheduler."
        ) from error
    if not torch.isfinite(latent).all():
        raise SettingsError(
            f"{problem}: its numbers are not finite. Give another number, or another --scheduler."
        )


def _run_steps(scheduler: Any, steps: int) -> torch.Tensor:
    shift = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(steps, device="cpu", **shift)
    parameters = inspect.signature(scheduler.step).parameters
    random = {"generator": torch.Generator().manual_seed(0)} if "generator" in parameters else {}
    # Those of flow matching scale nothing.
    latent: torch.Tensor = torch.ones(1, 1, 1, 1) * getattr(scheduler, "init_noise_sigma", 1.0)
    scale = getattr(scheduler, "scale_model_input", lambda latent, _t: latent)
    for t in scheduler.timesteps:
        predicted = scale(latent, t) * 0.1
        latent = scheduler.step(predicted, t, latent, return_dict=False, **random)[0]
    return latent
