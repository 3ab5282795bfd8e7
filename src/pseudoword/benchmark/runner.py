"""Sit the exam: learn every word, draw every answer, mark it, and compare with the anchors."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from pseudoword.benchmark.artwork import Artwork
from pseudoword.benchmark.scoring import Marker, Marks
from pseudoword.benchmark.tasks import (
    Paper,
    known_style_papers,
    paper,
    style_papers,
    true_in_style,
    write_lesson,
)
from pseudoword.config import TrainConfig
from pseudoword.errors import RunFolderError, SettingsError, shown
from pseudoword.files import file_stem, read_regular
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.outputs import Outputs
from pseudoword.progress import Progress, Silent
from pseudoword.report import charts
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.runner import Trained, learn

MAKER = "bench"
"""Whose files a benchmark's are, on their folders' records."""

LARGEST_NBYTES = 1024 * 1024
"""No file of marks is larger."""

Sat = Mapping[str, Marks]
"""Marks by the paper's name."""


@dataclass(frozen=True)
class Variant:
    """Settings to be compared with others."""

    name: str
    settings: Mapping[str, Any]
    """fields of `TrainConfig`; the rest is at its default"""


@dataclass(frozen=True)
class Exam:
    """The papers, and the known words that answer like questions by name: the upper anchor.

    What the base could draw, if only it were asked by the right word, can be learned anew: how far
    that comes is the method's share, and what things come short of it is the base's.
    """

    things: Sequence[Paper]
    known_things: Sequence[Paper]
    styles: Sequence[Paper]
    known_styles: Sequence[Paper]
    relearned: Sequence[Paper] = ()
    """the known things, to be begun from another word"""

    @classmethod
    def of(
        cls, art: Artwork, side_px: int, concepts: int | None = None, relearn: bool = False
    ) -> "Exam":
        """All papers; `concepts` limits each kind to the first so many."""
        known = art.known[:concepts]
        return cls(
            [paper(art, thing, side_px) for thing in art.held_out[:concepts]],
            [paper(art, thing, side_px, start=thing.words) for thing in known],
            style_papers(art, side_px)[:concepts],
            known_style_papers(art, side_px)[:concepts],
            [paper(art, thing, side_px) for thing in known] if relearn else (),
        )

    @property
    def learned(self) -> list[Paper]:
        """What there is to learn."""
        return [*self.things, *self.styles, *self.relearned]


OWN = ("pictures", "token", "out", "base")
"""Settings of train that are the same for all that is compared."""


def parse_variant(text: str) -> Variant:
    """`lr=2e-3,steps=200` as settings; an empty text stands for the defaults.

    Raises:
        SettingsError: it is not written like that, or no settings of train.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    for key, sign, value in parts:
        if not sign or key.strip() not in TrainConfig.model_fields or not value.strip():
            raise SettingsError(
                f"--compare {shown(text)}: write settings of train as name=value, with commas "
                "between"
            )
        if key.strip() in OWN:
            raise SettingsError(
                f"--compare {shown(text)}: the benchmark has a {key.strip()} itself"
            )
    settings = {key.strip(): value.strip() for key, _, value in parts}
    TrainConfig.check(pictures=["pictures"], token="<word>", **settings)
    return Variant(text or "defaults", settings)


def most_alike_style(
    marker: Marker, art: Artwork, papers: Sequence[Paper], side_px: int
) -> tuple[str, Sat]:
    """The known style whose true pictures are nearest to the new style's, and their marks.

    That is as far as perfect drawing comes in any one style that is known already.
    """
    found = {
        style: {one.name: marker.mark(*true_in_style(art, one, style, side_px)) for one in papers}
        for style in art.styles
    }
    nearest = max(found, key=lambda style: sum(m.identity for m in found[style].values()))
    return nearest, found[nearest]


class Bench:
    """A base model, a marker, and a folder in which everything is kept, so that it can go on."""

    def __init__(
        self,
        family: Family,
        marker: Marker,
        out: Path,
        *,
        pictures_each: int,
        sampler_steps: int,
        pack: int,
        seed: int,
        progress: Progress,
        overwrite: bool = False,
    ) -> None:
        self._family, self._marker, self._out = family, marker, out
        self._seeds = range(seed, seed + pictures_each)
        self._seed, self._pack, self._progress = seed, pack, progress
        self._sampler_steps, self._overwrite = sampler_steps, overwrite

    def anchor(self, name: str, papers: Sequence[Paper]) -> Sat:
        """What the base reaches by the words it knows: each paper's `start`."""
        self._progress.phase(f"drawing {name}")
        sat = {}
        for done, one in enumerate(papers, 1):
            sat[one.name] = self._sit(self._out / "anchors" / name, one, one.start, None)
            self._progress.advance(done, len(papers), one.name)
        return sat

    def variant(self, variant: Variant, papers: Sequence[Paper]) -> tuple[Sat, float]:
        """Marks of the words learned with these settings; and the seconds of training, in all."""
        folder = self._out / file_stem(variant.name)
        sat, seconds = {}, 0.0
        for first in range(0, len(papers), self._pack):
            some = papers[first : first + self._pack]
            self._progress.phase(f"{variant.name}: learning {', '.join(p.name for p in some)}")
            trained = self._learn(folder, variant, some)
            seconds += max(_seconds(word) for word in trained)  # they share each step
            self._progress.phase(f"{variant.name}: drawing")
            for done, (one, word) in enumerate(zip(some, trained, strict=True), 1):
                sat[one.name] = self._sit(word.folder, one, word.concept.token, word)
                self._progress.advance(done, len(some), one.name)
        return sat, seconds

    def _learn(self, folder: Path, variant: Variant, papers: Sequence[Paper]) -> list[Trained]:
        configs = []
        for one in papers:
            lesson = self._out / "lessons" / file_stem(one.name)
            write_lesson(one, lesson)
            defaults = {
                "base": self._family.source.name,
                "init": one.start,
                "template": "captioned",
                "preview": (),
                "seed": self._seed,
            }
            configs.append(
                TrainConfig.check(
                    pictures=[lesson],
                    token=f"<{file_stem(one.name)}>",
                    out=folder / file_stem(one.name),
                    **{**defaults, **variant.settings},
                )
            )
        return learn(configs, _Steps(self._progress), overwrite=self._overwrite)

    def _sit(self, folder: Path, one: Paper, word: str, trained: Trained | None) -> Marks:
        """Draw and mark a paper, unless that has been done."""
        name = file_stem(one.name)
        if (folder / f"marks-{name}.json").exists():
            return _marks(folder / f"marks-{name}.json")
        files = Outputs(folder, MAKER)
        files.check([f"drawn-{name}.png"])
        seeds = list(self._seeds)
        prompts = [q.prompt.replace("[name]", word) for q in one.questions for _ in seeds]
        pictures = generate(
            self._family,
            prompts,
            [trained.concept] if trained else [],
            seeds=seeds * len(one.questions),
            sampler_steps=self._sampler_steps,
        )
        drawn = list(_chunks(pictures, len(seeds)))
        marks = self._marker.mark(one, drawn)
        files.write(f"drawn-{name}.png", charts.encoded(strip(pictures), "PNG"))
        files.write(f"marks-{name}.json", json.dumps(asdict(marks)).encode())
        return marks

    def drawn(self, name: str, one: Paper) -> list[Image.Image]:
        """The first picture for each question of a paper, as kept by a variant or an anchor."""
        folder = self._out / file_stem(name) / file_stem(one.name)
        if not folder.is_dir():
            folder = self._out / "anchors" / name
        return list(_first_of_each(folder / f"drawn-{file_stem(one.name)}.png", len(self._seeds)))


def _first_of_each(path: Path, several: int) -> Iterator[Image.Image]:
    """Out of a `strip` of pictures, `several` for each question, the first of each."""
    try:
        with Image.open(path, formats=["PNG"]) as sheet:
            side = sheet.height
            for x in range(0, sheet.width, several * side):
                yield sheet.crop((x, 0, x + side, side)).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise RunFolderError(
            f"{path} is damaged. Take it away, and the marks beside it; both are made again."
        ) from error


def _marks(path: Path) -> Marks:
    data = read_regular(path, LARGEST_NBYTES, RunFolderError)
    try:
        return TypeAdapter(Marks).validate_json(data)
    except ValidationError as error:
        raise RunFolderError(
            f"{path} holds no marks. Take it away; they are made again."
        ) from error


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size side by side."""
    side = pictures[0].height
    sheet = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * side, 0))
    return sheet


class _Steps(Silent):
    """Passes on how far learning is, but not its phases, which would hide the bench's own."""

    def __init__(self, progress: Progress) -> None:
        self.advance = progress.advance  # type: ignore[method-assign]


def _seconds(trained: Trained) -> float:
    """Of all its training steps, also of those that an earlier call took."""
    return sum(entry.get("seconds", 0.0) for entry in RunFolder(trained.folder).read_log())


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]
