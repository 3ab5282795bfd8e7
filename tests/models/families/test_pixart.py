"""PixArt-α: words of PixArt-Σ, and what models for 1024 pixels are told of a picture's size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from support import diffusers_own

import pseudoword
from pseudoword.concept import Concept
from pseudoword.models import base_model
from pseudoword.models.generation import generate

TELLS_SIZES = 128
"""The `sample_size` of the models that read them."""


@pytest.fixture(scope="module", params=[8, TELLS_SIZES])
def alpha(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alpha")
    return tiny.pixart(folder, alpha=True, sample_size=request.param)


@pytest.mark.usefixtures("own_kernels")
def test_it_draws_as_diffusers_does_also_in_other_shapes(alpha: Path) -> None:
    size: dict[str, Any] = {"height": 32, "width": 48}
    (theirs,) = diffusers_own(alpha)(
        "A Cat, red",
        negative_prompt="blue",
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(0),
        use_resolution_binning=False,
        **size,
    ).images
    family = base_model.load_named(str(alpha), "cpu")
    assert family.name == "pixart"
    drawn: dict[str, Any] = {"negative": "blue", "sampler_steps": 3, "guidance": 4.0}
    (ours,) = generate(family, ["A Cat, red"], [], seeds=[0], **drawn, **size)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_in_training_it_is_told_the_size_of_the_picture(alpha: Path) -> None:
    family: Any = base_model.load_named(str(alpha), "cpu")
    noisy, times = torch.randn(2, 4, 8, 12), torch.tensor([300.0, 700.0])
    condition = family.encode_text(["a cat", "a dog"], {})
    reads = family.denoiser.config.sample_size == TELLS_SIZES
    told = {"resolution": [[32.0, 48.0]] * 2, "aspect_ratio": [[32 / 48]] * 2}
    sizes = {name: torch.tensor(numbers) if reads else None for name, numbers in told.items()}
    with torch.no_grad():
        found = family.run_transformer(noisy, times, condition)
        expected = diffusers_own(alpha).transformer(
            noisy,
            timestep=times,
            encoder_hidden_states=condition.hidden,
            encoder_attention_mask=condition.mask,
            added_cond_kwargs=sizes,
        )
    torch.testing.assert_close(found, expected.sample.chunk(2, dim=1)[0])


def test_it_learns_and_draws_a_word(alpha: Path, pictures: Path, tmp_path: Path) -> None:
    learned: dict[str, Any] = {"init": "cat", "steps": 2, "resolution": 32, "preview": ()}
    done = pseudoword.train(pictures, "<cat>", base=str(alpha), out=tmp_path, **learned)
    assert done.effect > 0
    family = base_model.load_named(str(alpha), "cpu")
    of_sigma = Concept("<toy>", {"t5xxl": torch.randn(2, 32)}, "pixart")
    drawn: dict[str, Any] = {"seeds": [0], "sampler_steps": 2, "width": 32, "height": 32}
    seen = {
        generate(family, [prompt], [done.concept, of_sigma], **drawn)[0].tobytes()
        for prompt in ("a <cat>", "a <toy>", "a cat")
    }
    assert len(seen) == 3
