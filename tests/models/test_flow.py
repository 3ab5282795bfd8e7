import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from pseudoword.errors import BaseModelError
from pseudoword.models.flow import Flow, flow_schedule

CONFIGS: dict[str, dict[str, Any]] = {
    "SD 3": {"shift": 3.0},
    "FLUX.1 schnell": {"shift": 1.0, "max_shift": 1.15, "use_dynamic_shifting": False},
    "FLUX.1 dev": {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5},
    "linear": {"use_dynamic_shifting": True, "time_shift_type": "linear"},
    "Qwen-Image": {
        "use_dynamic_shifting": True,
        "max_shift": 0.9,
        "max_image_seq_len": 8192,
        "shift_terminal": 0.02,
    },
    "shifted to the end": {"shift": 3.0, "shift_terminal": 0.1},
}


@pytest.mark.parametrize("tokens", [256, 1024, 4096])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_noise_levels_are_those_that_diffusers_draws_with(name: str, tokens: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**CONFIGS[name])
    config: Any = scheduler.config
    own = (config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0.001, 1000), mu=calculate_shift(tokens, *own))
    flow = flow_schedule(config, 1000, tokens, "x")
    torch.testing.assert_close(flow.sigmas, scheduler.sigmas[:-1].flip(0))
    torch.testing.assert_close(
        flow.times(torch.arange(1000)) / 1000, scheduler.timesteps.flip(0) / 1000
    )


def test_the_noise_levels_of_sana_are_those_of_its_scheduler() -> None:
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    scheduler.set_timesteps(1000)
    flow = flow_schedule(scheduler.config, 1000, 1024, "x")
    torch.testing.assert_close(flow.sigmas, scheduler.sigmas[:-1].flip(0), rtol=0, atol=2e-3)


def test_noisy_latents_are_those_of_diffusers_and_the_target_leads_back() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow = flow_schedule(scheduler.config, 1000, 1024, "x")
    latents, noise = torch.randn(2, 4, 3, 8, 8)
    t = torch.tensor([0, 1, 500, 999])
    noisy = flow.noisy(latents, noise, t)
    torch.testing.assert_close(
        noisy, scheduler.scale_noise(latents, scheduler.timesteps[999 - t], noise)
    )
    sigma = flow.sigmas[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(noisy - sigma * flow.target(latents, noise, t), latents)


def test_one_step_of_euler_from_pure_noise_along_the_target_gives_the_latents() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(1)
    flow = Flow(torch.tensor([0.5, 1.0]))
    latents, noise = torch.randn(2, 1, 3, 4, 4)
    target = flow.target(latents, noise, torch.tensor([1]))
    found = scheduler.step(target, scheduler.timesteps[0], noise, return_dict=False)[0]
    torch.testing.assert_close(found, latents)


@pytest.mark.parametrize(
    "config",
    [
        {"shift": 0},
        {"shift": "x"},
        {"shift": math.nan},
        {"use_dynamic_shifting": True, "max_image_seq_len": 256},
        {"use_dynamic_shifting": True, "max_shift": 9e5},
        {"shift_terminal": 1.5},
    ],
)
def test_a_config_without_valid_noise_levels_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BaseModelError, match="its scheduler"):
        flow_schedule(config, 1000, 1024, "x: its scheduler")
