"""Timesteps that move a word are found, drawn more often, and remembered with the run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from support import Notes, train_state
from torch import Tensor

from pseudoword import train
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.runs import checkpoint
from pseudoword.runs.finish import Trained
from pseudoword.training import importance, loss
from pseudoword.training.batches import batch, fixed, timesteps
from pseudoword.training.state import TrainState
from pseudoword.training.step import LOSS_SCALE

pytestmark = pytest.mark.usefixtures("models_are_kept")


def deaf_below(family: Family, t_heard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no gradient through at timesteps below `t_heard`."""
    predict = type(family).predict

    def hearing(noisy: Tensor, t: Tensor, *rest: object) -> Tensor:
        found = predict(family, noisy, t, *rest)  # type: ignore[arg-type]
        return torch.where((t >= t_heard).view(-1, 1, 1, 1), found, found.detach())

    monkeypatch.setattr(family, "predict", hearing)


def density(family: Family, one: TrainState) -> tuple[float, ...]:
    (found,) = importance.densities(family, [(one.data, one.word())])
    return found


def test_what_moves_nothing_is_drawn_least(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_below(family, 500, monkeypatch)
    found = density(family, train_state(family, pictures, batch=4))
    assert len(found) == importance.PARTS
    assert found[:4] == (importance.LEAST,) * 4
    assert max(found) == 1
    assert min(found[5:]) > importance.LEAST


def test_it_is_measured_in_a_range_of_fewer_timesteps_than_parts(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_below(family, 998, monkeypatch)
    one = train_state(family, pictures, batch=4, min_timestep=996, max_timestep=1000)
    found = density(family, one)
    each = timesteps(family, replace(one.data, density=found)).weight(torch.arange(996, 1000))
    assert each[0] == each[1] > 2 * max(each[2:])  # those that move nothing are drawn least


def test_a_sample_whose_gradient_overflows_in_float16_counts_as_the_others(
    tiny_base: Callable[[str], Path], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, found = base_model.load_named(str(tiny_base("sana")), "cpu", "float16"), []
    for scale in (1.0, 2.0**30):  # the second is too large for any gradient
        monkeypatch.setitem(LOSS_SCALE, torch.float16, scale)
        one = train_state(family, pictures, batch=4)
        found += importance.densities(family, [(one.data, one.word())])
    assert found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_it_is_in_proportion_to_the_gradients_of_single_samples(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference takes one sample at a time."""
    monkeypatch.setattr(importance, "PARTS", 3)  # all are neighbours of the middle one
    one = train_state(family, pictures, batch=4)
    sizes: list[list[float]] = [[], [], []]
    for some in fixed(family, one.data, 3 * importance.EACH):
        for i in range(len(some.t)):
            word = {key: rows.requires_grad_() for key, rows in one.word().items()}
            alone = loss.Batch(
                [some.prompts[i]],
                others={},
                **{name: tensor[i : i + 1] for name, tensor in some.tensors.items()},
            )
            loss.losses(family, [word], alone).sum().backward()
            part = int(some.t[i]) * 3 // family.noise_schedule.timesteps
            (gradient,) = (rows.grad for rows in word.values())
            assert gradient is not None
            sizes[part].append(float(gradient.square().sum()))
    a, b, c = ((sum(each) / len(each)) ** 0.5 for each in sizes)
    smooth = [(a + b) / 2, (a + b + c) / 3, (b + c) / 2]
    expected = [max(size / max(smooth), importance.LEAST) for size in smooth]
    assert density(family, one) == pytest.approx(expected, abs=0.002)


def test_a_word_without_gradients_draws_all_alike(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_below(family, 1000, monkeypatch)
    assert density(family, train_state(family, pictures)) == ()


def test_a_member_s_batches_and_its_evaluation_keep_to_its_density(
    family: Family, pictures: Path
) -> None:
    one = train_state(family, pictures, batch=8, timestep_sampling="importance")
    data = replace(one.data, density=(0.1, 1.0))
    drawn = [batch(family, [data], step) for step in range(25)]
    t = torch.cat([some.t for some in drawn])
    assert (t < 500).float().mean().item() == pytest.approx(0.1 / 1.1, abs=0.02)
    weight = torch.cat([some.weight for some in drawn])
    assert weight[t < 500].eq(5.5).all()
    assert weight[t >= 500].allclose(torch.tensor(0.55))
    even = fixed(family, data, 40)
    t, weight = (torch.cat([getattr(some, name) for some in even]) for name in ("t", "weight"))
    assert (t < 500).sum() == 4
    assert weight[t < 500].eq(5.5).all()


def test_a_short_run_does_not_measure_and_goes_on_without_when_it_is_extended(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(importance, "densities")  # not to be measured
    notes = Notes()
    for extend in (0, 10):  # 16 and 96 samples; 40 would be measured
        done = train(
            pictures, "<cat>", base=str(base), init="cat", batch=8, preview=(), steps=2,
            out=tmp_path / "run", progress=notes, extend=extend,
        )  # fmt: skip
    assert json.loads((done.folder / "chosen.json").read_text())["density"] == []
    assert done.concept.provenance["steps"] == "12"
    assert sum("timesteps are sampled evenly" in note for note in notes.lines) == 1


def test_a_short_run_that_did_measure_goes_on_with_what_it_measured(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions before measured in runs of any length."""

    def learn(out: str, steps: int) -> Trained:
        return train(
            pictures, "<cat>", base=str(base), init="cat", batch=8, preview=(), steps=steps,
            allow_changes=True, out=tmp_path / out,
        )  # fmt: skip

    with monkeypatch.context() as patch:
        patch.setattr(importance, "is_worth_it", lambda _hyper: True)
        whole = learn("whole", 4)
        learn("cut", 2)
    cut = learn("cut", 4)
    assert len(json.loads((cut.folder / "chosen.json").read_text())["density"]) == importance.PARTS
    assert torch.equal(cut.concept.vectors["clip_l"], whole.concept.vectors["clip_l"])


def test_a_run_remembers_it_and_goes_on_with_it(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(out: str, spread: Literal["uniform", "importance"]) -> Trained:
        return train(
            pictures, "<cat>", base=str(base), init="cat", batch=8, preview=(), steps=10,
            checkpoint_every=5, timestep_sampling=spread, out=tmp_path / out,
        )  # fmt: skip

    whole = learn("whole", "importance")
    save = checkpoint.save

    def save_and_die(*args: Any) -> None:
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            learn("cut", "importance")
    with monkeypatch.context() as patch:
        patch.delattr(importance, "densities")  # not to be measured again
        cut = learn("cut", "importance")
    one, other = ((run.folder / "concept.safetensors").read_bytes() for run in (whole, cut))
    assert one == other
    chosen = json.loads((cut.folder / "chosen.json").read_text())
    assert len(chosen["density"]) == importance.PARTS
    uniform = learn("uniform", "uniform")
    assert not (uniform.folder / "chosen.json").exists()
    assert not torch.equal(uniform.concept.vectors["clip_l"], whole.concept.vectors["clip_l"])
