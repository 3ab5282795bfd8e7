"""One learning rate suits text encoders whose rows are of different sizes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import learn, train_state
from torch import Tensor

from pseudoword.models import base_model
from pseudoword.models.family import Condition, Family
from pseudoword.training import importance
from pseudoword.training.initialisation import begin
from pseudoword.training.loop import train


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd3(tmp_path_factory.mktemp("sd3"))


@pytest.fixture
def uneven(sd3: Path) -> Family:
    """CLIPs whose numbers are 0.02 and 0.03, and a T5 whose numbers are 8."""
    family = base_model.load_named(str(sd3), "cpu")
    for key, size in (("clip_l", 0.02), ("clip_g", 0.03), ("t5xxl", 8.0)):
        table = family.encoders[key].table
        table.data.normal_(std=size, generator=torch.Generator().manual_seed(0))
    return family


def test_only_an_encoder_of_another_order_has_a_scale(uneven: Family) -> None:
    start = begin(uneven, {})
    assert start.scales == {"clip_l": 1.0, "clip_g": 1.0, "t5xxl": 512.0}
    assert start.usual_number == pytest.approx(0.025, rel=0.1)


def test_two_clips_learn_at_one_rate(any_base: Path) -> None:
    family = base_model.load_named(str(any_base), "cpu")
    scales = begin(family, {}).scales
    assert all(scales[key] == 1 for key in scales if key.startswith("clip"))


@pytest.mark.parametrize("optimiser", ["AdamW", "prodigyopt.Prodigy"])
def test_the_rows_of_each_encoder_change_by_a_like_part(
    uneven: Family, pictures: Path, optimiser: str
) -> None:
    state = train_state(
        uneven,
        pictures,
        lr="10%" if optimiser == "AdamW" else "1",
        optimiser=optimiser,
        norm="none",
    )
    first = state.word()
    for _ in train(uneven, [state]):
        pass
    changes = {
        key: float((state.word()[key] - rows).norm() / uneven.encoders[key].median_norm)
        for key, rows in first.items()
    }
    least, *_, most = sorted(changes.values())
    assert 0 < most < 8 * least, changes


def test_timesteps_are_measured_by_the_gradient_that_the_optimiser_gets(
    uneven: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 500 only T5 hears the word, and loudly; above only the CLIPs do."""
    predict, tokens_of_clip = type(uneven).predict, 77

    def heard(noisy: Tensor, t: Tensor, condition: Condition, *rest: Any) -> Tensor:
        clip, t5 = condition.hidden.split_with_sizes(
            [tokens_of_clip, condition.hidden.shape[1] - tokens_of_clip], dim=1
        )
        low = (t < 500).view(-1, 1, 1)
        loud = 100 * t5 - 99 * t5.detach()
        hidden = torch.cat(
            [torch.where(low, clip.detach(), clip), torch.where(low, loud, t5.detach())], dim=1
        )
        assert condition.pooled is not None
        pooled = torch.where(low[..., 0], condition.pooled.detach(), condition.pooled)
        own: Any = uneven
        return predict(own, noisy, t, replace(condition, hidden=hidden, pooled=pooled), *rest)

    monkeypatch.setattr(uneven, "predict", heard)
    state = train_state(uneven, pictures, batch=4)
    (found,) = importance.densities(uneven, [(state.data, state.word())])
    assert min(found[:4]) > max(found[6:])


def test_such_a_word_is_resumed_and_kept_to_its_length(
    sd3: Path, pictures: Path, tmp_path: Path
) -> None:
    whole = learn(sd3, pictures, tmp_path / "whole", steps=4, norm="rescale", save_every=2)
    again = learn(sd3, pictures, tmp_path / "again", steps=4, norm="rescale", save_every=2)
    family = base_model.load_named(str(sd3), "cpu")
    assert begin(family, {}).scales["t5xxl"] > 1
    for key, rows in whole.concept.vectors.items():
        assert torch.equal(rows, again.concept.vectors[key])
        usual = family.encoders[key].median_norm
        assert rows.norm(dim=-1).tolist() == pytest.approx([usual] * len(rows), rel=1e-4)
