import pytest
import torch
from diffusers import DDPMScheduler

from pseudoword.errors import BaseModelError
from pseudoword.models.noise_schedule import Diffusion, PredictionType, prediction_type


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noisy_and_target_are_those_of_diffusers(kind: PredictionType, zero_snr: bool) -> None:
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear", prediction_type=kind, rescale_betas_zero_snr=zero_snr
    )
    noise_schedule = Diffusion(scheduler.alphas_cumprod, kind)
    latents, noise = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    t = torch.tensor([0, 1, 500, 999])
    torch.testing.assert_close(
        noise_schedule.noisy(latents, noise, t), scheduler.add_noise(latents, noise, t)
    )
    expected = noise if kind == "epsilon" else scheduler.get_velocity(latents, noise, t)
    torch.testing.assert_close(noise_schedule.target(latents, noise, t), expected)


def test_v_and_noisy_give_back_the_latents() -> None:
    """x = √ᾱ·x_t − √(1−ᾱ)·v, which holds whatever library made them."""
    alphas = torch.linspace(0.99, 0.01, 50, dtype=torch.float64)
    noise_schedule = Diffusion(alphas, "v_prediction")
    latents = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    noise, t = torch.randn_like(latents), torch.tensor([0, 25, 49])
    alpha = alphas[t].view(-1, 1, 1, 1)
    noisy, v = noise_schedule.noisy(latents, noise, t), noise_schedule.target(latents, noise, t)
    torch.testing.assert_close(alpha.sqrt() * noisy - (1 - alpha).sqrt() * v, latents)


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(BaseModelError, match="sample"):
        prediction_type("sample")
