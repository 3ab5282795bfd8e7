"""Krea 2: which blocks of its language model are read, and how its pipeline is told things."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from support import diffusers_own

from pseudoword.concept import Concept
from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models import base_model
from pseudoword.models.generation import generate


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.krea2(tmp_path_factory.mktemp("krea2"))


@pytest.fixture(scope="module")
def family(base: Path) -> Any:
    return base_model.load_named(str(base), "cpu")


def test_the_text_is_padded_before_the_end_of_its_template(base: Path, family: Any) -> None:
    prompts = ["a photo of a red cat", ""]
    condition = family.encode_text(prompts, {})
    assert condition.hidden.shape == (2, tiny.MOST_TOKENS, 3, 16)
    theirs, mask = diffusers_own(base).encode_prompt(prompts)
    assert torch.equal(condition.mask, mask)
    assert condition.mask[1].nonzero().flatten().tolist() == [*range(91, 96)]
    torch.testing.assert_close(condition.hidden[mask], theirs[mask])


def test_only_what_is_read_of_the_language_model_is_kept(family: Any) -> None:
    kept = {
        name.split(".")[0] for name, _ in family.encoders["qwen3vl_4b"].model.named_parameters()
    }
    assert kept == {"embed_tokens", "layers"}
    assert len(family.encoders["qwen3vl_4b"].model.layers) == 3


@pytest.mark.parametrize("blocks", [[1, 9], [0], "all", [1, 2.5], 0, []])
def test_blocks_that_are_not_there_are_told(tmp_path: Path, blocks: Any) -> None:
    folder = tiny.krea2(tmp_path)
    index = folder / "model_index.json"
    entries = json.loads(index.read_text()) | {"text_encoder_select_layers": blocks}
    index.write_text(json.dumps(entries))
    with pytest.raises(BaseModelError, match=str(folder)) as refusal:
        base_model.load_named(str(folder), "cpu")
    told = "the block 9" if blocks == [1, 9] else "text_encoder_select_layers is "
    assert told in str(refusal.value)


def test_a_word_is_refused_where_the_pipeline_would_have_cut_it_off(family: Any) -> None:
    word = Concept("<cat>", {"qwen3vl_4b": torch.randn(1, 16)})
    room = tiny.MOST_TOKENS - 5  # those behind the padding
    fits = " cat" * (room - 1)
    (picture,) = generate(family, [f"{fits} <cat>"], [word], seeds=[0], sampler_steps=2)
    assert picture.size == (32, 32)
    with pytest.raises(PromptError, match=f"the model reads {room}, and a new word in it would"):
        generate(family, [f"{fits} cat <cat>"], [word], seeds=[0], sampler_steps=2)


@pytest.mark.usefixtures("own_kernels")
def test_the_distilled_model_has_its_own_noise_levels_steps_and_no_guidance(
    base: Path, family: Any, tmp_path: Path
) -> None:
    folder = tiny.krea2(tmp_path, distilled=True)
    distilled: Any = base_model.load_named(str(folder), "cpu")
    assert (distilled.defaults.guidance, distilled.defaults.sampler_steps) == (1.0, 8)
    assert family.defaults.guidance == 5.5
    assert (distilled.noise_schedule.sigmas[:-1] > family.noise_schedule.sigmas[:-1]).all()
    (ours,) = generate(distilled, ["a cat"], [], seeds=[3])
    seeded = torch.Generator().manual_seed(3)
    size: dict[str, Any] = {"height": 32, "width": 32}
    (theirs,) = diffusers_own(folder)(
        "a cat", num_inference_steps=8, guidance_scale=0.0, generator=seeded, **size
    ).images
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
