"""A workspace with pictures and a tiny base model, and a queue on which no process works."""

from pathlib import Path
from typing import Any

import pytest

from pseudoword.ui import processes
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, base: Path) -> Workspace:
    """Its owner has put a link to a tiny model into it."""
    made = Workspace(tmp_path / "workspace")
    (made.folder / "models" / "tiny").symlink_to(base)
    return made


@pytest.fixture
def queue(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(processes, "start_worker", lambda _workspace: None)
    return Queue(workspace)


@pytest.fixture
def data_set(queue: Queue, pictures: Path) -> str:
    name = queue.data_sets.new()
    for path in sorted(pictures.iterdir()):
        queue.data_sets.add(name, path, path.name)
    return name


@pytest.fixture
def settings() -> dict[str, Any]:
    """Of a short training."""
    quick: dict[str, Any] = {"init": "cat", "batch": 4, "preview": (), "steps": 2}
    return {**quick, "base": "tiny", "evaluate_every": 0}
