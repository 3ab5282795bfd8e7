"""Everything that decides what `train` learns, put together from its groups."""

import tomllib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import tomli_w
from pydantic import TypeAdapter, model_validator

from pseudoword import lookup
from pseudoword.config.base_choice import BUNDLED, BaseChoice
from pseudoword.config.callbacks import CallbackSettings
from pseudoword.config.captions import FILEWORDS, TEMPLATE_SETS, CaptionSettings
from pseudoword.config.fields import AUTO, OFTEN, FilePath
from pseudoword.config.memory import MemorySettings
from pseudoword.config.method import LAYERED
from pseudoword.config.optimisation import Hyperparameters
from pseudoword.config.other_trainers import translation
from pseudoword.config.other_trainers.aliases import Alias
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.prompt_lines import parse
from pseudoword.config.settings import Where
from pseudoword.config.stopping import StopSettings
from pseudoword.config.word import WordSettings
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem, read_regular
from pseudoword.text import decode_text, reason

MAY_BE_PATHS: Mapping[str, Container[str] | None] = {
    "base": BUNDLED,
    "configs": (),
    "init": None,
    "template": (*TEMPLATE_SETS, FILEWORDS),
    "words": (),
}
"""Settings that name something known, or a file -> what is known; None: any word."""

MOST_NBYTES = 1 << 20
"""A larger file of settings is not read."""


# pydantic collects fields from the last base to the first: help shows the word first.
class TrainConfig(
    CallbackSettings,
    StopSettings,
    MemorySettings,
    Hyperparameters,
    CaptionSettings,
    PictureSettings,
    WordSettings,
    BaseChoice,
):
    """Everything that decides what `train` learns."""

    heading: ClassVar[str] = "Run"

    instead: ClassVar = INSTEAD

    out: Annotated[FilePath | None, OFTEN, Alias("output_dir")] = None
    """Folder of the run; by default runs/ and the name of the word."""

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.out or Path("runs") / file_stem(self.token)

    def to_toml(self) -> str:
        """As text that `from_toml` reads back, wherever it is read; unset values are left out."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"out"})
        values["pictures"] = [str(p.resolve()) for p in self.pictures]
        values["also"] = self.also_from(lookup.absolute)
        for name in MAY_BE_PATHS & values.keys():
            of_file = name == "init" and self.init_mode == "file"
            value, known = values[name], () if of_file else MAY_BE_PATHS[name]
            values[name] = (
                [lookup.absolute(one, known) for one in value]
                if isinstance(value, list)
                else lookup.absolute(value, known)
            )
        return tomli_w.dumps(values)

    @classmethod
    def from_toml(cls, text: str, where: Path) -> Self:
        """Read settings written by `to_toml`.

        Raises:
            SettingsError: not TOML, or a value is wrong.
        """
        values = cls.own_names(_parsed(text.encode(), where), where)
        return cls._checked(values, dict.fromkeys(values, where), where)

    @classmethod
    def gather(cls, file: Path | None, **given: Any) -> Self:
        """Settings `given`, over those of a TOML `file`, over the defaults.

        Raises:
            SettingsError: the file cannot be read, or a value is wrong.
        """
        return cls.layered([] if file is None else [(read_toml(file), file)], **given)

    @classmethod
    def layered(
        cls,
        layers: Iterable[tuple[Mapping[str, Any], Where]],
        missing_in: Where | None = None,
        /,
        **given: Any,
    ) -> Self:
        """Settings `given`, over those of each layer, over those of the layers before it.

        Args:
            layers: values, and the file that they stand in, or the place in it.
            missing_in: where what is missing is to be written; None: where `given` comes from.
            given: by the user, now.

        Raises:
            SettingsError: a value is wrong.
        """
        given = cls.own_names(given)
        found: dict[str, tuple[Any, Where]] = {}
        for values, where in layers:
            found |= {name: (v, where) for name, v in cls.own_names(values, where).items()}
        # A default in a file was not chosen by anybody, so it is not told to have no effect.
        chosen = {
            name: (value, where)
            for name, (value, where) in found.items()
            if name not in given and not cls._by_default(name, value)
        }
        values = {name: value for name, (value, _) in chosen.items()}
        said_in = {name: where for name, (_, where) in chosen.items()}
        return cls._checked(values | given, said_in, missing_in)

    @classmethod
    def _by_default(cls, name: str, value: object) -> bool:
        """Whether `value`, as read from TOML, is the default of the setting."""
        field = cls.model_fields.get(name)
        if field is None or field.is_required():
            return False
        default = TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json")
        return bool(default == value) and isinstance(default, bool) == isinstance(value, bool)

    @model_validator(mode="after")
    def _evaluation_for_what_needs_it(self) -> Self:
        if self.steps is AUTO and not self.evaluate_every:
            raise SettingsError(
                "--steps auto needs the evaluation loss. Give --evaluate-every, or a number of "
                "--steps."
            )
        return self

    @model_validator(mode="after")
    def _previews_of_each_new_word(self) -> Self:
        if "preview" not in self.model_fields_set:
            more = [f"a photo of {token}" for token in self.tokens[1:] if " --" not in token]
            self.__dict__["preview"] = (*self.preview, *map(parse, more))
        return self

    @model_validator(mode="after")
    def _a_word_whose_context_is_kept(self) -> Self:
        if self.keep_context and self.init_mode == "random":
            raise SettingsError(
                "--keep-context needs a known word in --init, beside which other words mean what "
                "they are to mean. Leave --init-mode random out, or --keep-context."
            )
        return self

    @model_validator(mode="after")
    def _what_blocks_in_main_memory_can(self) -> Self:
        if not self.offload:
            return self
        for given, name, why in (
            (self.quantize == "4bit", "--quantize 4bit", "whose layers keep weights on the GPU"),
            (self.graphs, "--graphs", "which needs all weights in one place"),
            (
                self.method in LAYERED,
                f"--method {self.method}",
                "whose layers read their own texts",
            ),
        ):
            if given:
                raise SettingsError(f"--offload does not go with {name}, {why}. Leave one out.")
        return self

    @model_validator(mode="after")
    def _what_output_embeddings_are(self) -> Self:
        if self.output_embedding and self.method in LAYERED:
            raise SettingsError(
                f"--method {self.method} has vectors for the layers that read a prompt, and "
                "--output-embedding puts them in behind the text encoder. Give one of them."
            )
        if self.output_embedding and self.keep_context:
            raise SettingsError(
                "--keep-context has nothing to do with --output-embedding: the other words of a "
                "prompt do not depend on the vectors. Leave it out."
            )
        return self


def read_toml(file: Path) -> dict[str, Any]:
    """The values in a TOML file of settings.

    Raises:
        SettingsError: it cannot be read, or is not TOML.
    """
    return _parsed(read_regular(file, MOST_NBYTES, SettingsError), file)


def _parsed(text: bytes, where: Path) -> dict[str, Any]:
    suffix = where.suffix.lower()
    if suffix in {".json", ".jsonl", ".yaml", ".yml"}:
        _refuse_theirs(translation.parsed(text.decode(errors="replace"), suffix), where)
        raise SettingsError(
            f"{where} is no TOML file. Give its settings as options, or write them into a .toml "
            "file, as name = value."
        )
    try:
        found = tomllib.loads(decode_text(text).replace("\r\n", "\n"))
    except UnicodeError:
        raise SettingsError(f"{where} is no TOML file: it is not text in UTF-8") from None
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        more = ". Write paths with /, or in single quotes: in double ones, \\ means something else."
        hint = more if b"\\" in text else ""
        raise SettingsError(f"{where} is damaged: {reason(error)}{hint}") from error
    if any(isinstance(value, dict) for value in found.values()) or "datasets" in found:
        _refuse_theirs(found, where)
    return found


def _refuse_theirs(values: Mapping[str, Any] | None, where: Path) -> None:
    """Refuse settings of another trainer, and say what they are here."""
    if values and (told := translation.translated(values, TrainConfig)):
        raise SettingsError(
            f"{where} is of another trainer. Its settings are these options here:\n{told}"
        )
