"""U-Nets that were distilled for guidance: they read its scale with the timestep."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline
from support import learn

from pseudoword import api
from pseudoword.models import base_model


@pytest.mark.parametrize("width", [8, 9])
def test_a_word_learns_where_guidance_changes_nothing(tmp_path: Path, width: int) -> None:
    base = tiny.stable_diffusion(tmp_path / "base", time_cond_proj_dim=width)
    family = base_model.load_named(str(base), "cpu")
    pipeline = DiffusionPipeline.from_pretrained(base)
    noisy, t = torch.randn(3, 4, 8, 8), torch.tensor([1, 500, 900])
    condition = family.encode_text(["a cat"] * 3, {})
    scale_minus_one = torch.zeros(3)
    with torch.no_grad():
        found = family.predict(noisy, t, condition, torch.zeros(3, 6))
        wanted, other = (
            pipeline.unet(
                noisy,
                t,
                condition.hidden,
                timestep_cond=pipeline.get_guidance_scale_embedding(scale, embedding_dim=width),
            ).sample
            for scale in (scale_minus_one, scale_minus_one + 7)
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, other, atol=1e-3)


def test_such_a_model_teaches_words_and_draws_as_in_diffusers(
    pictures: Path, tmp_path: Path
) -> None:
    base = tiny.stable_diffusion(tmp_path / "base", time_cond_proj_dim=8)
    before = base_model.load_named(str(base), "cpu").encoders["clip_l"]
    learned = learn(base, pictures, tmp_path / "run", init="cat", vectors=1, lr=0.1)
    (token,) = before.reader.token_ids("cat")
    assert not torch.equal(learned.concept.vectors["clip_l"][0], before.table[token])
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    source = torch.Generator().manual_seed(0)
    theirs = pipeline("a cat", guidance_scale=8, num_inference_steps=3, generator=source).images[0]
    (ours,) = api.generate("a cat", base=base, guidance=8, sampler_steps=3)
    differing = np.asarray(ours, dtype=np.int16) - np.asarray(theirs, dtype=np.int16)
    assert np.abs(differing).max() <= 1
