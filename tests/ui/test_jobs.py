"""The queue of trainings, its worker, and what they do when something goes wrong."""

from pathlib import Path
from typing import Any

import pytest

from pseudoword.ui import processes, training
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace

QUICK: dict[str, Any] = {"init": "cat", "batch": 4, "preview": (), "steps": 2, "evaluate_every": 0}


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue on which no process works."""
    monkeypatch.setattr(processes, "start_worker", lambda _workspace: None)
    return Queue(Workspace(tmp_path / "workspace"))


@pytest.fixture
def data_set(queue: Queue, pictures: Path) -> str:
    name = queue.data_sets.new()
    for path in sorted(pictures.iterdir()):
        queue.data_sets.add(name, path, path.name)
    return name


@pytest.fixture
def settings(base: Path, queue: Queue) -> dict[str, Any]:
    (queue.workspace.folder / "models" / "tiny").symlink_to(base)
    return {**QUICK, "base": "tiny"}


def test_a_training_waits_runs_and_leaves_a_word(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    assert (job.state, job.step, job.total) == ("queued", 0, 2)
    training.train(queue, job.id)
    job = queue.job(job.id)
    assert (job.state, job.sentence, job.step) == ("done", "<cat> is ready.", 2)
    (word,) = queue.library.words()
    assert (word.id, word.token) == (job.word, "<cat>")
    assert [step for step, _ in queue.curves(job.id).loss] == [1, 2]
