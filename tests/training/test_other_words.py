"""Words beside the one that is learned are read with their own rows, and stay as they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state

from pseudoword.concept import Concept
from pseudoword.config.word import NewWord
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Family
from pseudoword.placeholders import pack_placeholder
from pseudoword.training import loop, loss, other_words
from pseudoword.training.batches import batch
from pseudoword.training.initialisation import initial_rows
from pseudoword.training.state import TrainState

TEMPLATES = ["a [name] beside a <hat>", "a <hat> on a <cat>"]


def hat(family: Family, init: str = "red dog", token: str = "<hat>") -> Concept:
    """A word of two vectors."""
    rows = initial_rows(family, NewWord(token, init, "auto"), 2, 0)
    return Concept(token, {key: own.clone() for key, own in rows.items()}, family.name)


def state(
    family: Family, pictures: Path, others: list[Concept], token: str = "<cat>", **settings: Any
) -> TrainState:
    made = train_state(family, pictures, token, templates=TEMPLATES, **settings)
    made.data = replace(made.data, others=other_words.placed(family, others))
    return made


def prediction(family: Family, one: TrainState) -> torch.Tensor:
    with torch.no_grad():
        return loss.predict(family, [asked(one)], batch(family, [one.data], 0))


def test_a_caption_is_read_as_a_prompt_with_both_words_is(
    any_family: Family, pictures: Path
) -> None:
    """The rows of the other word stand where its name is, in every family."""
    other = hat(any_family)
    one = state(any_family, pictures, [other])
    samples = batch(any_family, [one.data], 0)
    written = [
        text.replace(pack_placeholder(0), "<cat>").replace(other_words.mark(other), "<hat>")
        for text in samples.prompts
    ]
    assert set(written) <= {"a <cat> beside a <hat>", "a <hat> on a <cat>"}
    words = {"<cat>": one.method.word(), "<hat>": other.vectors}
    with torch.no_grad():
        condition = any_family.encode_text(written, words)
        noisy = any_family.noise_schedule.noisy(samples.latents, samples.noise, samples.t)
        found = any_family.predict(noisy, samples.t, condition, samples.micro_conditioning)
    torch.testing.assert_close(prediction(any_family, one), found.float(), rtol=1e-4, atol=1e-5)


def test_only_the_new_word_learns(family: StableDiffusion, pictures: Path) -> None:
    other = hat(family)
    before = {key: rows.clone() for key, rows in other.vectors.items()}
    one = state(family, pictures, [other], keep_context=1.0)
    start = one.word()["clip_l"].clone()
    list(loop.train(family, [one]))
    assert one.failure is None
    assert not torch.equal(one.word()["clip_l"], start)
    (placed,) = one.data.others.rows.values()
    for key, rows in before.items():
        assert torch.equal(placed[key], rows)
        assert not placed[key].requires_grad


def test_what_it_says_depends_on_the_other_word(family: StableDiffusion, pictures: Path) -> None:
    red, blue = (state(family, pictures, [hat(family, init)]) for init in ("red dog", "blue cat"))
    same = state(family, pictures, [hat(family), hat(family, "toy", "<nowhere>")])
    assert not torch.equal(prediction(family, red), prediction(family, blue))
    assert torch.equal(prediction(family, red), prediction(family, same))


@pytest.mark.parametrize("method", ["classic", "layered"])
def test_words_of_one_name_in_a_pack_are_those_of_each(
    method: str, family: StableDiffusion, pictures: Path
) -> None:
    """As if each were learned alone (`test_loop` says why not to the last digit)."""

    def pack() -> list[TrainState]:
        return [
            state(family, pictures, [hat(family, init)], token, method=method, steps=4)
            for token, init in (("<cat>", "red dog"), ("<dog>", "blue cat"))
        ] + [train_state(family, pictures, "<toy>", method=method, steps=4)]

    together, alone = pack(), pack()
    list(loop.train(family, together))
    for one in alone:
        list(loop.train(family, [one]))
    for packed, solo in zip(together, alone, strict=True):
        for key, rows in solo.word().items():
            torch.testing.assert_close(packed.word()[key], rows, rtol=0, atol=0.02 * 2e-3)


def test_a_layered_word_has_the_same_rows_for_all_layers(family: StableDiffusion) -> None:
    plain = hat(family)
    layers = {f"clip_l.{layer}": plain.vectors["clip_l"] * 2 for layer in family.layers}
    layered = Concept("<hat>", {**plain.vectors, **layers}, family.name)
    (rows,) = other_words.placed(family, [layered]).rows.values()
    assert {*rows} == {"clip_l"}
    assert torch.equal(rows["clip_l"], plain.vectors["clip_l"])


def test_words_are_told_apart_by_what_they_are(family: Family) -> None:
    one, same, renamed, other = (
        hat(family),
        hat(family),
        hat(family, token="<cap>"),
        hat(family, "toy"),
    )
    assert other_words.mark(one) == other_words.mark(same) == other_words.mark(renamed)
    assert other_words.mark(one) != other_words.mark(other)
    prints = [other_words.fingerprint([word]) for word in (one, same, renamed, other)]
    assert prints[0] == prints[1]
    assert len({*prints}) == 3
