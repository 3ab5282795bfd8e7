"""diffusers' schedulers: load one for a model, and check whether it can take a number of steps."""

import inspect
from typing import Any

import torch

from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models.loading.parts import ModelParts
from pseudoword.text import reason


def load_scheduler(parts: ModelParts, name: str | None = None) -> Any:
    """A new scheduler of diffusers, configured for a model.

    Args:
        parts: the model.
        name: such as `Heun` or `DDIMScheduler`; by default the model's own.

    Raises:
        BaseModelError: diffusers does not have the model's own scheduler.
        SettingsError: diffusers has no compatible one with this name.
    """
    import diffusers

    # from_pretrained would return the class that it is called on, not the model's own.
    own = parts.config(diffusers.DDPMScheduler, "scheduler").get("_class_name")
    own_class = getattr(diffusers, own, None) if isinstance(own, str) else None
    if not isinstance(own_class, type) or not issubclass(own_class, diffusers.SchedulerMixin):
        raise BaseModelError(
            f"{parts.source.name}: its scheduler is {own!r:.60}, which this diffusers does not "
            "have. Write another _class_name into its config, such as DDIMScheduler"
        )
    scheduler = parts.scheduler(own_class)
    if name is None:
        return scheduler
    compatible = {kind.__name__: kind for kind in scheduler.compatibles}
    for full_name in (name, f"{name}Scheduler", f"{name}DiscreteScheduler"):
        if full_name in compatible:
            try:
                return compatible[full_name].from_config(scheduler.config)
            except ImportError as error:
                raise SettingsError(f"--scheduler {name}: {reason(error)}") from error
    names = ", ".join(sorted(full_name.removesuffix("Scheduler") for full_name in compatible))
    raise SettingsError(f"--scheduler {name}: {parts.source.name} works with {names}")


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
    scheduler.set_timesteps(steps, device="cpu")
    parameters = inspect.signature(scheduler.step).parameters
    random = {"generator": torch.Generator().manual_seed(0)} if "generator" in parameters else {}
    latent: torch.Tensor = torch.ones(1, 1, 1, 1) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        predicted = scheduler.scale_model_input(latent, t) * 0.1
        latent = scheduler.step(predicted, t, latent, return_dict=False, **random)[0]
    return latent
