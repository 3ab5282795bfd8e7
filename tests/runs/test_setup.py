"""The parts of a run are made once."""

from pathlib import Path
from typing import Any

import pytest
import torch

import pseudoword


class Counted(torch.optim.SGD):
    """Counts the optimisers that are made for the rows of a word."""

    for_rows = 0

    def __init__(self, parameters: Any, lr: float) -> None:
        rows = list(parameters)
        Counted.for_rows += rows[0].numel() > 1  # `check` tries one on a single number
        super().__init__(rows, lr)


@pytest.mark.parametrize(("lr", "made"), [("50%", 1), ("auto", 2)])
def test_a_run_has_one_optimiser_and_a_test_of_rates_one_of_its_own(
    lr: str, made: int, base: Path, pictures: Path, tmp_path: Path
) -> None:
    Counted.for_rows = 0
    settings: dict[str, Any] = {"steps": 2, "preview": (), "timestep_sampling": "importance"}
    settings |= {"base": base, "out": tmp_path / "run", "optimiser": f"{__name__}.Counted"}
    pseudoword.train(pictures, "<cat>", init="cat", lr=lr, held_out=1, **settings)
    assert Counted.for_rows == made
