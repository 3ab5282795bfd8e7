"""How a model is drawn by default: as its files state, or as is usual for models like it."""

from dataclasses import dataclass
from typing import Self, get_args

from pseudoword.config import Emphasis
from pseudoword.config.fields import USUAL_SAMPLER_STEPS
from pseudoword.errors import BaseModelError
from pseudoword.models.loading import folder
from pseudoword.models.loading.model_configs import ModelConfigs

GUIDANCE_KEY, RESCALE_KEY = "_guidance_scale", "_guidance_rescale"
STEPS_KEY = "_sampler_steps"
EMPHASIS_KEY = "_emphasis"
"""Entries of `model_index.json` with a model's own defaults; diffusers ignores such names."""


@dataclass(frozen=True)
class UsualDrawing:
    """How models of a kind are drawn."""

    guidance: float
    """the guidance scale; 1 is off"""
    sampler_steps: int = USUAL_SAMPLER_STEPS


FEW_STEPS = UsualDrawing(guidance=1.0, sampler_steps=4)
"""How models are drawn that are distilled for consistency (Luo et al. 2023, arXiv 2310.04378)."""

FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
"""Schedulers that only such models come with."""


@dataclass(frozen=True)
class DrawingDefaults:
    """The default settings of a drawing with one model."""

    guidance: float
    """the guidance scale"""
    guidance_rescale: float
    """0 to 1"""
    sampler_steps: int
    """denoising steps of a picture"""
    emphasis: Emphasis
    """how weights in prompts are applied"""

    @classmethod
    def of(cls, configs: ModelConfigs, usual: UsualDrawing, timesteps: int) -> Self:
        """The defaults that `model_index.json` states; the `usual` ones where it states none.

        Args:
            configs: of the model.
            usual: how models like it are drawn.
            timesteps: that the model was trained with.

        Raises:
            BaseModelError: it says something that cannot be.
        """
        return cls(
            _number(configs, GUIDANCE_KEY, usual.guidance),
            _number(configs, RESCALE_KEY, 0.0),
            folder.whole_number(
                configs.setting(STEPS_KEY, usual.sampler_steps),
                _where(configs, STEPS_KEY),
                timesteps,
            ),
            _emphasis(configs),
        )


def _where(configs: ModelConfigs, name: str) -> str:
    return f"{configs.source.name}: {name} in model_index.json"


def _number(configs: ModelConfigs, name: str, usual: float) -> float:
    return folder.finite_number(configs.setting(name, usual), _where(configs, name))


def _emphasis(configs: ModelConfigs) -> Emphasis:
    emphasis: Emphasis = configs.setting(EMPHASIS_KEY, "original")
    if emphasis not in get_args(Emphasis):
        raise BaseModelError(
            f"{_where(configs, EMPHASIS_KEY)} is {emphasis!r:.60}, but should be one of "
            f"{', '.join(get_args(Emphasis))}"
        )
    return emphasis
