"""A checkpoint that is damaged, or of someone else, is never loaded."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import flipped, train_state

from pseudoword.errors import RunFolderError
from pseudoword.files import with_checksum, without_checksum
from pseudoword.models.family import Family
from pseudoword.runs import checkpoint
from pseudoword.training import loop
from pseudoword.training.state import TrainState

SAVED = 2
SETTINGS: dict[str, Any] = {"average": True, "steps": SAVED}


@pytest.fixture
def saved(family: Family, pictures: Path, tmp_path: Path) -> Path:
    """The checkpoint after two steps."""
    one = train_state(family, pictures, **SETTINGS)
    list(loop.train(family, [one]))
    checkpoint.save(tmp_path, one, {})
    return tmp_path / f"checkpoint-{SAVED}.pt"


@pytest.fixture
def fresh(family: Family, pictures: Path) -> Callable[[], TrainState]:
    """States before their first step."""
    first = train_state(family, pictures, **SETTINGS)

    def another() -> TrainState:
        return train_state(family, first.data.pictures[0].path.parent, **SETTINGS)

    return another


def state_of(saved: Path) -> dict[str, Any]:
    inside = without_checksum(saved.read_bytes())
    assert inside
    stored: dict[str, Any] = torch.load(io.BytesIO(inside), weights_only=True)
    return stored


def write(path: Path, stored: object) -> None:
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    path.write_bytes(with_checksum(buffer.getvalue()))


def test_a_checkpoint_with_a_flipped_bit_is_refused(
    saved: Path, fresh: Callable[[], TrainState]
) -> None:
    whole, source, untouched = saved.read_bytes(), random.Random(0), fresh()
    before = untouched.word()["clip_l"]
    for _ in range(100):
        saved.write_bytes(flipped(whole, source))
        with pytest.raises(RunFolderError, match=r"checkpoint-2\.pt is damaged.*--restart"):
            checkpoint.load(saved.parent, untouched, SAVED, {})
    for cut in (0, 1, 90, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:cut])
        with pytest.raises(RunFolderError, match="is damaged"):
            checkpoint.load(saved.parent, untouched, SAVED, {})
    assert untouched.word()["clip_l"].equal(before)
    saved.write_bytes(whole)
    checkpoint.load(saved.parent, untouched, SAVED, {})
    assert not untouched.word()["clip_l"].equal(before)


def test_a_checkpoint_without_its_checksum_is_refused(
    saved: Path, fresh: Callable[[], TrainState]
) -> None:
    saved.write_bytes(without_checksum(saved.read_bytes()) or b"")
    with pytest.raises(RunFolderError, match=r"is damaged \(its checksum is wrong\)"):
        checkpoint.load(saved.parent, fresh(), SAVED, {})


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.pop("found"),
        lambda stored: stored.pop("method"),
        lambda stored: stored.pop("optimiser_options"),
        lambda stored: stored.update(parameters=5),
        lambda stored: stored.update(found=[(1,)]),
        lambda stored: stored.update(optimiser=None),
        lambda stored: stored["parameters"][0].fill_(torch.nan),
        lambda stored: stored["average"]["clip_l"].fill_(torch.inf),
        lambda stored: stored.update(average={"clip_l": torch.zeros(3, 32)}),
        lambda stored: stored.update(best={"clip_g": torch.zeros(1, 32)}),
    ],
)
def test_a_checkpoint_with_other_contents_is_refused(
    change: Callable[[dict[str, Any]], object], saved: Path, fresh: Callable[[], TrainState]
) -> None:
    stored = state_of(saved)
    change(stored)
    write(saved, stored)
    with pytest.raises(RunFolderError, match=r"checkpoint-2\.pt is damaged"):
        checkpoint.load(saved.parent, fresh(), SAVED, {})


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    saved: Path, fresh: Callable[[], TrainState]
) -> None:
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x/data.pkl", bytes(10_000_000))
    with pytest.raises(RunFolderError, match="is damaged"):
        checkpoint.load(saved.parent, fresh(), SAVED, {})


def test_checkpoints_of_others_are_neither_resumed_from_nor_removed(
    saved: Path, family: Family, pictures: Path
) -> None:
    theirs = saved.with_name("checkpoint-1.pt"), saved.with_name("checkpoint-77.pt")
    for path in theirs:
        path.write_bytes(saved.read_bytes())
    assert checkpoint.steps(saved.parent) == [SAVED]
    one = train_state(family, pictures, **SETTINGS)
    for step in (3, 4, 5):
        one.step = step
        checkpoint.save(saved.parent, one, {})
    assert checkpoint.steps(saved.parent) == [4, 5]
    checkpoint.finish(saved.parent)
    assert checkpoint.finished_step(saved.parent) == 5
    assert sorted(saved.parent.glob("*.pt")) == sorted((*theirs, saved.with_name("finished-5.pt")))
