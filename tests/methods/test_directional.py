"""Directional Textual Inversion against the equations of its paper (arXiv 2512.13672)."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support import train_state
from torch import nn
from torch.nn.functional import normalize

from pseudoword.config import Hyperparameters
from pseudoword.config.method import MethodSettings
from pseudoword.errors import SettingsError
from pseudoword.methods import Initialisation
from pseudoword.methods.directional import Directional, SphericalDescent
from pseudoword.models.family import Family
from pseudoword.training import loop


def moved(
    v: list[float], grad: list[float], mu: list[float], kappa: float, lr: float
) -> list[float]:
    direction = nn.Parameter(torch.tensor([v], dtype=torch.float32))
    direction.grad = torch.tensor([grad], dtype=torch.float32)
    SphericalDescent([direction], [torch.tensor([mu], dtype=torch.float32)], kappa, lr).step()
    found: list[float] = direction.detach()[0].tolist()
    return found


def test_a_step_is_tangent_to_the_sphere_and_as_long_as_the_rate() -> None:
    # What of (5, 3, 4) is tangent at (1, 0, 0) is (0, 3, 4), and (0, 0.6, 0.8) of unit length.
    length = math.sqrt(1 + 0.5**2)
    expected = [1 / length, -0.3 / length, -0.4 / length]
    for size in (1.0, 1e-4, 1e4):
        grad = [5 * size, 3 * size, 4 * size]
        assert moved([1, 0, 0], grad, [0, 0, 1], 0, 0.5) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rate", [1e8, 1e20, 1e300])
def test_a_step_of_any_rate_ends_on_the_sphere(rate: float) -> None:
    end = moved([1, 0, 0], [0, 3, 4], [0, 0, 1], 0, rate)
    assert end == pytest.approx([0, -0.6, -0.8], abs=1e-6)


def test_the_prior_is_subtracted_from_the_gradient_before_it_is_projected() -> None:
    # (0, 3, 0) - 2 · (0.6, 0, 0.8) = (-1.2, 3, -1.6), of which (0, 3, -1.6) is tangent.
    step = 0.1 / math.hypot(3, 1.6)
    length = math.sqrt(1 + 0.1**2)
    expected = [1 / length, -3 * step / length, 1.6 * step / length]
    assert moved([1, 0, 0], [0, 3, 0], [0.6, 0, 0.8], 2, 0.1) == pytest.approx(expected, rel=1e-6)


def test_with_hardly_a_gradient_the_prior_leads_to_the_start() -> None:
    v = [0.0, 1.0, 0.0]
    for _ in range(30):
        v = moved(v, [0, 0, 1e-9], [1, 0, 0], 1e-4, 0.05)
    assert v[0] > 0.99


def test_a_row_that_no_prompt_had_stays_where_it_is() -> None:
    assert moved([0, 1, 0], [0, 0, 0], [1, 0, 0], 1, 0.5) == [0, 1, 0]


@pytest.mark.parametrize("norm", ["keep", "rescale"])
def test_rows_keep_their_length_and_each_turns_by_the_rate(
    family: Family, pictures: Path, norm: str
) -> None:
    settings: dict[str, Any] = {"method": "directional", "nested": 0, "norm": norm, "lr": 0.05}
    one = train_state(family, pictures, vectors=2, init="red cat", **settings)
    usual, before = family.encoders["clip_l"].median_norm, one.word()["clip_l"]
    lengths = family.encoders["clip_l"].table[family.encoders["clip_l"].reader.token_ids("red cat")]
    expected = lengths.norm(dim=-1).clamp(min=usual) if norm == "keep" else torch.full((2,), usual)
    torch.testing.assert_close(before.norm(dim=-1), expected)
    for _ in loop.train(family, [one]):
        after = one.word()["clip_l"]
        torch.testing.assert_close(after.norm(dim=-1), expected)
        turned = torch.cosine_similarity(before.double(), after.double(), dim=-1).acos()
        torch.testing.assert_close(turned, torch.full((2,), math.atan(0.05)).double())
        before = after


def test_a_strong_prior_keeps_the_word_near_its_start(family: Family, pictures: Path) -> None:
    def learned(kappa: float) -> float:
        one = train_state(
            family, pictures, method="directional", norm="keep", lr=0.1, steps=8, kappa=kappa
        )
        start = one.word()["clip_l"]
        list(loop.train(family, [one]))
        return float(torch.cosine_similarity(one.word()["clip_l"], start))

    assert learned(100) > 0.99
    assert learned(0) < 0.95


def test_a_mean_of_words_is_as_long_as_they() -> None:
    start = Initialisation({"clip_l": torch.eye(2, 4) * 3}, {"clip_l": 1.0}, 0.5)
    method = Directional(start, MethodSettings(method="directional"))
    mean = method.constrained({"clip_l": torch.full((2, 4), 0.1)})["clip_l"]
    torch.testing.assert_close(mean, normalize(torch.ones(2, 4), dim=-1) * 3)


def test_what_it_cannot_do_is_told() -> None:
    for norm in ("none", "limit", "pull"):
        with pytest.raises(SettingsError, match=f"--norm {norm} does not go with --method direct"):
            Hyperparameters.check(method="directional", norm=norm)
