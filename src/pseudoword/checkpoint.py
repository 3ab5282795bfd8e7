"""Save a member's state whole, and go on from it exactly.

Since draws have no state, a checkpoint is the step, the parameters with their running mean, and
the optimiser. The last two are kept, so that the members of a pack killed between two saves still
share a step. Files are read under `weights_only`: nothing in them can run.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from pseudoword.errors import RunFolderError
from pseudoword.files import write_whole
from pseudoword.member import Member


def save(folder: Path, member: Member, digest: str) -> None:
    """Write the member's state; `digest` says what it is learned from.

    Raises:
        StorageError: it cannot be written; earlier checkpoints are untouched.
    """
    state = {
        "digest": digest,
        "parameters": [p.detach() for p in member.method.parameters()],
        "optimiser": member.optimiser.state_dict(),
        "average": member.average,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(folder / f"checkpoint-{member.step}.pt", buffer.getvalue())
    for old in steps(folder)[:-2]:
        _path(folder, old).unlink(missing_ok=True)


def load(folder: Path, member: Member, step: int, digest: str) -> None:
    """Put the state after `step` steps into `member`.

    Raises:
        RunFolderError: the file is damaged, or belongs to other pictures or another model.
    """
    path = _path(folder, step)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same = state["digest"] == digest
        saved = state["parameters"]
    except Exception as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}). Delete it to go on from the one before, "
            "or add --restart to begin again."
        ) from error
    if not same:
        raise RunFolderError(
            f"{folder} was begun with other pictures or another base model (their contents "
            "differ). Add --restart to begin again, or choose another --out."
        )
    parameters = member.method.parameters()
    for parameter, value in zip(parameters, saved, strict=True):
        parameter.data.copy_(value)
    member.optimiser.load_state_dict(state["optimiser"])
    member.average = {key: rows.to(parameters[0].device) for key, rows in state["average"].items()}
    member.step = member.good_step = step
    member.good = member.word()


def latest(folders: Sequence[Path]) -> list[int]:
    """Where to go on, per folder: the latest step they all have, else each one's own."""
    found = [set(steps(folder)) for folder in folders]
    common = set.intersection(*found)
    return [max(common or own, default=0) for own in found]


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint in `folder`, ascending."""
    names = (re.fullmatch(r"checkpoint-(\d+)\.pt", p.name) for p in folder.glob("checkpoint-*.pt"))
    return sorted(int(name[1]) for name in names if name)


def clear(folder: Path) -> None:
    """Remove all checkpoints."""
    for step in steps(folder):
        _path(folder, step).unlink(missing_ok=True)


def _path(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step}.pt"
