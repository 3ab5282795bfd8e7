from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from word_files import write_word

from pseudoword.concept import Concept
from pseudoword.config import InitMode
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.models.family import Family
from pseudoword.training.initialisation import initial_rows, output_rows, turn


def rows(
    family: Family, init: str, mode: InitMode = "auto", vectors: int = 1, token: str = "<x>"
) -> torch.Tensor:
    return initial_rows(family, NewWord(token, init, mode), vectors, seed=0)["clip_l"]


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
    write_word(Concept("<old>", {"clip_l": before}), tmp_path / "concept.safetensors")
    assert torch.equal(rows(family, str(tmp_path)), before)
    write_word(Concept("<old>", {"clip_l": before[:, :7]}), tmp_path / "concept.safetensors")
    with pytest.raises(ConceptError, match="width 7"):
        rows(family, str(tmp_path))


def states(family: Family, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """What the text encoders make of `rows`; None if the denoiser reads other states."""
    try:
        return output_rows(family, rows)
    except SettingsError:
        return None


def test_cross_initialisation_has_the_direction_of_the_states_and_the_length_of_the_words(
    any_family: Family,
) -> None:
    """Where a denoiser reads no single state for each token, it is refused."""
    plain = initial_rows(any_family, NewWord("<x>", "red cat", "auto"), 2, seed=0)
    goals = states(any_family, plain)
    if goals is None:
        with pytest.raises(SettingsError, match="--init-mode cross does not work with"):
            initial_rows(any_family, NewWord("<x>", "red cat", "cross"), 2, seed=0)
        return
    crossed = initial_rows(any_family, NewWord("<x>", "red cat", "cross"), 2, seed=0)
    assert crossed.keys() == plain.keys()
    for key, rows in crossed.items():
        torch.testing.assert_close(rows.norm(dim=-1), plain[key].norm(dim=-1))
        goal = goals.get(f"{key}_out", plain[key])
        assert torch.cosine_similarity(rows, goal).min() > 0.9999


def test_a_word_is_turned_towards_the_crossed_rows_that_it_began_as(family: Family) -> None:
    began = initial_rows(family, NewWord("<x>", "cat", "cross"), 2, seed=0)
    moved = {key: own + torch.randn(own.shape) for key, own in began.items()}
    known = {"init": "cat", "init_mode": "cross"}
    back = turn(family, Concept("<x>", moved, provenance=known), 1.0).vectors["clip_l"]
    assert torch.cosine_similarity(back, began["clip_l"]).min() > 0.9999
