"""Learned words that are turned towards the words they began as."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import run
from torch import Tensor
from torch.nn.functional import cosine_similarity
from word_files import write_word

from pseudoword import api
from pseudoword.concept import Concept
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.models.family import Family
from pseudoword.models.toward import turned
from pseudoword.training.initialisation import initial_rows, turn


def some(rows: int, width: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def angles(one: Tensor, other: Tensor) -> Tensor:
    return cosine_similarity(one.double(), other.double(), dim=-1).acos()


def learned(init: str = "cat", mode: str = "words", rows: int = 3) -> Concept:
    return Concept("<x>", {"clip_l": some(rows)}, provenance={"init": init, "init_mode": mode})


def draw(base: Path, concept: Concept, **settings: Any) -> bytes:
    options: dict[str, Any] = {"base": str(base), "sampler_steps": 2, "device": "cpu"}
    (picture,) = api.generate("a <x>", concept=concept, **options, **settings)
    return picture.tobytes()


def test_a_share_of_0_keeps_the_word_as_it_is_whatever_it_began_as(family: Family) -> None:
    word = Concept("<x>", {"clip_l": some(3)})
    assert turn(family, word, 0) is word


@pytest.mark.parametrize("share", [0.2, 0.5, 1])
def test_a_row_turns_by_a_share_of_its_angle_and_keeps_its_length(share: float) -> None:
    word, goal = learned(), some(3, seed=1)
    rows, new = word.vectors["clip_l"], turned(word, {"clip_l": goal}, share).vectors["clip_l"]
    torch.testing.assert_close(new.norm(dim=-1), rows.norm(dim=-1))
    wanted = angles(rows, goal)
    torch.testing.assert_close(angles(rows, new), share * wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(angles(new, goal), (1 - share) * wanted, atol=1e-3, rtol=0)


def test_a_row_of_zeros_or_at_its_goal_stays() -> None:
    goal = some(2)
    word = Concept("<x>", {"clip_l": torch.stack([torch.zeros(32), 2 * goal[1]])})
    new = turned(word, {"clip_l": goal}, 0.5).vectors["clip_l"]
    torch.testing.assert_close(new, word.vectors["clip_l"])


def test_each_layer_turns_to_the_same_rows() -> None:
    goal = some(1, seed=1)
    word = Concept("<x>", {"clip_l.IN01": some(1), "clip_l.MID": some(1, seed=2)})
    for rows in turned(word, {"clip_l": goal}, 1).vectors.values():
        assert angles(rows, goal) < 1e-3


@pytest.mark.parametrize(("init", "mode"), [("cat", "words"), ("red cat", "mean"), ("cat", "")])
def test_all_the_way_draws_the_rows_that_the_word_began_as(
    base: Path, family: Family, init: str, mode: str
) -> None:
    word = learned(init, mode)
    asked: Any = mode if mode == "mean" else "auto"
    start = initial_rows(family, NewWord("<x>", init, asked), 3, seed=0)
    assert draw(base, word, toward=1) == draw(base, turned(word, start, 1))
    assert draw(base, word, toward=1) != draw(base, word)
    assert draw(base, word, toward=0) == draw(base, word)


def test_a_named_word_is_for_files_that_name_none(base: Path) -> None:
    word = learned("cat")
    unknown = replace(word, provenance={})
    as_dog, as_cat = (draw(base, unknown, toward=0.9, toward_word=name) for name in ("dog", "cat"))
    assert as_dog != as_cat
    assert draw(base, word, toward=0.9, toward_word="dog") == as_cat


@pytest.mark.parametrize(
    ("provenance", "why"),
    [
        ({}, "does not say which word"),
        ({"init": "runs/a", "init_mode": "file"}, "does not say which word"),
        ({"init": "cat", "init_mode": "random"}, "random vectors"),
    ],
)
def test_a_word_without_a_known_one_is_an_error_before_the_model_is_loaded(
    provenance: dict[str, str], why: str
) -> None:
    word = replace(learned(), provenance=provenance)
    with pytest.raises(ConceptError, match=f"<x> .*{why}.*--toward-word"):
        draw(Path("some/hub-id"), word, toward=0.2)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(SettingsError, match="--toward"):
        draw(Path("nowhere"), learned(), toward=share)


def test_the_command_turns_a_word_of_a_file(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write_word(learned(), file)
    told = ("generate", "a <x>", "--concept", file, "--base", base, "--sampler-steps", 1)
    pictures = []
    for share in ("0", "0.5"):
        out = tmp_path / f"{share}.png"
        code, _, said = run(*told, "--toward", share, "--out", out)
        assert code == 0, said
        pictures.append(out.read_bytes())
    assert pictures[0] != pictures[1]
