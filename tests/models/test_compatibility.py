"""Words on models they were not learned for."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from word_files import write_word

from pseudoword import generate, train
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, PseudowordError
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.reading.text_encoder import TextEncoder

WORDS = {
    "SD 1.x": {"clip_l": torch.ones(2, 768)},
    "SD 2.x": {"clip_h": torch.ones(1, 1024)},
    "SDXL": {"clip_l": torch.ones(1, 768), "clip_g": torch.ones(1, 1280)},
}


WORDS_OF_SDXL = {"clip_l": 768, "clip_g": 1280}

NEWER: dict[str, dict[str, int]] = {
    "SD 3": {"clip_l": 768, "clip_g": 1280, "t5xxl": 4096},
    "FLUX.1": {"clip_l": 768, "t5xxl": 4096},
    "Sana or Lumina 2": {"gemma2_2b": 2304},
    "Qwen-Image or LongCat-Image": {"qwen25_7b": 3584},
    "Z-Image or FLUX.2": {"qwen3_4b": 2560},
}


class Sized(TextEncoder):
    """A text encoder that is nothing but its width and its length."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.reader: Any = SimpleNamespace(max_tokens=75)


@pytest.mark.parametrize("kind", WORDS)
def test_a_word_for_another_kind_of_model_is_an_error_that_names_both_kinds(
    base: Path, kind: str
) -> None:
    word = Concept("<cat>", WORDS[kind])
    for other, rows in WORDS.items():
        family: Any = base_model.load_named(str(base), "cpu")
        family.encoders = {key: Sized(one.shape[1]) for key, one in rows.items()}
        if other == kind:
            check_compatible(word, family)
            continue
        widths = [f"{key} of width {one.shape[1]}" for key, one in (WORDS[kind] | rows).items()]
        with pytest.raises(ConceptError) as told:
            check_compatible(word, family)
        assert all(width in str(told.value) for width in widths)
        assert re.search(rf"the word \({kind}\).*the model \({other}\)", str(told.value))


@pytest.mark.parametrize("title", NEWER)
def test_a_word_for_a_newer_model_is_named_by_it(base: Path, title: str) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    family.encoders = {key: Sized(width) for key, width in WORDS_OF_SDXL.items()}
    word = Concept("<cat>", {key: torch.ones(1, width) for key, width in NEWER[title].items()})
    with pytest.raises(ConceptError, match=rf"the word \({title}\).*the model \(SDXL\)"):
        check_compatible(word, family)
    family.encoders = {key: Sized(width) for key, width in NEWER[title].items()}
    check_compatible(word, family)


def test_a_word_that_says_its_family_is_named_by_that_one(base: Path) -> None:
    word = Concept("<cat>", {"qwen3_4b": torch.ones(1, 2560)}, "z-image")
    with pytest.raises(ConceptError, match=r"the word \(Z-Image\)"):
        check_compatible(word, base_model.load_named(str(base), "cpu"))


def test_a_word_that_does_not_fit_is_refused_wherever_it_goes(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    write_word(Concept("<cat>", WORDS["SDXL"]), tmp_path / "word.safetensors")
    word = str(tmp_path / "word.safetensors")
    for use in (
        lambda: generate("a <cat>", concept=word, base=str(base)),
        lambda: train(pictures, "<dog>", init=word, base=str(base), out=tmp_path / "run"),
    ):
        with pytest.raises(
            PseudowordError, match=r"the word \(SDXL\) has clip_l of width 768 and clip_g"
        ):
            use()
