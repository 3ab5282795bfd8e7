"""The AutoencoderKL stage: 64 px pictures to 8x8x16 latents of zero mean and unit deviation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D

from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage, warm_cosine
from basemodel.muon import Muon, split
from basemodel.painter import Painter
from basemodel.pixels import to_pixels
from basemodel.rng import keyed
from basemodel.scenes import SceneMaker, paint
from basemodel.settings import LATENT_CHANNELS, PICTURE_PX, Settings, VaeSettings

VAE = 3
_HELD_OUT = 4
"""First parts of random keys."""


def new_vae(settings: VaeSettings) -> AutoencoderKL:
    """A small AutoencoderKL with random weights.

    It has no attention: convolutions see all of 8x8 positions, and are faster.
    """
    levels = len(settings.channels)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.channels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=PICTURE_PX,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        force_upcast=False,
    )
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):  # nearly linear at first: learns much faster
            torch.nn.init.zeros_(module.conv2.weight)
    return vae


def psnr(pixels: torch.Tensor, true: torch.Tensor) -> float:
    """Mean peak signal-to-noise ratio of pixels [B,3,H,W] in [-1,1], in dB."""
    error = ((pixels.clamp(-1, 1) - true) / 2).pow(2).flatten(1).mean(1).clamp_min(1e-9)
    return float((-10 * error.log10()).mean())


def _edges(x: torch.Tensor) -> torch.Tensor:
    """Horizontal and vertical differences, flattened; blur makes them smaller."""
    return torch.cat([x.diff(dim=-1).flatten(1), x.diff(dim=-2).flatten(1)], 1)


def reconstruction_loss(pixels: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, plus errors of edges and of colour at a quarter of the size.

    Small autoencoders lose colour first, because brightness dominates a plain error. Therefore the
    two colour differences are added once more.
    """
    error = pixels - true
    chroma = torch.stack([error[:, 0] - error[:, 1], error[:, 2] - error[:, 1]], 1)
    return (
        error.abs().mean()
        + 2.0 * error.pow(2).mean()
        + 0.5 * (_edges(pixels) - _edges(true)).abs().mean()
        + 0.5 * F.avg_pool2d(chroma, 4).abs().mean()
    )


def held_out_pictures(drawings: Drawings, count: int, seed: int) -> torch.Tensor:
    """Pixels [B,3,64,64] of scenes with held-out things, which the base model has never seen."""
    is_held_out = np.array([t.held_out for t in drawings.things])[drawings.thing]
    held_out = drawings.only(is_held_out)
    maker, rng = SceneMaker(held_out), keyed(seed, _HELD_OUT)
    return to_pixels([paint(maker.scene(rng), held_out) for _ in range(count)])


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Encode and decode pixels [B,3,64,64]; the result is float32 on the CPU."""
    device = next(vae.parameters()).device
    with mixed(device):
        decoded = vae.decode(vae.encode(pixels.to(device)).latent_dist.mean).sample
    reconstructed: torch.Tensor = decoded.float().cpu()
    return reconstructed


class VaeStage(Stage):
    """Trains the autoencoder on scenes of known things."""

    def __init__(
        self, vae: AutoencoderKL, drawings: Drawings, settings: Settings, deadline: float
    ) -> None:
        self.vae, self.device = vae, next(vae.parameters()).device
        trained = drawings.for_training()
        self.maker, self.painter = SceneMaker(trained), Painter(trained, settings.painters)
        self.unseen = held_out_pictures(drawings, settings.unseen_pictures // 2, settings.seed)
        optimizer = Muon(*split(vae, ("encoder.conv_in", "decoder.conv_out")))
        super().__init__("vae", settings, settings.vae.steps, {"vae": vae}, optimizer, deadline)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Error of the reconstruction, and KL divergence of the latents."""
        s, rng = self.settings.vae, keyed(self.settings.seed, VAE, step)
        true = to_pixels(self.painter([self.maker.scene(rng) for _ in range(s.batch)]))
        true = true.to(self.device).to(memory_format=torch.channels_last)
        torch.manual_seed(int(rng.integers(2**62)))
        with mixed(self.device):
            moments = self.vae.encode(true).latent_dist
            decoded = self.vae.decode(moments.sample()).sample.float()
        kl = moments.kl().float().mean() / moments.mean[0].numel()
        return reconstruction_loss(decoded, true) + s.kl_weight * kl, {"kl": float(kl)}

    def rate(self, step: int) -> float:
        """Warm-up and cosine."""
        peak = self.settings.vae.learning_rate
        return warm_cosine(step, self.steps, peak, min(50, self.steps // 5))

    def after(self, done: int) -> dict[str, float]:
        """Now and then, the quality of reconstructions of held-out things."""
        if done % 200 and done != self.steps:
            return {}
        return {"psnr_unseen": psnr(reconstruct(self.vae, self.unseen), self.unseen)}


def build_vae(
    drawings: Drawings, settings: Settings, deadline: float
) -> tuple[AutoencoderKL, bool]:
    """The autoencoder, and False if the deadline came before it was trained."""
    torch.manual_seed(settings.seed)
    vae = new_vae(settings.vae).to(pick_device()).to(memory_format=torch.channels_last)
    done = VaeStage(vae, drawings, settings, deadline).train()
    return vae.eval(), done


@torch.no_grad()
def whiten(vae: AutoencoderKL, drawings: Drawings, settings: Settings) -> dict[str, list[float]]:
    """Fold the mean and deviation of each latent channel into the 1x1 convolutions.

    Afterwards every channel has zero mean and unit deviation. So scaling_factor is exactly 1, and
    tools that know nothing but scaling_factor are right.

    Returns:
        The mean and deviation of each channel before.
    """
    trained = drawings.for_training()
    maker, rng = SceneMaker(trained), keyed(settings.seed, VAE, 10**9)
    pixels = to_pixels([paint(maker.scene(rng), trained) for _ in range(settings.whitened)])
    device = next(vae.parameters()).device
    means = torch.cat(
        [vae.encode(part.to(device)).latent_dist.mean for part in torch.split(pixels, 64)]
    )
    mean, deviation = means.mean((0, 2, 3)), means.std((0, 2, 3))
    c = LATENT_CHANNELS
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= deviation[None, :, None, None]
    quant.weight[:c] /= deviation[:, None, None, None]
    quant.bias[:c] = (quant.bias[:c] - mean) / deviation
    quant.bias[c:] -= 2 * deviation.log()
    return {"mean": mean.tolist(), "deviation": deviation.tolist()}
