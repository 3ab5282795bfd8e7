"""The table of docs/families.md on memory: its rows, and what they say of graphics cards."""

from pathlib import Path

import pytest

from pseudoword.models.families import FAMILIES
from scripts import plan_table

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
VARIANTS = {"sd": "SD 1.x", "sdxl": "SDXL", "pixart-alpha": "pixart", "sana-sprint": "sana"}
"""Family -> its row, or the tiny member of the model with its row, where names differ."""
ROUNDING = 0.05
"""GiB: the table has one decimal."""


def rows() -> dict[str, list[str]]:
    """Model -> the other cells of its row."""
    lines = PAGE.read_text().split("| model | 16 bits |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {model: others for model, *others in cells}


def test_the_table_has_each_model_and_each_family_has_a_model() -> None:
    assert list(rows()) == list(plan_table.ALL)
    models = {*plan_table.NAMED, *(member for member, _ in plan_table.MODELS.values())}
    assert {VARIANTS.get(family, family) for family in FAMILIES} <= models


@pytest.mark.parametrize("model", plan_table.ALL)
def test_what_fits_on_a_card_is_the_mildest_way_by_the_numbers(model: str) -> None:
    cells = rows()[model]
    needs = dict(zip(plan_table.WAYS, map(float, cells), strict=False))
    fits = cells[len(needs) + 1 :]
    for card, said in zip(plan_table.CARDS, fits, strict=True):
        milder = list(needs)[: list(needs).index(said)] if said in needs else list(needs)
        assert all((needs[way] + ROUNDING) * plan_table.ROOM > card for way in milder)
        assert said == "–" or (needs[said] - ROUNDING) * plan_table.ROOM <= card
