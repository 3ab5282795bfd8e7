"""Trackers: further logs of a run, in files or for other tools. `log.jsonl` is always written."""

import csv
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image

from pseudoword.config import TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.files import write_errors
from pseudoword.runs.folder import CSV
from pseudoword.text import public_values

COLUMNS = ("step", "loss", "lr", "norm", "grad", "seconds", "evaluation", "held_out")


class Tracker(Protocol):
    """Gets the metrics and previews of one run."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the metrics of one step."""
        ...

    def picture(self, step: int, name: str, picture: Image) -> None:
        """Log a preview."""
        ...

    def close(self) -> None:
        """The run ends."""
        ...


class Csv:
    """`log.csv` for spreadsheets: one line per step."""

    def __init__(
        self, folder: Path, _config: TrainConfig, before: Sequence[Mapping[str, float]]
    ) -> None:
        self._path = folder / CSV
        with write_errors(self._path):
            self._file = self._path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, COLUMNS, extrasaction="ignore")
        self._writer.writeheader()
        self._writer.writerows(before)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        with write_errors(self._path):
            self._writer.writerow({"step": step, **numbers})
            self._file.flush()

    def picture(self, step: int, name: str, picture: Image) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """TensorBoard's event files in `tensorboard/`. To view them: `tensorboard --logdir runs`."""

    def __init__(
        self, folder: Path, _config: TrainConfig, before: Sequence[Mapping[str, float]]
    ) -> None:
        module = _library("tensorboard")
        again_from = int(before[-1]["step"]) + 1 if before else None
        self._writer: Any = module.SummaryWriter(str(folder / "tensorboard"), purge_step=again_from)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Image) -> None:
        self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class Hosted:
    """A run in Weights & Biases or trackio, whose libraries have the same interface."""

    def __init__(self, library: str, **options: Any) -> None:
        self._module = _library(library)
        self._run: Any = self._module.init(project="pseudoword", resume="allow", **options)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def picture(self, step: int, name: str, picture: Image) -> None:
        self._run.log({name: self._module.Image(picture)}, step=step)

    def close(self) -> None:
        self._run.finish()


def _wandb(folder: Path, config: TrainConfig, _before: Sequence[Mapping[str, float]]) -> Tracker:
    return Hosted(
        "wandb",
        id=hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest(),
        name=folder.name,
        dir=str(folder),
        config=public_values(config.model_dump(mode="json")),  # it leaves this machine
        reinit="create_new",  # a pack has several at once
    )


def _trackio(folder: Path, config: TrainConfig, _before: Sequence[Mapping[str, float]]) -> Tracker:
    return Hosted("trackio", name=folder.name, config=public_values(config.model_dump(mode="json")))


TRACKERS: dict[str, Callable[[Path, TrainConfig, Sequence[Mapping[str, float]]], Tracker]] = {
    "csv": Csv,
    "tensorboard": TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}
"""Name -> a function that opens the tracker: run folder, settings, log so far -> tracker."""


def check(names: Sequence[str]) -> None:
    """Check before long work that the libraries of `names` are installed.

    Raises:
        SettingsError: one is not.
    """
    for name in names:
        if name != "csv":
            _library(name)


def _library(name: str) -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard" if name == "tensorboard" else name)
    except ImportError as error:
        raise SettingsError(
            f"--log {name} needs a package that is not installed: pip install {name}"
        ) from error
