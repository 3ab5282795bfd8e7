import pytest
import torch
from torch.nn.functional import huber_loss

from pseudoword.models.flow import Flow
from pseudoword.models.noise_schedule import Diffusion, PredictionType
from pseudoword.training.weighting import huber, min_snr

ALPHAS = torch.tensor([0.99, 0.9, 0.5, 0.1, 0.0])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_equals_its_formula(kind: PredictionType) -> None:
    t = torch.arange(4)
    snr = ALPHAS[:4] / (1 - ALPHAS[:4])
    divisor = snr if kind == "epsilon" else snr + 1
    expected = torch.minimum(snr, torch.tensor(5.0)) / divisor
    torch.testing.assert_close(min_snr(Diffusion(ALPHAS, kind), t, 5.0), expected)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_is_finite_where_there_is_no_signal(kind: PredictionType) -> None:
    assert torch.isfinite(min_snr(Diffusion(ALPHAS, kind), torch.tensor([4]), 5.0)).all()
    assert min_snr(Diffusion(ALPHAS, kind), torch.tensor([0, 4]), 0).tolist() == [1, 1]


def test_min_snr_of_a_flow_weighs_errors_of_the_latents() -> None:
    """x_t - σ·v gives the latents, so an error of v is one of 1/σ times theirs."""
    t = torch.arange(4)
    flow = Flow(torch.tensor([0.1, 0.5, 0.9, 1.0]))
    latents, noise, error = torch.randn(3, 4, 1, 1, 1, dtype=torch.float64)
    noisy, v = flow.noisy(latents, noise, t), flow.target(latents, noise, t)
    sigma = flow.sigmas.double().view(-1, 1, 1, 1)
    of_latents = (noisy - sigma * (v + error) - latents).square().flatten()
    snr = ((1 - sigma) / sigma).square().flatten()
    expected = of_latents * snr.clamp(max=5)
    torch.testing.assert_close(
        min_snr(flow, t, 5.0).double() * error.square().flatten(), expected, check_dtype=False
    )


def test_huber_is_torch_s_twice_and_the_square_without_a_limit() -> None:
    error = torch.linspace(-3, 3, 61, requires_grad=True)
    found = huber(error, torch.tensor(0.5))
    expected = 2 * huber_loss(error, torch.zeros(61), reduction="none", delta=0.5)
    torch.testing.assert_close(found, expected)
    assert torch.equal(huber(error, torch.tensor(torch.inf)), error**2)
    (slope,) = torch.autograd.grad(huber(error, torch.tensor(torch.inf)).sum(), error)
    torch.testing.assert_close(slope, 2 * error)
