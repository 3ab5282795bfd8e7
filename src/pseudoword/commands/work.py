"""`work`: learn the words of a queue."""

from pathlib import Path

from pseudoword.errors import SettingsError
from pseudoword.fleet.claiming import Terms
from pseudoword.fleet.queue import open_queue
from pseudoword.fleet.ray_workers import work_on_ray
from pseudoword.fleet.worker import Worked, work_on
from pseudoword.progress import Progress

LONGEST_LEASE_SECONDS = 86_400
"""A worker that is silent for a day is given up in any case."""


def work_through(
    queue: str | Path,
    terms: Terms,
    progress: Progress,
    ray: str | None = None,
    workers: int | None = None,
) -> Worked:
    """Be one worker of a queue, or let Ray start several; the public `work`."""
    if terms.pack < 1:
        raise SettingsError(
            f"--pack {terms.pack}: give how many words to learn at once, at least 1."
        )
    if not 0.1 <= terms.lease_seconds <= LONGEST_LEASE_SECONDS:
        raise SettingsError(
            f"--lease {terms.lease_seconds:g}: give seconds, from 0.1 to {LONGEST_LEASE_SECONDS}."
        )
    if terms.tries < 1:
        raise SettingsError(f"--tries {terms.tries}: give at least 1.")
    if workers is not None and ray is None:
        raise SettingsError("--workers has no effect without --ray. A worker is one by itself.")
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers {workers}: give at least 1.")
    if ray is not None:
        return work_on_ray(queue, terms, ray, workers, progress)
    return work_on(open_queue(queue), terms, progress)
