"""`work`: learn the words of a queue."""

from pathlib import Path

from pseudoword.config import WorkConfig
from pseudoword.fleet.queue import open_queue
from pseudoword.fleet.ray_workers import work_on_ray
from pseudoword.fleet.worker import Worked, Worker
from pseudoword.progress import Progress


def work_through(queue: str | Path, config: WorkConfig, progress: Progress) -> Worked:
    """Be one worker of a queue, or let Ray start several; the public `work`."""
    if config.ray is not None:
        return work_on_ray(queue, config, config.ray, progress)
    return Worker(open_queue(queue), config, progress).run()
