"""A claimed word as it lies on this machine: its job, and the folder of its run."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pseudoword.config import TrainConfig
from pseudoword.errors import DamagedError, PseudowordError
from pseudoword.fleet import archive
from pseudoword.fleet.jobs import open_job
from pseudoword.fleet.queue import Claim, Queue
from pseudoword.runs.folder import CONFIG, RunFolder
from pseudoword.runs.runner import finished


@dataclass(frozen=True)
class Unpacked:
    """A claimed word, ready to be learned."""

    claim: Claim
    config: TrainConfig
    folder: Path
    """all that there is of it on this machine"""

    @property
    def job(self) -> Path:
        """The folder of its pictures, and of what else it was submitted with."""
        return self.folder / "job"

    @property
    def run(self) -> Path:
        """The folder of its run."""
        return self.config.folder

    @property
    def is_finished(self) -> bool:
        """Whether it is learned."""
        with contextlib.suppress(PseudowordError):
            return finished(self.config) is not None
        return False


def unpack(queue: Queue, claim: Claim, folder: Path, note: Callable[[str], None]) -> Unpacked:
    """Unpack a job, and the folder of its run if it was begun before.

    `note` is told of a checkpoint that is damaged, so that the word begins anew.

    Raises:
        PseudowordError: the job is missing or damaged, or the disk here is full.
    """
    run = folder / "run"
    one = Unpacked(claim, open_job(queue.job(claim.name), folder / "job", run), folder)
    begun = queue.checkpoint(claim.name)
    if begun is None:
        return one
    try:
        archive.unpack(begun, run, f"the checkpoint of {claim.name}")
    except DamagedError as error:
        note(f"{error} It is learned from the beginning.")
        queue.remove_checkpoints(claim.name)
        return one
    # the same settings, but for where the files of the job lie on this machine
    RunFolder(run).files.write(CONFIG, one.config.to_toml().encode(errors="surrogateescape"))
    return one
