from pathlib import Path

import pytest
import torch

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.config import InitMode
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.models.family import Family
from pseudoword.training.initialisation import initial_rows


def rows(
    family: Family, init: str, mode: InitMode = "auto", vectors: int = 1, token: str = "<x>"
) -> torch.Tensor:
    return initial_rows(family, init, mode, vectors, token, seed=0)["clip_l"]


def word(family: Family, text: str) -> torch.Tensor:
    encoder = family.encoders["clip_l"]
    (token,) = encoder.reader.token_ids(text)
    return encoder.table[token].detach()


def test_a_word_fills_every_row(family: Family) -> None:
    cat = word(family, "cat")
    assert torch.equal(rows(family, "cat", vectors=3), torch.stack([cat] * 3))


def test_several_words_give_a_row_each_or_their_mean(family: Family) -> None:
    red, cat = word(family, "red"), word(family, "cat")
    both = torch.stack([red, cat])
    assert torch.equal(rows(family, "red cat", vectors=2), both)
    assert torch.equal(rows(family, "red cat", vectors=3), torch.stack([red, cat, red]))
    torch.testing.assert_close(
        rows(family, "red cat", "mean", 2), both.mean(0, keepdim=True).repeat(2, 1)
    )
    torch.testing.assert_close(rows(family, "red cat"), both.mean(0, keepdim=True))


def test_too_many_words_for_the_rows_is_an_error_when_rows_are_asked_for(family: Family) -> None:
    with pytest.raises(SettingsError, match="2 tokens but --vectors is 1"):
        rows(family, "red cat", "rows")
    with pytest.raises(SettingsError, match="no tokens"):
        rows(family, " ")


def test_random_rows_look_like_the_vocabulary_and_differ_by_token(family: Family) -> None:
    table = family.encoders["clip_l"].table
    drawn = rows(family, "", "random", 75)
    assert torch.equal(drawn, rows(family, "", "random", 75))
    assert not torch.equal(drawn, rows(family, "", "random", 75, token="<y>"))
    assert abs(drawn.norm(dim=-1).mean() / table.norm(dim=-1).mean() - 1) < 0.1


def test_a_folder_that_happens_to_have_the_word_s_name_is_no_concept(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat").mkdir()
    monkeypatch.chdir(tmp_path)
    assert torch.equal(rows(family, "cat")[0], word(family, "cat"))


def test_a_concept_file_is_gone_on_from(family: Family, tmp_path: Path) -> None:
    before = torch.randn(3, 32)
    formats.write(Concept("<old>", {"clip_l": before}), tmp_path / "concept.safetensors")
    assert torch.equal(rows(family, str(tmp_path)), before)
    formats.write(Concept("<old>", {"clip_l": before[:, :7]}), tmp_path / "concept.safetensors")
    with pytest.raises(ConceptError, match="width 7"):
        rows(family, str(tmp_path))
