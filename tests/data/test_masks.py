"""Loss weights: masked parts are not learned, and the rest is learned as much as without a mask."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from support import asked, train_state

from pseudoword.data import masks
from pseudoword.models.family import Family
from pseudoword.training import loop, loss
from pseudoword.training.batches import batch
from pseudoword.training.state import TrainState


def test_weights_are_one_on_average_and_everywhere_without_a_mask() -> None:
    assert torch.equal(masks.weight(None, 4, 6, 0.0), torch.ones(1, 4, 6))
    assert torch.equal(masks.weight(torch.ones(32, 48), 4, 6, 0.3), torch.ones(1, 4, 6))
    half = torch.zeros(32, 48)
    half[:, :24] = 1
    result = masks.weight(half, 4, 6, 0.0)
    assert result.mean() == 1
    assert torch.equal(result[..., :3], torch.full((1, 4, 3), 2.0))
    assert not result[..., 3:].any()
    partly = masks.weight(half, 4, 6, 0.25)
    assert partly.mean() == 1
    assert partly[0, 0, -1] / partly[0, 0, 0] == 0.25


def test_weights_at_the_edge_of_a_mask_are_in_between() -> None:
    rim = torch.zeros(16, 16)
    rim[:, :6] = 1
    result = masks.weight(rim, 4, 4, 0.0)
    assert (result[0, 0] / result[0, 0, 0]).tolist() == [1, 0.5, 0, 0]


def half_masked(folder: Path) -> Path:
    for i in range(3):
        picture = Image.new("RGB", (32, 32), "blue")
        ImageDraw.Draw(picture).rectangle((0, 0, 15, 31), fill="orange")
        picture.save(folder / f"{i}.png")
        mask = Image.new("L", (32, 32))
        mask.paste(255, (0, 0, 16, 32))
        mask.save(folder / f"{i}-mask.png")
    return folder


def gradient(family: Family, one: TrainState, samples: loss.Batch) -> torch.Tensor:
    one.optimiser.zero_grad()
    loss.losses(family, [asked(one)], samples).sum().backward()
    result = one.method.parameters()[0].grad
    assert result is not None
    return result.clone()


def test_masked_parts_do_not_change_the_gradient(family: Family, tmp_path: Path) -> None:
    """Whatever the model should have predicted outside the mask, the word learns the same."""
    one = train_state(family, half_masked(tmp_path), picture_settings={"mask": "file"})
    samples = batch(family, [one.data], 0)
    hidden = samples.mask == 0
    assert 0.4 < hidden.float().mean() < 0.6
    before = gradient(family, one, samples)

    class Elsewhere(type(family.noise_schedule)):  # type: ignore[misc]
        def target(self, *arguments: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = super().target(*arguments)
            return torch.where(hidden, result + 100, result)

    kept: Any = family.noise_schedule
    family.noise_schedule = Elsewhere(kept.alphas_cumprod, kept.prediction_type)
    assert torch.equal(gradient(family, one, samples), before)
    family.noise_schedule = kept
    everything = loss.Batch(**(vars(samples) | {"mask": torch.ones_like(samples.mask)}))
    assert not torch.allclose(gradient(family, one, everything), before, rtol=0.01, atol=0)


def test_the_rest_counts_as_much_as_unmasked_weight(family: Family, tmp_path: Path) -> None:
    mask_settings = {"mask": "file", "unmasked_weight": 0.25}
    samples = batch(
        family, [train_state(family, half_masked(tmp_path), picture_settings=mask_settings).data], 0
    )
    ratios = samples.mask.amin((1, 2, 3)) / samples.mask.amax((1, 2, 3))
    assert ratios.tolist() == pytest.approx([0.25] * len(ratios), abs=0.02)


def test_opaque_pictures_learn_with_alpha_weights_as_without(
    family: Family, tmp_path: Path
) -> None:
    for i in range(2):
        Image.effect_noise((40, 32), 80).convert("RGBA").save(tmp_path / f"{i}.png")
    words = []
    for kind in ("none", "alpha"):
        one = train_state(family, tmp_path, picture_settings={"mask": kind})
        list(loop.train(family, [one]))
        assert one.failure is None
        words.append(one.method.word()["clip_l"])
    assert torch.equal(*words)


def test_a_small_mask_does_not_make_a_small_loss(family: Family, tmp_path: Path) -> None:
    """If the error is the same everywhere, the loss does not depend on the mask's area."""
    for i, side in enumerate((4, 32)):
        Image.new("RGB", (32, 32), "red").save(tmp_path / f"{i}.png")
        mask = Image.new("L", (32, 32))
        mask.paste(255, (0, 0, side, side))
        mask.save(tmp_path / f"{i}-mask.png")
    one = train_state(family, tmp_path, picture_settings={"mask": "file"}, batch=4)
    samples = batch(family, [one.data], 0)
    constant = torch.full_like(samples.noise, 0.5)
    error = (constant**2 * samples.mask).mean((1, 2, 3))
    assert error.tolist() == pytest.approx([0.25] * 4)
