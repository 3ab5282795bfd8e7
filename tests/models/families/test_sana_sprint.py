"""Sana-Sprint: words for Sana, drawn in a few steps along an arc."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from support import diffusers_own, train_state

import pseudoword
from pseudoword.concept import Concept
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.generation import generate
from pseudoword.training.batches import batch


@pytest.fixture(scope="module")
def sprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sana(tmp_path_factory.mktemp("sprint"), sprint=True)


@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_it_draws_as_diffusers_does(sprint: Path, steps: int) -> None:
    drawn: dict[str, Any] = {"num_inference_steps": steps, "use_resolution_binning": False}
    if steps != 2:
        drawn["intermediate_timesteps"] = None
    seeded = torch.Generator().manual_seed(0)
    pipeline = diffusers_own(sprint)
    (theirs,) = pipeline(
        "A Cat, red", height=32, width=32, generator=seeded, guidance_scale=4.0, **drawn
    ).images
    family = base_model.load_named(str(sprint), "cpu")
    (ours,) = generate(family, ["A Cat, red"], [], seeds=[0], sampler_steps=steps, guidance=4.0)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_word_of_sana_is_drawn_and_the_guidance_scale_is_read(sprint: Path) -> None:
    family = base_model.load_named(str(sprint), "cpu")
    assert family.name == "sana"
    word = Concept("<cat>", {"gemma2_2b": torch.randn(2, 32)}, "sana")
    drawn: dict[str, Any] = {"seeds": [0], "sampler_steps": 2}
    seen = {
        generate(family, [prompt], [word], guidance=guidance, **drawn)[0].tobytes()
        for prompt in ("a <cat>", "a cat")
        for guidance in (1.0, 9.0)
    }
    assert len(seen) == 4
    for refused in ({"negative": "dog"}, {"sampler_steps": 1001}, {"scheduler": "Euler"}):
        with pytest.raises(SettingsError):
            pseudoword.generate("a cat", base=str(sprint), **refused)


def test_it_predicts_the_direction_that_its_pipeline_makes_an_arc_of(
    sprint: Path, pictures: Path
) -> None:
    family = base_model.load_named(str(sprint), "cpu")
    samples = batch(family, [train_state(family, pictures).data], 0)
    schedule, t = family.noise_schedule, samples.t
    noisy = schedule.noisy(samples.latents, samples.noise, t)
    level = schedule.times(t).view(-1, 1, 1, 1) / schedule.timesteps
    angle = torch.atan2(level, 1 - level)
    length = torch.sqrt(level**2 + (1 - level) ** 2)
    arc = angle.cos() * samples.latents + angle.sin() * samples.noise
    torch.testing.assert_close(noisy / length, arc)
    # the pipeline's own way from what its transformer predicts to the direction on the arc
    straight = schedule.target(samples.latents, samples.noise, t)
    turned = ((1 - 2 * level) * noisy + (1 - 2 * level + 2 * level**2) * straight) / length
    expected = angle.cos() * samples.noise - angle.sin() * samples.latents
    torch.testing.assert_close(turned, expected)
    condition = family.encode_text(["a cat"] * len(t), {})
    found = family.predict(noisy, t, condition, samples.micro_conditioning)
    theirs = diffusers_own(sprint).transformer(
        noisy,
        timestep=level.flatten(),
        guidance=torch.full((len(t),), 0.45),
        encoder_hidden_states=condition.hidden,
        encoder_attention_mask=condition.mask,
    )
    torch.testing.assert_close(found, theirs.sample)


def test_it_learns(sprint: Path, pictures: Path, tmp_path: Path) -> None:
    done = pseudoword.train(
        *(pictures, "<cat>"), base=str(sprint), out=tmp_path, init="cat", steps=2, preview=()
    )
    assert done.effect > 0
    assert done.concept.family == "sana"
