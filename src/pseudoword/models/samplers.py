"""Schedulers of diffusers: a model's own, others by name, and whether they take so many steps."""

import inspect
from typing import Any

import torch

from pseudoword.config.schedulers import classes, has_karras
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.text import reason


def own_scheduler(configs: ModelConfigs) -> Any:
    """A new scheduler, of the class and with the config that the model comes with.

    Raises:
        BaseModelError: diffusers does not have it.
    """
    import diffusers

    # from_pretrained would return the class that it is called on, not the model's own.
    own = configs.config(diffusers.DDPMScheduler, "scheduler").get("_class_name")
    kind = getattr(diffusers, own, None) if isinstance(own, str) else None
    if not isinstance(kind, type) or not issubclass(kind, diffusers.SchedulerMixin):
        raise BaseModelError(
            f"{configs.source.name}: its scheduler is {own!r:.60}, which this diffusers does not "
            "have. Write another _class_name into its config, such as DDIMScheduler"
        )
    return configs.scheduler(kind)


def compatible_scheduler(own: Any, name: str, model: str) -> Any:
    """A new scheduler of the class `name`, with the config of a model's own.

    Args:
        own: the model's own.
        name: of diffusers' class, with or without its usual beginning and end; perhaps with
            `Karras` behind it.
        model: what messages call the model.

    Raises:
        SettingsError: diffusers has no compatible one with this name, it takes no noise levels of
            Karras's, or it needs another package.
    """
    known = {kind.__name__: kind for kind in own.compatibles}
    options = {"use_karras_sigmas": True} if has_karras(name) else {}
    for kind in classes(name):
        if kind in known:
            if not options.keys() <= inspect.signature(known[kind]).parameters.keys():
                raise SettingsError(f"--scheduler {name}: {kind} takes no noise levels of Karras's")
            try:
                return known[kind].from_config(own.config, **options)
            except ImportError as error:
                raise SettingsError(f"--scheduler {name}: {reason(error)}") from error
    short = sorted(kind.removesuffix("Scheduler") for kind in known)
    raise SettingsError(f"--scheduler {name}: {model} works with {', '.join(short)}")


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
    latent: torch.Tensor = torch.ones(1, 1, 1, 1, dtype=torch.float32) * getattr(
        scheduler, "init_noise_sigma", 1.0
    )
    scale = getattr(scheduler, "scale_model_input", lambda latent, _t: latent)
    for t in scheduler.timesteps:
        predicted = scale(latent, t) * 0.1
        latent = scheduler.step(predicted, t, latent, return_dict=False, **random)[0]
    return latent
