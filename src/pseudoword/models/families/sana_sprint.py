"""Sana-Sprint (Chen et al. 2025): Sana, distilled to draw in one to four steps.

Its scheduler moves on an arc from latents to noise. Its transformer predicts what Sana's does, on
the straight line between the two: the pipeline goes from one to the other around it. It reads the
guidance scale as a number, and has seen no others than some near 4.5.
"""

import math

import torch
from torch import Tensor

from pseudoword.errors import SettingsError
from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.sana import Sana
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.flow import Flow
from pseudoword.models.noise_schedule import NoiseSchedule

TRAINING_GUIDANCE = 4.5


class SanaSprint(Sana):
    """A distilled Sana; it reads the same words."""

    pipelines = ("SanaSprintPipeline",)
    reads_negative = False

    def make_noise_schedule(self) -> NoiseSchedule:
        from diffusers import SCMScheduler

        timesteps = self.parts.timesteps(SCMScheduler)
        angles = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps * (math.pi / 2)
        sigmas = angles.sin() / (angles.sin() + angles.cos())
        return Flow(sigmas.float().clamp(max=1))

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        scale = TRAINING_GUIDANCE * self.denoiser.config.guidance_embeds_scale
        guidance = torch.full((len(noisy),), scale, device=noisy.device, dtype=self.dtype)
        timestep, mask = times / self.noise_schedule.timesteps, condition.mask
        return self.call_transformer(
            noisy, timestep, condition, encoder_attention_mask=mask, guidance=guidance
        )

    def distilled(self) -> UsualDrawing:
        """The defaults of its pipeline."""
        return UsualDrawing(guidance=TRAINING_GUIDANCE, sampler_steps=2)

    def drawing_options(self, settings: GenerationSettings, _count: int) -> dict[str, object]:
        options: dict[str, object] = {"use_resolution_binning": False}
        if settings.sampler_steps != 2:  # it goes by an angle of its own then
            options["intermediate_timesteps"] = None
        return options

    def check_steps(self, settings: GenerationSettings) -> None:
        most = self.noise_schedule.timesteps
        if settings.sampler_steps > most:
            raise SettingsError(
                f"--sampler-steps {settings.sampler_steps} does not work with {self.source.name}, "
                f"which was trained with {most} timesteps. Give fewer; 2 are usual."
            )
        self.scheduler(settings.scheduler)
