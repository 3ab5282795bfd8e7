"""The folder of a run: what is in it, and whether to begin, go on, or leave it alone."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig, flag
from pseudoword.config.callbacks import CallbackSettings
from pseudoword.config.fields import AUTO
from pseudoword.config.rates import Rates
from pseudoword.errors import PseudowordError, RunFolderError, SettingsError, StorageError
from pseudoword.files import read_regular, remove_abandoned, storage_error
from pseudoword.formats import native
from pseudoword.outputs import Outputs, check_not_input, check_writable
from pseudoword.runs import checkpoint
from pseudoword.text import public
from pseudoword.training.importance import PARTS

CHANGEABLE = {"out", *CallbackSettings.model_fields}
"""Settings that do not change what is learned, so a resumed run may change them."""

CONFIG, LOG, CURVES, RATE_CURVE = "config.toml", "log.jsonl", "loss.png", "rate.png"
BEST, CHOSEN, CHANGES = "best.safetensors", "chosen.json", "changes.json"
PREVIEWS, FILMSTRIP, WORDS, CSV = "previews", "previews/filmstrip.png", "words", "log.csv"
FIXED_NAMES = (
    CONFIG,
    LOG,
    CURVES,
    RATE_CURVE,
    formats.CONCEPT_FILE,
    BEST,
    CHOSEN,
    CHANGES,
    FILMSTRIP,
)
_NUMBER = "(0|[1-9][0-9]*)"
NUMBERED = re.compile(
    rf"(?:checkpoint|finished)-{_NUMBER}\.pt|{PREVIEWS}/step-{_NUMBER}-[0-9]+\.png"
    rf"|{WORDS}/step-{_NUMBER}\.safetensors"
)
"""Names of files, beside the plain ones, that tell the step they were written at."""

LARGEST_NBYTES = 256 * 1024 * 1024
"""No text of a run is longer."""


def _check_length(density: tuple[float, ...]) -> tuple[float, ...]:
    if len(density) not in {0, PARTS}:
        raise ValueError(f"has {len(density)} numbers, not {PARTS}")
    return density


def _one_rate(value: object) -> Rates:
    rates = Rates.parse(value) if isinstance(value, str) else value
    if not isinstance(rates, Rates) or len(rates.each) != 1 or rates.percent:
        raise ValueError("is not one rate")
    return rates


Part = Annotated[float, Field(gt=0, le=1)]


class Chosen(BaseModel, extra="forbid", frozen=True):
    """What `auto` settings were found to be; None is what has not been looked for."""

    density: Annotated[tuple[Part, ...], AfterValidator(_check_length)] | None = None
    lr: Annotated[Rates, PlainValidator(_one_rate), PlainSerializer(str)] | None = None
    tried: tuple[tuple[float, float], ...] | None = None


class RunFolder:
    """All that a run leaves behind.

    `config.toml`, `log.jsonl`, `loss.png`, `concept.safetensors`; `previews/`; with evaluations
    `best.safetensors`; copies of the word in `words/`; what `auto` chose in `chosen.json`;
    `changes.json`, if settings were changed on the way; checkpoints; and a record of them all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = Outputs(path, checkpoint.MAKER)
        self.config = path / CONFIG
        self.log = path / LOG
        self.concept = path / formats.CONCEPT_FILE
        self.previews = path / PREVIEWS

    def check(self, config: TrainConfig, *, restart: bool = False, overwrite: bool = False) -> None:
        """Find out before any work whether a run could lose what is here.

        Raises:
            SettingsError: pictures are read from where they would be written to, or something
                that is learned from is a file of the run here.
            StorageError: a folder cannot be written to.
            RunFolderError: files are here that the run would replace, but no run has written; or a
                run's words or states are here, but not its settings.
        """
        try:
            for folder in (self.path, self.previews, self.path / WORDS):
                check_not_input(folder, config.pictures)
                if os.path.lexists(folder) and not folder.is_dir():
                    raise StorageError(
                        f"{folder} is to be a folder, but is none; choose another --out"
                    )
            check_writable(self.config, self.path / FILMSTRIP, self.path / WORDS / "copy")
            self._check_inputs(config)
            strangers = (
                [] if overwrite or self.is_from_older_version() else self._foreign_files(config)
            )
        except OSError as error:
            raise storage_error(self.path, error) from error
        if strangers:
            more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
            shown = ", ".join(map(str, strangers[:3]))
            raise RunFolderError(
                f"{shown}{more} would be replaced, but no run has written that: it was here "
                "before, was changed, or is damaged. Move it away, choose another --out, or add "
                "--overwrite to lose it."
            )
        if not (restart or self._is_run()) and self._results():
            raise RunFolderError(
                f"{self.path} holds what a run has left, but not its {CONFIG}, without which it "
                "cannot be gone on with. Add --restart to begin again, or choose another --out."
            )

    def recover(self) -> None:
        """Clean up after a run that was killed, and put on record what older versions have written.

        The caller holds the folder.
        """
        for folder in (self.path, self.previews, self.path / WORDS):
            remove_abandoned(folder, ours=True)
        if self.is_from_older_version():
            self.files.adopt([*FIXED_NAMES, *(name for name, _ in self._numbered())])

    def is_finished(self, config: TrainConfig, allow_changes: bool = False) -> bool:
        """Whether `config` has been run here to the end. The caller holds the folder.

        Raises:
            RunFolderError: it holds a run with other settings.
        """
        changed = self.changed_settings(config)
        if changed and not allow_changes:
            raise RunFolderError(
                f"{self.path} holds a run with other settings: {'; '.join(changed)}. Use the "
                "same settings to go on with it, --allow-changes to go on with the new ones, "
                "--restart to begin again, or another --out."
            )
        return self.has_word() and not checkpoint.steps(self.path)

    def has_word(self) -> bool:
        """Whether a run has left a word here."""
        return self._is_run() and bool(self._ours(self.concept))

    def reopen(self, config: TrainConfig) -> bool:
        """Whether this finished run has steps left under `config`; if so, it can go on.

        Raises:
            RunFolderError: it has, but the state to go on from is not there.
        """
        before = self._settings()
        if before.steps is config.steps is AUTO or config.total_steps <= before.total_steps:
            return False
        if checkpoint.finished_step(self.path) is None:
            raise RunFolderError(
                f"{self.path} cannot be extended: the state of its last step is gone. Begin "
                f"another run with --init {self.concept}."
            )
        checkpoint.reopen(self.path)
        return True

    def changed_settings(
        self, config: TrainConfig, shown: Callable[[object], str] = str
    ) -> list[str]:
        """What differs between `config` and the settings of the run that is here, in words.

        A run may always be extended. `shown` says how a value is written.
        """
        if not self._is_run():
            return []
        before = self._settings()
        after = TrainConfig.from_toml(config.to_toml(), self.config)
        values = {
            name: [_shown(getattr(one, name), shown) for one in (before, after)]
            for name in TrainConfig.model_fields
            if name not in CHANGEABLE
            and getattr(before, name) != getattr(after, name)
            and not (name == "extend" and after.extend > before.extend)
        }
        return [f"{flag(name)} was {old}, is {new}" for name, (old, new) in values.items()]

    def begin(self, config: TrainConfig, step: int) -> None:
        """Write the settings, and drop log lines after `step`, which will be written again.

        Raises:
            StorageError: it cannot be written.
            RunFolderError: what a run has written here before cannot be read.
        """
        kept = [line for line in self.read_log() if line["step"] <= step] if step else []
        changed = self.changed_settings(
            config, lambda value: public(str(value))
        )  # the word tells of it
        if changed and step:
            noted = [f"step {step}: {change}" for change in changed]
            noted = [*self.changes, *(one for one in noted if one not in self.changes)]
            self.files.write(CHANGES, json.dumps(noted).encode())
        self.files.write(CONFIG, config.to_toml().encode(errors="surrogateescape"))
        if self.log.exists():
            self.files.write(LOG, b"".join(map(_log_line, kept)))
        self.files.register(LOG)

    @property
    def changes(self) -> list[str]:
        """Settings that were changed on the way, in words.

        Raises:
            RunFolderError: the file holds something else.
        """
        found = self._json(CHANGES) if self._ours(self.path / CHANGES) else []
        if not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
            raise self._unexpected(CHANGES, "it is no list of sentences")
        return found

    def read_chosen(self) -> Chosen:
        """What `auto` settings were found to be, as far as this run has got.

        Raises:
            RunFolderError: the file holds something else.
        """
        if not (self._is_run() and self._ours(self.path / CHOSEN)):
            return Chosen()
        found = self._json(CHOSEN)
        if not isinstance(found, dict):
            raise self._unexpected(CHOSEN, "it is no table")
        try:
            return Chosen(**found)
        except SettingsError as error:
            raise self._unexpected(CHOSEN, str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise self._unexpected(CHOSEN, f"{first['loc'][0]}: {first['msg'].lower()}") from error

    def write_chosen(self, chosen: Chosen) -> None:
        """Remember what `auto` settings were found to be."""
        self.files.write(CHOSEN, chosen.model_dump_json(exclude_none=True).encode())

    def append_log(self, entry: Mapping[str, float]) -> None:
        """Add one line: step, loss, lr, norm, grad, seconds, and what an evaluation found."""
        try:
            with self.log.open("ab") as file:
                file.write(_log_line(entry))
        except OSError as error:
            raise storage_error(self.log, error) from error

    def read_log(self) -> list[dict[str, float]]:
        """All whole lines of the log; a line cut off by a crash is left out.

        Raises:
            RunFolderError: a line is none of a run's, or the file cannot be read.
        """
        if not self.log.exists():
            return []
        entries = []
        data = read_regular(self.log, LARGEST_NBYTES, RunFolderError)
        for number, line in enumerate(data.splitlines(), 1):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not _is_entry(entry):
                raise self._unexpected(LOG, f"line {number} is not what a step has shown")
            entries.append(entry)
        return entries

    def write_concept(self, concept: Concept) -> None:
        """Write the word as it is now."""
        self.files.write(formats.CONCEPT_FILE, native.dump(concept))

    def keep_copy(self, concept: Concept, step: int, keep_last: int) -> None:
        """Put a copy of the word aside; of all copies, keep the last so many (0: all)."""
        self.files.write(f"{WORDS}/step-{step}.safetensors", native.dump(concept))
        if keep_last:
            found = [(at, name) for name, at in self._numbered() if name.startswith(f"{WORDS}/")]
            self.files.remove(*(name for _, name in sorted(found)[:-keep_last]))

    def clear(self) -> None:
        """Forget what the run that is here has written; anything else stays.

        States go first and settings last, so that whoever is killed in between never goes on from
        the states of another run.
        """
        rank = {name: (name == CONFIG, not name.endswith(".pt")) for name in self.files.recorded()}
        self.files.remove(*sorted(rank, key=lambda name: rank[name]))

    def _results(self) -> list[str]:
        """The words and states that a run has left here."""
        return [name for name in self.files.owned() if name.endswith((".pt", ".safetensors"))]

    def _is_run(self) -> bool:
        return bool(self._ours(self.config))

    def _ours(self, path: Path) -> list[str]:
        return self.files.owned([path.name])

    def is_from_older_version(self) -> bool:
        """Whether a version that kept no record has left a run here."""
        try:
            if self.files.has_written() or not self.config.is_file():
                return False
            self._settings()
            return bool(self.read_log())
        except PseudowordError:
            return False

    def _check_inputs(self, config: TrainConfig) -> None:
        known = {".", *self.files.recorded()}
        for given in (*config.pictures, Path(config.init)):
            if _inside(self.path, given) in known:
                raise SettingsError(
                    f"{given} is of the run in {self.path}, which would replace what it learns "
                    "from. Choose another --out."
                )

    def _foreign_files(self, config: TrainConfig) -> list[Path]:
        """What would be replaced without having been written by a run."""
        plain = [*FIXED_NAMES, *([CSV] if "csv" in config.log else [])]
        numbered = [name for name, step in self._numbered() if step <= config.total_steps]
        return self.files.foreign([*plain, *numbered])

    def _numbered(self) -> Iterator[tuple[str, int]]:
        """Files that are called as a run calls its own, and the steps they tell."""
        for folder in ("", f"{PREVIEWS}/", f"{WORDS}/"):
            inside = self.path / folder
            for path in inside.iterdir() if inside.is_dir() else ():
                if found := NUMBERED.fullmatch(f"{folder}{path.name}"):
                    yield f"{folder}{path.name}", int(found[found.lastindex or 0])

    def _settings(self) -> TrainConfig:
        text = read_regular(self.config, LARGEST_NBYTES, RunFolderError)
        try:
            return TrainConfig.from_toml(text.decode(errors="surrogateescape"), self.config)
        except (SettingsError, ValueError, RecursionError) as error:
            raise self._unexpected(CONFIG, str(error)) from error

    def _json(self, name: str) -> Any:
        data = read_regular(self.path / name, LARGEST_NBYTES, RunFolderError)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._unexpected(name, str(error)) from error

    def _unexpected(self, name: str, why: str) -> RunFolderError:
        return RunFolderError(
            f"{self.path / name} is not as a run writes it: {why}. Bring back the file that was "
            "there, add --restart to begin again, or choose another --out."
        )


def _inside(folder: Path, given: Path) -> str | None:
    """The name of `given` within `folder`, if it is there."""
    with contextlib.suppress(ValueError, OSError, RuntimeError):  # elsewhere, or nowhere
        if given.exists():
            return given.resolve().relative_to(folder.resolve()).as_posix()
    return None


def _is_entry(entry: object) -> bool:
    if not (isinstance(entry, dict) and type(entry.get("step")) is int):
        return False
    try:
        numbers = [float(value) for value in entry.values() if type(value) in {int, float}]
    except OverflowError:
        return False
    return len(numbers) == len(entry) and 0 <= entry["step"] < 2**63


def _log_line(entry: Mapping[str, float]) -> bytes:
    return json.dumps(dict(entry)).encode() + b"\n"


def _shown(value: object, shown: Callable[[object], str]) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value))
    return shown(value)
