from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_ins
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from support import asked, train_state
from transformer_references import REFERENCES

from pseudoword.data.captions import SUBJECT, render
from pseudoword.models import base_model
from pseudoword.training import loss
from pseudoword.training.batches import batch
from pseudoword.training.sampling import StepSamples, sample_step
from pseudoword.training.state import TrainState
from pseudoword.training.timestep_sampling import Timesteps


def samples_of(one: TrainState) -> StepSamples:
    """What is drawn for step 7."""
    return sample_step(
        0,
        "<cat>",
        7,
        batch=3,
        pictures=[(1, *one.data.pictures[0].moments.mean.shape[1:])] * 4,
        captions=len(SUBJECT),
        timesteps=Timesteps(0, 1000),
    )


def latents_of(one: TrainState, drawn: StepSamples) -> torch.Tensor:
    seen = [one.data.pictures[p].moments for p in drawn.picture]
    mean, std = torch.cat([m.mean for m in seen]), torch.cat([m.std for m in seen])
    return (mean + std * drawn.latent_noise).double()


def test_the_loss_is_that_of_a_reference_in_float64(unet_base: Path, pictures: Path) -> None:
    """The reference resizes the vocabulary, as the usual scripts do, and shares no code.

    diffusers' own pipelines read the prompt, and write `<cat>` out as `<cat> <cat>_1`.
    """
    family = base_model.load_named(str(unet_base), "cpu")
    one = train_state(family, pictures, vectors=2, init="red cat", batch=3)
    one.method.parameters()[0].data += 0.05
    found = loss.losses(family, [asked(one)], batch(family, [one.data], 7)).item()

    pipeline = DiffusionPipeline.from_pretrained(unet_base).to(torch.float64)
    for key, suffix in zip(one.method.word(), ("", "_2"), strict=False):
        tokenizer = getattr(pipeline, f"tokenizer{suffix}")
        text = getattr(pipeline, f"text_encoder{suffix}")
        tokenizer.add_tokens(["<cat>", "<cat>_1"])
        text.resize_token_embeddings(len(tokenizer))
        rows = one.method.word()[key].detach().double()
        text.get_input_embeddings().weight.data[-2:] = rows
    scheduler = DDPMScheduler.from_pretrained(unet_base, subfolder="scheduler")
    drawn = samples_of(one)
    prompts = [render(SUBJECT[c], "<cat>") for c in drawn.caption]
    hidden, _, *more = pipeline.encode_prompt(
        prompts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    added = {}
    if more:  # SDXL; every picture is 48 wide and 40 high, and its centre is kept
        times = pipeline._get_add_time_ids((40, 48), (0, 3), (32, 32), torch.float64, 40)
        added = {"text_embeds": more[0], "time_ids": times.repeat(3, 1)}
    latents, noise = latents_of(one, drawn), drawn.noise.double()
    noisy = scheduler.add_noise(latents, noise, drawn.t)
    predicted = pipeline.unet(noisy, drawn.t, hidden, added_cond_kwargs=added).sample
    target = noise
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(latents, noise, drawn.t)
    expected = (predicted - target).pow(2).mean().item()
    assert found == pytest.approx(expected, rel=1e-5)


def sigmas(family: str, config: Any) -> torch.Tensor:
    """The noise levels of a picture of 4 x 4 tokens, by the scheduler of most flows, rising."""
    shift = {"shift": config.get("flow_shift", config.get("shift"))}
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(config) | shift)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(4 * 4, *(scheduler.config[name] for name in names))
    if family.startswith("flux2"):
        mu = compute_empirical_mu(4 * 4, num_steps=50)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0.001, 1000), mu=mu)
    levels: torch.Tensor = scheduler.sigmas[:-1].flip(0)
    return levels


def test_the_loss_of_a_transformer_is_that_of_its_pipeline_in_float64(
    transformer_base: Path, pictures: Path
) -> None:
    """The pipeline reads the word as words of its vocabulary, and predicts by its own loop."""
    family = base_model.load_named(str(transformer_base), "cpu")
    one = train_state(family, pictures, vectors=2, init="red cat", batch=3)
    for rows in one.method.parameters():
        rows.data += 0.05
    found = loss.losses(family, [asked(one)], batch(family, [one.data], 7)).item()

    pipeline = DiffusionPipeline.from_pretrained(transformer_base).to(torch.float64)
    stand_ins.overwrite(pipeline, one.method.word())
    drawn = samples_of(one)
    latents, noise = latents_of(one, drawn), drawn.noise.double()
    prompts = [stand_ins.spelled(render(SUBJECT[c], "<cat>"), 2) for c in drawn.caption]
    config = pipeline.scheduler.config
    if config.get("prediction_type") == "epsilon":
        noisy = DDPMScheduler.from_config(config).add_noise(latents, noise, drawn.t)
        times, target = drawn.t, noise
    else:
        sigma = sigmas(family.name, config)[drawn.t].double()
        noisy = noise * sigma.view(-1, 1, 1, 1) + latents * (1 - sigma).view(-1, 1, 1, 1)
        times, target = sigma * 1000, noise - latents
    predicted = REFERENCES[family.name](pipeline, prompts, noisy, times)
    expected = (predicted - target).pow(2).mean().item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_two_concepts_of_one_name_do_not_meet(base: Path, pictures: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    pack = [
        train_state(family, pictures, seed=seed, init=init) for seed, init in ((0, "cat"), (1, "a"))
    ]
    together = loss.losses(
        family, [asked(m) for m in pack], batch(family, [m.data for m in pack], 0)
    )
    alone = [loss.losses(family, [asked(m)], batch(family, [m.data], 0)) for m in pack]
    torch.testing.assert_close(together, torch.cat(alone))


def test_effect_is_zero_without_a_change_and_grows_with_it(base: Path, pictures: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    before, near, far = (train_state(family, pictures) for _ in range(3))
    away = torch.linspace(-1, 1, 32)  # all numbers alike would be taken out by the layer norms
    near.method.parameters()[0].data += 0.001 * away
    far.method.parameters()[0].data += 0.01 * away
    samples = batch(family, [before.data], 0)
    effects = [loss.effect(family, asked(before), asked(m), samples) for m in (before, near, far)]
    assert effects[0] == 0
    assert 0 < effects[1] < effects[2]
