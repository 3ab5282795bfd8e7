"""A training as it is at one moment, for whoever shows it."""

from dataclasses import dataclass

from pseudoword.ui.job_files import OVER, JobFiles, State
from pseudoword.ui.library import Library
from pseudoword.ui.run_logs import LOG, last_entries, seconds_left


@dataclass(frozen=True)
class Job:
    """A training, as it is at one moment."""

    id: str
    token: str
    state: State
    sentence: str
    """what is going on, or what has happened; plain text of one or a few lines"""
    created: float
    """seconds since 1970; so are `began` and `ended`"""
    began: float | None
    ended: float | None
    step: int
    """steps of training that are done"""
    total: int
    """steps of training there will be; at most, where it stops by itself"""
    seconds_left: float | None
    """of training; None: not known yet"""
    phase: str
    """what it does now, such as `loading emoji`; empty unless it runs"""
    phase_done: int
    """of `phase_total`; 0 of 0 where it does not say"""
    phase_total: int
    notes: tuple[str, ...]
    """what the user should know, in order"""
    word: str | None
    """the id of its word in the library, once it has one"""
    data_set: str
    """the id of the data set that it was begun with, which may be gone"""

    @property
    def over(self) -> bool:
        """Whether it waits or runs no more."""
        return self.state in OVER


def job_of(files: JobFiles, library: Library) -> Job:
    """The training that these files are of, as it is now."""
    about, state, running, progress = files.about, files.state, files.running, files.progress
    live = state in ("running", "stopping")
    entries = last_entries(files.workspace.place("runs", files.name) / LOG)
    total = int(about.get("total", 0))
    return Job(
        id=files.name,
        token=str(about.get("token", "?")),
        state=state,
        sentence="It starts in a moment." if state == "queued" else files.sentence,
        created=float(about.get("created", 0.0)),
        began=running.get("began", progress.get("began")),
        ended=files.outcome.get("ended"),
        step=entries[-1]["step"] if entries else 0,
        total=total,
        seconds_left=seconds_left(entries, total) if live else None,
        phase=str(progress.get("phase", "")) if live else "",
        phase_done=int(progress.get("done", 0)) if live else 0,
        phase_total=int(progress.get("total", 0)) if live else 0,
        notes=tuple(map(str, progress.get("notes", ()))),
        word=files.name if library.has(files.name) else None,
        data_set=str(about.get("data_set", "")),
    )
