"""The words of a workspace: those that were learned here, and those that were brought along.

`words/ID/` holds one word: `concept.safetensors`, `about.json`, and its pictures. A word that was
learned here has the id of its training, and is a copy: to rename or delete it changes no run.
"""

import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword import api
from pseudoword.errors import PseudowordError, StorageError
from pseudoword.files import read_regular, write_whole
from pseudoword.progress import Progress
from pseudoword.ui.workspace import Workspace

CONCEPT, ABOUT, PREVIEW, CURVES = "concept.safetensors", "about.json", "preview.png", "loss.png"

LARGEST_WORD_NBYTES = 256 * 1024 * 1024
LARGEST_ABOUT_NBYTES = 1_000_000


@dataclass(frozen=True)
class Word:
    """One word of the library."""

    id: str
    token: str
    families: tuple[str, ...]
    """the kinds of base model it fits"""
    vectors: Mapping[str, tuple[int, int]]
    """text encoder -> (vectors, width)"""
    source: str
    """where it comes from, to be shown: the name of a file, or `learned here`"""
    created: float
    """seconds since 1970"""
    base: str
    """the model it was learned on, if that is known"""
    has_preview: bool


@dataclass(frozen=True)
class Download:
    """A file to hand over."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Drawn:
    """A drawn picture."""

    image: Image.Image
    png: bytes
    """the same as a file, in which stands how it was drawn"""
    caption: str
    """what tells it from the others that were drawn with it"""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadBack:
    """How a picture was drawn, as it says itself."""

    prompt: str
    negative: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """fields of `GenerateConfig`, without `negative`"""
    words: tuple[str, ...] = ()
    """ids of words of the library that it mentions"""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """what else it says, and has no setting here"""


class Library:
    """The words of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def words(self) -> list[Word]:
        """All words, the newest first."""
        found = []
        for name in self.workspace.ids("words"):
            with contextlib.suppress(PseudowordError):
                found.append(self.word(name))
        return sorted(found, key=lambda word: -word.created)

    def has(self, name: str) -> bool:
        """Whether the library has a word of that id."""
        return (self.workspace.place("words", name) / CONCEPT).is_file()

    def word(self, name: str) -> Word:
        """One word.

        Raises:
            UnknownIdError: it is not in the library any more.
        """
        return self._word(name, self.workspace.path("words", name))

    def file(self, name: str) -> Path:
        """The word's file."""
        return self.workspace.path("words", name) / CONCEPT

    def preview(self, name: str, needed_px: int | None = None) -> Image.Image | None:
        """A picture of the word; None if there is none."""
        file = _preview_of(self.workspace.path("words", name))
        return api.open_picture(file, needed_px=needed_px) if file else None

    def inspect(self, name: str, base: str | None = None) -> "api.Inspection":
        """What the word's file holds, what it fits, what other tools do with it."""
        raise NotImplementedError

    def rename(self, name: str, token: str) -> Word:
        """Call the word something else.

        Raises:
            SettingsError: another word is called so, or no word can be.
        """
        raise NotImplementedError

    def formats(self, name: str) -> dict[str, str]:
        """Format -> why it cannot hold this word; empty text where it can."""
        raise NotImplementedError

    def titles(self) -> dict[str, str]:
        """Format -> what it is called, such as `AUTOMATIC1111`."""
        return {name: writer.title for name, writer in api.WRITERS.items()}

    def convert(self, name: str, format: str = "native") -> list[Download]:
        """The word in a format of another tool: one file, or two where that tool wants two."""
        raise NotImplementedError

    def add(self, source: Path | bytes, name: str, token: str | None = None) -> list[Word]:
        """Take the words of an embedding file, or of a picture that holds one, into the library.

        Args:
            source: the file, as it was uploaded.
            name: what it was called; it is shown, and names a word that has no name of its own.
            token: what to call its one word.

        Raises:
            ConceptError: it holds no word; the message calls it `name`.
            SettingsError: a word of that name is here already, or the file is too large.
        """
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """Move the word to the trash."""
        self.workspace.move_to_trash("words", name)

    def trash(self) -> list[Word]:
        """The words that `undo` can bring back, the latest first."""
        raise NotImplementedError

    def undo(self, name: str) -> Word:
        """Bring a deleted word back."""
        self.workspace.bring_back("words", name)
        return self.word(name)

    def push(self, name: str, to: str, *, private: bool = False) -> "api.Pushed":
        """Publish the word on the Hugging Face hub, with a model card."""
        return api.push(self.workspace.path("words", name), to, private=private)

    def copies(self, name: str) -> list[int]:
        """The steps of which the word's training has kept a copy."""
        raise NotImplementedError

    def generate(
        self,
        prompt: str,
        words: Sequence[str] = (),
        *,
        progress: Progress | None = None,
        **settings: Any,
    ) -> list[Drawn]:
        """Draw `prompt`, in which the words of these ids are known.

        Args:
            prompt: the text.
            words: ids of words.
            progress: told what is going on.
            **settings: fields of `GenerateConfig`; `base` and `lora` by the names that
                `settings.bases` and `settings.loras` give.
        """
        raise NotImplementedError

    def with_and_without(
        self, prompt: str, word: str, *, progress: Progress | None = None, **settings: Any
    ) -> list[tuple[Drawn, Drawn]]:
        """Pairs of pictures with the same seeds: with the word, and with what it began from."""
        raise NotImplementedError

    def sweep(
        self,
        prompt: str,
        word: str,
        steps: Sequence[int] = (),
        *,
        progress: Progress | None = None,
        **settings: Any,
    ) -> list[Drawn]:
        """`prompt` drawn with each saved copy of the word (all, or those of `steps`) and with the
        word itself, by the same seed; captions tell the step."""
        raise NotImplementedError

    def use_copy(self, word: str, step: int) -> Word:
        """Put the copy of that step into the library in place of the word as it is."""
        raise NotImplementedError

    def read_back(self, source: Path | bytes, name: str) -> ReadBack:
        """How a picture was drawn, to draw another one like it.

        Raises:
            PictureError: it is no picture, or does not say.
        """
        raise NotImplementedError

    def take_from_run(self, name: str) -> None:
        """Copy the word of the run `name`, as it is saved now, into the library.

        A word that was renamed keeps its name; one in the trash stays there.
        """
        run, folder = self.workspace.place("runs", name), self.workspace.place("words", name)
        saved, about = run / CONCEPT, _about(folder)
        if not saved.is_file() or (self.workspace.folder / "trash" / name / "words").exists():
            return
        now = saved.stat().st_mtime_ns
        if about.get("saved") == now:
            return
        data = read_regular(saved, LARGEST_WORD_NBYTES, StorageError)
        (concept,) = api.read_all(saved)
        about = {"created": time.time(), "source": "learned here", "token": concept.token, **about}
        if about["token"] != concept.token:
            data = api.encode(api.with_token(concept, about["token"]), "native")[""]
        write_whole(folder / CONCEPT, data)
        for picture in _latest_previews(run / "previews"):
            write_whole(folder / "previews" / picture.name, picture.read_bytes())
        if (run / CURVES).is_file():
            write_whole(folder / CURVES, (run / CURVES).read_bytes())
        write_whole(folder / ABOUT, json.dumps({**about, "saved": now}).encode())

    def _word(self, name: str, folder: Path) -> Word:
        about = _about(folder)
        (concept,) = api.read_all(folder / CONCEPT)
        families = [concept.family] if concept.family else api.families_of(concept.widths)
        return Word(
            id=name,
            token=concept.token,
            families=tuple(families),
            vectors={key: (len(rows), rows.shape[1]) for key, rows in concept.vectors.items()},
            source=str(about.get("source", "")),
            created=float(about.get("created", 0.0)),
            base=concept.provenance.get("base", ""),
            has_preview=_preview_of(folder) is not None,
        )


def _about(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(folder / ABOUT, LARGEST_ABOUT_NBYTES, StorageError))
    except (PseudowordError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _latest_previews(folder: Path) -> list[Path]:
    """Those of the last step that was drawn."""
    steps: dict[int, list[Path]] = {}
    for path in folder.glob("step-*-*.png"):
        if match := re.fullmatch(r"step-(\d+)-(\d+)\.png", path.name):
            steps.setdefault(int(match[1]), []).append(path)
    return sorted(steps[max(steps)]) if steps else []


def _preview_of(folder: Path) -> Path | None:
    """The picture that stands for the word."""
    if (folder / PREVIEW).is_file():
        return folder / PREVIEW
    return next(iter(_latest_previews(folder / "previews")), None)
