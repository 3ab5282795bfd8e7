"""LongCat-Image: quotation marks, padding that is read, and several encoded prompts at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers.pipelines.longcat_image.pipeline_longcat_image import split_quotation
from support import diffusers_own

from pseudoword.models import base_model
from pseudoword.models.families.longcat_image import letters_of_quotes
from pseudoword.models.generation import generate

PROMPTS = (
    "",
    "a photo of my cat, red and blue",
    "\n a sign that says \"red cat\" and 'a dog'",
    "“one” and ‘a’ and a cat's toy",
    "a \"cat and a dog'",
    "one 'red cat' " * 40,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.longcat_image(tmp_path_factory.mktemp("longcat-image"))


@pytest.fixture(scope="module")
def family(base: Path) -> Any:
    return base_model.load_named(str(base), "cpu")


def test_a_prompt_and_its_padding_are_read_as_by_the_pipeline(base: Path, family: Any) -> None:
    theirs = diffusers_own(base).encode_prompt(list(PROMPTS))[0]
    ours = family.encode_text(list(PROMPTS), {})
    assert ours.mask is None
    assert ours.hidden.shape == (len(PROMPTS), tiny.MOST_TOKENS, 16)
    torch.testing.assert_close(ours.hidden, theirs)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_what_is_in_quotation_marks_is_read_letter_by_letter(prompt: str) -> None:
    theirs: list[str] = []
    for text, quoted in split_quotation(prompt):
        theirs += list(text) if quoted else [text]
    assert [part for part in letters_of_quotes(prompt) if part] == theirs


def test_apostrophes_within_several_words_are_no_quotation_marks() -> None:
    """diffusers writes the first of two such words twice in the place of the second."""
    prompt = "it's a cat that isn't red"
    assert list(letters_of_quotes(prompt)) == [prompt]


def test_a_word_may_be_in_quotation_marks(family: Any) -> None:
    reader = family.encoders["qwen25_7b"].reader
    found = reader.find('a photo "<cat>" and "red"', {"<cat>": 2})
    ours = [token for token in found.tokens if token.position >= found.begin]
    expected: list[int | str] = []
    for part in ("a photo ", '"', "rows", '"', " and ", '"', "r", "e", "d", '"'):
        expected += [0, 1] if part == "rows" else [f"{i}" for i in _ids(reader, part)]
    assert [token.row if token.row >= 0 else str(token.id) for token in ours] == expected
    assert found.text[found.begin : found.end] == 'a photo "<cat>" and "red"'


def _ids(reader: Any, text: str) -> list[int]:
    ids: list[int] = reader.tokenizer(text, add_special_tokens=False).input_ids
    return ids


def test_several_prompts_are_drawn_at_once_as_alone(family: Any) -> None:
    """diffusers' pipeline counts prompts, of which it has none beside encoded ones."""
    prompts = ["a red cat", "a blue dog"]
    drawn: dict[str, Any] = {"sampler_steps": 2, "negative": "toy", "guidance": 4.0}
    both = generate(family, prompts, [], seeds=[1, 2], **drawn)
    for prompt, seed, picture in zip(prompts, (1, 2), both, strict=True):
        (alone,) = generate(family, [prompt], [], seeds=[seed], **drawn)
        assert np.abs(np.asarray(alone, int) - np.asarray(picture, int)).max() <= 1
