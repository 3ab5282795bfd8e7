"""Drawing with the words of a workspace, and reading back how a picture was drawn."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pseudoword import api, internals
from pseudoword.config import BaseChoice, GenerateConfig
from pseudoword.errors import PictureError, PseudowordError, SettingsError
from pseudoword.placeholders import split
from pseudoword.progress import Progress, Silent
from pseudoword.ui import libraries
from pseudoword.ui.library import Library
from pseudoword.ui.settings import bases, checked
from pseudoword.ui.workspace import base_name

FIELDS = {
    "Steps": "sampler_steps",
    "CFG scale": "guidance",
    "CFG Rescale": "guidance_rescale",
    "Seed": "seed",
    "Emphasis": "emphasis",
    "Clip skip": "clip_skip",
    "Toward": "toward",
    "Toward word": "toward_word",
    "Rows": "rows",
}
"""What a picture says of how it was drawn -> our setting, where the value is the same."""

LONGEST_PROMPT = 20_000
"""The most characters of a prompt."""


@dataclass(frozen=True)
class Drawn:
    """A drawn picture."""

    png: bytes
    """a PNG file, which also says how it was drawn"""
    caption: str
    """what tells it from the others that were drawn with it"""


@dataclass(frozen=True)
class ReadBack:
    """How a picture was drawn, as it says itself."""

    prompt: str
    negative: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """fields of `GenerateConfig`, without `negative`"""


class Drawing:
    """Draws with the words of `library`; one page at a time."""

    def __init__(self, library: Library) -> None:
        self.library, self.workspace = library, library.workspace
        self._turn = threading.RLock()
        self._loaded: tuple[str, Any] | None = None
        self._is_wanted = False

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
        concepts = [
            concept for name in words for concept in internals.read_all(self.library.file(name))
        ]
        with self._drawing(settings, progress) as draw:
            return draw(prompt, concepts, "")

    def with_and_without(
        self, prompt: str, word: str, *, progress: Progress | None = None, **settings: Any
    ) -> list[tuple[Drawn, Drawn]]:
        """Pairs of pictures with the same seeds: with the word, and with what it began from."""
        (concept,) = internals.read_all(self.library.file(word))
        known = internals.init_words(concept)
        negative = str(settings.pop("negative", "") or "")

        def without(text: str) -> str:
            pieces = split(text, [concept.token])  # the known word may be none at all
            without_token = "".join(known if i % 2 else one for i, one in enumerate(pieces))
            return " ".join(without_token.split())

        with self._drawing({**settings, "negative": negative}, progress) as draw:
            pictures = draw(prompt, [concept], concept.token)
        with self._drawing({**settings, "negative": without(negative)}, progress) as draw:
            others = draw(without(prompt), [], known or "without")
        return list(zip(pictures, others, strict=True))

    def sweep(
        self,
        prompt: str,
        word: str,
        *,
        progress: Progress | None = None,
        **settings: Any,
    ) -> list[Drawn]:
        """`prompt` drawn with each saved copy of the word and with the word itself, by the
        same seed; captions tell the step."""
        (concept,) = internals.read_all(self.library.file(word))
        with self._drawing({**settings, "n": 1}, progress) as draw:
            found = []
            for step in self.library.copies(word):
                (copy,) = internals.read_all(self.library.copy_file(word, step))
                found += draw(prompt, [internals.with_token(copy, concept.token)], f"step {step}")
            return [*found, *draw(prompt, [concept], "as it is")]

    def read_back(self, source: Path | bytes, name: str) -> ReadBack:
        """How a picture was drawn, to draw another one like it.

        Raises:
            PictureError: it is no picture, or does not say.
        """
        name = base_name(name)
        data = self.workspace.read_upload(source, name, PictureError)
        told = internals.read_infotext(data, name)
        return ReadBack(told.prompt, told.negative, self._settings_of(told.values))

    def release(self) -> None:
        """Free the base model that was drawn with last; one that draws now, when it has ended."""
        self._is_wanted = False
        if self._turn.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._turn.release()

    def _let_go(self) -> None:
        if self._loaded is not None:
            self._loaded = None
            internals.free_memory()

    @contextlib.contextmanager
    def _drawing(
        self, settings: Mapping[str, Any], progress: Progress | None
    ) -> Iterator[Callable[[str, Sequence[api.Concept], str], list[Drawn]]]:
        """A function that draws.

        The base model stays loaded until another is drawn with, unless something is being learned,
        which needs the memory.
        """
        config = GenerateConfig.check(**checked(self.workspace, GenerateConfig, settings))
        progress = progress or Silent()
        with self._turn:
            self._is_wanted = not self.library.is_learning()
            key = config.model_dump_json(include={*BaseChoice.model_fields, "offload"})
            if self._loaded is None or self._loaded[0] != key:
                self._let_go()
                libraries.ready()
                self._loaded = key, internals.load_base(config, progress)
            family = self._loaded[1]

            def draw(prompt: str, concepts: Sequence[api.Concept], caption: str) -> list[Drawn]:
                if len(prompt) > LONGEST_PROMPT:
                    raise SettingsError(f"the prompt is longer than {LONGEST_PROMPT} characters")
                pictures = internals.draw_pictures(prompt, config, concepts, None, progress, family)
                return [Drawn(internals.encode_picture(one, "PNG"), caption) for one in pictures]

            try:
                yield draw
            finally:
                family = None
                if not self._is_wanted:
                    self._let_go()

    def _settings_of(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The settings among what a picture tells."""
        settings: dict[str, Any] = {}
        if "Sampler" in values and values.get(internals.SCHEDULE) == internals.KARRAS:
            values = {**values, "Sampler": f"{values['Sampler']} {internals.KARRAS}"}
        for name, value in values.items():
            with contextlib.suppress(PseudowordError):  # it has no such value here
                found = self._setting(name, value)
                read = GenerateConfig.check(**checked(self.workspace, GenerateConfig, found))
                settings |= {
                    one: found[one] if one == "base" else getattr(read, one) for one in found
                }
        return settings

    def _setting(self, name: str, value: str) -> dict[str, Any]:
        if name in FIELDS:
            return {FIELDS[name]: value}
        if name == "Sampler":
            return {"scheduler": internals.by_usual_name(value)}
        if name == "Size" and (sides := re.fullmatch(r"(\d{1,5})x(\d{1,5})", value)):
            return {"width": int(sides[1]), "height": int(sides[2])}
        if name == "Model" and value in bases(self.workspace):
            return {"base": value}
        return {}
