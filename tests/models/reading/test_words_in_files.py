"""A word of every family goes through the files of every tool that can hold it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from word_files import write_as

from pseudoword import formats, inspect
from pseudoword.concept import Concept
from pseudoword.config.word import NewWord
from pseudoword.config.written_files import ENDINGS
from pseudoword.errors import ConceptError
from pseudoword.formats import WRITERS, keys
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family
from pseudoword.training.initialisation import initial_rows

NAMING = ("native", "comfyui", "onetrainer")
"""Formats whose files say which encoder rows are for, so that they may be of any width."""


def of_published_size(family: Family) -> Concept:
    """A word of two vectors for the published models of this family."""
    source = torch.Generator().manual_seed(0)
    rows = {key: torch.randn(2, keys.WIDTHS[key], generator=source) for key in family.encoders}
    return Concept("<cat>", rows, family.name, provenance={"steps": "3"})


def test_the_keys_of_a_family_have_widths_that_name_it(any_family: Family) -> None:
    widths = of_published_size(any_family).widths
    assert any_family.name in keys.families_of(widths)
    assert any_family.name in keys.MODEL_FAMILIES
    for key, width in widths.items():
        assert keys.encoder_of(keys.onetrainer_keys(widths)[key], width) == key
        assert keys.families_of({**widths, key: width + 1}) == ()


def test_a_word_comes_out_of_each_format_as_it_went_in(any_family: Family, tmp_path: Path) -> None:
    word = of_published_size(any_family)
    held = [name for name, writer in WRITERS.items() if not writer.refuses(word)]
    assert set(NAMING) <= set(held)
    assert ("a1111" in held) == (any_family.name in {"sd", "sdxl"})
    for name in held:
        file = tmp_path / name / f"word{ENDINGS[name]}"
        file.parent.mkdir()
        write_as(word, file, name)
        back = formats.read(file)
        assert same(back.vectors, word.vectors), name
        assert back.token == word.token
        assert name == "diffusers-bin" or back.family == any_family.name


def test_a_file_without_our_metadata_is_read_by_its_keys_and_widths(
    any_family: Family, tmp_path: Path
) -> None:
    word = of_published_size(any_family)
    for name in ("comfyui", "onetrainer"):
        write_as(word, tmp_path / "ours.safetensors", name)
        save_file(load_file(tmp_path / "ours.safetensors"), tmp_path / "theirs.safetensors")
        back = formats.read(tmp_path / "theirs.safetensors", "<cat>")
        assert same(back.vectors, word.vectors), name
        assert any_family.name in keys.families_of(back.widths)
        assert any_family.name in inspect(tmp_path / "theirs.safetensors").fits


def test_a_word_from_a_file_is_read_in_prompts_as_before(
    any_family: Family, tmp_path: Path
) -> None:
    rows = initial_rows(any_family, NewWord("<cat>", "", "random"), 2, 0)
    word = Concept("<cat>", rows, any_family.name)
    prompt = ["a photo of <cat> in red"]
    before = any_family.encode_text(prompt, {"<cat>": word.vectors})
    for name in NAMING:
        write_as(word, tmp_path / "word.safetensors", name)
        back = formats.read(tmp_path / "word.safetensors")
        check_compatible(back, any_family, whole=True)
        after = any_family.encode_text(prompt, {"<cat>": back.vectors})
        assert torch.equal(after.hidden, before.hidden), name
        if before.pooled is not None and after.pooled is not None:
            assert torch.equal(after.pooled, before.pooled)


def test_rows_of_another_width_are_refused_with_both_widths(any_family: Family) -> None:
    key, encoder = next(iter(any_family.encoders.items()))
    rows = initial_rows(any_family, NewWord("<cat>", "", "random"), 1, 0)
    wider = {**rows, key: torch.zeros(1, encoder.width + 1)}
    with pytest.raises(ConceptError, match=rf"{encoder.width + 1}.* reads .*{encoder.width}"):
        check_compatible(Concept("<cat>", wider, any_family.name), any_family)


def same(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether all rows are equal, bit for bit."""
    return some.keys() == others.keys() and all(torch.equal(some[k], others[k]) for k in some)
