"""The AutoencoderKL: 64 px pictures to 8x8x16 latents of zero mean and unit deviation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D

from basemodel.contrastive import to_pixels
from basemodel.loop import Stage, keyed, pick_device, train, warm_cosine
from basemodel.muon import Muon, split
from basemodel.painter import Painter
from basemodel.pictures import Artwork
from basemodel.precision import mixed
from basemodel.scenes import SceneMaker, paint
from basemodel.settings import LATENT_CHANNELS, PICTURE_PX, Settings, VaeSettings

VAE = 3
"""First part of the random key."""
_HELD_OUT = 4


def new_vae(settings: VaeSettings) -> AutoencoderKL:
    """A small AutoencoderKL with random weights. No attention: 8x8 positions see enough by
    convolution, and it's faster."""
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
        if isinstance(module, ResnetBlock2D):  # begin as a nearly linear map: learns much sooner
            torch.nn.init.zeros_(module.conv2.weight)
    return vae


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean peak signal-to-noise over pictures [B,3,H,W] in [-1,1], in dB."""
    error = ((one.clamp(-1, 1) - other) / 2).pow(2).flatten(1).mean(1).clamp_min(1e-9)
    return float((-10 * error.log10()).mean())


def _edges(x: torch.Tensor) -> torch.Tensor:
    """Horizontal and vertical differences, flattened: what blur loses."""
    return torch.cat([x.diff(dim=-1).flatten(1), x.diff(dim=-2).flatten(1)], 1)


def picture_loss(drawn: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, edges, and colour by itself at a quarter of the resolution.

    Colour is what small autoencoders lose first: luma dominates a plain error, so the two chroma
    differences count again.
    """
    error = drawn - true
    chroma = torch.stack([error[:, 0] - error[:, 1], error[:, 2] - error[:, 1]], 1)
    return (
        error.abs().mean()
        + 2.0 * error.pow(2).mean()
        + 0.5 * (_edges(drawn) - _edges(true)).abs().mean()
        + 0.5 * F.avg_pool2d(chroma, 4).abs().mean()
    )


def held_out_pictures(art: Artwork, count: int, seed: int) -> torch.Tensor:
    """Scenes of held-out names and styles, [B,3,64,64]: what no trained stage has seen."""
    held = np.array([t.held_out for t in art.things])[art.thing]
    hidden = art.only(held)
    maker, rng = SceneMaker(hidden), keyed(seed, _HELD_OUT)
    return to_pixels([paint(maker.draw(rng), hidden) for _ in range(count)])


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Through the bottleneck and back, [B,3,64,64] float32."""
    device = next(vae.parameters()).device
    with mixed(device):
        out = vae.decode(vae.encode(pixels.to(device)).latent_dist.mean).sample
    back: torch.Tensor = out.float().cpu()
    return back


def build_vae(
    art: Artwork, settings: Settings, deadline: float = float("inf")
) -> tuple[AutoencoderKL, bool]:
    """Train (or go on, or load) the autoencoder on trained artwork; False when cut short."""
    device, s = pick_device(), settings.vae
    torch.manual_seed(settings.seed)
    vae = new_vae(s).to(device).to(memory_format=torch.channels_last)
    trained = art.trained()
    maker, painter = SceneMaker(trained), Painter(trained, settings.painters)
    unseen = held_out_pictures(art, 128, settings.seed)
    optimizer = Muon(*split(vae, ("encoder.conv_in", "decoder.conv_out")))

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, VAE, step)
        true = to_pixels(painter([maker.draw(rng) for _ in range(s.batch)]))
        true = true.to(device).to(memory_format=torch.channels_last)
        torch.manual_seed(int(rng.integers(2**62)))
        with mixed(device):
            moments = vae.encode(true).latent_dist
            drawn = vae.decode(moments.sample()).sample
        drawn = drawn.float()
        kl = moments.kl().float().mean() / moments.mean[0].numel()
        return picture_loss(drawn, true) + s.kl_weight * kl, {"kl": float(kl)}

    def after(step: int) -> dict[str, float] | None:
        if step % 200 and step != s.steps:
            return None
        return {"psnr_unseen": psnr(reconstruct(vae, unseen), unseen)}

    stage = Stage(
        "vae",
        settings.work,
        {"vae": vae},
        optimizer,
        s.steps,
        loss,
        lambda step: warm_cosine(step, s.steps, s.learning_rate, min(50, s.steps // 5)),
        after=after,
        save_every_seconds=settings.save_every_seconds,
        log_every=settings.log_every,
        deadline=deadline,
    )
    done = train(stage)
    return vae.eval(), done


@torch.no_grad()
def whiten(vae: AutoencoderKL, art: Artwork, settings: Settings) -> dict[str, list[float]]:
    """Fold the latents' mean and deviation per channel into the 1x1 convolutions.

    Afterwards latents have zero mean and unit deviation in every channel, scaling_factor is
    truly 1, and every tool that knows only scaling_factor is right. Returns what was folded.
    """
    trained = art.trained()
    maker, rng = SceneMaker(trained), keyed(settings.seed, VAE, 10**9)
    pixels = to_pixels([paint(maker.draw(rng), trained) for _ in range(settings.whitened)])
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
