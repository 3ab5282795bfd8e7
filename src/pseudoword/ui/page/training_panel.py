"""Trainings as they go: how far, the curves, the previews, what can be asked of them, the queue.

A timer polls what is on disk, so the panel shows the same after a reload, and in another tab.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import gradio as gr

from pseudoword.errors import PseudowordError
from pseudoword.text import duration
from pseudoword.ui.desk import Desk
from pseudoword.ui.job import Job
from pseudoword.ui.job_files import State
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import LATEST, QUIET, UNSEEN, in_turn, sentence, shown_id, told
from pseudoword.ui.run_logs import Curves

POLL_S = 1.5

STATES: dict[State, str] = {
    "queued": "waits",
    "running": "is being learned",
    "stopping": "stops after this step",
    "done": "is ready",
    "stopped": "was stopped",
    "failed": "has failed",
}
TONES: dict[State, pieces.Tone] = {"done": "good", "failed": "error"}

NOTHING = (
    '<div class="blank">What is being learned is shown here: how far it is, its curves, and what '
    "the word draws on the way.</div>"
)

SMOOTH = 0.9
"""How much of the smoothed loss stays from step to step; single losses jump about."""

LONGER = 1.01
"""The plot is sent anew when it is so many times as long; nobody sees less. With all its points it
is 40 kB, and browsers take a while to draw it."""


def asked_of(job: Job | None) -> dict[str, bool]:
    """What can be asked of `job`, in the order of the buttons for it."""
    state = job.state if job else ""
    return {
        "stop": state in {"queued", "running"},
        "preview": state == "running",
        "save": state == "running",
        "resume": state in {"stopped", "failed"},
        "use": bool(job and job.word),
        "remove": bool(job and job.over),
    }


def to_show(jobs: Sequence[Job], chosen: str) -> Job | None:
    """The training that is chosen; else the one that runs, the next one, or the latest."""
    for job in jobs:
        if job.id == chosen:
            return job
    live = [job for job in jobs if job.state in {"running", "stopping"}]
    return next(iter(live or [j for j in jobs if j.state == "queued"] or jobs[-1:]), None)


def progress(job: Job, now: float) -> str:
    """How a training goes, as HTML."""
    if job.state == "queued":
        return pieces.note(f"{job.called} waits in the queue.")
    if job.over:
        lines = job.sentence or f"{job.called} {STATES[job.state]}."
        return pieces.note(lines, TONES.get(job.state, "plain"))
    what = job.phase or "getting ready"
    if job.phase_total and job.phase_total != job.total:
        what += f" ({job.phase_done} of {job.phase_total})"
    if job.state == "stopping":
        what = f"stopping: {what}"
    most = "at most " if job.soonest < job.total else ""
    parts = [f"{job.step} of {most}{job.total} steps"]
    parts += [f"for {duration(now - job.began)}"] if job.began else []
    if job.seconds_left is not None:
        parts.append(time_left(*job.seconds_left))
    return pieces.bar(what, job.step, job.total, ", ".join(parts))


def time_left(least: float, most: float) -> str:
    """`about 40 s left`, `40 s to 17 min left`, `at most 17 min left`."""
    soon, late = duration(least), duration(most)
    if soon == late:
        return f"about {late} left"
    return f"{soon} to {late} left" if least > 0 else f"at most {late} left"


def curve_rows(curves: Curves) -> list[tuple[int, float, str]]:
    """Rows of the plot, (step, loss, curve): the smoothed loss, and what the evaluations found."""
    losses = accumulate(
        (loss for _, loss in curves.loss),
        lambda smoothed, loss: SMOOTH * smoothed + (1 - SMOOTH) * loss,
    )
    smoothed = [(step, loss) for (step, _), loss in zip(curves.loss, losses, strict=True)]
    named = {"in training": smoothed, "evaluation": curves.evaluation, "held out": curves.held_out}
    return [(step, loss, curve) for curve, points in named.items() for step, loss in points]


def length(curves: Curves) -> int:
    """How often the curve in training has become `LONGER`."""
    last = curves.loss[-1][0] if curves.loss else 0
    return math.floor(math.log(max(1, last), LONGER))


class TrainingPanel:
    """The controls around one training, and the list of all."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.job = shown_id()
        self.word = shown_id()  # the one that “Use the word” is about
        self._gone = shown_id()  # the one that can be brought back
        self.chosen = gr.State("")  # the one to show; none: whichever runs
        self.seen = gr.State({})
        self.asked = gr.State(0.0)  # when something was asked of a training
        self.timer = gr.Timer(POLL_S)
        self.status = gr.HTML(elem_id="status")
        with gr.Row(visible=False) as self.buttons:
            self.stop = gr.Button("Stop and keep the word", variant="stop", size="sm")
            self.preview = gr.Button("Preview now", size="sm")
            self.save = gr.Button("Save now", size="sm")
            self.resume = gr.Button("Go on", size="sm", visible=False)
            self.use = gr.Button("Use the word", variant="primary", size="sm", visible=False)
            self.remove = gr.Button("Remove from the list", size="sm", visible=False)
        self.undo = gr.Button("Undo: bring it back", size="sm", visible=False)
        self.notes = gr.HTML(elem_id="job-notes")
        self.filmstrip = gr.Image(
            label="Previews on the way",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            format="png",
            alt_text="What the word has drawn at several steps",
            elem_id="filmstrip",
        )
        self.plot = gr.LinePlot(
            x="step",
            y="loss",
            color="curve",
            label="Loss: lower is nearer to the pictures",
            visible=False,
            buttons=[],
            elem_id="curves",
        )
        self.queue = gr.Radio(
            [], label="All trainings, the latest first", visible=False, elem_id="queue"
        )

    def connect(self, opened: Any) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
        """
        # One event for all, so that of two answers the later one is shown.
        gr.on(
            [opened, self.timer.tick, self.asked.change],
            self._polled,
            [self.chosen, self.seen],
            self._shown,
            **LATEST,
            **QUIET,
        )
        queue = self._desk.queue
        ask: dict[str, Any] = {**UNSEEN, **in_turn("trainings")}
        for button, act in (
            (self.stop, queue.stop),
            (self.preview, queue.preview_now),
            (self.save, queue.save_now),
            (self.resume, queue.resume),
        ):
            button.click(told(partial(_ask, act)), self.job, self.asked, **ask)
        again = [self.chosen, self.seen]
        self.remove.click(
            told(self._removed), self.job, [self._gone, *again, self.undo, self.asked], **ask
        )
        self.undo.click(told(self._undone), self._gone, [*again, self.undo, self.asked], **ask)
        self.queue.input(_picked, self.queue, [*again, self.asked], **LATEST, **QUIET)

    @property
    def _shown(self) -> list[Any]:
        """What `poll` changes."""
        return [
            self.job, self.seen, self.word, self.status, self.buttons, self.stop, self.preview,
            self.save, self.resume, self.use, self.remove, self.notes, self.filmstrip, self.plot,
            self.queue,
        ]  # fmt: skip

    def _polled(self, chosen: str, seen: dict[str, Any]) -> list[Any]:
        """As `poll`, or why it cannot be told now."""
        try:
            return self.poll(chosen, seen, time.time())
        except (PseudowordError, OSError) as error:  # it is asked again in a moment
            kept = [gr.skip()] * len(self._shown)
            kept[self._shown.index(self.status)] = pieces.note(sentence(error), "error")
            return kept

    def _removed(self, job: str) -> list[Any]:
        self._desk.queue.remove(job)
        return [job, "", {}, gr.update(visible=True), time.monotonic()]

    def _undone(self, job: str) -> list[Any]:
        self._desk.queue.undo_remove(job)
        return [job, {}, gr.update(visible=False), time.monotonic()]

    def poll(self, chosen: str, seen: dict[str, Any], now: float) -> list[Any]:
        """What has changed since the values in `seen` were shown."""
        desk = self._desk
        desk.queue.wake()
        jobs = desk.queue.jobs()
        job = to_show(jobs, chosen)
        fresh: dict[str, Any] = {"id": job and job.id, "jobs": listed(jobs)}
        fresh["buttons"] = [job is not None, *asked_of(job).values()]
        fresh["notes"] = job.notes if job else ()
        fresh["previews"] = job and desk.queue.filmstrip_drawn(job.id)
        curves = desk.queue.curves(job.id) if job else Curves()
        found = len(curves.evaluation), len(curves.held_out)
        fresh["curves"] = (*found, length(curves), bool(job and job.over))

        def is_new(key: str) -> bool:
            return any(seen.get(one) != fresh[one] for one in ("id", key))

        return [
            job.id if job else "",
            fresh,
            (job and job.word) or "",
            progress(job, now) if job else NOTHING,
            *(
                gr.update(visible=there) if is_new("buttons") else gr.skip()
                for there in fresh["buttons"]
            ),
            pieces.notes(fresh["notes"]) if is_new("notes") else gr.skip(),
            self._filmstrip(job) if is_new("previews") else gr.skip(),
            _plot(curves) if is_new("curves") else gr.skip(),
            _queue(fresh["jobs"], job) if is_new("jobs") else gr.skip(),
        ]

    def _filmstrip(self, job: Job | None) -> Any:
        try:
            strip = self._desk.queue.filmstrip(job.id) if job else None
        except PseudowordError:  # it is being written
            return gr.skip()
        return gr.update(value=strip, visible=strip is not None)


def _ask(act: Callable[[str], object], job: str) -> float:
    act(job)
    return time.monotonic()


def _picked(job: str | None) -> list[Any]:
    return [job or "", {}, time.monotonic()]


def _plot(curves: Curves) -> Any:
    import pandas as pd

    rows = curve_rows(curves)
    if len(rows) > 1:
        table = pd.DataFrame(rows, columns=["step", "loss", "curve"])
        return gr.update(value=table, visible=True)
    return gr.update(visible="hidden")  # Gradio's plot fails where it is taken out of the page


def listed(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """What the list says of each training, and its id; the latest first."""
    return [(f"{job.called} {STATES[job.state]}", job.id) for job in reversed(jobs)]


def _queue(choices: Sequence[tuple[str, str]], job: Job | None) -> Any:
    value = job.id if job else None
    return gr.update(choices=choices, value=value, visible=len(choices) > 1)
