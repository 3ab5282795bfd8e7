"""Stable Diffusion 3: with and without T5, and how large its pictures can be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline

import pseudoword
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.generation import generate


@pytest.fixture(scope="module")
def without_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd3(tmp_path_factory.mktemp("sd3-clip"), t5=False)


@pytest.mark.usefixtures("own_kernels")
def test_without_t5_it_draws_as_diffusers_does_and_learns_a_word_for_both_clips(
    without_t5: Path, pictures: Path, tmp_path: Path
) -> None:
    pipeline = DiffusionPipeline.from_pretrained(without_t5, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)
    (theirs,) = pipeline(
        "a cat",
        guidance_scale=4.0,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
    ).images
    family = base_model.load_named(str(without_t5), "cpu")
    (ours,) = generate(family, ["a cat"], [], seeds=[0], guidance=4.0, sampler_steps=3)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
    done = pseudoword.train(
        *(pictures, "<cat>"), base=str(without_t5), out=tmp_path, init="cat", steps=2, preview=()
    )
    assert done.concept.widths == {"clip_l": 16, "clip_g": 24}
    assert done.effect > 0


def test_a_picture_larger_than_its_positions_is_refused_before_the_work(
    without_t5: Path, pictures: Path, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {"base": str(without_t5), "sampler_steps": 1}
    assert pseudoword.generate("a cat", resolution=96, **drawn)[0].size == (96, 96)
    with pytest.raises(SettingsError, match=r"96 x 104 pixels are too large.*at most 96"):
        pseudoword.generate("a cat", width=96, height=104, **drawn)
    with pytest.raises(SettingsError, match="128 x 128 pixels are too large"):
        pseudoword.train(
            *(pictures, "<cat>"), base=str(without_t5), out=tmp_path, init="cat", resolution=128
        )


@pytest.mark.parametrize("name", ["Euler", "EulerDiscrete", "FlowMatchEulerDiscrete"])
def test_a_sampler_s_name_means_that_of_flow_matching(without_t5: Path, name: str) -> None:
    family = base_model.load_named(str(without_t5), "cpu")
    assert type(family.scheduler(name)).__name__ == "FlowMatchEulerDiscreteScheduler"
