"""A training as it is at one moment, for whoever shows it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pseudoword.ui.job_files import OVER, JobFiles, State
from pseudoword.ui.library import Library
from pseudoword.ui.pictures import by_name
from pseudoword.ui.run_logs import LOG, last_entries, seconds_per_step


@dataclass(frozen=True)
class Job:
    """A training, as it is at one moment."""

    id: str
    tokens: Mapping[str, str]
    """id in the library -> token, of the words that it learns; of one that was renamed, the new"""
    state: State
    sentence: str
    """what has happened; plain text of one or a few lines, empty as long as it waits or runs"""
    began: float | None
    """seconds since 1970"""
    step: int
    """steps of training that are done"""
    soonest: int
    """the step after which it ends; may first end, where it stops by itself"""
    total: int
    """steps of training there will be; at most, where it stops by itself"""
    seconds_left: tuple[float, float] | None
    """until it ends: until it may first end, and at most; None: not known yet"""
    phase: str
    """what it does now, such as `loading emoji`; empty unless it runs"""
    phase_done: int
    """of `phase_total`; 0 of 0 where it does not say"""
    phase_total: int
    notes: tuple[str, ...]
    """what the user should know, in order"""
    word: str | None
    """the id of its first word that is in the library; None: there is none"""

    @property
    def called(self) -> str:
        """Its words, as they are told."""
        return " with ".join(self.tokens.values())

    @property
    def over(self) -> bool:
        """Whether it waits or runs no more."""
        return self.state in OVER


def job_of(files: JobFiles, library: Library) -> Job:
    """The training that these files are of, as it is now."""
    about, state, running, progress = files.about, files.state, files.running, files.progress
    live = state in ("running", "stopping")
    tokens = {word: library.called(word, token) for word, token in files.tokens.items()}
    names = about.get("pictures", {})
    entries = last_entries(files.workspace.place("runs", files.name) / LOG)
    total = int(about.get("total", 0))
    soonest = int(progress.get("soonest", about.get("soonest", total)))  # the run knows better
    return Job(
        id=files.name,
        tokens=tokens,
        state=state,
        sentence=by_name(files.sentence, names),
        began=running.get("began", progress.get("began")),
        step=entries[-1]["step"] if entries else 0,
        soonest=soonest,
        total=total,
        seconds_left=_seconds_left(entries, soonest, total, progress) if live else None,
        phase=str(progress.get("phase", "")) if live else "",
        phase_done=int(progress.get("done", 0)) if live else 0,
        phase_total=int(progress.get("total", 0)) if live else 0,
        notes=tuple(by_name(str(one), names) for one in progress.get("notes", ())),
        word=next((word for word in tokens if library.has(word)), None),
    )


def _seconds_left(
    entries: Sequence[Mapping[str, Any]], soonest: int, total: int, progress: Mapping[str, Any]
) -> tuple[float, float] | None:
    """By the steps that were taken last; before the first, by what was foretold."""
    each, now = seconds_per_step(entries), time.time()
    if each is not None:
        step = int(entries[-1]["step"])
        return each * max(0, soonest - step), each * max(0, total - step)
    match progress.get("ends"):
        case [float(least), float(most)] if most > now:
            return max(0.0, least - now), most - now
    return None
