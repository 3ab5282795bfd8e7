"""Weights of samples, and of errors: min-SNR and Huber."""

import torch
from torch import Tensor

from pseudoword.models.noise_schedule import NoiseSchedule


def min_snr(noise_schedule: NoiseSchedule, t: Tensor, gamma: float) -> Tensor:
    """Weights `[B]` of min-SNR (Hang et al. 2023, arXiv 2303.09556); with `gamma` 0 all are 1.

    Nearly clean latents have a high signal-to-noise ratio (SNR); their weight falls to gamma / SNR,
    so that they do not dominate the others.
    """
    if not gamma:
        return torch.ones(len(t), device=t.device, dtype=torch.float32)
    return noise_schedule.min_snr(t, gamma)


def huber(error: Tensor, delta: Tensor) -> Tensor:
    """The square of `error` up to `delta`, then a straight line; with infinite `delta`, the square.

    Twice `torch.nn.functional.huber_loss`, so that small errors count as in the squared loss.
    """
    size = error.abs()
    inner = torch.minimum(size, delta)
    return inner * (2 * size - inner)
