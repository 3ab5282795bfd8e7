"""The folder of a run: what is in it, and whether to begin, go on, or leave it alone."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudoword import checkpoint, formats
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig, flag
from pseudoword.config.watching import WatchSettings
from pseudoword.errors import RunFolderError
from pseudoword.files import storage_error, write_whole
from pseudoword.text import public

HARMLESS = {"out", *WatchSettings.model_fields}
"""Settings that do not change what is learned, so a resumed run may change them."""


class RunFolder:
    """All that a run leaves behind.

    `config.toml`, `log.jsonl`, `loss.png`, `concept.safetensors`; `previews/`; with evaluations
    `best.safetensors`; copies of the word in `words/`; what `auto` chose in `chosen.json`;
    `changes.json`, if settings were changed on the way; checkpoints.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.log = path / "log.jsonl"
        self.concept = path / formats.CONCEPT_FILE
        self.best = path / "best.safetensors"
        self.words = path / "words"
        self.previews = path / "previews"
        self.curves = path / "loss.png"
        self.rate_curve = path / "rate.png"
        self._chosen = path / "chosen.json"
        self._changes = path / "changes.json"

    def finished(self, config: TrainConfig, allow_changes: bool = False) -> bool:
        """Whether `config` has been run here to the end. The caller holds the folder.

        Raises:
            RunFolderError: it holds a run with other settings, or a concept of unknown origin.
        """
        if self.config.exists():
            changed = self.changed(config)
            if changed and not allow_changes:
                raise RunFolderError(
                    f"{self.path} holds a run with other settings: {'; '.join(changed)}. Use the "
                    "same settings to go on with it, --allow-changes to go on with the new ones, "
                    "--restart to begin again, or another --out."
                )
            return self.concept.exists() and not checkpoint.steps(self.path)
        if self.concept.exists():
            raise RunFolderError(
                f"{self.concept} exists and does not belong to a run. "
                "Choose another --out, or add --restart to overwrite it."
            )
        return False

    def reopen(self, config: TrainConfig) -> bool:
        """Whether this finished run has steps left under `config`; if so, it can go on.

        Raises:
            RunFolderError: it has, but the state to go on from is not there.
        """
        before = TrainConfig.from_toml(self.config.read_text(), self.config)
        if before.steps == config.steps == "auto" or config.total_steps <= before.total_steps:
            return False
        if checkpoint.finished(self.path) is None:
            raise RunFolderError(
                f"{self.path} cannot be extended: the state of its last step is gone. Begin "
                f"another run with --init {self.concept}."
            )
        checkpoint.reopen(self.path)
        return True

    def changed(self, config: TrainConfig, shown: Callable[[object], str] = str) -> list[str]:
        """What differs between `config` and the settings of the run that is here, in words.

        A run may always be extended. `shown` says how a value is written.
        """
        if not self.config.exists():
            return []
        before = TrainConfig.from_toml(self.config.read_text(), self.config)
        after = TrainConfig.from_toml(config.to_toml(), self.config)
        values = {
            name: [_shown(getattr(one, name), shown) for one in (before, after)]
            for name in TrainConfig.model_fields
            if name not in HARMLESS
            and getattr(before, name) != getattr(after, name)
            and not (name == "extend" and after.extend > before.extend)
        }
        return [f"{flag(name)} was {old}, is {new}" for name, (old, new) in values.items()]

    def begin(self, config: TrainConfig, step: int) -> None:
        """Write the settings, and drop log lines after `step`, which will be written again.

        Raises:
            StorageError: it cannot be written.
        """
        changed = self.changed(config, lambda value: public(str(value)))  # the word tells of it
        if changed and step:
            noted = [f"step {step}: {change}" for change in changed]
            noted = [*self.changes, *(one for one in noted if one not in self.changes)]
            write_whole(self._changes, json.dumps(noted).encode())
        write_whole(self.config, config.to_toml().encode())
        if self.log.exists():
            kept = [line for line in self.read_log() if step and line["step"] <= step]
            write_whole(self.log, b"".join(map(_line, kept)))

    @property
    def changes(self) -> list[str]:
        """Settings that were changed on the way, in words."""
        return list(_json(self._changes) or [])

    def chosen(self) -> dict[str, Any] | None:
        """What `auto` settings were found to be, if this run has got so far."""
        values: dict[str, Any] | None = _json(self._chosen) if self.config.exists() else None
        return values

    def choose(self, values: Mapping[str, Any]) -> None:
        """Remember what `auto` settings were found to be."""
        write_whole(self._chosen, json.dumps(dict(values)).encode())

    def append_log(self, entry: Mapping[str, float]) -> None:
        """Add one line: step, loss, lr, norm, grad, seconds, and what an evaluation found."""
        try:
            with self.log.open("ab") as file:
                file.write(_line(entry))
        except OSError as error:
            raise storage_error(self.log, error) from error

    def read_log(self) -> list[dict[str, float]]:
        """All whole lines of the log; a line cut off by a crash is left out."""
        entries = []
        for line in self.log.read_bytes().splitlines() if self.log.exists() else []:
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries

    def keep_copy(self, concept: Concept, step: int, keep_last: int) -> None:
        """Put a copy of the word aside; of all copies, keep the last so many (0: all)."""
        formats.write(concept, self.words / f"step-{step}.safetensors")
        found = {
            int(name[1]): path
            for path in self.words.glob("step-*.safetensors")
            if (name := re.fullmatch(r"step-(\d+)\.safetensors", path.name))
        }
        for old in sorted(found)[:-keep_last] if keep_last else ():
            found[old].unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget what is here; files that are not ours stay."""
        checkpoint.clear(self.path)
        ours = (self.config, self.log, self.concept, self.best, self.curves, self.rate_curve)
        inside = (*self.previews.glob("*.png"), *self.words.glob("step-*.safetensors"))
        for path in (*ours, self._chosen, self._changes, *inside):
            path.unlink(missing_ok=True)


def _line(entry: Mapping[str, float]) -> bytes:
    return json.dumps(dict(entry)).encode() + b"\n"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _shown(value: object, shown: Callable[[object], str]) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value))
    return shown(value)
