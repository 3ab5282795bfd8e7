"""The evaluation, and what is decided by it: when to stop, which word is best, which rate."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import asked, train_state

from pseudoword import formats
from pseudoword.api import train, train_pack
from pseudoword.config import TrainConfig
from pseudoword.data import picture_files
from pseudoword.errors import SettingsError
from pseudoword.models.family import Condition, Family
from pseudoword.runs import checkpoint
from pseudoword.runs.finish import Trained
from pseudoword.training import early_stopping, learning_rate_finder, loop, loss
from pseudoword.training.batches import batch, fixed
from pseudoword.training.early_stopping import EvaluationHistory, EvaluationLoss
from pseudoword.training.initialisation import begin
from pseudoword.training.learning_rate_finder import choose_rate, find_learning_rate

pytestmark = pytest.mark.usefixtures("models_are_kept")


def evaluations(losses: list[float], held_out: list[float] | None = None) -> EvaluationHistory:
    made = EvaluationHistory()
    for i, value in enumerate(losses):
        one = EvaluationLoss(i * 10, value, held_out[i] if held_out else None)
        made.add(one, {"clip_l": torch.tensor([[float(i)]])})
    return made


def test_the_samples_are_fixed_even_and_not_those_of_training(
    family: Family, pictures: Path
) -> None:
    one = train_state(family, pictures, batch=4)
    first, again = fixed(family, one.data, 8), fixed(family, one.data, 8)
    assert [len(part.t) for part in first] == [4, 4]
    for part, same in zip(first, again, strict=True):
        assert torch.equal(part.noise, same.noise)
        assert torch.equal(part.latents, same.latents)
        assert part.prompts == same.prompts
    t = torch.cat([part.t for part in first])
    assert t.sort().values.tolist() == [62, 187, 312, 437, 562, 687, 812, 937]
    for step in range(3):
        assert not torch.equal(batch(family, [one.data], step).noise, first[0].noise)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_pictures_of_all_shapes_are_among_them(size: int, family: Family, tmp_path: Path) -> None:
    """Each as often as pictures have it, whatever the size of a step."""
    for number, side in enumerate(((64, 32), (32, 64), (32, 32), (32, 32))):
        Image.effect_noise(side, 80).save(tmp_path / f"{number}.png")
    settings = {"crop": "buckets"}
    one = train_state(family, tmp_path, batch=size, picture_settings=settings)
    parts = fixed(family, one.data, 8)
    assert sum(len(part.t) for part in parts) == 8
    of_shape = {part.latents.shape[2:]: 0 for part in parts}
    for part in parts:
        of_shape[part.latents.shape[2:]] += len(part.t)
    assert sorted(of_shape.values()) == [2, 2, 4]
    many = replace(one.data, pictures=[*one.data.pictures] * 5)
    assert len({part.latents.shape for part in fixed(family, many, 8)}) > 1


def test_the_samples_do_not_depend_on_the_seed(family: Family, pictures: Path) -> None:
    one, other = (train_state(family, pictures, batch=4, seed=seed) for seed in (0, 1))
    assert torch.equal(fixed(family, one.data, 4)[0].noise, fixed(family, other.data, 4)[0].noise)
    assert not torch.equal(batch(family, [one.data], 0).noise, batch(family, [other.data], 0).noise)


def test_it_measures_the_mean_loss_of_the_word(family: Family, pictures: Path) -> None:
    one = train_state(family, pictures, batch=4)
    parts = fixed(family, one.data, 6)  # two whole batches
    (found,) = early_stopping.evaluation_losses(family, [(one.word(), parts)])
    with torch.no_grad():
        each = [loss.losses(family, [asked(one)], part).item() for part in parts]
    assert found == pytest.approx(sum(each) / 2)


def test_the_best_word_is_kept() -> None:
    made = evaluations([0.5, 0.3, 0.4, 0.3])
    assert made.best_step == 10
    assert made.best["clip_l"].item() == 1
    overflowed = evaluations([0.5, math.nan, 0.4, math.nan, 0.3])
    assert overflowed.best_step == 40
    by_held_out = evaluations([0.5, 0.3, 0.2], [0.6, 0.4, 0.5])
    assert by_held_out.best_step == 10


def test_settled_means_that_the_last_ones_have_gained_next_to_nothing() -> None:
    falling = [0.5, 0.47, 0.44, 0.41, 0.38, 0.35, 0.33, 0.31, 0.30]
    assert evaluations(falling).plateau(3) is None
    flat = evaluations([*falling, 0.2999, 0.301, 0.2998])
    reason = flat.plateau(3)
    assert reason is not None
    assert "0.3100 by step 70, 0.2998 since" in reason
    rising = evaluations([0.5 + 0.01 * k for k in range(9)])
    assert rising.plateau(3) is not None
    overflowed = evaluations([math.nan] * 7 + [0.5, 0.3])
    assert overflowed.plateau(2) is None


def test_a_run_is_not_judged_by_its_first_steps() -> None:
    flat = [0.5, 0.3, *[0.2999] * 7]
    assert evaluations(flat).plateau(2) is not None
    assert evaluations(flat[:-1]).plateau(2) is None


def test_much_gained_at_first_does_not_hide_what_is_still_gained() -> None:
    still_falling = [0.6, 0.36, 0.35, 0.34, 0.33, 0.32, 0.31, 0.3, 0.29]
    assert evaluations(still_falling).plateau(3) is None
    assert evaluations([*still_falling, 0.2899, 0.2898]).plateau(3) is not None


def test_a_short_run_is_judged_by_its_pace() -> None:
    slowed = [10 - 0.1 * k for k in range(7)]
    assert evaluations([*slowed, 9.38, 9.36, 9.34]).plateau(3) is not None  # a fifth of the pace
    assert evaluations([*slowed, 9.34, 9.28, 9.22]).plateau(3) is None  # more than half


def test_a_run_that_learns_slowly_is_given_time() -> None:
    slow = [10 + math.exp(-k / 20) for k in range(80)]  # each two gain less than a tenth from 10 on
    ends = [n for n in range(3, 80) if evaluations(slow[:n]).plateau(2)]
    assert 0.85 <= 1 - math.exp(-min(ends) / 20) <= 0.95  # of all there is to gain


def test_a_run_that_has_settled_goes_on_until_its_word_can_have_moved(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluationHistory, "plateau", lambda _history, _patience: "it has settled")
    done = train(
        pictures, "<x>", base=base, out=tmp_path / "run", init="cat", lr="300%", batch=1,
        evaluate_every=1, preview="none", timestep_sampling="uniform",
    )  # fmt: skip
    assert done.stopped is not None  # 3 steps are a way of 9
    (*_, last) = (done.folder / "log.jsonl").read_text().splitlines()
    assert json.loads(last)["step"] == 4


def test_overfitting_is_told_when_only_the_held_out_pictures_get_worse() -> None:
    falling = [0.5, 0.4, 0.3, 0.2]
    assert evaluations(falling).overfitting() is None
    assert evaluations(falling, [0.5, 0.4, 0.4, 0.401]).overfitting() is None
    warning = evaluations(falling, [0.5, 0.4, 0.4, 0.45]).overfitting()
    assert warning is not None
    assert "since step 10" in warning
    both_worse = evaluations([0.5, 0.4, 0.45], [0.5, 0.4, 0.45])
    assert both_worse.overfitting() is None


def test_a_range_test_finds_a_rate_and_leaves_the_run_alone(family: Family, pictures: Path) -> None:
    plain, probed = (train_state(family, pictures, batch=8) for _ in range(2))
    start = begin(family, probed.word())
    found = find_learning_rate(family, probed.data, start, lambda _done, _all: None)
    rates = [rate for rate, _ in found.curve]
    assert rates == sorted(rates)
    assert 1e-5 < found.rate < 0.1
    for one in (plain, probed):
        list(loop.train(family, [one]))
    assert torch.equal(plain.word()["clip_l"], probed.word()["clip_l"])


@pytest.mark.usefixtures("short_range_test")
def test_a_range_test_reads_the_word_where_a_caption_names_it(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture_files.find([pictures])[0]).with_suffix(".txt").write_text("my <cat> on red")
    one = train_state(family, pictures, batch=8, templates=["a [name], [filewords]"])
    read: set[str] = set()
    encode = family.encode_text

    def note_and_encode(texts: Any, words: Any) -> Condition:
        read.update(texts)
        return encode(texts, words)

    monkeypatch.setattr(family, "encode_text", note_and_encode)
    find_learning_rate(family, one.data, begin(family, one.word()), lambda _done, _all: None)
    assert any("on red" in text for text in read)
    assert not any("<cat>" in text for text in read)


@pytest.mark.usefixtures("short_range_test")
def test_a_range_test_is_as_short_for_a_run_that_is_extended(
    family: Family, pictures: Path
) -> None:
    one = train_state(family, pictures, batch=8, steps=4, extend=300)
    done: list[int] = []
    start = begin(family, one.word())
    find_learning_rate(family, one.data, start, lambda step, _all: done.append(step))
    assert done[-1] <= learning_rate_finder.STEPS


def test_the_rate_is_a_third_of_where_most_was_gained() -> None:
    curve = [(0.001, 0.9), (0.003, 0.5), (0.018, 0.12), (0.03, 0.1), (0.09, 2.0)]
    assert choose_rate(1.0, curve, usual=0.02) == 0.006


def test_the_rate_is_no_other_than_fits_the_vocabulary(family: Family) -> None:
    early = [(0.0003, 0.1), (0.03, 0.09)]
    late = [(0.0003, 0.9), (0.03, 0.5), (0.09, 0.1)]
    assert choose_rate(1.0, early, usual=0.02) == 0.006
    assert choose_rate(1.0, late, usual=0.02) == 0.01
    assert choose_rate(0.05, late, usual=0.02) == 0.006  # nothing was gained
    norms_of_rows = family.encoders["clip_l"].table.norm(dim=-1)
    width = family.encoders["clip_l"].width
    assert begin(family, {"clip_l": torch.zeros(1, width)}).usual_number == pytest.approx(
        float(norms_of_rows.median()) / width**0.5, rel=1e-6
    )


def learn(base: Path, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {"init": "cat", "batch": 8, "preview": (), "checkpoint_every": 5}
    options |= {"evaluate_every": 5, "steps": 12, "patience": 1}
    return train(pictures, "<cat>", base=str(base), out=out, **(options | settings))


def entries(run: Trained) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("short_range_test")
def test_auto_stops_says_why_and_hands_over_the_best(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    done = learn(base, pictures, tmp_path / "a", steps="auto", lr="auto", vectors="auto")
    assert done.stopped is not None
    assert "settled" in done.stopped
    found = {e["step"]: e["evaluation"] for e in entries(done) if "evaluation" in e}
    best = min((step for step in found if step), key=lambda step: found[step])
    assert done.concept.provenance["steps"] == str(int(best))
    assert max(found) < 2000
    chosen = json.loads((done.folder / "chosen.json").read_text())
    assert done.concept.provenance["lr"] == chosen["lr"]
    assert entries(done)[1]["lr"] == float(chosen["lr"])
    assert Image.open(done.folder / "rate.png").width > 400
    kept = formats.read(done.folder / "best.safetensors")
    assert torch.equal(kept.vectors["clip_l"], done.concept.vectors["clip_l"])
    limited = learn(base, pictures, tmp_path / "b", steps="auto", max_steps=7, patience=9)
    assert limited.stopped is None
    assert [e["step"] for e in entries(limited) if "evaluation" in e] == [0, 5, 7]


def test_a_mean_with_weights_that_grow_is_handed_over(family: Family, pictures: Path) -> None:
    one = train_state(family, pictures, steps=6, average=True)
    rows = []
    for _ in loop.train(family, [one]):
        rows.append(one.method.word()["clip_l"].detach().clone())
    # polynomial-decay averaging of degree 3
    weights = torch.tensor([k * (k + 1) * (k + 2) for k in range(1, 7)], dtype=torch.float32)
    mean = torch.einsum("k,knw->nw", weights / weights.sum(), torch.stack(rows))
    assert torch.allclose(one.word()["clip_l"], mean, atol=1e-6)
    assert not torch.allclose(one.word()["clip_l"], rows[-1], atol=1e-4)


@pytest.mark.usefixtures("short_range_test")
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_auto_resumes_exactly(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    settings: dict[str, Any] = {"steps": "auto", "lr": "auto", "ema": ema, "max_steps": 8}
    settings |= {"patience": 3, "evaluate_every": 2, "checkpoint_every": 2}
    whole = learn(base, pictures, tmp_path / "whole", **settings)
    save, saves = checkpoint.save, 0

    def save_then_die(*args: Any) -> None:
        nonlocal saves
        save(*args)
        saves += 1
        if saves == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(KeyboardInterrupt):
            learn(base, pictures, tmp_path / "cut", **settings)
    cut = learn(base, pictures, tmp_path / "cut", **settings)
    assert whole.stopped == cut.stopped
    one, other = ((run.folder / "concept.safetensors").read_bytes() for run in (whole, cut))
    assert one == other


def test_held_out_pictures_are_not_learned_from(base: Path, pictures: Path, tmp_path: Path) -> None:
    for i, path in enumerate(picture_files.find([pictures])):
        for copy in range(2):
            Image.open(path).rotate(copy * 90).save(pictures / f"more-{i}-{copy}.png")
    done = learn(base, pictures, tmp_path / "auto", steps=2)  # 12 pictures
    assert done.concept.provenance["pictures"] == "10"
    assert all("held_out" in e for e in entries(done) if "evaluation" in e)
    assert (
        learn(base, pictures, tmp_path / "none", held_out=0, steps=2).concept.provenance["pictures"]
        == "12"
    )
    seeded = learn(base, pictures, tmp_path / "seed", seed=7, steps=2)
    assert entries(seeded)[0]["held_out"] == entries(done)[0]["held_out"]  # the same pictures
    with pytest.raises(SettingsError, match="--held-out 12 leaves none of 12"):
        learn(base, pictures, tmp_path / "all", held_out=12)


def test_evaluating_does_not_change_what_is_learned(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    with_it = learn(base, pictures, tmp_path / "a", steps=6)
    without = learn(base, pictures, tmp_path / "b", evaluate_every=0, steps=6)
    assert [e["step"] for e in entries(with_it) if "evaluation" in e] == [0, 5, 6]
    assert torch.equal(with_it.concept.vectors["clip_l"], without.concept.vectors["clip_l"])
    assert not any("evaluation" in entry for entry in entries(without))
    assert not (without.folder / "best.safetensors").exists()


def test_in_a_pack_each_concept_stops_by_itself(base: Path, pictures: Path, tmp_path: Path) -> None:
    def config(token: str, **more: Any) -> TrainConfig:
        shared: dict[str, Any] = {"pictures": [pictures], "base": str(base), "init": "cat"}
        shared |= {"batch": 4, "preview": (), "evaluate_every": 3, "out": tmp_path / token}
        return TrainConfig.check(token=token, **shared, **more)

    first, second = train_pack([config("<a>", steps="auto", patience=1), config("<b>", steps=60)])
    assert first.stopped is not None
    assert second.stopped is None
    assert max(e["step"] for e in entries(first)) < 60
    assert max(e["step"] for e in entries(second)) == 60


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": "auto", "evaluate_every": 0}, "Give --evaluate-every"),
        ({"steps": "auto", "schedule": "cosine"}, "does not go with --steps auto"),
        ({"steps": "auto", "extend": 5}, "--extend needs a number"),
        ({"steps": 9, "extend": 5, "schedule": "linear"}, "does not go with --extend"),
        ({"steps": "some"}, "--steps"),
        ({"vectors": "many"}, "--vectors"),
        ({"held_out": "few"}, "--held-out"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        TrainConfig.check(pictures=["p"], token="<cat>", **settings)


def test_percentages_are_of_the_vocabulary_s_usual_number(
    base: Path, family: Family, pictures: Path, tmp_path: Path
) -> None:
    done = learn(base, pictures, tmp_path / "x", steps=3, lr="50%:2, 25%")
    usual = begin(family, {"clip_l": torch.zeros(1, 32)}).usual_number
    rates = [entry["lr"] for entry in entries(done) if entry["step"]]
    assert rates == pytest.approx([usual / 2, usual / 2, usual / 4], rel=0.01)
    assert done.concept.provenance["lr"].split(":")[0] == f"{usual / 2:.3g}"
