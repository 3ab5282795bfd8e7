"""What the page shows of a data set: the pictures as the model will see them, and what is amiss."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pseudoword.config import PrepareConfig
from pseudoword.errors import PseudowordError
from pseudoword.text import counted
from pseudoword.ui.desk import Desk
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import sentence
from pseudoword.ui.pictures import Picture, by_name, names_of

if TYPE_CHECKING:
    from pseudoword.api import Prepared


@dataclass(frozen=True)
class View:
    """A data set as it is shown."""

    pictures: tuple[Picture, ...] = ()
    tiles: tuple[tuple[Image.Image, str], ...] = ()
    """each picture as it is seen, and a sentence it is learned with"""
    ids: tuple[str, ...] = ()
    """of the picture of each tile"""
    told: str = ""
    """warnings, as HTML"""
    suggested: str = ""
    """as HTML"""

    @property
    def captions(self) -> list[list[str]]:
        """Rows for the table of captions."""
        return [[one.called, one.caption] for one in self.pictures]


def view(desk: Desk, data_set: str, settings: Mapping[str, Any], token: str) -> View:
    """Look at a data set as training would with `settings`."""
    pictures = tuple(desk.data_sets.pictures(data_set))
    if not pictures:
        return View()
    named = names_of(pictures)
    asked = {name: value for name, value in settings.items() if name in PrepareConfig.model_fields}
    try:
        seen = desk.data_sets.look(data_set, **asked)
    except PseudowordError as error:
        plain = tuple((desk.data_sets.open(data_set, one.id, 256), one.called) for one in pictures)
        return View(
            pictures, plain, tuple(named), pieces.note(by_name(sentence(error), named), "error")
        )
    tiles, ids, warnings = [], [], [*map(str, seen.skipped), *seen.notes]
    warnings = [one.replace(seen.sheet, "this page") for one in warnings]
    for found in seen.pictures:
        key = Path(found.file).stem
        name = named.get(key, "a picture")
        warnings += [f"{name} {problem}" for problem in found.problems]
        prompt = found.prompt.replace("[name]", token or "<…>")
        tiles += [(tile, f"“{prompt}”") for tile in found.shown[1:2]]
        ids += [key for _ in found.shown[1:2]]
    if seen.shared_problem:
        warnings.append(f"All pictures together: {seen.shared_problem}")
    told_of = pieces.notes((by_name(one, named) for one in warnings), "warning")
    return View(pictures, tuple(tiles), tuple(ids), told_of, _suggested(seen))


def _suggested(seen: "Prepared") -> str:
    vectors = "one vector" if seen.vectors == 1 else f"{seen.vectors} vectors"
    return pieces.note(
        f"For {counted(len(seen.pictures), 'picture')}, {vectors} and some {seen.steps} steps suit "
        "well; the settings below find that out by themselves."
    )
