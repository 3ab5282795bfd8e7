"""What has no step of its own is computed for several words at once, and is the same for each."""

from pathlib import Path

import pytest
import torch
from support import train_state

from pseudoword.models.family import Family
from pseudoword.training import early_stopping, importance, joint_batches
from pseudoword.training.batches import fixed
from pseudoword.training.joint_batches import joined
from pseudoword.training.state import TrainState


def pack(family: Family, pictures: Path, words: int) -> list[TrainState]:
    made = [train_state(family, pictures, token=f"<{k}>", batch=4) for k in range(words)]
    for k, one in enumerate(made):
        for rows in one.method.parameters():
            rows.data += 0.1 * k
    return made


def test_each_part_is_in_one_batch_with_its_own_samples_and_placeholder(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_batches, "POSITIONS", 1)
    words = pack(family, pictures, 2)
    parts = [(k, batch) for k, one in enumerate(words) for batch in fixed(family, one.data, 12)]
    found = list(joined(parts, [one.word() for one in words]))
    assert [some for some, _ in found] == [[0, 1], [2, 3], [4, 5]]  # as many as in a step
    middle = found[1][1]
    assert torch.equal(middle.noise, torch.cat([parts[2][1].noise, parts[3][1].noise]))
    zero, one = ([prompt.count(f"\ue000{k}\ue001") for prompt in middle.prompts] for k in (0, 1))
    assert zero == one[::-1] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_pictures_of_other_sizes_are_in_other_batches(family: Family, pictures: Path) -> None:
    square, wide = pack(family, pictures, 2)
    (part,) = fixed(family, wide.data, 4)
    parts = [(0, one) for one in fixed(family, square.data, 8)]
    narrow = {name: getattr(part, name)[..., :1] for name in ("latents", "noise", "mask")}
    parts.append((1, type(part)(**{**vars(part), **narrow})))
    assert [some for some, _ in joined(parts, [{}, {}])] == [[0, 1], [2]]


def test_words_that_are_read_once_are_not_joined_with_those_that_are_read_for_each_layer(
    family: Family, pictures: Path
) -> None:
    one, other, third = pack(family, pictures, 3)
    layered = {**other.word(), **{f"clip_l.{x}": other.word()["clip_l"] for x in family.layers}}
    rows = [one.word(), layered, third.word()]
    samples = [fixed(family, each.data, 8) for each in (one, other, third)]
    parts = [(k, batch) for k, some in enumerate(samples) for batch in some]
    assert [some for some, _ in joined(parts, rows)] == [[0, 1, 4, 5], [2, 3]]
    asked = list(zip(rows, samples, strict=True))
    alone = [early_stopping.evaluation_losses(family, [each])[0] for each in asked]
    assert early_stopping.evaluation_losses(family, asked) == pytest.approx(alone, rel=1e-5)
    measured = [(each.data, own) for each, own in zip((one, other, third), rows, strict=True)]
    together = importance.densities(family, measured)
    for each, found in zip(measured, together, strict=True):
        assert importance.densities(family, [each])[0] == pytest.approx(found, abs=0.002)


def test_words_are_evaluated_together_as_each_alone(family: Family, pictures: Path) -> None:
    asked = [(one.word(), fixed(family, one.data, 16)) for one in pack(family, pictures, 3)]
    together = early_stopping.evaluation_losses(family, asked)
    alone = [early_stopping.evaluation_losses(family, [one])[0] for one in asked]
    assert together == pytest.approx(alone, rel=1e-5)
    assert len(set(together)) == 3


def test_timesteps_are_measured_together_as_for_each_alone(family: Family, pictures: Path) -> None:
    asked = [(one.data, one.word()) for one in pack(family, pictures, 3)]
    together = importance.densities(family, asked)
    alone = [importance.densities(family, [one])[0] for one in asked]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=0.002)
    assert len(set(together)) == 3
