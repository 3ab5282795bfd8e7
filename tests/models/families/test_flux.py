"""FLUX.1: with and without a guidance scale, and no negative prompt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline

from pseudoword import api
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.generation import generate


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux(tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="module")
def schnell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux(tmp_path_factory.mktemp("schnell"), guidance=False)


@pytest.mark.usefixtures("own_kernels")
def test_without_a_guidance_scale_it_learns_and_draws_as_diffusers_does(
    schnell: Path, pictures: Path, tmp_path: Path
) -> None:
    pipeline: Any = DiffusionPipeline.from_pretrained(schnell)
    pipeline.set_progress_bar_config(disable=True)
    seeded = torch.Generator().manual_seed(0)
    theirs = pipeline("a cat", height=32, width=32, num_inference_steps=3, generator=seeded)
    family = base_model.load_named(str(schnell), "cpu")
    (ours,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=3)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs.images[0]))
    with pytest.raises(SettingsError, match="--guidance 2 has no effect"):
        generate(family, ["a cat"], [], seeds=[0], guidance=2.0)
    done = api.train(
        *(pictures, "<cat>"), base=str(schnell), out=tmp_path, init="cat", steps=2, preview=()
    )
    assert done.effect > 0


def test_the_guidance_scale_changes_a_picture_and_a_negative_prompt_is_refused(dev: Path) -> None:
    drawn: dict[str, Any] = {"base": str(dev), "sampler_steps": 1}
    one, other = (api.generate("a cat", guidance=g, **drawn)[0] for g in (1.0, 9.0))
    assert one.tobytes() != other.tobytes()
    with pytest.raises(SettingsError, match=r"--negative has no effect.*Leave it out"):
        api.generate("a cat", negative="dog", **drawn)
