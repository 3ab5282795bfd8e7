"""How much each sample, and each part of its error, counts."""

import torch
from torch import Tensor

from pseudoword.models.noise_schedule import NoiseSchedule


def min_snr(noise_schedule: NoiseSchedule, t: Tensor, gamma: float) -> Tensor:
    """Weights `[B]` of min-SNR (Hang et al. 2023, arXiv 2303.09556); `gamma` 0 weighs all alike.

    Noise is easily told from a nearly clean latent, and there is much to gain in making it so;
    the weight keeps such samples from drowning the others.
    """
    if not gamma:
        return torch.ones(len(t), device=t.device)
    snr = noise_schedule.snr(t)
    if noise_schedule.prediction_type == "v_prediction":
        return snr.clamp(max=gamma) / (snr + 1)
    return (gamma / snr).clamp(max=1)


def huber(error: Tensor, delta: Tensor) -> Tensor:
    """Square of `error` up to `delta`, from there on a straight line; `delta` infinite: the square.

    Twice `torch.nn.functional.huber_loss`, so that small errors count as they do in the squares.
    """
    size = error.abs()
    inner = torch.minimum(size, delta)
    return inner * (2 * size - inner)
