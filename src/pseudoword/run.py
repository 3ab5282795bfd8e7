"""The folder of a run: what is in it, and whether to begin, go on, or leave it alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from pseudoword import checkpoint, formats
from pseudoword.config import TrainConfig, flag
from pseudoword.errors import RunFolderError
from pseudoword.files import storage_error, write_whole
from pseudoword.training import Seen

HARMLESS = {"out", "checkpoint_every", "preview", "word_in_preview"}
"""Settings that do not change what is learned, so a resumed run may change them."""


class RunFolder:
    """`config.toml`, `log.jsonl`, `loss.png`, `concept.safetensors`, `previews/`, checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.log = path / "log.jsonl"
        self.concept = path / formats.CONCEPT_FILE
        self.previews = path / "previews"

    def finished(self, config: TrainConfig) -> bool:
        """Whether `config` has been run here to the end. The caller holds the folder.

        Raises:
            RunFolderError: it holds a run with other settings, or a concept of unknown origin.
        """
        if self.config.exists():
            self._refuse_changes(config)
            return self.concept.exists() and not checkpoint.steps(self.path)
        if self.concept.exists():
            raise RunFolderError(
                f"{self.concept} exists and does not belong to a run. "
                "Choose another --out, or add --restart to overwrite it."
            )
        return False

    def begin(self, config: TrainConfig, step: int) -> None:
        """Write the settings, and drop log lines after `step`, which will be written again.

        Raises:
            StorageError: it cannot be written.
        """
        write_whole(self.config, config.to_toml().encode())
        if self.log.exists():
            kept = [line for line in self.read_log() if line["step"] <= step]
            write_whole(self.log, b"".join(map(_line, kept)))

    def append_log(self, step: int, seen: Seen, seconds: float) -> None:
        """Add one line: step, loss, lr, norm, grad, seconds."""
        entry = {"step": step, "loss": seen.loss, "lr": seen.lr, "norm": seen.norm}
        entry |= {"grad": seen.grad, "seconds": round(seconds, 4)}
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

    def _refuse_changes(self, config: TrainConfig) -> None:
        before = TrainConfig.from_toml(self.config.read_text(), self.config)
        after = TrainConfig.from_toml(config.to_toml(), self.config)
        changed = [
            f"{flag(name)} was {_shown(getattr(before, name))}, is {_shown(getattr(after, name))}"
            for name in TrainConfig.model_fields
            if name not in HARMLESS and getattr(before, name) != getattr(after, name)
        ]
        if changed:
            raise RunFolderError(
                f"{self.path} holds a run with other settings: {'; '.join(changed)}. Use the same "
                "settings to go on with it, --restart to begin again, or another --out."
            )

    def clear(self) -> None:
        """Forget what is here; files that are not ours stay."""
        checkpoint.clear(self.path)
        for path in (self.config, self.log, self.concept, self.path / "loss.png"):
            path.unlink(missing_ok=True)
        for path in self.previews.glob("*.png"):
            path.unlink()


def _line(entry: dict[str, float]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _shown(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
