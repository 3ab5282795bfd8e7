"""The benchmark with known answers: its tasks, its scores, its tables, and a run of it."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import compress, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import Notes

from pseudoword import api
from pseudoword.benchmark import artwork, comparison, runner
from pseudoword.benchmark import tasks as benchmark_tasks
from pseudoword.benchmark.compose import COLOURS, PLACES, SINGLE_BOX, Placed, compose
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.results import (
    Interval,
    ResultTable,
    Row,
    difference,
    mean,
    pareto_plot,
)
from pseudoword.benchmark.scoring import (
    LinearProbe,
    Score,
    Scorer,
    background_colour,
    nearest_style,
)
from pseudoword.benchmark.tasks import Task, TaskSet
from pseudoword.config import BenchConfig, TrainConfig
from pseudoword.config.bench import MOST_CONCEPTS
from pseudoword.config.variants import parse_variant
from pseudoword.errors import RunFolderError, SettingsError
from pseudoword.locks import lock_folder
from pseudoword.models import base_model
from pseudoword.progress import Silent
from pseudoword.training import importance

SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def _encoded_once() -> Iterator[None]:
    """The same pictures have the same features each time, so they are encoded once."""
    encode = SimilarityModel.features
    known: dict[tuple[Any, ...], torch.Tensor] = {}

    def features(self: SimilarityModel, pictures: Sequence[Image.Image]) -> torch.Tensor:
        keys = [(p.mode, p.size, hashlib.sha256(p.tobytes()).digest()) for p in pictures]
        new = {key: one for key, one in zip(keys, pictures, strict=True) if key not in known}
        if new:
            known.update(zip(new, encode(self, [*new.values()]), strict=True))
        return torch.stack([known[key] for key in keys])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimilarityModel, "features", features)
        yield


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return TaskSet.build(artwork.load(), SIDE)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(SimilarityModel(), artwork.load(), SIDE)


def test_the_artwork_holds_forty_unknown_and_forty_known_things() -> None:
    art = artwork.load()
    assert len(art.held_out) == len(art.known) == MOST_CONCEPTS
    with pytest.raises(SettingsError, match="--concepts: should be less than or equal to 40"):
        BenchConfig.check(concepts=MOST_CONCEPTS + 1)
    assert len(art.styles) == 6
    assert art.new_style not in art.styles
    assert all(len(art.styles_of(thing)) >= 4 for thing in art.things)
    for drawing in art.drawings.values():
        assert drawing.dtype == np.uint8
        colours, alpha = drawing[..., :3].astype(int), drawing[..., 3:].astype(int)
        assert (colours <= alpha + 1).all(), "colours are not premultiplied"


def test_artwork_survives_a_folder(tmp_path: Path) -> None:
    whole = artwork.load()
    few = [thing for thing in whole.things if thing.name in ("octopus", "cat")]
    names = {thing.name for thing in few}
    drawings = {pair: drawing for pair, drawing in whole.drawings.items() if pair[0] in names}
    art = artwork.Artwork(few, whole.styles, whole.new_style, drawings)
    artwork.save(tmp_path, art, effort=0)
    again = artwork.load(tmp_path)
    assert again.things == art.things
    assert again.styles == art.styles
    assert again.drawings.keys() == drawings.keys()
    for pair, drawing in drawings.items():
        assert np.abs(again.drawings[pair].astype(int) - drawing).max() <= 1


def test_every_run_has_the_same_tasks(tasks: TaskSet) -> None:
    again = TaskSet.build(artwork.load(), SIDE, 5)
    assert len(again.things) == len(again.styles) == 5
    before = [*tasks.things[:5], *tasks.styles[:5]]
    for one, other in zip(before, again.to_learn, strict=True):
        assert [p.text for p in one.prompts] == [p.text for p in other.prompts]
        assert [p.caption for p in one.training_pictures] == [
            p.caption for p in other.training_pictures
        ]
        pairs = zip(one.training_pictures, other.training_pictures, strict=True)
        assert all(a.picture == b.picture for a, b in pairs)


def test_a_style_prompt_asks_for_a_style_that_was_not_learned_from(tasks: TaskSet) -> None:
    for one in tasks.things:
        learned = " ".join(picture.caption for picture in one.training_pictures)
        for prompt in one.prompts:
            assert prompt.text.count("[name]") == 1
            assert one.name not in prompt.text
            if prompt.kind == "style":
                assert prompt.style not in learned
            if prompt.kind == "background":
                assert prompt.background not in learned
                assert prompt.style in learned


def test_each_task_asks_for_partners_on_both_sides(tasks: TaskSet) -> None:
    for one in (*tasks.things, *tasks.styles):
        for kind, least, behind in (("word first", 4, True), ("word last", 2, False)):
            pairs = [prompt for prompt in one.prompts if prompt.kind == kind]
            assert len({prompt.expected for prompt in pairs}) == len(pairs) >= least
            for p in pairs:
                assert (p.text.index(p.expected) > p.text.rindex(" and ")) == behind
        for kind in ("place", "copies"):
            expected = [prompt.expected for prompt in one.prompts if prompt.kind == kind]
            assert len(set(expected)) == len(expected)


def test_each_task_has_as_many_prompts(tasks: TaskSet) -> None:
    assert len({len(one.prompts) for one in tasks.to_learn}) == 1


def test_a_new_style_is_asked_for_on_things_it_was_not_learned_from(tasks: TaskSet) -> None:
    for one in tasks.styles:
        for prompt in one.prompts:
            assert all(
                f" {prompt.thing} on " not in picture.caption for picture in one.training_pictures
            )


def test_the_references_get_the_best_score_and_other_things_do_not(
    tasks: TaskSet, scorer: Scorer
) -> None:
    some = tasks.things[:8]
    for place, one in enumerate(some):
        best = scorer.score(one, [[p.reference] for p in one.prompts])
        assert best.identity == pytest.approx(1, abs=1e-3)
        kinds = dict(best.kinds)
        kinds.pop("style")  # read by the similarity model, which may be wrong
        assert kinds == {
            "background": 1, "place": 1, "word first": 1, "word last": 1, "copies": 1,
        }  # fmt: skip
        other = some[(place + 3) % len(some)]
        wrong = scorer.score(one, [[p.reference] for p in other.prompts])
        assert wrong.identity < best.identity - 0.2
        assert wrong.recognised < 0.5


def test_a_partner_is_found_however_the_thing_beside_it_is_drawn(
    tasks: TaskSet, scorer: Scorer
) -> None:
    things = tasks.things[:8]
    for task, other in zip(things, [*things[1:], things[0]], strict=True):
        drawn = []
        for prompt, wrong in zip(task.prompts, other.prompts, strict=True):
            picture = prompt.reference.copy()
            if prompt.compared:  # another thing in place of the right one, beside the right partner
                left = 0 if prompt.kind == "word first" else SIDE // 2
                side = (left, 0, left + SIDE // 2, SIDE)
                picture.paste(wrong.reference.crop(side), side[:2])
            drawn.append([picture])
        kinds = scorer.score(task, drawn).kinds
        assert kinds["word first"] == kinds["word last"] == 1.0, task.name


def test_a_wrong_partner_is_not_found(tasks: TaskSet, scorer: Scorer) -> None:
    task = tasks.things[0]
    drawn = [[p.candidates[1] if p.compared else p.reference] for p in task.prompts]
    kinds = scorer.score(task, drawn).kinds
    assert kinds["word first"] == kinds["word last"] == 0.0


def test_the_similarity_model_reads_styles_and_names_from_true_pictures(
    tasks: TaskSet, scorer: Scorer
) -> None:
    found = [scorer.score(one, [[p.reference] for p in one.prompts]) for one in tasks.things[:20]]
    assert np.mean([score.kinds["style"] for score in found]) > 0.75
    assert np.mean([score.recognised for score in found]) > 0.75


def test_the_style_of_a_thing_that_no_probe_was_fitted_on_is_read() -> None:
    art = artwork.load()
    features = SimilarityModel().features(
        [compose("white", [Placed(drawing, SINGLE_BOX)], SIDE) for drawing in art.drawings.values()]
    )
    odd = {thing.name for thing in art.things[1::2]}
    asked = [name in odd and style in art.styles for name, style in art.drawings]
    styles = [style for _, style in art.drawings]
    fitted = [name not in odd for name, _ in art.drawings]
    probe = LinearProbe(features[fitted], [*compress(styles, fitted)])
    right = [a == b for a, b in zip(probe(features[asked]), compress(styles, asked), strict=True)]
    assert np.mean(right) > 0.8


def test_a_true_picture_is_encoded_once_for_all_words(tasks: TaskSet) -> None:
    encoded: list[bytes] = []

    class Small(SimilarityModel):
        """Knows pictures by a few of their pixels."""

        def __init__(self) -> None:
            pass

        def features(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
            encoded.extend(picture.tobytes() for picture in pictures)
            few = np.stack([np.asarray(picture.resize((4, 4))) for picture in pictures])
            return torch.tensor(few, dtype=torch.float32).flatten(1) / 255

    art = artwork.load()
    some = dict(islice(art.drawings.items(), 8))
    scorer = Scorer(Small(), replace(art, drawings=some), SIDE)
    task, black = tasks.things[0], Image.new("RGB", (SIDE, SIDE))
    scores = []
    for _ in range(2):
        encoded.clear()
        scores.append(scorer.score(task, [[black]] * len(task.prompts)))
    pairs = sum(bool(prompt.candidates) for prompt in task.prompts)
    assert len(encoded) == len(task.prompts) + pairs  # of what is drawn: all of it, and its parts
    assert scores[0] == scores[1]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_background_is_read_from_the_corners(colour: str) -> None:
    art = artwork.load()
    drawing = art.drawings["cat", "noto"]
    assert background_colour(compose(colour, [Placed(drawing, (0.5, 0.5, 0.8))], SIDE)) == colour


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_read_from_the_pixels(place: str, tasks: TaskSet, scorer: Scorer) -> None:
    one = next(t for t in tasks.things if any(p.expected == place for p in t.prompts))
    prompt = next(p for p in one.prompts if p.expected == place)
    drawing = artwork.load().drawings["cat", "noto"]
    for tried in PLACES:
        picture = compose("white", [Placed(drawing, PLACES[tried])], SIDE)
        pictures = [[picture] if p is prompt else [p.reference] for p in one.prompts]
        # The other prompt for a place is followed.
        assert scorer.score(one, pictures).kinds["place"] == (1.0 if tried == place else 0.5)


def test_a_learned_style_is_recognised_by_the_most_similar_of_all_styles(
    tasks: TaskSet, scorer: Scorer
) -> None:
    for whole in tasks.styles:
        one = replace(whole, prompts=[prompt for prompt in whole.prompts if prompt.single])
        assert all(prompt.candidates[0] == prompt.reference for prompt in one.prompts)
        best = scorer.score(one, [[p.reference] for p in one.prompts])
        other = scorer.score(one, [[p.candidates[-1]] for p in one.prompts])
        assert (best.recognised, other.recognised) == (1, 0)


def test_the_nearest_style_is_the_one_with_the_most_similar_true_pictures(
    tasks: TaskSet, scorer: Scorer
) -> None:
    art, model = artwork.load(), SimilarityModel()
    style, found = nearest_style(scorer, art, tasks.styles, SIDE)
    assert style in art.styles
    assert found.keys() == {one.name for one in tasks.styles}

    def similarity(other: str) -> float:
        values = []
        for one in tasks.styles:
            there = [p for p in one.prompts if p.single and (p.thing, other) in art.drawings]
            shown = [
                compose(p.background, [Placed(art.drawings[p.thing, other], SINGLE_BOX)], SIDE)
                for p in there
            ]
            cosines = model.features(shown) * model.features([p.reference for p in there])
            values.append(float(cosines.sum(1).mean()))
        return float(np.mean(values))

    by_style = {other: similarity(other) for other in art.styles}
    assert by_style[style] == max(by_style.values())
    assert mean(found, "identity").mean == pytest.approx(by_style[style], abs=1e-4)
    assert mean(found, "recognised").mean == 0  # they are that other style's


def test_known_things_can_be_learned_again_from_their_kind() -> None:
    tasks = TaskSet.build(artwork.load(), SIDE, 3, relearn=True)
    assert [t.name for t in tasks.relearned] == [t.name for t in tasks.known_things]
    assert [t.init_word for t in tasks.known_things] == [t.name for t in tasks.known_things]
    assert [t.init_word for t in tasks.relearned] == ["animal"] * 3
    assert tasks.to_learn[-3:] == list(tasks.relearned)


def scores(*identities: float, following: float = 0.8) -> dict[str, Score]:
    return {
        f"word {i}": Score(value, following, 0.5, {"style": 0.9, "pair": 0.7})
        for i, value in enumerate(identities)
    }


def test_the_gap_is_that_from_the_starting_to_the_known_words() -> None:
    table = ResultTable(
        "things",
        start=scores(0.2, 0.3, 0.4),
        known=scores(0.8, 0.9, 1.0),
        rows=[Row("halfway", scores(0.5, 0.6, 0.7, following=0.6), 12.0)],
    )
    assert table.gap_closed(table.start).mean == pytest.approx(0)
    assert table.gap_closed(scores(0.8, 0.9, 1.0)).mean == pytest.approx(1)
    closed = table.gap_closed(table.rows[0].scores)
    assert closed.mean == pytest.approx(0.5)
    assert 0.3 < closed.low < 0.5 < closed.high < 0.7
    assert table.relative_following(table.rows[0].scores).mean == pytest.approx(0.75)
    *_, row = table.as_markdown().splitlines()
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1] == "halfway"
    assert cells[2].startswith("0.600 ± 0.0")
    assert cells[3].startswith("50% ± ")
    assert cells[-2] == "12"
    assert pareto_plot([table]).startswith(b"\x89PNG")


def test_no_share_is_minus_zero() -> None:
    little = Interval(-0.001, -0.002, 0.0, 0.001)
    assert (little.percent, little.points) == ("0% ± 0", "+0 ± 0")


@pytest.mark.filterwarnings("error")
def test_a_share_of_nothing_is_none() -> None:
    """As of a model whose known words follow no prompt, or only some do, or which draws nothing."""
    nothing, some = scores(0.5, 0.5, following=0), scores(0.5, following=1) | scores(0.5, 0.5)
    some["word 1"] = nothing["word 1"]
    table = ResultTable("things", start=nothing, known=nothing, rows=[])
    assert table.gap_closed(nothing).percent == "-"
    assert table.relative_following(some).percent == "-"
    assert replace(table, known=some).relative_following(some).percent == "100%"
    assert "| *known words* | 0.500 ± 0.000 |" in table.as_markdown()


def test_differences_are_word_by_word() -> None:
    apart = scores(0.2, 0.5, 0.8)
    table = ResultTable(
        "things",
        start=scores(0.1, 0.1, 0.1),
        known=scores(0.9, 0.9, 0.9),
        rows=[Row("first", apart), Row("more", scores(0.25, 0.55, 0.85, following=0.7))],
    )
    assert mean(apart, "identity").error > 0.1, "the words differ much"
    found = difference(table.rows[1].scores, apart, "identity")
    assert found.mean == pytest.approx(0.05)
    assert found.error == pytest.approx(0, abs=1e-6), "and their differences do not"
    *_, row = table.as_markdown().splitlines()
    assert row.startswith("| more | +5 ± 0 | +0 ± 0 | -10 ± 0 |")


def test_the_documented_code_reads_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    page = Path(__file__).parents[2] / "docs" / "benchmark.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    start = scores(0.1, 0.3)
    rows = [Row("defaults", scores(0.4, 0.8), 2.0), Row("steps=2", start)]
    monkeypatch.chdir(tmp_path)
    Path("bench").mkdir()
    results = json.dumps([asdict(ResultTable("things", start, start, rows))])
    Path("bench/results.json").write_text(results)
    found: dict[str, Any] = {}
    exec(code, found)
    words = found["words"]
    assert len(words) == 4
    means = words.groupby(["table", "settings"])["identity"].mean()
    assert means["things", "defaults"] == pytest.approx(0.6)
    assert set(words.columns) >= {"kinds.style", "recognised", "following"}


def test_scores_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "marks-octopus.json"
    kept = {
        "identity": 0.5,
        "following": 0.75,
        "recognised": 1.0,
        "kinds": {"style": 1.0, "pair": 0.5},
    }
    file.write_text(json.dumps(kept))
    assert asdict(runner._read_score(file)) == kept
    file.write_text("{}")
    with pytest.raises(RunFolderError, match="holds no score"):
        runner._read_score(file)


def test_an_interval_narrows_as_words_agree() -> None:
    apart, alike = mean(scores(0.1, 0.9), "identity"), mean(scores(0.5, 0.5), "identity")
    assert alike.low == alike.mean == alike.high == 0.5
    assert apart.low < 0.2 < 0.8 < apart.high


@pytest.mark.parametrize("words", [2, 6, 40])
def test_the_error_of_a_mean_is_that_of_its_words(words: int) -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, words)
    error = np.std(values, ddof=1) / words**0.5
    assert mean(scores(*values), "identity").error == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("steps=3", "steps=3.0"), ("", "steps=auto"), ("", " "), ("", "toward=0"),
        ("lr=2e-3,steps=3", "steps=3,learning_rate=0.002"), ("rows=1", "rows=1,vectors=auto"),
    ],
)  # fmt: skip
def test_the_same_settings_are_not_compared_with_themselves(one: str, other: str) -> None:
    with pytest.raises(SettingsError, match="the same settings are given twice"):
        BenchConfig.check(compare=[one, other])
    assert len(BenchConfig.check(compare=[one, "rows=2"]).compare) == 2


def test_settings_that_would_share_a_folder_are_told() -> None:
    with pytest.raises(SettingsError, match="would have one folder"):
        BenchConfig.check(compare=["init=a b", "init=a-b"])


def test_variants_are_settings_of_train() -> None:
    variant = parse_variant("lr=2e-3, steps=200")
    assert variant.settings == {"lr": "2e-3", "steps": "200"}
    assert parse_variant("").settings == {}
    turned = parse_variant("steps=200,toward=0.2")
    assert (turned.settings, turned.toward, turned.learned_as) == (
        {"steps": "200"}, 0.2, "steps=200",
    )  # fmt: skip
    assert parse_variant("toward=0.2").learned_as == "defaults"
    assert parse_variant("vectors=3,rows=1").learned_as == "vectors=3"
    theirs = parse_variant("method=layered, layers=false")
    assert (theirs.layers, theirs.learned_as) == (False, "method=layered")
    assert parse_variant("method=layered,layers=False").layers is False
    assert parse_variant("method=layered,layers=true").layers is True
    as_options = parse_variant("--learning-rate=2e-3,--keep-context=1")
    assert as_options.settings == {"lr": "2e-3", "keep_context": "1"}
    with pytest.raises(SettingsError, match="layers is true or false"):
        parse_variant("layers=1")
    for wrong in ("lr", "rate=3", "lr=", "toward=3", "rows=0", "layers=1"):
        with pytest.raises(SettingsError):
            parse_variant(wrong)
    with pytest.raises(SettingsError, match="steps is given twice"):
        parse_variant("steps=2,lr=1e-3, steps = 3")
    with pytest.raises(SettingsError, match=r"--batchs: there is no such .* mean --batch"):
        parse_variant("batchs=3")


def test_words_are_learned_on_the_device_and_in_the_precision_that_are_asked_for(
    tasks: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainConfig] = []
    monkeypatch.setattr(runner, "learn", lambda configs, *_: asked.extend(configs))
    config = BenchConfig(device="cpu", dtype="bfloat16", out=tmp_path)
    family: Any = SimpleNamespace(source=SimpleNamespace(name="emoji"))
    scorer: Any = None
    run = runner.BenchmarkRun(family, scorer, config, Silent())
    task = tasks.things[0]
    run.learn(parse_variant("lr=1"), [task])
    run.learn(parse_variant("dtype=float32"), [task])
    assert [(one.base, one.device, one.dtype) for one in asked] == [
        ("emoji", "cpu", "bfloat16"),
        ("emoji", "cpu", "float32"),
    ]


def brief(make: Callable[..., Task]) -> Callable[..., Task]:
    """Makes tasks with a prompt of each kind."""

    def made(*args: Any, **options: Any) -> Task:
        task = make(*args, **options)
        return replace(
            task, prompts=list({prompt.kind: prompt for prompt in task.prompts}.values())
        )

    return made


@pytest.mark.parametrize(
    ("wrong", "why"),
    [("mask=alpha", "none of the .* transparency"), ("device=cuda:9", "no such device")],
)
def test_settings_that_cannot_work_are_told_before_anything_is_drawn(
    wrong: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(runner, "generate", lambda *_, **__: drawn.append(1))
    notes, compared = Notes(), ["kappa=0.1", wrong]
    with pytest.raises(SettingsError, match=f"^--compare {wrong}: .*{why}"):
        api.bench(compare=compared, concepts=2, out=tmp_path / "bench", progress=notes)
    assert not drawn
    told = "--compare kappa=0.1: --kappa 0.1 has no effect without --method directional"
    assert told in notes.lines


def test_a_folder_that_is_in_use_is_told_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "load", lambda *_: pytest.fail("it may take minutes"))
    with lock_folder(tmp_path), pytest.raises(RunFolderError, match="in use by another run"):
        api.bench(out=tmp_path)


@pytest.mark.slow
def test_a_bench_runs_goes_on_and_refuses_to_mix(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # takes long, and is tested elsewhere
    monkeypatch.setattr(importance, "densities", lambda _, words, *__: [()] * len(words))
    for make in ("thing_task", "_style_task"):  # fewer pictures
        monkeypatch.setattr(benchmark_tasks, make, brief(getattr(benchmark_tasks, make)))
    out = tmp_path / "bench"
    settings: dict[str, Any] = {
        "out": out, "concepts": 2, "pictures_each": 1, "sampler_steps": 1, "pack": 4, "base": base,
    }  # fmt: skip
    first = api.bench(compare=["steps=2", "steps=3"], **settings)
    assert first.relearned is None
    assert [row.name for row in first.things.rows] == ["steps=2", "steps=3"]
    assert len(first.things.rows[0].scores) == 2
    assert len(first.styles.rows[0].scores) == 2
    assert first.table.count("*true pictures in ") == 1
    assert first.table.count("| steps=3") == 4, "in two tables, and in their differences"
    saved = json.loads((out / "results.json").read_text())
    assert saved[0]["rows"][0]["scores"].keys() == first.things.start.keys()
    assert saved == json.loads(json.dumps([asdict(first.things), asdict(first.styles)]))
    grid = Image.open(out / "grid-things.png")
    assert grid.width > 600
    kept = (out / "steps-2" / "octopus" / "concept.safetensors").stat().st_mtime_ns
    variants = ["steps=2", "steps=2,toward=1"]
    second = api.bench(compare=variants, relearn=True, **settings | {"pack": 3})
    seconds = second.things.rows[0].seconds
    assert seconds
    assert second.things.rows[0].scores == first.things.rows[0].scores
    assert (out / "steps-2" / "octopus" / "concept.safetensors").stat().st_mtime_ns == kept
    assert second.things.rows[1].seconds == seconds, "its words are not learned again"
    assert (out / "steps-2-toward-1" / "octopus" / "marks-octopus.json").exists()
    assert second.relearned
    assert second.relearned.known == second.things.known
    assert second.relearned.start.keys() == second.relearned.known.keys()
    assert "learned again" in second.table
    shares = {}
    for log in (out / "steps-2").glob("*/log.jsonl"):
        _, *steps = map(json.loads, log.read_text().splitlines())
        shares[log.parent.name] = sum(step["seconds"] / step["words"] for step in steps)
    assert seconds == pytest.approx(sum(shares.values()) / len(shares))
    assert first.things.rows[0].seconds == pytest.approx(
        sum(shares[name] for name in [*first.things.start, *first.styles.start]) / 4
    ), "in other packs, no word takes longer"
    for changed in ({"pictures_each": 2}, {"dtype": "bfloat16"}, {"clip_skip": 2}):
        with pytest.raises(RunFolderError, match=f"with another .*{next(iter(changed))}"):
            api.bench(compare=["steps=2"], **settings | changed)
    monkeypatch.setattr(comparison, "version", lambda: "0.0.1")
    with pytest.raises(RunFolderError, match="with another version of pseudoword"):
        api.bench(compare=["steps=2"], **settings)
    with pytest.raises(SettingsError, match="twice"):
        api.bench(compare=["steps=2", "steps=2"], **settings)
