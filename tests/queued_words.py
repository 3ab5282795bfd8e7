"""Queues of words with tiny pictures, for the tests of workers."""

from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword import api
from pseudoword.config import WorkConfig
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.view import view

SETTINGS: dict[str, Any] = {
    **{"init": "cat", "batch": 2, "preview": "none", "steps": 2, "checkpoint_every": 1},
    "timestep_sampling": "uniform",
}
QUICK = WorkConfig(pack=2, lease=2)


def words(folder: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for j in range(3):
            Image.new("RGB", (40, 32), (40 * i, 80 * j, 90)).save(folder / name / f"{j}.png")
    return folder


def submit(base: Path, address: str, folder: Path, **settings: Any) -> Queue:
    api.submit(address, folder, **(SETTINGS | {"base": str(base)} | settings))
    return open_queue(address)


def states(queue: Queue) -> dict[str, str]:
    return {word.name.rsplit("-", 1)[0]: word.state for word in view(queue)}


def kinds(queue: Queue, name: str) -> list[str]:
    (job,) = (job for job in queue.jobs() if job.startswith(f"{name}-"))
    return [event.kind for event in queue.history(job)]
