"""Other words of a prompt are to mean what they mean beside the initial word."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, learn, train_state
from torch import Tensor

from pseudoword.config import TrainConfig
from pseudoword.config.word import NewWord
from pseudoword.errors import SettingsError
from pseudoword.methods import METHODS
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Family
from pseudoword.models.reading.injection import rows_of
from pseudoword.training import loop
from pseudoword.training.context_keeping import THINGS, drift, others, prompts
from pseudoword.training.initialisation import initial_rows
from pseudoword.training.state import TrainState
from pseudoword.training.step import take_step

pytestmark = pytest.mark.usefixtures("models_are_kept")

TEXTS = ("a <x> and a dog", "a photo of a <x> on red")


def words(family: Family, shift: float = 0.0, vectors: int = 2) -> dict[str, dict[str, Tensor]]:
    rows = initial_rows(family, NewWord("<x>", "cat", "auto"), vectors, 0)
    source = torch.Generator().manual_seed(0)
    return {
        "<x>": {
            key: r + shift * r.std() * torch.randn(r.shape, generator=source)
            for key, r in rows.items()
        }
    }


def learned(family: Family, pictures: Path, token: str = "<cat>", **settings: Any) -> TrainState:
    given = {"lr": 0.05, "steps": 12, "vectors": 2, **settings}
    state = train_state(family, pictures, token, **given)
    list(loop.train(family, [state]))
    assert state.failure is None
    return state


def state_drift(family: Family, state: TrainState) -> float:
    new, old = {"<x>": state.word()}, {"<x>": state.data.initial}
    with torch.no_grad():
        return float(drift(family, new, old, TEXTS).mean())


def test_other_words_drift_when_the_new_word_moves(any_family: Family) -> None:
    start = words(any_family)
    assert drift(any_family, start, start, TEXTS).tolist() == [0, 0]
    near = drift(any_family, words(any_family, 0.1), start, TEXTS)
    far = drift(any_family, words(any_family, 1), start, TEXTS)
    assert ((near > 0) & (near < far)).all()


def test_drift_is_that_of_the_text_encoders_own_output(family: StableDiffusion) -> None:
    """Computed again with transformers alone: the tokens after the word, without the end."""
    encoder = family.encoders["clip_l"]
    start, new = words(family), words(family, 1)
    ids = encoder.reader.tokenizer("a cat cat and a dog").input_ids
    table = encoder.table.detach()

    def states(rows: Tensor) -> Tensor:
        kept = table[ids].clone()
        kept[2:4] = rows
        site = encoder.model.get_input_embeddings()
        handle = site.register_forward_hook(lambda *_: kept[None])
        try:
            hidden: Tensor = encoder.model(torch.tensor([ids])).last_hidden_state[0]
        finally:
            handle.remove()
        return hidden[[1, 4, 5, 6]]  # a, and, a, dog

    with torch.no_grad():
        before, after = states(start["<x>"]["clip_l"]), states(new["<x>"]["clip_l"])
        found = drift(family, new, start, ["a <x> and a dog"])
    expected = (after - before).square().sum() / before.square().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_only_the_words_of_the_prompt_count(any_family: Family) -> None:
    """Not what is around them: begin and end tokens, or the template of a language model."""
    rows = words(any_family)
    for key, encoder in any_family.encoders.items():
        tokens = encoder(TEXTS, rows_of(rows, key, ())).tokens
        for found, ids, text in zip(others(tokens, encoder), tokens.ids, TEXTS, strict=True):
            read = encoder.reader.tokenizer.decode(ids[found])
            assert read.split() == text.replace("<x>", "").split()


def test_its_gradient_is_that_of_finite_differences(family: StableDiffusion) -> None:
    start, new = words(family), words(family, 0.5)
    rows = new["<x>"]["clip_l"].requires_grad_()
    drift(family, {"<x>": {"clip_l": rows}}, start, TEXTS).sum().backward()
    assert rows.grad is not None
    direction = rows.grad / rows.grad.norm()

    def at(distance: float) -> float:
        with torch.no_grad():
            moved = {"<x>": {"clip_l": rows + distance * direction}}
            return float(drift(family, moved, start, TEXTS).sum())

    step = 0.02 * float(rows.detach().norm())
    assert (at(step) - at(-step)) / (2 * step) == pytest.approx(float(rows.grad.norm()), rel=0.05)


def test_with_a_weight_other_words_drift_less(family: StableDiffusion, pictures: Path) -> None:
    free, kept = (learned(family, pictures, keep_context=weight) for weight in (0, 100))
    assert state_drift(family, kept) < 0.5 * state_drift(family, free)


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_with_every_method(family: StableDiffusion, pictures: Path, method: str) -> None:
    settings: dict[str, Any] = {"method": method, "norm": "keep", "steps": 3}
    free, kept = (learned(family, pictures, keep_context=weight, **settings) for weight in (0, 9))
    assert any(not torch.equal(free.word()[key], rows) for key, rows in kept.word().items())


def test_a_pack_gives_what_training_alone_gives(family: StableDiffusion, pictures: Path) -> None:
    """One of its words does not ask for it."""
    settings = [("<a>", 2.0, 1), ("<b>", 0.0, 1), ("<c>", 5.0, 2)]

    def pack() -> list[TrainState]:
        return [
            train_state(family, pictures, token, steps=6, keep_context=weight, accumulate=n)
            for token, weight, n in settings
        ]

    together, alone = pack(), pack()
    list(loop.train(family, together))
    for packed, solo in zip(together, alone, strict=True):
        list(loop.train(family, [solo]))
        torch.testing.assert_close(
            packed.word()["clip_l"], solo.word()["clip_l"], rtol=0, atol=0.02 * 2e-3
        )


def test_the_loss_that_is_shown_is_that_of_the_pictures(
    family: StableDiffusion, pictures: Path
) -> None:
    losses = []
    for weight in (0, 50):
        state = train_state(family, pictures, keep_context=weight)
        with torch.no_grad():
            asked(state)["clip_l"].mul_(1.5)
        (metrics,) = take_step(family, [state])
        losses.append(metrics.loss)
    assert losses[0] == losses[1]


def test_prompts_are_a_function_of_the_step(family: StableDiffusion, pictures: Path) -> None:
    state = train_state(family, pictures)
    own = ["a photo of a <x> on red"] * 64
    found = prompts(state, ["<x>"], own)
    assert prompts(state, ["<x>"], own) == found
    assert 16 < found.count(own[0]) < 48
    assert all("<x>" in text for text in found)
    assert all(text.split()[-1] in THINGS for text in found if text != own[0])
    state.step += 1
    assert prompts(state, ["<x>"], own) != found


def test_batches_to_accumulate_have_the_prompts_of_one_larger_batch(
    family: StableDiffusion, pictures: Path
) -> None:
    gradients = []
    for batch, accumulate in ((8, 1), (1, 8)):
        state = train_state(
            family, pictures, keep_context=100, batch=batch, accumulate=accumulate, clip_norm=0
        )
        with torch.no_grad():
            asked(state)["clip_l"].mul_(1.5)
        (metrics,) = take_step(family, [state])
        gradients.append(metrics.grad)
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-3)


def test_random_rows_are_no_word_whose_context_could_be_kept() -> None:
    with pytest.raises(SettingsError, match="--keep-context needs a known word"):
        TrainConfig.check(pictures=["p"], token="<x>", init_mode="random", keep_context=1)


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_ends(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"keep_context": 5, "lr": "0.05", "evaluate_every": 0}
    whole = learn(base, pictures, tmp_path / "whole", steps=4, **settings)
    learn(base, pictures, tmp_path / "parts", steps=2, **settings)
    parts = learn(base, pictures, tmp_path / "parts", steps=2, extend=2, **settings)
    for key, rows in whole.concept.vectors.items():
        assert torch.equal(parts.concept.vectors[key], rows)
