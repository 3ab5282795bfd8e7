from collections.abc import Mapping

import pytest
import torch

from pseudoword.methods.norms import aims, control
from pseudoword.models.family import Family
from pseudoword.training.initialisation import begin


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [
        ("none", [1, 2, 8]),
        ("limit", [1, 2, 2]),
        ("rescale", [2, 2, 2]),
        ("keep", [2, 2, 2]),
        ("pull", [1.25, 2, 6.5]),
    ],
)
def test_rows_keep_their_direction_and_get_their_length(kind: str, lengths: list[float]) -> None:
    direction = torch.nn.functional.normalize(torch.randn(3, 5), dim=-1)
    rows = direction * torch.tensor([[1.0], [2.0], [8.0]])
    control({"clip_l": rows}, {"clip_l": torch.full((3, 1), 2.0)}, kind, pull=0.25)
    torch.testing.assert_close(rows, direction * torch.tensor(lengths).unsqueeze(1))


def test_a_row_of_zeros_stays_finite() -> None:
    rows = torch.zeros(1, 4)
    control({"clip_l": rows}, {"clip_l": torch.full((1, 1), 2.0)}, "rescale", pull=0.25)
    assert torch.equal(rows, torch.zeros(1, 4))


@pytest.mark.parametrize("kind", ["limit", "rescale", "keep", "pull"])
def test_a_row_too_long_to_be_measured_does_not_become_zero(kind: str) -> None:
    """Its norm is infinite; that it is not usable is told where the word is read."""
    rows = torch.full((1, 4), 1e30)
    control({"clip_l": rows}, {"clip_l": torch.full((1, 1), 2.0)}, kind, pull=0.25)
    assert torch.equal(rows, torch.full((1, 4), 1e30))


def usual_norms(family: Family) -> Mapping[str, float]:
    return begin(family, {}).usual_norms


def test_usual_is_the_vocabulary_s_median(family: Family) -> None:
    lengths = family.encoders["clip_l"].table.norm(dim=-1).sort().values
    assert usual_norms(family)["clip_l"] == pytest.approx(lengths[(len(lengths) - 1) // 2].item())


def test_keep_holds_each_row_to_its_start_and_no_shorter_than_the_median(family: Family) -> None:
    usual = usual_norms(family)
    median = usual["clip_l"]
    start = {"clip_l": torch.eye(3, 8) * torch.tensor([[3 * median], [median], [median / 2]])}
    kept = torch.tensor([[3 * median], [median], [median]])
    torch.testing.assert_close(aims(start, usual, "keep")["clip_l"], kept)
    held = aims(start, usual, "rescale")["clip_l"]
    torch.testing.assert_close(held, torch.full((3, 1), median))
