"""Save a member's state whole, and go on from it exactly.

Since draws have no state, a checkpoint is the step, the parameters with their running mean, the
optimiser, and what evaluations have found. The start is saved too, and the last two checkpoints are
kept, so that the members of a pack killed between two saves still share a step; a finished run
keeps its last one, from which it can be extended. Each file carries a checksum, so that nothing is
learned from a damaged one; and is read under `weights_only`: nothing in it can run.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
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
"""Whose files checkpoints are, on their folder's record."""

LARGEST_NBYTES = 2**31
"""No state of a word is larger."""

SOURCES = {
    "pictures": "other, more or fewer pictures, crops, masks or captions",
    "template": "another template",
    "base": "another base model",
}
"""What a run is learned from, and how it is told when that is no longer the same."""


def save(folder: Path, state: TrainState, sources: Mapping[str, str]) -> None:
    """Write the member's state; `sources` has a checksum for each of `SOURCES`.

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
        "found": [astuple(one) for one in state.evaluations.found],
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
    folder: Path, state: TrainState, step: int, sources: Mapping[str, str], changed: bool = False
) -> None:
    """Put the state after `step` steps into `state`.

    Args:
        folder: the run's.
        member: one that has not begun.
        step: which checkpoint.
        sources: what it is learned from now, as for `save`.
        changed: the user wants to go on although that, or settings, have changed.

    Raises:
        RunFolderError: the file is damaged, or the sources differ; the message says which.
    """
    path = folder / _name(step)
    stored = _read(path)
    saved, average, best = stored.parameters, stored.average, stored.best
    others = [SOURCES[name] for name, now in sources.items() if stored.sources.get(name) != now]
    if others and not changed:
        raise RunFolderError(
            f"{folder} was begun with {' and '.join(others)}. Bring that back, add "
            "--allow-changes to go on with what there is, --restart to begin again, or choose "
            "another --out."
        )
    if stored.method != state.method.name:
        raise RunFolderError(
            f"{folder} was begun with --method {stored.method}, which cannot change on the way. "
            "Give that, add --restart to begin again, or choose another --out."
        )
    parameters = state.method.parameters()
    if [p.shape for p in parameters] != [p.shape for p in saved]:
        raise RunFolderError(
            f"{folder} was begun with vectors of another number or width, which cannot change on "
            "the way. Add --restart to begin again, or choose another --out."
        )
    shapes = {key: rows.shape for key, rows in state.method.word().items()}
    for word in (average, best):
        if word and {key: rows.shape for key, rows in word.items()} != shapes:
            raise _damaged(path, "its words have different shapes")
    for parameter, value in zip(parameters, saved, strict=True):
        parameter.data.copy_(value)
    if stored.optimiser_name == state.hyper.optimiser:
        try:
            state.optimiser.load_state_dict(stored.optimiser)
        except Exception as error:  # whatever is not there, or is something else
            raise _damaged(path, reason(error)) from error
    device = parameters[0].device
    if state.averaging:
        state.average = {key: rows.to(device) for key, rows in average.items()}
    found = [EvaluationLoss(*one) for one in stored.found]
    state.evaluations = EvaluationHistory(found, best, stored.best_step)
    state.stopped = None if changed else stored.stopped
    state.step = state.good_step = step
    state.good = state.word()


def _damaged(path: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"{path} is damaged ({why}). Delete it to go on from the one before, or add "
        "--restart --overwrite to begin again."
    )


class _Checkpoint(BaseModel, arbitrary_types_allowed=True, strict=True):
    """What a checkpoint holds."""

    sources: dict[str, str]
    parameters: list[Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    optimiser_name: str
    found: list[tuple[int, float, float | None]]
    best: dict[str, Tensor]
    best_step: int
    stopped: str | None
    method: str = "classic"

    @model_validator(mode="after")
    def _finite(self) -> Self:
        for rows in (*self.parameters, *self.average.values(), *self.best.values()):
            if not (rows.is_floating_point() and rows.isfinite().all()):
                raise ValueError("its numbers are not all finite")
        return self


def _read(path: Path) -> _Checkpoint:
    data = read_regular(path, LARGEST_NBYTES, RunFolderError)
    whole = without_checksum(data)
    try:
        if whole is None and zipfile.is_zipfile(io.BytesIO(data)):  # older ones have no checksum
            with zipfile.ZipFile(io.BytesIO(data)) as parts:
                if all(part.compress_type == zipfile.ZIP_STORED for part in parts.infolist()):
                    whole = None if parts.testzip() else data
        if whole is None:
            raise ValueError("its checksum is another")
        loaded = torch.load(io.BytesIO(whole), map_location="cpu", weights_only=True)
        return _Checkpoint.model_validate(loaded)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{where}: {first['msg'].lower()}".lstrip(": ")) from error
    except Exception as error:  # whatever else is not as it was written
        raise _damaged(path, reason(error)) from error


def resume_steps(folders: Sequence[Path]) -> list[int]:
    """Where to go on, per folder: the latest step they all have, else each one's own."""
    found = [set(steps(folder)) for folder in folders]
    common = set.intersection(*found)
    return [max(common or own, default=0) for own in found]


def steps(folder: Path) -> list[int]:
    """Steps of an unfinished run that have a checkpoint in `folder`, ascending."""
    return _steps_of(folder, "checkpoint")


def finished_step(folder: Path) -> int | None:
    """The last step of a finished run, if its state is there."""
    return max(_steps_of(folder, "finished"), default=None)


def finish(folder: Path) -> None:
    """Keep the latest checkpoint as that of a finished run, and remove the others."""
    files = Outputs(folder, MAKER)
    found = steps(folder)
    files.remove(*map(_name, found[:-1]))
    for last in found[-1:]:  # somebody may have taken it away
        files.rename(_name(last), _name(last, "finished"))


def reopen(folder: Path) -> None:
    """Make a finished run one that can go on from its last step."""
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
