"""The words of a training, which may learn several from the same pictures, and the ids they have.

The first has the id of its training, and each further one the number that follows. Their files in
the run are called alike, with `-2`, `-3` and so on behind the names of the first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONCEPT = "concept.safetensors"


@dataclass(frozen=True)
class LearnedWord:
    """One word of a training."""

    training: str
    """the id of it"""
    number: int = 1

    @property
    def id(self) -> str:
        """Its id in the library."""
        return f"{int(self.training, 16) + self.number - 1:032x}"

    def file(self, name: str) -> str:
        """What its own file is called that is `name` for the first word."""
        path = Path(name)
        return name if self.number == 1 else f"{path.stem}-{self.number}{path.suffix}"


def saved_in(run: Path) -> Iterator[LearnedWord]:
    """The words that a run has saved so far."""
    for path in run.glob("concept*.safetensors"):
        if match := re.fullmatch(r"concept(?:-([1-9][0-9]{0,3}))?\.safetensors", path.name):
            yield LearnedWord(run.name, int(match[1] or 1))


def copies_of(run: Path, word: LearnedWord) -> dict[int, Path]:
    """Step -> the copy of the word that the run has kept."""
    _, _, end = word.file("step-N.safetensors").partition("N")
    name = re.compile(rf"step-([0-9]+){re.escape(end)}")
    found = [(name.fullmatch(path.name), path) for path in (run / "words").glob("step-*")]
    return {int(match[1]): path for match, path in found if match}
