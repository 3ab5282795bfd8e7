import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import Notes, Snapshot, asked, train_state

from pseudoword.models import base_model
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Condition, Family, MicroConditioning
from pseudoword.training import loop, loss, nested_rows
from pseudoword.training.batches import batch, batches
from pseudoword.training.early_stopping import evaluation_losses
from pseudoword.training.state import TrainState
from pseudoword.training.step import LOSS_SCALE, take_step


def rows(m: TrainState) -> torch.Tensor:
    """All rows of a member, end to end."""
    return torch.cat([found.detach().flatten() for found in m.method.word().values()])


def taken_by(words: Sequence[TrainState], family: Family, size: int, **more: Any) -> list[str]:
    """Train `words`, at most `size` at once; the names of those that took each step."""
    steps, taken = loop.Loop(family, size, **more), []
    while unfinished := [one for one in words if one.unfinished]:
        metrics = steps.step(unfinished).metrics
        taken.append("".join(one.state.data.token.strip("<>") for one in metrics))
    return taken


def grad(m: TrainState) -> torch.Tensor:
    found = m.method.parameters()[0].grad
    assert found is not None
    return found


def test_only_the_new_rows_are_parameters(family: StableDiffusion, pictures: Path) -> None:
    frozen = [family.denoiser, family.encoders["clip_l"].model]
    before = [Snapshot(module) for module in frozen]
    one = train_state(family, pictures)
    start = rows(one).clone()
    list(loop.train(family, [one]))
    assert all(b.same(m) for b, m in zip(before, frozen, strict=True))
    assert not any(p.requires_grad or p.grad is not None for m in frozen for p in m.parameters())
    assert not torch.equal(rows(one), start)
    assert rows(one).dtype == torch.float32


def test_a_gradient_that_overflows_in_float16_is_computed_with_a_smaller_scale(
    tiny_base: Callable[[str], Path], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, found = base_model.load_named(str(tiny_base("sana")), "cpu", "float16"), []
    for scale in (1.0, 2.0**30):  # the second is too large for any gradient
        monkeypatch.setitem(LOSS_SCALE, torch.float16, scale)
        pack = [train_state(family, pictures, token, batch=4) for token in ("<a>", "<b>")]
        found.append([one.grad for one in take_step(family, pack)])
    assert found[1] == pytest.approx(found[0], rel=0.01)


def test_the_loss_on_fixed_samples_falls(any_family: Family, pictures: Path) -> None:
    family = any_family
    one = train_state(family, pictures, steps=15, batch=2, lr=0.05)
    samples = [batch(family, [one.data], 1000 + i) for i in range(8)]
    before = evaluation_losses(family, [(one.word(), samples)])
    list(loop.train(family, [one]))
    assert evaluation_losses(family, [(one.word(), samples)]) < before


def test_a_pack_gives_what_training_alone_gives(any_family: Family, pictures: Path) -> None:
    """Equal up to float rounding: a batch of another size adds in another order.

    With float32 sums of a few thousand terms that is some 1e-6 of a gradient; Adam divides a
    gradient by its own size, so where one is near zero a row's element can move apart by a small
    part of the rate. Hence 2 % of one step's rate, after four steps, for elements that moved by up
    to four times the rate.
    """
    family = any_family
    settings = [("<cat>", "cat", 1, 4), ("<dog>", "red dog", 2, 4), ("<toy>", "toy", 1, 3)]

    def pack() -> list[TrainState]:
        return [
            train_state(family, pictures, token, init=init, vectors=n, steps=steps)
            for token, init, n, steps in settings
        ]

    together, alone = pack(), pack()
    starts = [rows(m).clone() for m in together]
    list(loop.train(family, together))
    for one in alone:
        list(loop.train(family, [one]))
    for start, packed, solo in zip(starts, together, alone, strict=True):
        assert packed.step == solo.step
        assert (rows(solo) - start).abs().max() > 0.004
        torch.testing.assert_close(rows(packed), rows(solo), rtol=0, atol=0.02 * 2e-3)


def test_a_concept_enters_when_another_has_left(family: StableDiffusion, pictures: Path) -> None:
    lengths = {"<a>": 5, "<b>": 2, "<c>": 4, "<d>": 1}

    def states() -> dict[str, TrainState]:
        return {
            token: train_state(family, pictures, token, steps=steps)
            for token, steps in lengths.items()
        }

    together, alone = states(), states()
    seen = taken_by([*together.values()], family, 2)
    assert seen == ["ab", "ab", "ac", "ac", "ac", "cd"]
    for token, solo in alone.items():
        list(loop.train(family, [solo]))
        assert together[token].step == lengths[token]
        torch.testing.assert_close(rows(together[token]), rows(solo), rtol=0, atol=0.02 * 2e-3)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_pack_without_room_goes_on_with_half(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tokens = ("<a>", "<b>", "<c>")
    whole, cut = ([train_state(family, pictures, t, steps=2) for t in tokens] for _ in range(2))
    list(loop.train(family, whole))

    def crowded(family: Family, states: Sequence[TrainState]) -> Any:
        if len(states) > 1:
            raise error
        return take_step(family, states)

    monkeypatch.setattr(loop, "take_step", crowded)
    notes = Notes()
    assert taken_by(cut, family, 3, note=notes.note) == ["a", "a", "b", "b", "c", "c"]
    assert notes.lines == ["out of memory with 3 words at once; going on with 1"]
    for one, other in zip(cut, whole, strict=True):
        torch.testing.assert_close(rows(one), rows(other), rtol=0, atol=0.02 * 2e-3)


def test_a_pack_is_whole_again_when_memory_has_room_again(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)

    def crowded(family: Family, states: Sequence[TrainState]) -> Any:
        if next(calls) in (1, 4) and len(states) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return take_step(family, states)

    monkeypatch.setattr(loop, "take_step", crowded)
    monkeypatch.setattr(loop, "PATIENCE", 2)
    words = [train_state(family, pictures, token, steps=9) for token in ("<a>", "<b>")]
    together = [len(one) for one in taken_by(words, family, 2)]
    assert together == [1, 1] + 4 * [1] + 3 * [2] + 6 * [1]


def test_one_concept_without_room_is_an_error(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_family: Family, _states: Sequence[TrainState]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "take_step", full)
    with pytest.raises(torch.OutOfMemoryError):
        list(loop.train(family, [train_state(family, pictures, steps=2)]))


def test_a_member_s_gradient_does_not_depend_on_its_neighbours(
    family: StableDiffusion, pictures: Path
) -> None:
    one, other = (
        train_state(family, pictures, "<a>"),
        train_state(family, pictures, "<b>", init="dog"),
    )
    loss.losses(family, [asked(one)], batch(family, [one.data], 0)).sum().backward()
    alone = grad(one).clone()
    for m in (one, other):
        m.optimiser.zero_grad()
    pair = [one, other]
    loss.losses(
        family, [asked(m) for m in pair], batch(family, [m.data for m in pair], 0)
    ).sum().backward()
    largest = float(alone.abs().max())
    torch.testing.assert_close(grad(one), alone, rtol=0, atol=1e-4 * largest)


class Poisoned(StableDiffusion):
    """A model whose prediction stops being finite, or stops listening to the text, at a step."""

    at = 3
    calls = 0
    deaf = False
    victims = slice(None)

    def predict(
        self,
        noisy: torch.Tensor,
        t: torch.Tensor,
        condition: Condition,
        micro_conditioning: MicroConditioning,
    ) -> torch.Tensor:
        self.calls += 1
        if self.deaf:
            condition = Condition(condition.hidden * 0)
        predicted = super().predict(noisy, t, condition, micro_conditioning)
        if not self.deaf and self.calls > self.at:
            predicted = predicted.clone()
            predicted[self.victims] *= float("nan")
        return predicted


def poisoned(family: StableDiffusion) -> Poisoned:
    made = Poisoned(family.source, family.placement)
    made.calls = 0  # but for that of the check of its parts
    return made


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_word(
    family: StableDiffusion, pictures: Path
) -> None:
    bad, one = poisoned(family), train_state(family, pictures, steps=9)
    twin = train_state(family, pictures, steps=9)
    steps = list(loop.train(bad, [one]))
    assert len(steps) == one.step == 3
    assert one.failure is not None
    assert "loss became nan in step 4; the word of step 2 is kept" in one.failure
    after_two = []
    for step in loop.train(family, [twin]):
        after_two.append(rows(twin).clone())
        if step.step == 3:
            break
    assert torch.equal(one.good["clip_l"].flatten(), after_two[1])
    assert torch.isfinite(rows(one)).all()


def test_one_failing_member_does_not_stop_the_others(
    family: StableDiffusion, pictures: Path
) -> None:
    bad = poisoned(family)
    bad.victims = slice(0, 2)
    first, second = (
        train_state(family, pictures, "<a>", steps=5),
        train_state(family, pictures, "<b>"),
    )
    bad.at = 2
    for step in loop.train(bad, [first, second]):
        if step.step == 3:
            bad.at = 10**9
    assert first.failure is not None
    assert second.failure is None
    assert second.step == 4
    assert torch.isfinite(rows(second)).all()


def test_a_word_that_gets_no_gradient_is_told_before_the_first_step(
    family: StableDiffusion, pictures: Path
) -> None:
    bad, one = poisoned(family), train_state(family, pictures)
    bad.deaf = True
    start = rows(one).clone()
    assert list(loop.train(bad, [one])) == []
    assert one.failure is not None
    assert "no gradient reaches the word" in one.failure
    assert torch.equal(rows(one), start)


def test_a_run_may_begin_with_a_step_without_weight(
    tiny_base: Callable[[str], Path], pictures: Path
) -> None:
    """With min-SNR, a sample of pure noise has no weight, so its step has no gradient."""
    family = base_model.load_named(str(tiny_base("sd3")), "cpu")
    one = train_state(family, pictures, min_snr=5, batch=1, min_timestep=998, steps=12)
    weights = [float(batch(family, [one.data], step).weight) for step in range(12)]
    one.step = weights.index(0.0)  # as if it were resumed there
    (metrics,) = take_step(family, [one])
    assert metrics.loss == metrics.grad == 0
    assert one.failure is None
    assert not one.reached, "a later step may still tell"
    list(loop.train(family, [one]))
    assert one.reached


def test_an_optimiser_that_fails_stops_its_own_word_only(
    family: StableDiffusion, pictures: Path
) -> None:
    bad = train_state(family, pictures, "<a>", lr=1e39)  # beyond what float32 holds
    start, other = rows(bad).clone(), train_state(family, pictures, "<b>")
    list(loop.train(family, [bad, other]))
    assert bad.failure is not None
    assert "<a>: the optimiser fails in step 1 (" in bad.failure
    assert "the word of step 0 is kept" in bad.failure
    assert torch.equal(bad.good["clip_l"].flatten(), start)
    assert (other.failure, other.step) == (None, 4)


def test_where_an_optimiser_without_memory_runs_out_of_it_that_is_no_failure_of_the_word(
    family: StableDiffusion, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = train_state(family, pictures)

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(one.optimiser, "step", full)
    with pytest.raises(torch.OutOfMemoryError):
        list(loop.train(family, [one]))
    assert one.failure is None


def test_rows_that_are_no_numbers_stop_a_word_though_its_prompts_do_not_have_them(
    family: StableDiffusion, pictures: Path
) -> None:
    """Adam without eps divides zero by zero where a row had no gradient."""
    settings: dict[str, Any] = {"optimiser": "Adam", "optimiser_option": ("eps=0.0",)}
    settings |= {"nested": 0.9, "seed": 3}
    one = train_state(family, pictures, vectors=3, **settings)
    lengths = [len(nested_rows.rows(replace(one, step=step))["clip_l"]) for step in (0, 1)]
    assert max(lengths) < 3, "the last row is in no prompt"
    list(loop.train(family, [one]))
    assert one.failure is not None
    assert "the norm of its vectors became nan in step 2; the word of step 0 is kept" in one.failure
    assert torch.isfinite(one.good["clip_l"]).all()


def test_gradients_are_clipped_per_concept(family: StableDiffusion, pictures: Path) -> None:
    pack = [
        train_state(family, pictures, "<a>", clip_norm=1e-4),
        train_state(family, pictures, "<b>"),
    ]
    step = next(loop.train(family, pack))
    norms = [float(grad(m).norm()) for m in pack]
    assert step.metrics[0].grad > 1e-4
    assert norms[0] == pytest.approx(1e-4, rel=1e-3)
    assert norms[1] == pytest.approx(step.metrics[1].grad)


def test_float16_s_gradient_is_that_of_float32(base: Path, pictures: Path) -> None:
    """The loss is scaled on its way through half precision, and the clipping sees it unscaled."""
    found = []
    for dtype in ("float32", "float16"):
        family = base_model.load_named(str(base), "cpu", dtype)
        one = train_state(family, pictures)
        (step,) = list(itertools.islice(loop.train(family, [one]), 1))
        found.append((grad(one).clone(), step.metrics[0].grad))
    (exact, norm), (half, half_norm) = found
    assert half_norm == pytest.approx(norm, rel=0.05)
    assert torch.nn.functional.cosine_similarity(exact, half).item() > 0.99


def test_steps_report_what_happened(family: StableDiffusion, pictures: Path) -> None:
    one = train_state(family, pictures)
    begun_with, steps = [], []
    steps_of = loop.train(family, [one])
    for _ in range(4):
        begun_with.append(float(rows(one).norm()))
        steps.append(next(steps_of))
    assert [s.step for s in steps] == [1, 2, 3, 4]
    assert [s.metrics[0].norm for s in steps] == pytest.approx(begun_with)
    last = steps[-1].metrics[0]
    assert last.lr == 2e-3
    assert math.isfinite(last.loss)
    assert all(s.seconds > 0 for s in steps)


def test_latents_can_be_the_mean_of_their_moments(family: StableDiffusion, pictures: Path) -> None:
    one = train_state(family, pictures, latent_sampling="deterministic")
    found = batch(family, [one.data], 0).latents
    known = [picture.moments.mean[0] for picture in one.data.pictures]
    assert all(any(torch.equal(latent, mean) for mean in known) for latent in found)


def test_each_sample_comes_with_how_its_own_picture_was_cut(
    family: StableDiffusion, tmp_path: Path
) -> None:
    for width in (40, 48, 64):
        Image.new("RGB", (width, 40)).save(tmp_path / f"{width}.png")
    one = train_state(family, tmp_path, batch=8, latent_sampling="deterministic")
    for i, picture in enumerate(one.data.pictures):
        picture.moments.mean[:] = i
    samples = batch(family, [one.data], 0)
    cut = {0: [40, 40, 0, 0, 32, 32], 1: [40, 48, 0, 3, 32, 32], 2: [40, 64, 0, 10, 32, 32]}
    which = [int(latent.mean()) for latent in samples.latents]
    assert len(set(which)) > 1
    assert samples.micro_conditioning.tolist() == [cut[i] for i in which]


def test_a_pack_of_many_shapes_gives_what_training_alone_gives(
    family: StableDiffusion, tmp_path: Path
) -> None:
    """Members whose latents differ in shape take the same step, in passes of their own."""
    for size in ((64, 40), (40, 64), (40, 40), (64, 42)):
        Image.effect_noise(size, 80).save(tmp_path / "{}x{}.png".format(*size))
    seen: dict[str, dict[str, Any]] = {
        "<a>": {"crop": "buckets"},
        "<b>": {"crop": "buckets"},
        "<c>": {"width": 48},
    }

    def pack() -> list[TrainState]:
        return [
            train_state(family, tmp_path, token, picture_settings=seen[token], steps=6)
            for token in seen
        ]

    together, alone = pack(), pack()
    data = [member.data for member in together]
    passes = [len(list(batches(family, data, 3 * [step], 3 * [False]))) for step in range(6)]
    assert max(passes) > 1
    shapes = {batch(family, [together[0].data], step).latents.shape[2:] for step in range(6)}
    assert len(shapes) > 1
    steps = list(loop.train(family, together))
    assert [len(step.metrics) for step in steps] == [3] * 6
    for one in alone:
        list(loop.train(family, [one]))
    for packed, solo in zip(together, alone, strict=True):
        torch.testing.assert_close(rows(packed), rows(solo), rtol=0, atol=0.02 * 2e-3)
