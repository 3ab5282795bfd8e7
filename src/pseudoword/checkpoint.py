"""Save a member's state whole, and go on from it exactly.

Since draws have no state, a checkpoint is the step, the parameters with their running mean, the
optimiser, and what evaluations have found. The start is saved too, and the last two checkpoints are
kept, so that the members of a pack killed between two saves still share a step; a finished run
keeps its last one, from which it can be extended. Files are read under `weights_only`: nothing in
them can run.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import torch

from pseudoword.errors import RunFolderError
from pseudoword.files import write_whole
from pseudoword.member import Member
from pseudoword.settling import Evaluation, Record

SOURCES = {
    "pictures": "other, more or fewer pictures, crops, masks or captions",
    "template": "another template",
    "base": "another base model",
}
"""What a run is learned from, and how it is told when that is no longer the same."""


def save(folder: Path, member: Member, sources: Mapping[str, str]) -> None:
    """Write the member's state; `sources` has a checksum for each of `SOURCES`.

    Raises:
        StorageError: it cannot be written; earlier checkpoints are untouched.
    """
    state = {
        "sources": dict(sources),
        "parameters": [p.detach() for p in member.method.parameters()],
        "average": member.average,
        "optimiser": member.optimiser.state_dict(),
        "optimiser_name": member.hyper.optimiser,
        "found": [astuple(one) for one in member.record.found],
        "best": member.record.best,
        "best_step": member.record.best_step,
        "stopped": member.stopped,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(_path(folder, member.step), buffer.getvalue())
    for old in steps(folder)[:-2]:
        _path(folder, old).unlink(missing_ok=True)


def load(
    folder: Path, member: Member, step: int, sources: Mapping[str, str], changed: bool = False
) -> None:
    """Put the state after `step` steps into `member`.

    Args:
        folder: the run's.
        member: one that has not begun.
        step: which checkpoint.
        sources: what it is learned from now, as for `save`.
        changed: the user wants to go on although that, or settings, have changed.

    Raises:
        RunFolderError: the file is damaged, or the sources differ; the message says which.
    """
    path = _path(folder, step)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        others = [SOURCES[name] for name, now in sources.items() if state["sources"][name] != now]
        saved = state["parameters"]
        record = Record(
            [Evaluation(*one) for one in state["found"]], state["best"], state["best_step"]
        )
    except Exception as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}). Delete it to go on from the one before, "
            "or add --restart to begin again."
        ) from error
    if others and not changed:
        raise RunFolderError(
            f"{folder} was begun with {' and '.join(others)}. Bring that back, add "
            "--allow-changes to go on with what there is, --restart to begin again, or choose "
            "another --out."
        )
    parameters = member.method.parameters()
    if [p.shape for p in parameters] != [p.shape for p in saved]:
        raise RunFolderError(
            f"{folder} was begun with vectors of another number or width, which cannot change on "
            "the way. Add --restart to begin again, or choose another --out."
        )
    for parameter, value in zip(parameters, saved, strict=True):
        parameter.data.copy_(value)
    if state["optimiser_name"] == member.hyper.optimiser:
        member.optimiser.load_state_dict(state["optimiser"])
    device = parameters[0].device
    if member.averaging:
        member.average = {key: rows.to(device) for key, rows in state["average"].items()}
    member.record = record
    member.stopped = None if changed else state["stopped"]
    member.step = member.good_step = step
    member.good = member.word()


def latest(folders: Sequence[Path]) -> list[int]:
    """Where to go on, per folder: the latest step they all have, else each one's own."""
    found = [set(steps(folder)) for folder in folders]
    common = set.intersection(*found)
    return [max(common or own, default=0) for own in found]


def steps(folder: Path) -> list[int]:
    """Steps of an unfinished run that have a checkpoint in `folder`, ascending."""
    return _numbers(folder, "checkpoint")


def finished(folder: Path) -> int | None:
    """The last step of a finished run, if its state is there."""
    return max(_numbers(folder, "finished"), default=None)


def finish(folder: Path) -> None:
    """Keep the latest checkpoint as that of a finished run, and remove the others."""
    *old, last = steps(folder)
    for step in old:
        _path(folder, step).unlink(missing_ok=True)
    _path(folder, last).replace(_path(folder, last, "finished"))


def reopen(folder: Path) -> None:
    """Make a finished run one that can go on from its last step."""
    step = finished(folder)
    if step is not None:
        _path(folder, step, "finished").replace(_path(folder, step))


def clear(folder: Path) -> None:
    """Remove all checkpoints."""
    for kind in ("checkpoint", "finished"):
        for step in _numbers(folder, kind):
            _path(folder, step, kind).unlink(missing_ok=True)


def _numbers(folder: Path, kind: str) -> list[int]:
    names = (re.fullmatch(rf"{kind}-(\d+)\.pt", p.name) for p in folder.glob(f"{kind}-*.pt"))
    return sorted(int(name[1]) for name in names if name)


def _path(folder: Path, step: int, kind: str = "checkpoint") -> Path:
    return folder / f"{kind}-{step}.pt"
