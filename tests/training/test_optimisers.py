"""Every optimiser of torch either trains a word and resumes exactly, or says that it cannot."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state

from pseudoword.config.optimiser_options import OptimiserOption
from pseudoword.errors import SettingsError
from pseudoword.methods.norms import aims
from pseudoword.models.family import Family
from pseudoword.runs import checkpoint
from pseudoword.training import loop, loss, optimisers
from pseudoword.training.batches import batch
from pseudoword.training.initialisation import begin
from pseudoword.training.state import TrainState
from pseudoword.training.step import take_step

NAMES = [
    name
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
]
CANNOT = {"LBFGS", "SparseAdam"}


class TwoPoints(torch.optim.SGD):
    """Like a schedule-free optimiser: it hands over another point than it steps from."""

    away = 0.25
    stepping = True

    def eval(self) -> None:
        self._move(stepping=False, by=self.away)

    def train(self) -> None:
        self._move(stepping=True, by=-self.away)

    def _move(self, stepping: bool, by: float) -> None:
        if stepping != self.stepping:
            for parameter in self.param_groups[0]["params"]:
                parameter.data += by
        self.stepping = stepping


def rows(m: TrainState) -> torch.Tensor:
    return m.method.word()["clip_l"].detach().clone()


def toy(name: str, *options: str, lr: float = 0.01) -> tuple[torch.nn.Parameter, Any]:
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    given = [OptimiserOption.parse(text) for text in options]
    return parameter, optimisers.make(name, given, [parameter], lr)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CANNOT])
def test_each_of_torch_s_moves_the_rows_and_resumes_exactly(name: str, tmp_path: Path) -> None:
    def steps(parameter: torch.nn.Parameter, optimiser: Any, moments: Iterator[int]) -> None:
        for i in moments:
            parameter.grad = torch.full_like(parameter, float(1 + i % 3))
            optimiser.step()

    whole, optimiser = toy(name)
    steps(whole, optimiser, iter(range(3)))
    torch.save([whole, optimiser.state_dict()], tmp_path / "state.pt")
    steps(whole, optimiser, iter(range(3, 6)))
    cut, resumed = toy(name)
    saved, state = torch.load(tmp_path / "state.pt", weights_only=True)
    cut.data.copy_(saved)
    resumed.load_state_dict(state)
    steps(cut, resumed, iter(range(3, 6)))
    assert torch.equal(whole, cut)
    assert not torch.equal(whole, torch.ones(2, 3))


@pytest.mark.parametrize("name", sorted(CANNOT))
def test_the_others_say_that_they_cannot(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} cannot learn a word"):
        toy(name)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("Adamw", [], "Adamw cannot be imported"),
        ("nowhere.Prodigy", [], "nowhere.Prodigy cannot be imported"),
        ("pathlib.Path", [], "not an optimiser"),
        ("AdamW", ["betas"], "write it as key=value"),
        ("AdamW", ["colour=red"], "does not know it. It takes betas"),
        ("AdamW", ["lr=1"], "lr is no option, it is --lr"),
        ("AdamW", ["eps=1", "eps=2"], "eps is given twice"),
        ("AdamW", ["differentiable=True"], "AdamW does not work"),
        ("AdamW", ["eps=" + "(" * 500], "AdamW does not work"),
        ("..AdamW", [], r"\.\.AdamW cannot be imported"),
        ("this\0.x", [], "cannot be imported"),
        ("AdamW", ["betas=(2, 2)"], "AdamW does not work.*beta"),
    ],
)
def test_a_wrong_one_is_explained(name: str, options: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        optimisers.check(name, [OptimiserOption.parse(text) for text in options])


def test_options_reach_it_and_weights_do_not_decay_unasked() -> None:
    assert toy("AdamW")[1].defaults["weight_decay"] == 0
    made = toy("torch.optim.AdamW", "betas=(0.5, 0.6)", "weight_decay=0.1", "amsgrad=True")[1]
    assert made.defaults["betas"] == (0.5, 0.6)
    assert made.defaults["weight_decay"] == 0.1
    assert made.defaults["amsgrad"] is True


def test_another_optimiser_learns_another_word(family: Family, pictures: Path) -> None:
    found = []
    for name in ("AdamW", "SGD", "test_optimisers.TwoPoints"):
        one = train_state(family, pictures, optimiser=name, lr=0.1)
        list(loop.train(family, [one]))
        found.append(one.word()["clip_l"])
    assert not torch.equal(found[0], found[1])
    torch.testing.assert_close(found[2], found[1] + TwoPoints.away)


@pytest.mark.parametrize(
    ("name", "lr"), [("prodigyopt.Prodigy", 1.0), ("schedulefree.AdamWScheduleFree", 0.01)]
)
def test_those_of_other_packages_train_and_resume_exactly(
    name: str, lr: float, family: Family, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip(name.partition(".")[0])
    whole, cut = (train_state(family, pictures, optimiser=name, lr=lr) for _ in range(2))
    start = rows(whole)
    for step in loop.train(family, [whole]):
        if step.step == 2:
            checkpoint.save(tmp_path, whole, {})
    checkpoint.load(tmp_path, cut, 2, {})
    list(loop.train(family, [cut]))
    assert torch.equal(whole.word()["clip_l"], cut.word()["clip_l"])
    assert not torch.equal(whole.word()["clip_l"], start)


def test_looking_at_a_schedule_free_word_does_not_move_it(family: Family, pictures: Path) -> None:
    settings: dict[str, Any] = {"optimiser": "test_optimisers.TwoPoints", "lr": 0.1}
    looked, unseen = (train_state(family, pictures, **settings) for _ in range(2))
    TwoPoints.away = 0.1  # cannot be undone exactly in floats
    for _ in loop.train(family, [looked]):
        for _ in range(3):
            looked.word()
    list(loop.train(family, [unseen]))
    assert torch.equal(rows(looked), rows(unseen))


@pytest.mark.parametrize("name", ["test_optimisers.TwoPoints", "schedulefree.AdamWScheduleFree"])
def test_a_schedule_free_word_is_as_long_as_it_is_to_be(
    name: str, family: Family, pictures: Path
) -> None:
    pytest.importorskip(name.partition(".")[0])
    one = train_state(family, pictures, optimiser=name, lr=0.1, norm="keep", steps=6)
    length = rows(one).norm()
    list(loop.train(family, [one]))
    torch.testing.assert_close(one.word()["clip_l"].norm(), length)


def test_the_schedule_is_what_the_optimiser_gets(family: Family, pictures: Path) -> None:
    one = train_state(family, pictures, optimiser="SGD", lr="0.5:2, 0.25", clip_norm=0)
    before = rows(one)
    for step in loop.train(family, [one]):
        (grad,) = [p.grad for p in one.method.parameters()]
        assert grad is not None
        rate = 0.5 if step.step <= 2 else 0.25
        assert step.metrics[0].lr == rate
        torch.testing.assert_close(rows(one), before - rate * grad)
        before = rows(one)


def test_values_are_clipped(family: Family, pictures: Path) -> None:
    found = []
    for limit in (0, 0.002):
        one = train_state(family, pictures, clip_norm=0, clip_value=limit)
        step = next(loop.train(family, [one]))
        (grad,) = [p.grad for p in one.method.parameters()]
        assert grad is not None
        found.append((grad, step.metrics[0].grad))
    (whole, norm), (cut, same) = found
    assert whole.abs().max() > 0.002
    assert torch.equal(cut, whole.clamp(-0.002, 0.002))
    assert norm == same == pytest.approx(float(whole.norm()))


@pytest.mark.parametrize("value", [0, 0.5])
@pytest.mark.parametrize("norm", [0.1, 1.0, 99.0])
def test_clipping_ends_with_the_bytes_of_torchs_own(norm: float, value: float) -> None:
    grads = [torch.randn(n, 8, generator=torch.Generator().manual_seed(n)) for n in (1, 3)]
    ours, torchs = ([torch.nn.Parameter(torch.zeros_like(g)) for g in grads] for _ in range(2))
    for grad, *both in zip(grads, ours, torchs, strict=True):
        for parameter in both:
            parameter.grad = grad.clone()
    before, _ = optimisers.clip(ours, norm, value, scale=1.0)
    assert float(before) == pytest.approx(float(torch.cat(grads).norm()))
    if value:
        torch.nn.utils.clip_grad_value_(torchs, value)
    torch.nn.utils.clip_grad_norm_(torchs, norm)
    for a, b in zip(ours, torchs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.equal(a.grad, b.grad)


def test_accumulated_batches_are_one_large_batch(family: Family, pictures: Path) -> None:
    large = train_state(family, pictures, batch=4)
    parts = train_state(family, pictures, batch=1, accumulate=4)
    reading = [take_step(family, [m])[0].loss for m in (large, parts)]
    (first,), (second,) = ([p.grad for p in m.method.parameters()] for m in (large, parts))
    assert first is not None
    assert reading[0] == pytest.approx(reading[1], rel=1e-4)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-4 * float(first.abs().max()))


def test_members_of_a_pack_may_take_different_numbers_of_batches(
    family: Family, pictures: Path
) -> None:
    def pack() -> list[TrainState]:
        return [train_state(family, pictures, f"<{n}>", accumulate=n) for n in (3, 1, 2)]

    together, alone = pack(), pack()
    list(loop.train(family, together))
    for packed, one in zip(together, alone, strict=True):
        list(loop.train(family, [one]))
        torch.testing.assert_close(rows(packed), rows(one), rtol=0, atol=0.02 * 2e-3)


def test_the_running_mean_equals_its_formula_and_survives_a_save(
    family: Family, pictures: Path, tmp_path: Path
) -> None:
    one = train_state(family, pictures, ema=0.15, steps=6)
    mean = rows(one)
    for step in loop.train(family, [one]):
        keep = min(0.15, step.step / (9 + step.step))
        mean = keep * mean + (1 - keep) * rows(one)
        torch.testing.assert_close(one.word()["clip_l"], mean)
        if step.step == 3:
            checkpoint.save(tmp_path, one, {})
    assert not torch.equal(mean, rows(one))
    again = train_state(family, pictures, ema=0.15, steps=6)
    checkpoint.load(tmp_path, again, 3, {})
    list(loop.train(family, [again]))
    assert torch.equal(again.word()["clip_l"], one.word()["clip_l"])


def test_the_norm_is_controlled_in_every_step(family: Family, pictures: Path) -> None:
    for kind in ("none", "rescale", "keep", "limit"):
        one = train_state(family, pictures, norm=kind, lr=0.1)
        aim = float(aims(one.word(), begin(family, {}).usual_norms, kind)["clip_l"])
        lengths = []
        for _ in loop.train(family, [one]):
            lengths.append(float(rows(one).norm()))
        if kind in ("rescale", "keep"):
            assert lengths == pytest.approx([aim] * 4)
        else:
            assert (max(lengths) > aim * 1.01) == (kind == "none")


def test_the_mean_of_rows_of_one_length_is_as_long_as_they(family: Family, pictures: Path) -> None:
    one = train_state(family, pictures, steps=6, lr=0.1, norm="keep", average=True)
    before = rows(one).clone()
    list(loop.train(family, [one]))
    mean = one.word()["clip_l"]
    assert torch.cosine_similarity(mean, before) < 0.99
    assert float(one.average["clip_l"].norm()) < 0.99 * float(before.norm())
    torch.testing.assert_close(mean.norm(), before.norm())


def test_noise_and_loss_settings_reach_the_samples(family: Family, pictures: Path) -> None:
    plain = batch(family, [train_state(family, pictures, batch=64).data], 0)
    for changed in (
        {"min_timestep": 900},
        {"max_timestep": 100},
        {"timestep_sampling": "logit-normal"},
    ):
        some = batch(family, [train_state(family, pictures, batch=64, **changed).data], 0)
        assert not torch.equal(some.t, plain.t)
        assert torch.equal(some.noise, plain.noise)
        assert some.t.min() >= changed.get("min_timestep", 0)  # type: ignore[operator]
        assert some.t.max() < changed.get("max_timestep", 1000)  # type: ignore[operator]
    offset = batch(family, [train_state(family, pictures, batch=64, noise_offset=0.5).data], 0)
    moved = offset.noise - plain.noise
    torch.testing.assert_close(moved, moved[:, :, :1, :1].expand_as(moved))
    assert moved[:, :, 0, 0].std().item() == pytest.approx(0.5, rel=0.15)


def test_weights_and_huber_change_a_member_s_own_loss_only(family: Family, pictures: Path) -> None:
    kinds: list[dict[str, Any]] = [{}, {"min_snr": 5}, {"loss": "huber"}]
    pack = [train_state(family, pictures, **kind) for kind in kinds]
    found = loss.losses(family, [asked(m) for m in pack], batch(family, [m.data for m in pack], 0))
    alone = [loss.losses(family, [asked(m)], batch(family, [m.data], 0)) for m in pack]
    torch.testing.assert_close(found, torch.cat(alone))
    assert len({round(value, 4) for value in found.tolist()}) == 3


def test_latents_drawn_once_stay(family: Family, pictures: Path) -> None:
    seen: dict[str, set[float]] = {}
    for kind in ("once", "random", "deterministic"):
        one = train_state(family, pictures, latent_sampling=kind, batch=4)
        seen[kind] = {
            round(float(latent[0, 0, 0]), 5)
            for step in range(5)
            for latent in batch(family, [one.data], step).latents
        }
    assert len(seen["once"]) == len(seen["deterministic"]) == 4
    assert len(seen["random"]) == 20
    assert not seen["once"] & seen["deterministic"]
