"""Ovis-Image: an instruction that is no text, and zeros for padding, which is read."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import diffusers_own

from pseudoword.concept import Concept
from pseudoword.errors import PromptError
from pseudoword.models import base_model
from pseudoword.models.generation import generate

CHAT = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
"""Behind a prompt."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.ovis_image(tmp_path_factory.mktemp("ovis-image"))


@pytest.fixture(scope="module")
def family(base: Path) -> Any:
    return base_model.load_named(str(base), "cpu")


def test_a_prompt_is_read_without_the_instruction_and_with_zeros_for_padding(
    base: Path, family: Any
) -> None:
    prompts = ["a photo of a red cat", "", "one blue dog " * 60]
    theirs = diffusers_own(base).encode_prompt(prompts, do_classifier_free_guidance=False)[0]
    ours = family.encode_text(prompts, {})
    assert ours.mask is None
    assert ours.hidden.shape == (3, tiny.MOST_TOKENS, 16)
    torch.testing.assert_close(ours.hidden, theirs)
    tokens = family.encoders["qwen3_2b"].reader.tokenizer
    behind = 1 + len(tokens(CHAT).input_ids)  # the colon before it is text
    read = ours.hidden.any(-1).sum(1)
    space = 1  # between the colon and nothing
    assert read.tolist() == [behind + 6, behind + space, tiny.MOST_TOKENS]


def test_the_instruction_takes_no_room_from_a_prompt(family: Any) -> None:
    word = Concept("<cat>", {"qwen3_2b": torch.randn(1, 16)})
    room = tiny.MOST_TOKENS - 1  # without the colon
    fits = " ".join(["cat"] * (room - 1))
    (picture,) = generate(family, [f"{fits} <cat>"], [word], seeds=[0], sampler_steps=2)
    assert picture.size == (32, 32)
    with pytest.raises(PromptError, match=f"the model reads {room}, and a new word in it would"):
        generate(family, [f"{fits} cat <cat>"], [word], seeds=[0], sampler_steps=2)


def test_words_of_a_text_have_places_on_the_diagonal(base: Path, family: Any) -> None:
    places = family.places(torch.zeros(1, 5, 16), 2, 3)
    text, picture = (places[name].tolist() for name in ("txt_ids", "img_ids"))
    assert text == [[0, i, i] for i in range(5)]
    assert picture == [[0, row, column] for row in range(2) for column in range(3)]
