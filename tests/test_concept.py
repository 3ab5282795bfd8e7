import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.runs.finish import Trained


@pytest.mark.parametrize(
    "rows", [torch.zeros(3), torch.zeros(0, 4), torch.tensor([[1.0, float("nan")]])]
)
def test_vectors_of_a_wrong_shape_are_refused(rows: torch.Tensor) -> None:
    with pytest.raises(ConceptError):
        Concept("<cat>", {"clip_l": rows})


@pytest.mark.parametrize("token", ["", "  ", " <cat>", "<cat>\n", "a\x00b", "\u200d"])
def test_a_token_that_cannot_be_written_in_a_prompt_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="--token"):
        Concept(token, {"clip_l": torch.ones(1, 4)})


def test_a_token_is_the_same_however_its_accents_are_encoded(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "<café>") for form in ("NFC", "NFD"))
    word = Concept(apart, {"clip_l": torch.ones(1, 4)})
    assert word.token == composed
    save_file({apart: torch.ones(1, 768), "<dog>": torch.ones(1, 768)}, tmp_path / "a.safetensors")
    for called in (composed, apart):
        assert formats.read(tmp_path / "a.safetensors", called).token == composed


@pytest.mark.parametrize("token", ["گربه\u200cها", "🐈\u200d⬛", "क्\u200dष"])
def test_joiners_are_part_of_words(token: str) -> None:
    assert Concept(token, {"clip_l": torch.ones(1, 4)}).token == token


def _word(number: float = 1, **texts: Any) -> Concept:
    return Concept("<cat>", {"clip_l": torch.full((2, 768), number)}, **texts)


def test_words_are_equal_if_all_of_them_is() -> None:
    word = _word(provenance={"steps": "3"})
    same = _word(provenance={"steps": "3"})
    assert word == same
    assert {word} == {same}
    trained = [Trained(each, Path("run"), 0.5, 2.0) for each in (word, same)]
    assert trained[0] == trained[1]
    other_encoder = Concept("<cat>", {"clip_g": torch.ones(2, 768)})
    for other in (_word(2), _word(family="sd"), _word(), other_encoder, _word().first_rows(1)):
        assert word != other
    assert _word() != other_encoder
    assert _word() != _word().first_rows(1)
    assert word != "<cat>"


def test_a_word_is_shown_in_a_line() -> None:
    assert repr(_word(family="sd")) == (
        "Concept(token='<cat>', vectors={'clip_l': [2, 768]}, family='sd', method='classic')"
    )
