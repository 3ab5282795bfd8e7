"""Several words are learned together as if all their rows were parameters of one model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state

from pseudoword import methods
from pseudoword.config import TrainConfig
from pseudoword.config.word import NewWord
from pseudoword.data import picture_files
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Family
from pseudoword.placeholders import as_written, pack_placeholder, renumbered
from pseudoword.training import (
    context_keeping,
    early_stopping,
    importance,
    joint_words,
    learning_rate_finder,
    loop,
    loss,
    nested_rows,
)
from pseudoword.training.batches import batch, fixed, prompt
from pseudoword.training.initialisation import begin, initial_rows
from pseudoword.training.state import TrainState

TEMPLATES = ["a [name] beside a <hat>", "a <hat> on a <cat>"]


def state(
    family: Family,
    pictures: Path,
    templates: list[str] = TEMPLATES,
    token: str = "<cat>",
    **settings: Any,
) -> TrainState:
    """A state that learns `token`, from two words, and `<hat>`, of one vector."""
    made = train_state(family, pictures, token, templates=templates, **settings)
    rows = [
        initial_rows(family, NewWord(token, init, "auto"), n, 0)
        for init, n in (("red dog", 2), ("blue", 1))
    ]
    start = begin(family, joint_words.together(rows))
    initial = {key: own.to(family.device) for key, own in start.rows.items()}
    data = replace(made.data, also=["<hat>"], initial=initial)
    return TrainState.begin(data, methods.begin(start, data.hyper), made.schedule)


def separate(one: TrainState) -> dict[str, dict[str, torch.Tensor]]:
    """Token -> rows, as they are now."""
    return dict(zip(one.data.tokens, joint_words.apart(one.word()), strict=True))


def test_what_is_put_together_can_be_taken_apart() -> None:
    words = [{"clip_l": 1, "clip_l.IN01": 2, "t5_out": 3}, {"clip_l": 4}, {"clip_l": 5}]
    assert joint_words.apart(joint_words.together(words)) == words
    assert joint_words.together(words[:1]) == words[0]
    assert joint_words.apart({"10/k": 3, "1/k": 2, "2/k": 4, "k": 1}) == [
        {"k": number} for number in (1, 2, 4, 3)
    ]
    assert joint_words.apart({}) == []
    assert joint_words.placed(3, {}) == {}


def test_placeholders_get_the_number_of_another_concept_whole() -> None:
    own = joint_words.placeholders(1, ["<cat>", "<hat>"])
    others = joint_words.placeholders(11, ["<cat>", "<hat>"])
    text = " and ".join([*own.values(), *others.values()])
    moved = [*joint_words.placeholders(4, ["<cat>", "<hat>"]).values(), *others.values()]
    assert renumbered(text, 1, 4) == " and ".join(moved)
    assert as_written(text) == "[name] and [name 2] and [name] and [name 2]"


def test_a_step_has_the_gradient_of_each_words_own_rows(any_family: Family, pictures: Path) -> None:
    """In every family: each word's rows stand where its name is."""
    one = state(any_family, pictures)
    samples = batch(any_family, [one.data], 0)
    words = joint_words.apart(asked(one))
    names = dict(zip(("<cat>", "<hat>"), words, strict=True))
    written = [
        text.replace(pack_placeholder(0), "<cat>").replace(pack_placeholder(0, 1), "<hat>")
        for text in samples.prompts
    ]
    assert set(written) <= {"a <cat> beside a <hat>", "a <hat> on a <cat>"}
    with torch.no_grad():
        condition = any_family.encode_text(written, names)
        noisy = any_family.noise_schedule.noisy(samples.latents, samples.noise, samples.t)
        right = any_family.predict(noisy, samples.t, condition, samples.micro_conditioning)
        found = loss.predict(any_family, [asked(one)], samples)
    torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-5)
    loss.losses(any_family, [asked(one)], samples).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in one.method.parameters())


@pytest.mark.parametrize("method", methods.METHODS)
def test_both_learn_and_in_a_pack_as_alone(
    method: str, family: StableDiffusion, pictures: Path
) -> None:
    """`test_loop` says why not to the last digit."""

    def pack() -> list[TrainState]:
        norm = "keep" if method == "directional" else "none"
        settings: dict[str, Any] = {"method": method, "steps": 4, "norm": norm}
        return [
            state(family, pictures, keep_context=1.0, **settings),
            train_state(family, pictures, "<toy>", **settings),
            state(family, pictures, token="<dog>", **settings),
        ]

    together, alone = pack(), pack()
    before = separate(together[0])
    list(loop.train(family, together))
    for one in alone:
        list(loop.train(family, [one]))
        assert one.failure is None
    for packed, solo in zip(together, alone, strict=True):
        for key, rows in solo.word().items():
            torch.testing.assert_close(packed.word()[key], rows, rtol=0, atol=0.02 * 2e-3)
    for token, word in separate(together[0]).items():
        for key, own in word.items():
            assert own.shape == before[token][key].shape
            assert not torch.equal(own, before[token][key]), (token, key)


def test_a_word_that_is_in_no_prompt_yet_stays_and_is_no_failure(
    family: StableDiffusion, pictures: Path
) -> None:
    for templates, still in ((["a [name]"], "<hat>"), (["a <hat>"], "<cat>")):
        one = state(family, pictures, templates, steps=3)
        before = separate(one)
        list(loop.train(family, [one]))
        assert one.failure is None
        for token, rows in separate(one).items():
            assert torch.equal(rows["clip_l"], before[token]["clip_l"]) == (token == still)


def test_where_no_gradient_reaches_any_word_it_is_a_failure(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = state(family, pictures)
    nothing = {key: rows.detach() * 0 for key, rows in asked(one).items()}
    monkeypatch.setattr(
        one.method,
        "rows",
        lambda _: {
            key: p * 0 + nothing[key]
            for key, p in zip(nothing, one.method.parameters(), strict=True)
        },
    )
    list(loop.train(family, [one]))
    assert one.failure is not None
    assert "no gradient reaches the word" in one.failure


def test_measurements_are_those_of_the_words_of_the_concept(
    family: StableDiffusion, pictures: Path
) -> None:
    """Evaluations and importance join batches of several concepts, and number them anew."""
    pack = [state(family, pictures), state(family, pictures, token="<dog>", init="blue")]
    pack.insert(1, train_state(family, pictures, "<toy>"))
    asked_of = [(one.word(), fixed(family, one.data, 16)) for one in pack]
    single = [early_stopping.evaluation_losses(family, [one])[0] for one in asked_of]
    assert early_stopping.evaluation_losses(family, asked_of) == pytest.approx(single, rel=1e-5)
    words = [(one.data, one.word()) for one in pack]
    for one, found in zip(words, importance.densities(family, words), strict=True):
        assert found == pytest.approx(importance.densities(family, [one])[0], abs=0.002)


def test_a_range_test_reads_a_further_word_whose_name_begins_as_the_word(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in picture_files.find([pictures]):
        picture.with_suffix(".txt").write_text("a <cat>-hat on a <cat>")
    one = state(family, pictures, ["[filewords]"])
    data = replace(one.data, also=["<cat>-hat"])
    start = begin(family, one.data.initial)
    read: set[str] = set()

    def note_prompts(_family: object, states: list[TrainState]) -> Iterator[loop.Step]:
        for trial in states:
            read.update(batch(family, [trial.data], 0).prompts)
        yield from ()

    monkeypatch.setattr(learning_rate_finder, "train", note_prompts)
    learning_rate_finder.find_learning_rate(family, data, start, lambda _done, _all: None)
    assert {*map(as_written, read)} == {"a [name 2] on a [name]"}


def test_context_is_kept_beside_each_of_the_words(family: StableDiffusion, pictures: Path) -> None:
    one = state(family, pictures)
    names = [*joint_words.placeholders(0, one.data.tokens).values()]
    found = context_keeping.prompts(one, names, 64 * ["both"])
    alone = [sum(name in text for text in found) for name in names]
    assert min(alone) > 8
    assert sum(alone) + found.count("both") == 64


def test_nested_rows_are_the_first_of_each_word(family: StableDiffusion, pictures: Path) -> None:
    one = state(family, pictures, nested=0.5)
    lengths = nested_rows.all_lengths(one.word(), one.hyper)
    first, whole = (joint_words.apart(rows) for rows in lengths)
    assert [len(word["clip_l"]) for word in first] == [1, 1]
    assert [len(word["clip_l"]) for word in whole] == [2, 1]


@pytest.mark.parametrize(
    ("left", "whole", "right"),
    [
        ("a <hat>", "a <hat>, red", "a 1"),
        ("red", "a <hat>, red", "1, red"),
        ("", "<hat> and [name]", "0, 1"),
        ("red", "red", "0, red"),
        ("my <cat>", "my <cat>", "my 0"),
    ],
)
def test_what_is_left_of_a_caption_has_a_word_that_was_in_it(
    left: str, whole: str, right: str, family: StableDiffusion, pictures: Path
) -> None:
    """A picture of the hat alone does not teach the cat."""
    data = replace(state(family, pictures).data, templates=["[filewords]"])
    found = prompt(data, 0, left, whole, 7)
    for number, mark in enumerate(joint_words.placeholders(7, data.tokens).values()):
        found = found.replace(mark, str(number))
    assert found == right


def test_settings_name_the_words() -> None:
    config = TrainConfig.check(
        pictures=".",
        token="<cat>",
        also=["<hat>", "<toy>=plush = toy", "<a=b>", "<a=>=c"],
        init="dog",
    )
    words = [(word.token, word.init) for word in config.new_words]
    assert words[:3] == [("<cat>", "dog"), ("<hat>", "object"), ("<toy>", "plush = toy")]
    assert words[3:] == [("<a=b>", "object"), ("<a=>", "c")]
    assert config.tokens == ["<cat>", "<hat>", "<toy>", "<a=b>", "<a=>"]
