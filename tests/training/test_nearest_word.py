"""What a word starts from can be chosen by its pictures."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Notes, train_state

from pseudoword.api import train
from pseudoword.benchmark import artwork
from pseudoword.benchmark.tasks import TrainingPicture, thing_task, write_training_pictures
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.runs.finish import Trained
from pseudoword.training import joint_words, loss, nearest_word
from pseudoword.training.batches import fixed
from pseudoword.training.initialisation import rows_of_words


def test_words_are_separated_by_commas_and_a_single_one_has_general_ones_beside_it() -> None:
    assert nearest_word.candidates(" red cat,dog ,, dog") == ["red cat", "dog"]
    found = nearest_word.candidates("toy")
    assert found[0] == "toy"
    assert set(found) == set(nearest_word.GENERAL)
    assert len(found) == len(nearest_word.GENERAL)


def test_the_losses_are_those_of_each_word_alone(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_word, "room", lambda _batch: 2)  # in two parts
    data, words, counts = (
        train_state(family, pictures, batch=4).data,
        ["cat", "dog", "red"],
        [1, 2, 3],
    )
    ticks: list[tuple[int, int]] = []
    found = nearest_word.nearest(family, data, words, counts, tick=lambda *now: ticks.append(now))
    expected = []
    with torch.no_grad():
        for word, count in zip(words, counts, strict=True):
            rows = rows_of_words(family, word, "auto", count)
            each = [
                loss.losses(family, [rows], batch)
                for batch in fixed(family, data, nearest_word.SAMPLES)
            ]
            expected.append((float(torch.cat(each).mean()), word))
    assert [word for _, word in found] == [word for _, word in sorted(expected)]
    assert [one for one, _ in found] == pytest.approx([one for one, _ in sorted(expected)])
    assert ticks == [(2, 3), (3, 3)]


def test_a_word_whose_loss_is_no_number_is_the_last(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_word, "evaluation_losses", lambda *_: [math.nan, 0.3, 0.2])
    data = train_state(family, pictures).data
    found = nearest_word.nearest(family, data, ["cat", "dog", "red"], [1, 1, 1])
    assert [word for _, word in found] == ["red", "dog", "cat"]


def test_words_that_are_learned_with_it_are_read_with_their_rows(
    family: Family, pictures: Path
) -> None:
    one = train_state(family, pictures, batch=4, templates=["a [name] beside a <hat>"])
    data = replace(one.data, also=["<hat>"])
    cat, hat = (rows_of_words(family, word, "auto", 1) for word in ("cat", "red"))
    ((found, _),) = nearest_word.nearest(family, data, ["cat"], [1], [hat])
    with torch.no_grad():
        each = [
            loss.losses(family, [joint_words.together([cat, hat])], batch)
            for batch in fixed(family, data, nearest_word.SAMPLES)
        ]
    assert found == pytest.approx(float(torch.cat(each).mean()))


def test_the_bundled_model_sees_that_a_carrot_is_a_vegetable(tmp_path: Path) -> None:
    family = base_model.load_named("emoji", "cpu")
    (carrot,) = (thing for thing in artwork.load().held_out if thing.name == "carrot")
    task = thing_task(artwork.load(), carrot, family.resolution)
    plain = [TrainingPicture(p.picture, "") for p in task.training_pictures]
    write_training_pictures(replace(task, training_pictures=plain), tmp_path)
    data = train_state(family, tmp_path, batch=4).data
    words = ["person", "vehicle", "vegetable"]
    (_, best), *_ = nearest_word.nearest(family, data, words, [3, 3, 3])
    assert best == "vegetable"


def test_a_run_starts_from_it_and_remembers_it(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ["dog", "cat"]

    def found(_family: object, _data: object, words: list[str], *_rest: object) -> list[Any]:
        assert words == ["cat", "dog", "red"]
        return [(0.1, order[0]), (0.2, order[1])]

    def learn(progress: Notes, **more: Any) -> Trained:
        return train(
            pictures, "<x>", base=str(base), init="cat, dog, red", init_mode="nearest", preview=(),
            steps=1, out=tmp_path / "run", progress=progress, **more,
        )  # fmt: skip

    monkeypatch.setattr(nearest_word, "nearest", found)
    notes = Notes()
    first = learn(notes)
    assert "<x> starts from dog; lowest loss: dog (0.100), cat (0.200)" in notes.lines
    assert first.concept.provenance["init"] == "dog"
    assert first.concept.provenance["init_mode"] == "words"
    assert json.loads((first.folder / "chosen.json").read_text())["init"] == "dog"
    plain = train(
        pictures, "<x>", base=str(base), init="dog", preview=(), steps=1, out=tmp_path / "plain"
    )
    assert torch.equal(first.concept.vectors["clip_l"], plain.concept.vectors["clip_l"])

    order.reverse()
    assert learn(Notes(), extend=1).concept.provenance["init"] == "dog"
    assert learn(Notes(), restart=True).concept.provenance["init"] == "cat"


def test_a_file_is_none_of_the_words(base: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--init-mode nearest takes words"):
        train(
            pictures, "<x>", base=str(base), init=str(pictures), init_mode="nearest", preview=(),
            steps=1, out=tmp_path / "run",
        )  # fmt: skip
