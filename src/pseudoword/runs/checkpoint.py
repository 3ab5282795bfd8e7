"""Save the state of a concept, and resume from it exactly.

Randomness has no state, so a checkpoint holds only the step, the parameters with their running
mean, the optimiser and the evaluations. The first state is saved too, and the last two checkpoints
are kept. So the concepts of a pack that is killed between two saves still share a step. A finished
run keeps its last checkpoint, to be extended from it. Each file has a checksum, so that a damaged
one is not used; and it is read with `weights_only`, so that nothing in it is executed.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ValidationError, model_validator
from torch import Tensor

from pseudoword.errors import RunFolderError
from pseudoword.files import read_regular, with_checksum, without_checksum
from pseudoword.outputs import Outputs
from pseudoword.text import reason
from pseudoword.training.early_stopping import EvaluationHistory, EvaluationLoss
from pseudoword.training.state import TrainState

MAKER = "train"
"""The maker of checkpoints in the folder's record (`outputs.Outputs`)."""

LARGEST_NBYTES = 2**31
"""A larger checkpoint is not read."""

SOURCES = {
    "pictures": "other, more or fewer pictures, repeats, crops, masks or captions",
    "template": "another template",
    "words": "other words beside it (--words)",
    "base": "another base model",
}
"""What a run learns from -> how an error names a change of it."""

FILES = "files"
"""Beside those: what tells quickly whether the pictures are still the same (`fingerprint`)."""

SAMPLES = "samples"
"""And what the word is evaluated on (`early_stopping.digest`)."""


def save(folder: Path, state: TrainState, sources: Mapping[str, str]) -> None:
    """Write a checkpoint; `sources` has a checksum for each of `SOURCES`, `FILES` and `SAMPLES`.

    Raises:
        StorageError: it cannot be written; earlier checkpoints are untouched.
    """
    stored = {
        "sources": dict(sources),
        "method": state.method.name,
        "parameters": [p.detach() for p in state.method.parameters()],
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "optimiser_name": state.hyper.optimiser,
        "optimiser_options": _options(state),
        "found": [astuple(each) for each in state.evaluations.found],
        "best": state.evaluations.best,
        "best_step": state.evaluations.best_step,
        "stopped": state.stopped,
    }
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    files = Outputs(folder, MAKER)
    files.write(_name(state.step), with_checksum(buffer.getvalue()))
    files.remove(*(_name(old) for old in steps(folder)[:-2]))


def load(
    folder: Path, state: TrainState, step: int, sources: Mapping[str, str], *, changed: bool = False
) -> list[str]:
    """Load the checkpoint of `step` into the `state` before the first step.

    With `changed`, it goes on although sources, which are as for `save`, or settings have changed.
    What no longer counts then begins anew: the state of another optimiser or of one with other
    options, and evaluations on other samples.

    Returns:
        How what it learns from has changed, as in `SOURCES`.

    Raises:
        RunFolderError: the file is damaged, or the sources differ; the message says which.
    """
    path = folder / _name(step)
    stored = _read(path)
    differing = _check_sources(folder, stored, sources, changed=changed)
    _check_word(path, stored, state)
    parameters = state.method.parameters()
    for parameter, value in zip(parameters, stored.parameters, strict=True):
        parameter.data.copy_(value)
    same_options = stored.optimiser_options == _options(state)  # they are in its state
    if stored.optimiser_name == state.hyper.optimiser and same_options:
        try:
            state.optimiser.load_state_dict(stored.optimiser)
        except Exception as error:  # something is missing, or has another type
            raise _damaged(path, reason(error)) from error
    if state.averaging:
        device = parameters[0].device
        state.average = {key: rows.to(device) for key, rows in stored.average.items()}
    same_samples = stored.sources.get(SAMPLES) == sources.get(SAMPLES) and not differing
    if same_samples or not changed:
        losses = [EvaluationLoss(*each) for each in stored.found]
        state.evaluations = EvaluationHistory(losses, stored.best, stored.best_step)
    state.stopped = None if changed else stored.stopped
    state.step = state.good_step = step
    state.good = state.word()
    return differing


def _options(state: TrainState) -> list[str]:
    """The options of the optimiser, whatever spaces they were written with."""
    return [f"{option.key}={option.value!r}" for option in state.hyper.optimiser_option]


def _check_sources(
    folder: Path, stored: "_Checkpoint", sources: Mapping[str, str], *, changed: bool
) -> list[str]:
    """The sources that differ from those of the checkpoint: an error, unless `changed`."""
    differing = [
        change for name, change in SOURCES.items() if stored.sources.get(name) != sources.get(name)
    ]
    if differing and not changed:
        raise RunFolderError(
            f"{folder} was begun with {' and '.join(differing)}. Restore that, add "
            "--allow-changes to go on with what there is now, --restart to begin again, or choose "
            "another --out."
        )
    return differing


def _check_word(path: Path, stored: "_Checkpoint", state: TrainState) -> None:
    """Check that a checkpoint has the method of `state`, and rows of the same number and width."""
    folder = path.parent
    if stored.method != state.method.name:
        raise RunFolderError(
            f"{folder} was begun with --method {stored.method}, which cannot change during a run. "
            "Give that, add --restart to begin again, or choose another --out."
        )
    if [p.shape for p in state.method.parameters()] != [p.shape for p in stored.parameters]:
        raise RunFolderError(
            f"{folder} was begun with vectors of another number or width, which cannot change "
            "during a run. Add --restart to begin again, or choose another --out."
        )
    shapes = {key: rows.shape for key, rows in state.method.word().items()}
    for word in (stored.average, stored.best):
        if word and {key: rows.shape for key, rows in word.items()} != shapes:
            raise _damaged(path, "its words have different shapes")


def _damaged(path: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"{path} is damaged ({why}). Delete it to go on from the checkpoint before it, or add "
        "--restart --overwrite to begin again."
    )


class _Checkpoint(BaseModel, arbitrary_types_allowed=True, strict=True):
    """What a checkpoint holds."""

    sources: dict[str, str]
    parameters: list[Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    optimiser_name: str
    optimiser_options: list[str]
    found: list[tuple[int, float, float | None]]
    best: dict[str, Tensor]
    best_step: int
    stopped: str | None
    method: str

    @model_validator(mode="after")
    def _finite(self) -> Self:
        for rows in (*self.parameters, *self.average.values(), *self.best.values()):
            if not (rows.is_floating_point() and rows.isfinite().all()):
                raise ValueError("its numbers are not all finite")
        return self


def _read(path: Path) -> _Checkpoint:
    data = read_regular(path, LARGEST_NBYTES, RunFolderError)
    checked = without_checksum(data)
    try:
        if checked is None:
            raise ValueError("its checksum is wrong")
        loaded = torch.load(io.BytesIO(checked), map_location="cpu", weights_only=True)
        return _Checkpoint.model_validate(loaded)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{where}: {first['msg'].lower()}".lstrip(": ")) from error
    except Exception as error:  # torch raises many kinds of errors on damaged bytes
        raise _damaged(path, reason(error)) from error


def resume_steps(folders: Sequence[Path]) -> list[int]:
    """The step to resume from, per folder: the latest that all have, or else each folder's own."""
    available = [set(steps(folder)) for folder in folders]
    common = set[int]().union(*available).intersection(*available)
    return [max(common or own, default=0) for own in available]


def steps(folder: Path) -> list[int]:
    """The steps that an unfinished run has checkpoints of, ascending."""
    return _steps_of(folder, "checkpoint")


def finished_step(folder: Path) -> int | None:
    """The last step of a finished run; None if its checkpoint is missing."""
    return max(_steps_of(folder, "finished"), default=None)


def learned_from(folder: Path) -> str | None:
    """The checksum of the files that a finished run has learned from; None if it is not known."""
    step = finished_step(folder)
    if step is not None:
        with suppress(RunFolderError):  # damaged; who extends the run is told
            return _read(folder / _name(step, "finished")).sources.get(FILES)
    return None


def finish(folder: Path) -> None:
    """Mark the latest checkpoint as that of a finished run, and remove the others."""
    files = Outputs(folder, MAKER)
    saved = steps(folder)
    files.remove(*map(_name, saved[:-1]))
    for last in saved[-1:]:  # there is none if someone deleted it
        files.rename(_name(last), _name(last, "finished"))


def reopen(folder: Path) -> None:
    """Turn a finished run back into one that can resume from its last step."""
    step = finished_step(folder)
    if step is not None:
        Outputs(folder, MAKER).rename(_name(step, "finished"), _name(step))


def _steps_of(folder: Path, kind: str) -> list[int]:
    names = (
        re.fullmatch(rf"{kind}-([0-9]+)\.pt", name) for name in Outputs(folder, MAKER).recorded()
    )
    return sorted(int(name[1]) for name in names if name and (folder / name[0]).exists())


def _name(step: int, kind: str = "checkpoint") -> str:
    return f"{kind}-{step}.pt"
