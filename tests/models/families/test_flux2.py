"""FLUX.2: dev, klein and the distilled klein; what they read of their language models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_encoders
import torch
from diffusers import Flux2KleinPipeline, Flux2Pipeline
from support import diffusers_own, train_state
from transformer_references import REFERENCES

from pseudoword import api
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.families.flux2 import Flux2Autoencoder
from pseudoword.models.generation import generate
from pseudoword.training.batches import batch

BLOCKS = {Flux2KleinPipeline: (9, 18, 27), Flux2Pipeline: (10, 20, 30)}
"""Those that the published models read."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux2(tmp_path_factory.mktemp("dev"), klein=False)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux2(tmp_path_factory.mktemp("distilled"), distilled=True)


@pytest.mark.parametrize("kind", BLOCKS)
def test_it_reads_the_blocks_that_the_published_models_are_read_from_and_keeps_no_others(
    kind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    klein = kind is Flux2KleinPipeline
    folder = tiny.flux2(tmp_path, klein=klein)
    most = BLOCKS[kind][-1]
    text = tiny_encoders.encoder("Qwen 3" if klein else "Mistral 3", 600, 16, blocks=most + 2)
    text.save_pretrained(folder / "text_encoder")
    tiny.read_blocks(kind, BLOCKS[kind])
    try:
        family = base_model.load_named(str(folder), "cpu")
        theirs = diffusers_own(folder).encode_prompt(["a cat", "a red toy"])[0]
        assert torch.equal(family.encode_text(["a cat", "a red toy"], {}).hidden, theirs)
    finally:
        tiny.read_blocks(kind, (1, 2, 3))
    (encoder,) = family.encoders.values()
    assert len(encoder.model.layers) == most
    assert not hasattr(encoder.model, "lm_head")


def test_a_language_model_with_too_few_blocks_is_refused(tmp_path: Path) -> None:
    folder = tiny.flux2(tmp_path)
    tiny_encoders.encoder("Qwen 3", 600, 16, blocks=2).save_pretrained(folder / "text_encoder")
    with pytest.raises(BaseModelError, match="its text_encoder cannot be loaded: it has 2 blocks"):
        base_model.load_named(str(folder), "cpu")


@pytest.mark.usefixtures("own_kernels")
def test_dev_draws_as_diffusers_does_with_its_guidance_scale_and_learns(
    dev: Path, pictures: Path, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {"height": 32, "width": 32, "num_inference_steps": 3}
    family = base_model.load_named(str(dev), "cpu")
    prompt = "a Photo of a cat, red"
    seen = []
    for scale in (1.0, 9.0):
        seeded = torch.Generator().manual_seed(0)
        (theirs,) = diffusers_own(dev)(
            prompt=prompt, guidance_scale=scale, generator=seeded, **drawn
        ).images
        (ours,) = generate(family, [prompt], [], seeds=[0], sampler_steps=3, guidance=scale)
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))
        seen.append(ours.tobytes())
    assert seen[0] != seen[1]
    with pytest.raises(SettingsError, match=r"--negative has no effect.*Leave it out"):
        api.generate("a cat", base=str(dev), negative="dog", sampler_steps=1)
    done = api.train(
        *(pictures, "<cat>"), base=str(dev), out=tmp_path, init="cat", steps=2, preview=()
    )
    assert done.effect > 0
    assert done.concept.widths == {"mistral3_24b": 16}
    assert done.concept.family == "flux2"


def test_dev_predicts_as_its_pipeline_does_at_a_guidance_scale_of_1(
    dev: Path, pictures: Path
) -> None:
    family = base_model.load_named(str(dev), "cpu")
    samples = batch(family, [train_state(family, pictures).data], 0)
    times = family.noise_schedule.times(samples.t)
    prompts = ["a photo of a cat"] * len(samples.t)
    found = family.predict(
        samples.latents, samples.t, family.encode_text(prompts, {}), samples.micro_conditioning
    )
    expected = REFERENCES["flux2"](diffusers_own(dev), prompts, samples.latents, times)
    torch.testing.assert_close(found, expected)


def test_the_distilled_klein_is_not_guided(distilled: Path) -> None:
    drawn: dict[str, Any] = {"base": str(distilled), "sampler_steps": 1}
    for refused in ({"guidance": 2.0}, {"negative": "dog"}):
        with pytest.raises(SettingsError, match="has no effect"):
            api.generate("a cat", **drawn, **refused)
    seeded = torch.Generator().manual_seed(0)
    (theirs,) = diffusers_own(distilled)(
        prompt="a cat", height=32, width=32, num_inference_steps=1, generator=seeded
    ).images
    (ours,) = api.generate("a cat", seed=0, **drawn)
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1


def test_latents_are_scaled_by_the_statistics_of_the_vae_and_come_back(dev: Path) -> None:
    family: Any = base_model.load_named(str(dev), "cpu")
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    found = family.encode_pictures(pixels).mean
    pipeline = diffusers_own(dev)
    patches = pipeline._encode_vae_image(pixels, torch.Generator())
    torch.testing.assert_close(found, pipeline._unpatchify_latents(patches))
    assert isinstance(family.autoencoder, Flux2Autoencoder)
    own = family.vae.encode(pixels).latent_dist.mean
    torch.testing.assert_close(family.decode(found), family.vae.decode(own).sample)
    before = family.vae_digest()
    family.vae.bn.running_mean += 1
    assert family.vae_digest() != before
