"""The benchmark with known answers: its exam, its marks, its table, and a run of it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pseudoword
from pseudoword.benchmark import artwork, scoring
from pseudoword.benchmark.compose import COLOURS, PLACES, WHOLE, Placed, compose
from pseudoword.benchmark.image_similarity import Judge
from pseudoword.benchmark.results import Board, Entry, mean, pareto
from pseudoword.benchmark.runner import Exam, most_alike_style, parse_variant
from pseudoword.benchmark.scoring import Marker, Marks
from pseudoword.errors import RunFolderError, SettingsError
from pseudoword.training import importance

SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def _seen_once() -> Iterator[None]:
    """The bundled judge says the same of the same pictures each time, so it is asked once."""
    look = Judge.features
    known: dict[tuple[Any, ...], torch.Tensor] = {}

    def features(self: Judge, pictures: Sequence[Image.Image]) -> torch.Tensor:
        key = tuple((p.mode, p.size, hashlib.sha256(p.tobytes()).digest()) for p in pictures)
        if key not in known:
            known[key] = look(self, pictures)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judge, "features", features)
        yield


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam.of(artwork.load(), SIDE)


@pytest.fixture(scope="module")
def marker() -> Marker:
    return Marker(Judge(), artwork.load(), SIDE)


def test_the_artwork_holds_forty_unknown_and_forty_known_things() -> None:
    art = artwork.load()
    assert (len(art.held_out), len(art.known)) == (40, 40)
    assert len(art.styles) == 6
    assert art.new_style not in art.styles
    assert all(len(art.styles_of(thing)) >= 4 for thing in art.things)
    for drawing in art.drawings.values():
        assert drawing.dtype == np.uint8
        colours, alpha = drawing[..., :3].astype(int), drawing[..., 3:].astype(int)
        assert (colours <= alpha + 1).all(), "colours are not premultiplied"


def test_artwork_survives_a_folder(tmp_path: Path) -> None:
    whole = artwork.load()
    few = [thing for thing in whole.things if thing.words in ("octopus", "cat")]
    names = {thing.words for thing in few}
    drawings = {pair: drawing for pair, drawing in whole.drawings.items() if pair[0] in names}
    art = artwork.Artwork(few, whole.styles, whole.new_style, drawings)
    artwork.save(tmp_path, art, effort=0)
    again = artwork.load(tmp_path)
    assert again.things == art.things
    assert again.styles == art.styles
    assert again.drawings.keys() == drawings.keys()
    for pair, drawing in drawings.items():
        assert np.abs(again.drawings[pair].astype(int) - drawing).max() <= 1


def test_every_run_sits_the_same_exam(exam: Exam) -> None:
    again = Exam.of(artwork.load(), SIDE)
    for one, other in zip(exam.learned, again.learned, strict=True):
        assert [q.prompt for q in one.questions] == [q.prompt for q in other.questions]
        assert [p.caption for p in one.lesson] == [p.caption for p in other.lesson]
        assert all(a.picture == b.picture for a, b in zip(one.lesson, other.lesson, strict=True))


def test_a_style_question_asks_for_a_style_that_was_not_learned_from(exam: Exam) -> None:
    for one in exam.things:
        learned = " ".join(picture.caption for picture in one.lesson)
        for question in one.questions:
            assert question.prompt.count("[name]") == 1
            assert one.name not in question.prompt
            if question.kind == "style":
                assert question.style not in learned
            if question.kind == "background":
                assert question.ground not in learned
                assert question.style in learned


def test_a_new_style_is_asked_for_on_things_it_was_not_learned_from(exam: Exam) -> None:
    for one in exam.styles:
        for question in one.questions:
            assert all(f" {question.thing} " not in picture.caption for picture in one.lesson)


def test_the_truth_gets_full_marks_and_other_things_do_not(exam: Exam, marker: Marker) -> None:
    papers = exam.things[:8]
    for place, one in enumerate(papers):
        truth = marker.mark(one, [[q.truth] for q in one.questions])
        assert truth.identity == pytest.approx(1, abs=1e-3)
        kinds = dict(truth.kinds)
        kinds.pop("style")  # told by the judge, which may err
        assert kinds == {"background": 1, "place": 1, "pair": 1, "copies": 1}
        other = papers[(place + 3) % len(papers)]
        wrong = marker.mark(one, [[q.truth] for q in other.questions])
        assert wrong.identity < truth.identity - 0.2
        assert wrong.recognised < 0.5


def test_the_judge_tells_styles_and_names_of_true_pictures(exam: Exam, marker: Marker) -> None:
    found = [marker.mark(one, [[q.truth] for q in one.questions]) for one in exam.things[:20]]
    assert np.mean([one.kinds["style"] for one in found]) > 0.75
    assert np.mean([one.recognised for one in found]) > 0.75


@pytest.mark.parametrize("colour", COLOURS)
def test_a_background_is_read_from_the_corners(colour: str) -> None:
    art = artwork.load()
    drawing = art.drawings["cat", "noto"]
    assert (
        scoring.ground_colour(compose(colour, [Placed(drawing, (0.5, 0.5, 0.8))], SIDE)) == colour
    )


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_read_from_the_pixels(place: str, exam: Exam, marker: Marker) -> None:
    one = next(p for p in exam.things if any(q.asked == place for q in p.questions))
    question = next(q for q in one.questions if q.asked == place)
    drawing = artwork.load().drawings["cat", "noto"]
    for tried in PLACES:
        picture = compose("white", [Placed(drawing, PLACES[tried])], SIDE)
        pictures = [[picture] if q is question else [q.truth] for q in one.questions]
        assert marker.mark(one, pictures).kinds["place"] == float(tried == place)


def test_a_learned_style_is_told_by_the_nearest_of_all_styles(exam: Exam, marker: Marker) -> None:
    for one in exam.styles:
        assert all(question.choices[0] == question.truth for question in one.questions)
        truth = marker.mark(one, [[q.truth] for q in one.questions])
        other = marker.mark(one, [[q.choices[-1]] for q in one.questions])
        assert (truth.recognised, other.recognised) == (1, 0)


def test_true_pictures_of_another_style_come_part_of_the_way(exam: Exam, marker: Marker) -> None:
    art, judge = artwork.load(), Judge()
    style, sat = most_alike_style(marker, art, exam.styles, SIDE)
    assert style in art.styles
    assert sat.keys() == {one.name for one in exam.styles}

    def nearness(other: str) -> float:
        found = []
        for one in exam.styles:
            there = [q for q in one.questions if (q.thing, other) in art.drawings]
            shown = [
                compose(q.ground, [Placed(art.drawings[q.thing, other], WHOLE)], SIDE)
                for q in there
            ]
            alike = judge.features(shown) * judge.features([q.truth for q in there])
            found.append(float(alike.sum(1).mean()))
        return float(np.mean(found))

    by_style = {other: nearness(other) for other in art.styles}
    assert by_style[style] == max(by_style.values())
    assert mean(sat, "identity").mean == pytest.approx(by_style[style], abs=1e-4)
    assert mean(sat, "recognised").mean == 0  # they are that other style's


def test_known_things_can_be_learned_anew_from_their_kind() -> None:
    exam = Exam.of(artwork.load(), SIDE, 3, relearn=True)
    assert [p.name for p in exam.relearned] == [p.name for p in exam.known_things]
    assert [p.start for p in exam.known_things] == [p.name for p in exam.known_things]
    assert [p.start for p in exam.relearned] == ["animal"] * 3
    assert exam.learned[-3:] == list(exam.relearned)


def sat(*identities: float, following: float = 0.8) -> dict[str, Marks]:
    return {
        f"word {i}": Marks(value, following, 0.5, {"style": 0.9, "pair": 0.7})
        for i, value in enumerate(identities)
    }


def test_the_way_runs_from_the_starting_to_the_known_words() -> None:
    board = Board(
        "things",
        start=sat(0.2, 0.3, 0.4),
        known=sat(0.8, 0.9, 1.0),
        entries=[Entry("halfway", sat(0.5, 0.6, 0.7, following=0.6), 12.0)],
    )
    assert board.way(board.start).mean == pytest.approx(0)
    assert board.way(sat(0.8, 0.9, 1.0)).mean == pytest.approx(1)
    way = board.way(board.entries[0].sat)
    assert way.mean == pytest.approx(0.5)
    assert 0.3 < way.low < 0.5 < way.high < 0.7
    assert board.share(board.entries[0].sat).mean == pytest.approx(0.75)
    *_, row = board.table().splitlines()
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1] == "halfway"
    assert cells[2].startswith("0.60 (")
    assert cells[3].startswith("50% (")
    assert cells[-2] == "12"
    assert pareto([board]).startswith(b"\x89PNG")


def test_an_interval_narrows_as_words_agree() -> None:
    apart, alike = mean(sat(0.1, 0.9), "identity"), mean(sat(0.5, 0.5), "identity")
    assert alike.low == alike.mean == alike.high == 0.5
    assert apart.low < 0.2 < 0.8 < apart.high


def test_variants_are_settings_of_train() -> None:
    variant = parse_variant("lr=2e-3, steps=200")
    assert variant.settings == {"lr": "2e-3", "steps": "200"}
    assert parse_variant("").settings == {}
    for wrong in ("lr", "rate=3", "lr="):
        with pytest.raises(SettingsError, match="--compare"):
            parse_variant(wrong)


@pytest.mark.slow
def test_a_bench_runs_goes_on_and_refuses_to_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "density", lambda *_: ())  # takes long, and is tested elsewhere
    out = tmp_path / "bench"
    settings: dict[str, Any] = {
        "out": out, "concepts": 2, "pictures_each": 1, "sampler_steps": 1, "pack": 4,
    }  # fmt: skip
    first = pseudoword.bench(compare=["steps=2"], **settings)
    assert first.relearned is None
    assert [entry.name for entry in first.things.entries] == ["steps=2"]
    assert len(first.things.entries[0].sat) == 2
    assert len(first.styles.entries[0].sat) == 2
    assert first.table.count("*true pictures in ") == 1
    saved = json.loads((out / "results.json").read_text())
    assert saved[0]["entries"][0]["sat"].keys() == first.things.start.keys()
    grid = Image.open(out / "grid-things.png")
    assert grid.width > 600
    kept = (out / "steps-2" / "octopus" / "concept.safetensors").stat().st_mtime_ns
    second = pseudoword.bench(compare=["steps=2", "steps=3"], **settings)
    seconds = second.things.entries[0].seconds
    assert seconds == first.things.entries[0].seconds
    assert seconds
    assert second.things.entries[0].sat == first.things.entries[0].sat
    assert (out / "steps-2" / "octopus" / "concept.safetensors").stat().st_mtime_ns == kept
    assert second.table.count("steps=3") == 2
    third = pseudoword.bench(compare=["steps=2"], relearn=True, **settings)
    assert third.relearned
    assert third.relearned.known == third.things.known
    assert third.relearned.start.keys() == third.relearned.known.keys()
    assert "learned anew" in third.table
    with pytest.raises(RunFolderError, match="pictures_each"):
        pseudoword.bench(compare=["steps=2"], **{**settings, "pictures_each": 2})
    with pytest.raises(SettingsError, match="twice"):
        pseudoword.bench(compare=["steps=2", "steps=2"], **settings)
