"""The folder of a run: its files, and whether to begin there, resume, or leave it alone."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pseudoword import formats, lookup
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.data import picture_files
from pseudoword.errors import PictureError, RunFolderError, SettingsError, StorageError
from pseudoword.files import read_regular, remove_abandoned, write_errors
from pseudoword.formats import native
from pseudoword.outputs import Outputs, check_not_input, check_writable
from pseudoword.runs import checkpoint, run_log, setting_changes
from pseudoword.runs.chosen import Chosen
from pseudoword.text import command, listed, public

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
    rf"|{WORDS}/step-{_NUMBER}(?:-[0-9]+)?\.safetensors"
)
"""Names of the other files, which include the step they were written at."""

LARGEST_NBYTES = 256 * 1024 * 1024
"""A larger file of settings is not read."""


class RunFolder:
    """The files of a run.

    `config.toml`, `log.jsonl`, `loss.png`, `concept.safetensors`; `previews/`; `best.safetensors`
    if there are evaluations; copies of the word in `words/`; of further words that are learned with
    it `concept-2.safetensors` and so on; `chosen.json`, the values of `auto`
    settings; `changes.json`, if settings were changed during the run; checkpoints; and a record of
    all these files (`outputs.Outputs`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = Outputs(path, checkpoint.MAKER)
        self.config = path / CONFIG
        self.log = path / LOG
        self.concept = path / formats.CONCEPT_FILE
        self.previews = path / PREVIEWS

    def check(self, config: TrainConfig, *, restart: bool = False, overwrite: bool = False) -> None:
        """Check before any work that a run can write here without losing anything.

        Raises:
            SettingsError: previews would be written to a folder that pictures are read from, or the
                run learns from one of the files that it would replace.
            StorageError: a folder cannot be written to.
            RunFolderError: the run would replace files that no run has written; or a run's words or
                checkpoints are here, but not its settings.
        """
        with write_errors(self.path):
            for folder in (self.path, self.previews, self.path / WORDS):
                check_not_input(folder, config.pictures)
                if os.path.lexists(folder) and not folder.is_dir():
                    raise StorageError(
                        f"{folder} is there and is not a folder; choose another --out"
                    )
            check_writable(self.config, self.path / FILMSTRIP, self.path / WORDS / "copy")
            self._check_inputs(config)
            foreign = [] if overwrite else self._foreign_files(config)
        if foreign:
            raise RunFolderError(
                f"{listed(foreign)} would be replaced, but no run has written that: it was here "
                "before, was changed, or is damaged. Move it away, choose another --out, or add "
                "--overwrite to replace it."
            )
        if not (restart or self._is_run()) and self._results():
            raise RunFolderError(
                f"{self.path} holds files of a run, but not its {CONFIG}, so it cannot be resumed. "
                "Add --restart to begin again, or choose another --out."
            )

    def recover(self) -> None:
        """Clean up after a run that was killed. The caller has locked the folder."""
        for folder in (self.path, self.previews, self.path / WORDS):
            remove_abandoned(folder, ours=True)

    def is_finished(self, config: TrainConfig, *, allow_changes: bool) -> bool:
        """Whether a run with `config` is finished. The caller has locked the folder.

        Raises:
            RunFolderError: the folder holds a run with other settings, or one of other words.
        """
        changed = self.changed_settings(config)
        if changed and not allow_changes:
            raise RunFolderError(
                f"{self.path} holds a run with other settings: {'; '.join(changed)}. Use the "
                "same settings to go on with it, --allow-changes to go on with the new ones, "
                "--restart to begin again, or another --out."
            )
        before = self._settings().tokens if changed else config.tokens
        if before != config.tokens and (len(before) > 1 or config.also):
            raise RunFolderError(
                f"{self.path} holds a run of {listed(before)}. Several new words cannot become "
                "other ones during a run. Add --restart to begin again, or choose another --out."
            )
        there = all(map(self._ours, self.concepts(config)))
        return self.has_word() and there and not checkpoint.steps(self.path)

    def has_word(self) -> bool:
        """Whether there is a word that a run has written."""
        return self._is_run() and self._ours(self.concept)

    def reopen(self, config: TrainConfig) -> bool:
        """Let a finished run go on, if `config` has more steps than it had.

        Returns:
            Whether it has more steps.

        Raises:
            RunFolderError: it has, but the last checkpoint is missing.
        """
        before = self._settings()
        if before.steps is config.steps is AUTO or config.total_steps <= before.total_steps:
            return False
        if checkpoint.finished_step(self.path) is None:
            raise RunFolderError(
                f"{self.path} cannot be extended: its last checkpoint is missing. Begin "
                f"another run with {command('--init', self.concept)}."
            )
        checkpoint.reopen(self.path)
        return True

    def changed_settings(
        self, config: TrainConfig, shown: Callable[[object], str] = str
    ) -> list[str]:
        """How `config` differs from the settings of the run in this folder, as sentences.

        `shown` converts a value to text.
        """
        if not self._is_run():
            return []
        # both as they are written, with the paths of what lies here
        before, after = (
            TrainConfig.from_toml(one.to_toml(), self.config) for one in (self._settings(), config)
        )
        return setting_changes.sentences(before, after, shown)

    def begin(self, config: TrainConfig, step: int, other: Sequence[str] = ()) -> None:
        """Write the settings, and remove log lines after `step`; they will be written again.

        Changes of settings are kept with the word, and so is `other`, what else has changed.

        Raises:
            StorageError: a file cannot be written.
            RunFolderError: a file of the earlier run cannot be read.
        """
        kept = [line for line in self.read_log() if line["step"] <= step] if step else []
        changed = self.changed_settings(
            config, lambda value: public(str(value))
        )  # shared with the word
        changed += other
        if changed and step:
            sentences = [f"step {step}: {change}" for change in changed]
            new = [sentence for sentence in sentences if sentence not in self.changes]
            self.files.write(CHANGES, json.dumps([*self.changes, *new]).encode())
        self.files.write(CONFIG, config.to_toml().encode(errors="surrogateescape"))
        if self.log.exists():
            self.files.write(LOG, b"".join(map(run_log.line, kept)))
        self.files.register(LOG)

    @property
    def changes(self) -> list[str]:
        """Settings that were changed during the run, as sentences.

        Raises:
            RunFolderError: the file holds something else.
        """
        changes = self._json(CHANGES) if self._ours(self.path / CHANGES) else []
        if not (isinstance(changes, list) and all(isinstance(each, str) for each in changes)):
            raise self._unexpected(CHANGES, "it is not a list of sentences")
        return changes

    def read_chosen(self) -> Chosen:
        """The values of `auto` settings that this run has chosen so far.

        Raises:
            RunFolderError: the file holds something else.
        """
        if not (self._is_run() and self._ours(self.path / CHOSEN)):
            return Chosen()
        values = self._json(CHOSEN)
        if not isinstance(values, dict):
            raise self._unexpected(CHOSEN, "it is not a table")
        try:
            return Chosen(**values)
        except SettingsError as error:
            raise self._unexpected(CHOSEN, str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise self._unexpected(CHOSEN, f"{first['loc'][0]}: {first['msg'].lower()}") from error

    def write_chosen(self, chosen: Chosen) -> None:
        """Save the values of `auto` settings."""
        self.files.write(CHOSEN, chosen.model_dump_json(exclude_none=True).encode())

    def append_log(self, entry: Mapping[str, float]) -> None:
        """Add a line: step, loss, lr, norm, grad, seconds, and the losses of an evaluation."""
        run_log.append(self.log, entry)

    def read_log(self) -> list[dict[str, float]]:
        """All lines of the log; a line that was cut off by a crash is left out.

        Raises:
            RunFolderError: a line was not written by a run, or the file cannot be read.
        """
        return run_log.read(self.log)

    def concepts(self, config: TrainConfig) -> list[Path]:
        """The files of the words that a run with `config` learns."""
        return [self.path / name for name in _files_of_words(formats.CONCEPT_FILE, config)]

    def write_concepts(self, concepts: Sequence[Concept]) -> None:
        """Write the current words."""
        self._write_words(formats.CONCEPT_FILE, concepts)

    def write_best(self, concepts: Sequence[Concept]) -> None:
        """Write the words of the lowest evaluation loss so far."""
        self._write_words(BEST, concepts)

    def keep_copies(self, concepts: Sequence[Concept], step: int, keep_last: int) -> None:
        """Keep copies of the words, and remove all but those of the last `keep_last` steps.

        With 0, all are kept.
        """
        self._write_words(f"{WORDS}/step-{step}.safetensors", concepts)
        if keep_last:
            copies = [(at, name) for name, at in self._numbered() if name.startswith(f"{WORDS}/")]
            kept = sorted({at for at, _ in copies})[-keep_last:]
            self.files.remove(*(name for at, name in copies if at not in kept))

    def _write_words(self, name: str, concepts: Sequence[Concept]) -> None:
        for number, concept in enumerate(concepts, 1):
            self.files.write(formats.file_of_word(name, number), native.dump(concept))

    def learned_from(self) -> list[Path]:
        """The pictures of this run, if it is one and they are still there."""
        try:
            return picture_files.find(self._settings().pictures) if self._is_run() else []
        except (RunFolderError, PictureError, StorageError):
            return []

    def clear(self) -> None:
        """Remove what the run in this folder has written; other files stay.

        Checkpoints are removed first and settings last. So if this is interrupted, a run never
        resumes from the checkpoints of another one.
        """
        rank = {name: (name == CONFIG, not name.endswith(".pt")) for name in self.files.recorded()}
        self.files.remove(*sorted(rank, key=lambda name: rank[name]))

    def _results(self) -> list[str]:
        """The words and checkpoints that a run has written."""
        return [name for name in self.files.owned() if name.endswith((".pt", ".safetensors"))]

    def _is_run(self) -> bool:
        return self._ours(self.config)

    def _ours(self, path: Path) -> bool:
        return bool(self.files.owned([path.name]))

    def _check_inputs(self, config: TrainConfig) -> None:
        recorded = {".", *self.files.recorded()}
        words = list(config.words)
        for word in config.new_words:
            if word.init_mode == "file" or lookup.looks_like_path(word.init):
                words.append(word.init)
        of_words = (Path(lookup.split_token(word, "")[0]) for word in words)
        for path in (*config.pictures, *of_words):
            if _inside(self.path, path) in recorded:
                raise SettingsError(
                    f"{path} belongs to the run in {self.path}, which would replace what it learns "
                    "from. Choose another --out."
                )

    def _foreign_files(self, config: TrainConfig) -> list[Path]:
        """Files that the run would replace, but no run has written."""
        words = [*_files_of_words(formats.CONCEPT_FILE, config), *_files_of_words(BEST, config)]
        plain = [*FIXED_NAMES, *words]
        if "csv" in config.log:
            plain.append(CSV)
        with_step = [name for name, step in self._numbered() if step <= config.total_steps]
        return self.files.foreign([*dict.fromkeys(plain), *with_step])

    def _numbered(self) -> Iterator[tuple[str, int]]:
        """Files named like those of a run, with the step in their name."""
        for folder in ("", f"{PREVIEWS}/", f"{WORDS}/"):
            inside = self.path / folder
            for path in inside.iterdir() if inside.is_dir() else ():
                if match := NUMBERED.fullmatch(f"{folder}{path.name}"):
                    yield f"{folder}{path.name}", int(match[match.lastindex or 0])

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
        return RunFolderError.altered(self.path / name, why)


def _files_of_words(name: str, config: TrainConfig) -> list[str]:
    """The names of such files of all words that a run learns."""
    return [formats.file_of_word(name, number) for number, _ in enumerate(config.tokens, 1)]


def _inside(folder: Path, path: Path) -> str | None:
    """The path relative to `folder`; None if it is elsewhere or does not exist."""
    with contextlib.suppress(ValueError, OSError, RuntimeError):
        if path.exists():
            return path.resolve().relative_to(folder.resolve()).as_posix()
    return None
