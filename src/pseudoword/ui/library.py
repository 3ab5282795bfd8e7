"""The words of a workspace: those that were learned here, and those that were brought along.

`words/ID/` holds one word: `concept.safetensors`, `about.json`, and its pictures. A word that was
learned here is a copy: to rename or delete it changes no run (`learned_words`: its id).
"""

import contextlib
import json
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from pseudoword import api, internals
from pseudoword.config.word import LONGEST_TOKEN
from pseudoword.config.written_files import ENDINGS, HOLD_A_PICTURE
from pseudoword.errors import ConceptError, PseudowordError, SettingsError
from pseudoword.files import file_stem, remove, write_whole
from pseudoword.placeholders import check_token
from pseudoword.text import brief
from pseudoword.ui import libraries
from pseudoword.ui.job_files import MOST_KEPT, NO_WORD, OVER, in_queue, read_json, state_of
from pseudoword.ui.learned_words import CONCEPT, LearnedWord, copies_of, saved_in
from pseudoword.ui.workspace import UnknownIdError, Workspace, base_name

ABOUT, PREVIEW, CURVES = "about.json", "preview.png", "loss.png"


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
    init: str
    """the known words that it began as, if they are known"""
    preview: Path | None
    """the picture that stands for it"""


@dataclass(frozen=True)
class Download:
    """A file to hand over."""

    name: str
    data: bytes


class Library:
    """The words of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def words(self) -> list[Word]:
        """All words, the newest first; those that are being learned as they were saved last."""
        found = []
        for name in self.workspace.ids("runs"):
            self._take_from_run(name)
        for name in self.workspace.ids("words"):
            with contextlib.suppress(PseudowordError):
                found.append(self.word(name))
        return sorted(found, key=lambda word: -word.created)

    def has(self, name: str) -> bool:
        """Whether the library has a word of that id."""
        self._take_from_run(name)
        return (self.workspace.place("words", name) / CONCEPT).is_file()

    def word(self, name: str) -> Word:
        """One word.

        Raises:
            UnknownIdError: it is not in the library any more.
        """
        return self._word(name, self._folder(name))

    def called(self, name: str, token: str) -> str:
        """What the word is called; `token` where it is not here."""
        return str(read_json(self.workspace.place("words", name) / ABOUT).get("token", token))

    def file(self, name: str) -> Path:
        """The word's file."""
        return self._folder(name) / CONCEPT

    def preview(self, name: str, needed_px: int | None = None) -> Image.Image | None:
        """A picture of the word; None if there is none."""
        file = _preview_of(self._folder(name))
        return internals.open_picture(file, needed_px=needed_px) if file else None

    def inspect(self, name: str) -> "api.Inspection":
        """What the word's file holds, what it fits, what other tools do with it."""
        libraries.ready()
        found = api.inspect(self.file(name))
        return found.model_copy(update={"file": file_stem(found.token) + ".safetensors"})

    def rename(self, name: str, token: str) -> Word:
        """Call the word something else.

        Raises:
            SettingsError: another word is called so, or no word can be.
        """
        with self.workspace.turn("names"):
            file = self.file(name)
            (concept,) = internals.read_all(file)
            renamed = internals.with_token(concept, check_new_token(token))
            self.check_name(renamed.token, but=name)
            with self.workspace.turn("words"):
                (concept,) = internals.read_all(file)  # its training may have saved it since
                renamed = internals.with_token(concept, renamed.token)
                about = {**read_json(file.parent / ABOUT), "token": renamed.token}
                write_whole(file.parent / ABOUT, json.dumps(about).encode())
                write_whole(file, internals.encode(renamed, "native")[""])
        return self.word(name)

    def formats(self, name: str) -> dict[str, str]:
        """The formats that can hold this word -> what each is called, such as `AUTOMATIC1111`."""
        (concept,) = internals.read_all(self.file(name))
        return {
            kind: writer.title
            for kind, writer in internals.WRITERS.items()
            if not writer.refuses(internals.adapted(concept, kind)[0])
        }

    def convert(self, name: str, format: str = "native") -> list[Download]:
        """The word in a format of another tool: one file, or two where that tool wants two."""
        if format not in internals.WRITERS:
            raise SettingsError(
                f"there is no format {brief(format)}: {', '.join(internals.WRITERS)}."
            )
        (concept,) = internals.read_all(self.file(name))
        ending = ENDINGS[format]
        shown = self.preview(name) if ending in HOLD_A_PICTURE else None
        stem = file_stem(concept.token)
        fitting, _ = internals.adapted(concept, format)
        parts = internals.encode(fitting, format, shown)
        return [Download(f"{stem}{suffix}{ending}", data) for suffix, data in parts.items()]

    def add(self, source: Path | bytes, name: str) -> list[Word]:
        """Take the words of an embedding file, or of a picture that holds one, into the library.

        Args:
            source: the file, as it was uploaded.
            name: what it was called; it is shown, and names a word that has no name of its own.

        Raises:
            ConceptError: it holds no word; the message calls it `name`.
            PictureError: it holds one in a picture that is damaged.
            SettingsError: a word of that name is here already, or the file is too large.
        """
        name = base_name(name)
        data = self.workspace.read_upload(source, name, ConceptError)
        found = internals.read_bytes(data, Path(name))
        preview = None
        if found.is_picture:
            picture = internals.decode(data, Path(name), "white").picture
            preview = internals.encode_picture(picture, "PNG")
        with self.workspace.turn("names"):
            for concept in found.concepts:
                self.check_name(concept.token)
            return [self._put(concept, preview, name) for concept in found.concepts]

    def delete(self, name: str) -> None:
        """Move the word to the trash; what is still being learned does not bring it back."""
        self._folder(name)
        with self.workspace.turn("words"):
            for mark in self._marks_of_deletion(name):
                write_whole(mark, b"")
            self.workspace.move_to_trash("words", name)

    def trash(self) -> list[Word]:
        """The words that `undo` can bring back, the latest first."""
        found = []
        for name in self.workspace.ids("trash"):
            with contextlib.suppress(PseudowordError):
                found.append(self._word(name, self.workspace.path("trash", name) / "words"))
        return found[::-1]

    def undo(self, name: str) -> Word:
        """Bring a deleted word back."""
        with self.workspace.turn("names"):
            word = self._word(name, self.workspace.path("trash", name) / "words")
            # its own training may still run, unless that has brought it back already
            self.check_name(word.token, but="" if self.has(name) else name)
            with self.workspace.turn("words"):
                self.workspace.bring_back("words", name)
                for mark in self._marks_of_deletion(name):
                    remove(mark)
        return self.word(name)

    def _marks_of_deletion(self, name: str) -> list[Path]:
        """Where it is noted that training shall not save the word again.

        The training may have been removed, and come back.
        """
        word = self._learned(name)
        there = self.workspace.place("queue", word.training)
        removed = self.workspace.place("trash", word.training) / "queue"
        return [place / word.file(NO_WORD) for place in (there, removed) if place.is_dir()]

    def push(self, name: str, to: str, *, private: bool = False) -> "api.Pushed":
        """Publish the word on the Hugging Face hub, with a model card."""
        return api.push(self._folder(name), to, private=private)

    def copies(self, name: str) -> list[int]:
        """The steps of which the word's training has kept a copy."""
        return sorted(self._copies(name))

    def _copies(self, name: str) -> dict[int, Path]:
        word = self._learned(name)
        return copies_of(self.workspace.place("runs", word.training), word)

    def use_copy(self, word: str, step: int) -> Word:
        """Put the copy of that step into the library in place of the word as it is."""
        self._take_from_run(word)
        (copy,) = internals.read_all(self.copy_file(word, step))
        with self.workspace.turn("words"):
            file = self.workspace.path("words", word) / CONCEPT
            (concept,) = internals.read_all(file)
            named = internals.with_token(copy, concept.token)
            write_whole(file, internals.encode(named, "native")[""])
        return self.word(word)

    def _folder(self, name: str) -> Path:
        """The folder of the word. A word that is being learned is there as it was saved last."""
        self._take_from_run(name)
        return self.workspace.path("words", name)

    def _learned(self, name: str) -> LearnedWord:
        """Which word of which training has the id `name`."""
        about = read_json(self.workspace.place("words", name) / ABOUT)
        return LearnedWord(about.get("training", name), about.get("number", 1))

    def _take_from_run(self, name: str) -> None:
        """Copy the words of the training of which `name` is one, if they were saved since."""
        for word in saved_in(self.workspace.place("runs", self._learned(name).training)):
            self._take(word)

    def _take(self, word: LearnedWord) -> None:
        """Copy a word of a run, if it was saved since.

        A word that was renamed keeps its name; one that was deleted is not copied again.
        """
        run = self.workspace.place("runs", word.training)
        folder = self.workspace.place("words", word.id)
        saved = run / word.file(CONCEPT)
        try:
            now = saved.stat().st_mtime_ns
        except OSError:
            return
        if read_json(folder / ABOUT).get("saved") == now:
            return
        with contextlib.suppress(PseudowordError), self.workspace.turn("words"):  # else soon again
            if (self.workspace.place("queue", word.training) / word.file(NO_WORD)).exists():
                return
            (concept,) = internals.read_all(saved)
            known = {"created": time.time(), "source": "learned here", "token": concept.token}
            about = {**known, **read_json(folder / ABOUT), **asdict(word), "saved": now}
            named = internals.with_token(concept, about["token"])
            write_whole(folder / CONCEPT, internals.encode(named, "native")[""])
            shown, own = (
                _latest_previews(run / "previews"),
                internals.previews_with(run, concept.token),
            )
            for number in shown.keys() & own or shown:
                picture = shown[number]
                write_whole(folder / "previews" / picture.name, picture.read_bytes())
            if (run / CURVES).is_file():
                write_whole(folder / CURVES, (run / CURVES).read_bytes())
            write_whole(folder / ABOUT, json.dumps(about).encode())

    def check_name(self, token: str, but: str = "") -> None:
        """Refuse the name of a word that is here, or is being learned.

        Args:
            token: the name, as a `Concept` has it.
            but: the id of a word that may be called so.

        Raises:
            SettingsError: it is taken.
        """
        learned = [
            self.called(name, called)
            for files in in_queue(self.workspace)
            if files.state not in OVER
            for name, called in files.tokens.items()
            if name != but
        ]
        if token in learned:  # it may be here already, as it was saved last
            raise SettingsError(
                f"a word {brief(token)} is being learned already. Choose another name, or wait "
                "for it."
            )
        if any(word.token == token and word.id != but for word in self.words()):
            raise SettingsError(
                f"there is a word {brief(token)} already. Choose another name, or rename or delete "
                "that word."
            )

    def is_learning(self) -> bool:
        """Whether a word is being learned, or waits for it."""
        return any(files.state not in OVER for files in in_queue(self.workspace))

    def _put(self, concept: "api.Concept", preview: bytes | None, source: str) -> Word:
        """A word in a folder of its own, which it is in as soon as its file is."""
        name, folder = self.workspace.new("words")
        if preview is not None:
            write_whole(folder / PREVIEW, preview)
        about = {"created": time.time(), "source": source, "token": concept.token}
        write_whole(folder / ABOUT, json.dumps(about).encode())
        write_whole(folder / CONCEPT, internals.encode(concept, "native")[""])
        return self.word(name)

    def copy_file(self, word: str, step: int) -> Path:
        """One of the `copies`.

        Raises:
            UnknownIdError: it is not kept any more.
        """
        found = self._copies(word).get(step)
        if found is None:
            raise UnknownIdError(f"there is no copy of step {brief(step)} any more.")
        return found

    def _word(self, name: str, folder: Path) -> Word:
        about = read_json(folder / ABOUT)
        return replace(
            _from_file(name, folder / CONCEPT, state_of(folder / CONCEPT)),
            source=str(about.get("source", "")),
            created=float(about.get("created", 0.0)),
            preview=_preview_of(folder),
        )


@lru_cache(MOST_KEPT)
def _from_file(name: str, file: Path, _state: object) -> Word:
    """A word, as far as its file tells. It is read once: a library may have a thousand."""
    (concept,) = internals.read_all(file)
    families = [concept.family] if concept.family else internals.families_of(concept.widths)
    return Word(
        id=name,
        token=concept.token,
        families=tuple(families),
        vectors=concept.sizes,
        source="",
        created=0.0,
        base=concept.provenance.get("base", ""),
        init=internals.init_words(concept),
        preview=None,
    )


def is_found(word: Word, search: str) -> bool:
    """Whether all that is searched for is in the word's name, or in what it comes from."""
    text = _plain(" ".join([word.token, word.init, word.source, word.base, *word.families]))
    return all(part in text for part in _plain(search).split())


def _plain(text: str) -> str:
    """A text to be compared: `My_Cat` and `my-cat` are the same."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", text).casefold())


def token_of(name: str) -> str:
    """How a word that a person calls `name` is written in prompts: `my cat` as `<my-cat>`."""
    name = re.sub(r"\s+", "-", name.strip())
    return name if not name or re.search(r"[<>\[\]{}*@$]", name) else f"<{name}>"


def check_new_token(token: str) -> str:
    """A name that a page gives to a word.

    Raises:
        SettingsError: no word can be called so.
    """
    token = check_token(token.strip())
    if len(token) > LONGEST_TOKEN:
        raise SettingsError(
            f"the name has {len(token)} characters; a word has at most {LONGEST_TOKEN}."
        )
    return token


def _latest_previews(folder: Path) -> dict[int, Path]:
    """Number from 1 -> preview, of those of the last step that was drawn."""
    steps: dict[int, dict[int, Path]] = {}
    for path in folder.glob("step-*-*.png"):
        match = re.fullmatch(r"step-(\d+)-(\d+)\.png", path.name)
        if match and not path.is_symlink():  # which might show a file from elsewhere
            steps.setdefault(int(match[1]), {})[int(match[2])] = path
    return dict(sorted(steps[max(steps)].items())) if steps else {}


def _preview_of(folder: Path) -> Path | None:
    """The picture that stands for the word."""
    if (folder / PREVIEW).is_file():
        return folder / PREVIEW
    return next(iter(_latest_previews(folder / "previews").values()), None)
