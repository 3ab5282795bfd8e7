"""The parts of a run are made once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Notes, learn

import pseudoword
from pseudoword.concept import Concept
from pseudoword.formats import native


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


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lr": 1e-4, "steps": 3}, True),
        ({"lr": "0.1%:1, 0.01%", "steps": 3, "optimiser": "NAdam"}, True),
        ({"lr": "50%", "steps": 1}, False),
        ({"lr": "9%", "steps": 3}, False),
        ({"lr": 1e-4, "steps": 3, "optimiser": "SGD"}, False),
        ({"lr": 1e-4, "steps": 3, "method": "directional"}, False),
    ],
)
def test_a_rate_that_leaves_the_word_what_it_was_is_told_before_the_first_step(
    settings: dict[str, Any], told: bool, base: Path, pictures: Path, tmp_path: Path
) -> None:
    notes = Notes()
    learn(base, pictures, tmp_path / "run", batch=1, progress=notes, **settings)
    said = [line for line in notes.lines if "remains nearly what it starts from" in line]
    assert bool(said) == told
    assert not said or f"in {settings['steps']} steps with --lr {settings['lr']}" in said[0]


def test_what_diffusers_would_not_use_counts_the_vectors_of_the_word_it_starts_from(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    rows = {"clip_l": torch.eye(2, 32)}
    (tmp_path / "two.safetensors").write_bytes(native.dump(Concept("<x>", rows)))
    notes = Notes()
    given: dict[str, Any] = {"base": base, "out": tmp_path / "run", "steps": 1, "preview": ()}
    pseudoword.train(pictures, "<Cat>", init=tmp_path / "two.safetensors", progress=notes, **given)
    assert any("only the first of 2 rows would be used" in line for line in notes.lines)
