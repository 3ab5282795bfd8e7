"""Words of which the first rows work alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, learn, train_state

import pseudoword
from pseudoword.concept import Concept
from pseudoword.methods import METHODS, Rows
from pseudoword.models.family import Family
from pseudoword.training import loop, nested_rows
from pseudoword.training.state import TrainState


def draw(base: Path, concept: Concept, **settings: Any) -> bytes:
    options: dict[str, Any] = {"base": str(base), "sampler_steps": 2, "device": "cpu"}
    (picture,) = pseudoword.generate("a <x>", concept=concept, **options, **settings)
    return picture.tobytes()


def counts(state: TrainState, steps: int) -> list[int]:
    found = []
    for step in range(steps):
        state.step = step
        found.append(max(map(len, nested_rows.rows(state).values())))
    state.step = 0
    return found


def test_without_it_each_step_has_all_rows(family: Family, pictures: Path) -> None:
    assert counts(train_state(family, pictures, vectors=3, nested=0), 20) == [3] * 20


def test_a_share_of_the_steps_has_the_first_rows_only(family: Family, pictures: Path) -> None:
    state = train_state(family, pictures, vectors=3, nested=0.5)
    found = counts(state, 300)
    assert counts(state, 300) == found
    for count, least, most in ((3, 120, 180), (2, 50, 100), (1, 50, 100)):
        assert least < found.count(count) < most
    first = found.index(1)
    state.step = first
    torch.testing.assert_close(
        nested_rows.rows(state)["clip_l"], asked(state)["clip_l"][:1], rtol=0, atol=0
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_is_left_out_has_no_gradient(
    family: Family, pictures: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"method": method, "norm": "keep"}
    state = train_state(family, pictures, vectors=3, nested=0.9, **settings)
    count = counts(state, 1)[0]
    assert count < 3, "the first step of this seed leaves rows out"
    make, made = state.method.rows, []

    def watched(step: int) -> Rows:
        made.append(make(step))
        for rows in made[-1].values():
            rows.retain_grad()
        return made[-1]

    monkeypatch.setattr(state.method, "rows", watched)
    next(loop.train(family, [state]))
    for rows in made[0].values():
        assert rows.grad is not None
        by_row = rows.grad.norm(dim=-1)
        assert (by_row[:count] > 0).all()
        assert (by_row[count:] == 0).all()


def test_a_pack_gives_what_training_alone_gives(family: Family, pictures: Path) -> None:
    def pack() -> list[TrainState]:
        return [
            train_state(family, pictures, token, steps=6, vectors=n, nested=share)
            for token, n, share in (("<a>", 3, 0.5), ("<b>", 1, 0.5), ("<c>", 2, 0.0))
        ]

    together, alone = pack(), pack()
    list(loop.train(family, together))
    for packed, solo in zip(together, alone, strict=True):
        list(loop.train(family, [solo]))
        torch.testing.assert_close(
            packed.word()["clip_l"], solo.word()["clip_l"], rtol=0, atol=0.02 * 2e-3
        )


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_ends(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"nested": 0.5, "vectors": 3, "lr": "0.05", "evaluate_every": 0}
    whole = learn(base, pictures, tmp_path / "whole", steps=4, **settings)
    learn(base, pictures, tmp_path / "parts", steps=2, **settings)
    parts = learn(base, pictures, tmp_path / "parts", steps=2, extend=2, **settings)
    for key, rows in whole.concept.vectors.items():
        assert torch.equal(parts.concept.vectors[key], rows)


def test_a_word_is_drawn_with_its_first_rows(base: Path) -> None:
    source = torch.Generator().manual_seed(0)
    three = Concept("<x>", {"clip_l": torch.randn(3, 32, generator=source)})
    one = Concept("<x>", {"clip_l": three.vectors["clip_l"][:1]})
    assert draw(base, three, rows=1) == draw(base, one)
    assert draw(base, three, rows=9) == draw(base, three) != draw(base, one)
