"""Lumina 2: the sentence before a prompt, and texts of different lengths."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import diffusers_own

import pseudoword
from pseudoword.config import BaseChoice
from pseudoword.errors import PseudowordError
from pseudoword.models import base_model, detection


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.lumina2(tmp_path_factory.mktemp("lumina2"))


@pytest.fixture(scope="module")
def family(base: Path) -> Any:
    return base_model.load_named(str(base), "cpu")


def test_a_sentence_is_before_a_prompt_and_not_before_a_negative_one(
    base: Path, family: Any
) -> None:
    pipeline = diffusers_own(base)
    told = f"{pipeline.system_prompt} <Prompt Start> a red cat"
    prompt, negative = (
        one(["a red cat"], {}) for one in (family.encode_text, family.encode_negative)
    )
    assert prompt.mask.sum() == len(pipeline.tokenizer(told).input_ids)
    assert negative.mask.sum() == len(pipeline.tokenizer("a red cat").input_ids)


def test_the_last_block_of_gemma_is_not_kept(base: Path, family: Any) -> None:
    whole = diffusers_own(base).text_encoder
    assert len(family.encoders["gemma2_2b"].model.layers) == len(whole.layers) - 1


def test_a_folder_from_an_older_diffusers_names_its_pipeline_differently(tmp_path: Path) -> None:
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "Lumina2Text2ImgPipeline"}')
    assert detection.detect(BaseChoice(base=str(tmp_path))).family == "lumina2"


@torch.no_grad()
def test_texts_of_different_lengths_are_read_at_once_as_alone(family: Any) -> None:
    prompts = ["a cat", "a photo of a red dog and my one blue toy", ""]
    noisy, t = torch.randn(3, 4, 4, 6), torch.tensor([10, 500, 900])
    sizes = torch.ones(3, 6)
    together = family.predict(noisy, t, family.encode_text(prompts, {}), sizes)
    for i, prompt in enumerate(prompts):
        own = slice(i, i + 1)
        alone = family.predict(noisy[own], t[own], family.encode_text([prompt], {}), sizes[own])
        torch.testing.assert_close(together[own], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(192, 32), (32, 192)])
def test_pictures_may_be_as_large_as_there_are_positions(base: Path, size: tuple[int, int]) -> None:
    width, height = size
    drawn: dict[str, Any] = {"base": str(base), "sampler_steps": 1}
    (picture,) = pseudoword.generate("a cat", width=width, height=height, **drawn)
    assert picture.size == size
    with pytest.raises(PseudowordError, match="its sides have at most 192"):
        pseudoword.generate("a cat", width=width + 16, height=height + 16, **drawn)
