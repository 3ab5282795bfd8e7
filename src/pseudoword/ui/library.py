"""The words of a workspace: those that were learned here, and those that were brought along.

`words/ID/` holds one word: `concept.safetensors`, `about.json`, and its pictures. A word that was
learned here has the id of its training, and is a copy: to rename or delete it changes no run.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword import api, lookup
from pseudoword.config import BaseChoice, GenerateConfig
from pseudoword.config.word import LONGEST_TOKEN
from pseudoword.errors import (
    ConceptError,
    PictureError,
    PseudowordError,
    SettingsError,
)
from pseudoword.files import file_stem, read_regular, write_whole
from pseudoword.placeholders import check_token, replace_placeholder, split
from pseudoword.progress import Progress, Silent
from pseudoword.text import brief
from pseudoword.ui.job_files import NO_WORD, read_json
from pseudoword.ui.settings import base_of, bases, checked
from pseudoword.ui.workspace import UnknownIdError, Workspace, base_name

CONCEPT, ABOUT, PREVIEW, CURVES = "concept.safetensors", "about.json", "preview.png", "loss.png"

FIELDS = {
    "Steps": "sampler_steps",
    "CFG scale": "guidance",
    "CFG Rescale": "guidance_rescale",
    "Seed": "seed",
}
"""What a picture says of how it was drawn -> our setting, where the value is the same."""

PICTURES = (".png", ".webp")
"""Endings of formats that show something."""

LONGEST_PROMPT = 20_000
"""Characters."""


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

    def __init__(
        self, workspace: Workspace, being_learned: Callable[[str], set[str]] = lambda _but: set()
    ) -> None:
        """The library of `workspace`; `being_learned` says which names are taken by trainings,
        without the one of an id."""
        self.workspace = workspace
        self._being_learned = being_learned
        self._drawing_now = threading.RLock()
        self._loaded: tuple[str, Any] | None = None
        self._is_wanted = False

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

    def file(self, name: str) -> Path:
        """The word's file."""
        return self._folder(name) / CONCEPT

    def preview(self, name: str, needed_px: int | None = None) -> Image.Image | None:
        """A picture of the word; None if there is none."""
        file = _preview_of(self._folder(name))
        return api.open_picture(file, needed_px=needed_px) if file else None

    def inspect(self, name: str, base: str | None = None) -> "api.Inspection":
        """What the word's file holds, what it fits, what other tools do with it."""
        values = {"base": base_of(self.workspace, base)} if base else {}
        found = api.inspect(self.file(name), **values)
        return found.model_copy(update={"file": file_stem(found.token) + ".safetensors"})

    def rename(self, name: str, token: str) -> Word:
        """Call the word something else.

        Raises:
            SettingsError: another word is called so, or no word can be.
        """
        with self.workspace.turn("names"):
            file = self.file(name)
            (concept,) = api.read_all(file)
            renamed = api.with_token(concept, check_new_token(token))
            self.check_name(renamed.token, but=name)
            with self.workspace.turn("words"):
                about = {**read_json(file.parent / ABOUT), "token": renamed.token}
                write_whole(file.parent / ABOUT, json.dumps(about).encode())
                write_whole(file, api.encode(renamed, "native")[""])
        return self.word(name)

    def formats(self, name: str) -> dict[str, str]:
        """Format -> why it cannot hold this word; empty text where it can."""
        (concept,) = api.read_all(self.file(name))
        return {kind: writer.refuses(concept) or "" for kind, writer in api.WRITERS.items()}

    def titles(self) -> dict[str, str]:
        """Format -> what it is called, such as `AUTOMATIC1111`."""
        return {name: writer.title for name, writer in api.WRITERS.items()}

    def convert(self, name: str, format: str = "native") -> list[Download]:
        """The word in a format of another tool: one file, or two where that tool wants two."""
        if format not in api.WRITERS:
            raise SettingsError(f"there is no format {brief(format)}: {', '.join(api.WRITERS)}.")
        (concept,) = api.read_all(self.file(name))
        ending = api.WRITERS[format].ending
        shown = self.preview(name) if ending in PICTURES else None
        stem = file_stem(concept.token)
        parts = api.encode(concept, format, shown)
        return [Download(f"{stem}{suffix}{ending}", data) for suffix, data in parts.items()]

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
        name = base_name(name)
        most = self.workspace.limits.largest_upload_mb * 1_000_000
        data = source if isinstance(source, bytes) else read_regular(source, most, ConceptError)
        self.workspace.check_size(len(data), name)
        found = api.read_bytes(data, Path(name))
        concepts = list(found.concepts)
        if token is not None:
            if len(concepts) > 1:
                raise SettingsError(
                    f"{brief(name)} holds {len(concepts)} words; they keep their own names."
                )
            concepts = [api.with_token(concepts[0], check_new_token(token))]
        with self.workspace.turn("names"):
            for concept in concepts:
                self.check_name(concept.token)
            return [self._put(concept, found, data, name) for concept in concepts]

    def delete(self, name: str) -> None:
        """Move the word to the trash; what is still being learned does not bring it back."""
        self._folder(name)
        training = self.workspace.place("queue", name)
        with self.workspace.turn("words"):
            if training.is_dir():
                write_whole(training / NO_WORD, b"")
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
            self.check_name(word.token)
            self.workspace.bring_back("words", name)
            (self.workspace.place("queue", name) / NO_WORD).unlink(missing_ok=True)
        return self.word(name)

    def push(self, name: str, to: str, *, private: bool = False) -> "api.Pushed":
        """Publish the word on the Hugging Face hub, with a model card."""
        return api.push(self._folder(name), to, private=private)

    def copies(self, name: str) -> list[int]:
        """The steps of which the word's training has kept a copy."""
        folder = self.workspace.place("runs", name) / "words"
        found = (re.fullmatch(r"step-(\d+)\.safetensors", path.name) for path in folder.glob("*"))
        return sorted(int(match[1]) for match in found if match)

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
        concepts = [concept for name in words for concept in api.read_all(self.file(name))]
        with self._drawing(settings, progress) as draw:
            return draw(prompt, concepts, "")

    def with_and_without(
        self, prompt: str, word: str, *, progress: Progress | None = None, **settings: Any
    ) -> list[tuple[Drawn, Drawn]]:
        """Pairs of pictures with the same seeds: with the word, and with what it began from."""
        (concept,) = api.read_all(self.file(word))
        known = _known_word(concept)
        negative = str(settings.pop("negative", "") or "")

        def without(text: str) -> str:
            return " ".join(replace_placeholder(text, concept.token, known).split())

        with self._drawing({**settings, "negative": negative}, progress) as draw:
            pictures = draw(prompt, [concept], concept.token)
        with self._drawing({**settings, "negative": without(negative)}, progress) as draw:
            others = draw(without(prompt), [], known or "without")
        return list(zip(pictures, others, strict=True))

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
        (concept,) = api.read_all(self.file(word))
        kept = self.copies(word)
        chosen = [step for step in kept if step in steps] if steps else kept
        with self._drawing({**settings, "n": 1}, progress) as draw:
            found = []
            for step in chosen:
                (copy,) = api.read_all(self._copy(word, step))
                found += draw(prompt, [api.with_token(copy, concept.token)], f"step {step}")
            return [*found, *draw(prompt, [concept], "as it is")]

    def use_copy(self, word: str, step: int) -> Word:
        """Put the copy of that step into the library in place of the word as it is."""
        folder = self._folder(word)
        (concept,), (copy,) = api.read_all(folder / CONCEPT), api.read_all(self._copy(word, step))
        data = api.encode(api.with_token(copy, concept.token), "native")[""]
        with self.workspace.turn("words"):
            write_whole(folder / CONCEPT, data)
        return self.word(word)

    def read_back(self, source: Path | bytes, name: str) -> ReadBack:
        """How a picture was drawn, to draw another one like it.

        Raises:
            PictureError: it is no picture, or does not say.
        """
        name = base_name(name)
        most = self.workspace.limits.largest_upload_mb * 1_000_000
        data = source if isinstance(source, bytes) else read_regular(source, most, PictureError)
        self.workspace.check_size(len(data), name)
        told = api.read_infotext(data, name)
        settings, unknown = self._settings_of(told.values)
        texts = (told.prompt, told.negative)
        mentioned = [
            word.id
            for word in self.words()
            if any(len(split(text, [word.token])) > 1 for text in texts)
        ]
        return ReadBack(told.prompt, told.negative, settings, tuple(mentioned), unknown)

    def _folder(self, name: str) -> Path:
        """Where the word is; one that is being learned as it was saved last."""
        self._take_from_run(name)
        return self.workspace.path("words", name)

    def _take_from_run(self, name: str) -> None:
        """Copy the word of the run `name`, if there is one that was saved since.

        A word that was renamed keeps its name; one that was deleted is not copied again.
        """
        run, folder = self.workspace.place("runs", name), self.workspace.place("words", name)
        saved, deleted = run / CONCEPT, self.workspace.place("queue", name) / NO_WORD
        try:
            now = saved.stat().st_mtime_ns
        except OSError:
            return
        if read_json(folder / ABOUT).get("saved") == now:
            return
        with contextlib.suppress(PseudowordError), self.workspace.turn("words"):  # else soon again
            if deleted.exists():
                return
            (concept,) = api.read_all(saved)
            known = {"created": time.time(), "source": "learned here", "token": concept.token}
            about = {**known, **read_json(folder / ABOUT), "saved": now}
            named = api.with_token(concept, about["token"])
            write_whole(folder / CONCEPT, api.encode(named, "native")[""])
            for picture in _latest_previews(run / "previews"):
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
        if any(word.token == token and word.id != but for word in self.words()):
            raise SettingsError(
                f"there is a word {brief(token)} already. Choose another name, or rename or delete "
                "that word."
            )
        if token in self._being_learned(but):
            raise SettingsError(
                f"a word {brief(token)} is being learned already. Choose another name, or wait "
                "for it."
            )

    def release(self) -> None:
        """Let go of the base model that was drawn with last, or is drawn with now, afterwards."""
        self._is_wanted = False
        if self._drawing_now.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._drawing_now.release()

    def _let_go(self) -> None:
        if self._loaded is not None:
            self._loaded = None
            api.free_memory()

    @contextlib.contextmanager
    def _drawing(
        self, settings: Mapping[str, Any], progress: Progress | None
    ) -> Iterator[Callable[[str, Sequence[api.Concept], str], list[Drawn]]]:
        """What draws, one page at a time.

        The base model stays loaded until another is drawn with, unless something is being learned,
        which needs the memory.
        """
        config = GenerateConfig.check(**checked(self.workspace, GenerateConfig, settings))
        told = _Notes(progress or Silent())
        with self._drawing_now:
            self._is_wanted = not self._being_learned("")
            key = config.model_dump_json(include={*BaseChoice.model_fields, "offload"})
            if self._loaded is None or self._loaded[0] != key:
                self._let_go()
                self._loaded = key, api.load_base(config, told)
            family = self._loaded[1]

            def draw(prompt: str, concepts: Sequence[api.Concept], caption: str) -> list[Drawn]:
                if len(prompt) > LONGEST_PROMPT:
                    raise SettingsError(f"the prompt is longer than {LONGEST_PROMPT} characters")
                pictures = api.draw_pictures(prompt, config, concepts, None, told, family)
                return [
                    Drawn(one, api.encode_picture(one, "PNG"), caption, tuple(told.notes))
                    for one in pictures
                ]

            try:
                yield draw
            finally:
                family = None
                if not self._is_wanted:
                    self._let_go()

    def _put(
        self, concept: "api.Concept", found: "api.EmbeddingFile", data: bytes, name: str
    ) -> Word:
        """A word of its own folder."""
        new, folder = self.workspace.new("words")
        write_whole(folder / CONCEPT, api.encode(concept, "native")[""])
        if found.container in ("chunk", "pixels"):
            picture = api.decode(data, Path(name), "white").picture
            write_whole(folder / PREVIEW, api.encode_picture(picture, "PNG"))
        about = {"created": time.time(), "source": name, "token": concept.token}
        write_whole(folder / ABOUT, json.dumps(about).encode())
        return self.word(new)

    def _copy(self, word: str, step: int) -> Path:
        if step not in self.copies(word):
            raise UnknownIdError(f"there is no copy of step {brief(step)} any more.")
        return self.workspace.path("runs", word) / "words" / f"step-{step:d}.safetensors"

    def _settings_of(self, values: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Settings of ours, and what there is no setting for."""
        settings: dict[str, Any] = {}
        unknown: dict[str, str] = {}
        for name, value in values.items():
            try:
                found = self._setting(name, value)
                read = GenerateConfig.check(**checked(self.workspace, GenerateConfig, found))
                settings |= {
                    one: found[one] if one == "base" else getattr(read, one) for one in found
                }
            except PseudowordError:
                found = {}
            if not found:
                unknown[name] = value
        return settings, unknown

    def _setting(self, name: str, value: str) -> dict[str, Any]:
        if name in FIELDS:
            return {FIELDS[name]: value}
        if name == "Sampler":
            kinds = {
                called: kind.removesuffix("Scheduler") for kind, called in api.SAMPLERS.items()
            }
            return {"scheduler": kinds.get(value, value)}
        if name == "Size" and (sides := re.fullmatch(r"(\d{1,5})x(\d{1,5})", value)):
            return {"width": int(sides[1]), "height": int(sides[2])}
        if name == "Model" and value in bases(self.workspace):
            return {"base": value}
        return {}

    def _word(self, name: str, folder: Path) -> Word:
        about = read_json(folder / ABOUT)
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


class _Notes(Silent):
    """Hands everything on, and keeps the notes."""

    def __init__(self, told: Progress) -> None:
        self._told = told
        self.notes: list[str] = []

    def phase(self, text: str) -> None:
        """Hand it on."""
        self._told.phase(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Hand it on."""
        self._told.advance(done, total, detail)

    def note(self, text: str) -> None:
        """Hand it on, and keep it once."""
        self._told.note(text)
        if text not in self.notes:
            self.notes.append(text)


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


def _known_word(concept: "api.Concept") -> str:
    """The words that learning began from; empty if the file does not name any."""
    facts = concept.provenance
    words = "" if facts.get("init_mode") in ("file", "random") else facts.get("init", "")
    return "" if lookup.looks_like_path(words) else words


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
