"""What a page asks again and again, without a browser: all that has changed, and little else."""

import json
import os
import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from pseudoword.ui import run_logs
from pseudoword.ui.desk import Desk
from pseudoword.ui.job_files import JobFiles
from pseudoword.ui.page.training_panel import TrainingPanel


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


@pytest.fixture
def run(desk: Desk) -> Path:
    """The run of a training that has ended."""
    name, _ = desk.workspace.new("queue")
    files = JobFiles(desk.workspace, name)
    files.submit(["<cat>"], {}, 4, 4)
    files.end("done", "<cat> is ready.")
    _, folder = desk.workspace.new("runs", name)
    (folder / "previews").mkdir()
    log(folder, 1, 2)
    return folder


def log(run: Path, *steps: int) -> None:
    with open(run / "log.jsonl", "a") as file:
        file.writelines(json.dumps({"step": n, "loss": 0.5, "seconds": 1.0}) + "\n" for n in steps)


def draw(run: Path, steps: int) -> None:
    Image.new("RGB", (steps, 1)).save(run / "previews" / "filmstrip.png")


def polled(panel: TrainingPanel, seen: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The filmstrip, if it is shown anew, and what was seen."""
    shown = panel.poll("", seen, time.time())
    return shown[panel._shown.index(panel.filmstrip)], shown[1]


def test_a_filmstrip_that_is_drawn_after_its_pictures_is_shown_whole(desk: Desk, run: Path) -> None:
    with gr.Blocks():
        panel = TrainingPanel(desk)
    (run / "previews" / "step-1-1.png").touch()
    draw(run, 1)
    strip, seen = polled(panel, {})
    assert strip["value"].width == 1
    (run / "previews" / "step-2-1.png").touch()
    _, seen = polled(panel, seen)
    draw(run, 2)
    strip, seen = polled(panel, seen)
    assert strip["value"].width == 2
    strip, _ = polled(panel, seen)
    assert strip == gr.skip()


def test_a_word_that_is_renamed_is_so_called_in_the_list_of_trainings(
    desk: Desk, run: Path
) -> None:
    with gr.Blocks():
        panel = TrainingPanel(desk)
    at = panel._shown.index(panel.queue)
    before = panel.poll("", {}, time.time())
    assert before[at]["choices"] == [("<cat> is ready", run.name)]
    _, word = desk.workspace.new("words", run.name)
    (word / "about.json").write_text('{"token": "<dog>"}')
    after = panel.poll("", before[1], time.time())
    assert after[at]["choices"] == [("<dog> is ready", run.name)]
    assert panel.poll("", after[1], time.time())[at] == gr.skip()


def plotted(panel: TrainingPanel, seen: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What is sent to the plot, and what was seen."""
    shown = panel.poll("", seen, time.time())
    return shown[panel._shown.index(panel.plot)], shown[1]


def test_a_long_plot_is_sent_anew_when_it_is_seen_to_be_longer_and_at_the_end(
    desk: Desk, run: Path
) -> None:
    with gr.Blocks():
        panel = TrainingPanel(desk)
    outcome = desk.workspace.path("queue", run.name) / "outcome.json"
    ended = outcome.read_bytes()
    outcome.unlink()
    plot, seen = plotted(panel, {})
    assert list(plot["value"].step) == [1, 2]
    sent = []
    for step in range(3, 2000):
        log(run, step)
        if step in (3, 4, 5) or step % 100 < 3:  # a page asks in between
            plot, seen = plotted(panel, seen)
            sent += [] if plot == gr.skip() else [step]
    assert sent[:4] == [3, 4, 5, 100]
    assert {1000, 1900} < set(sent)
    assert not {1001, 1002, 1901, 1902} & set(sent)
    outcome.write_bytes(ended)
    plot, seen = plotted(panel, seen)
    assert plot["value"].step.max() == 1999
    assert plotted(panel, seen)[0] == gr.skip()


def test_a_plot_of_nothing_is_hidden_and_stays_in_the_page(desk: Desk, run: Path) -> None:
    with gr.Blocks():
        panel = TrainingPanel(desk)
    plot, seen = plotted(panel, {})
    assert plot["visible"] is True
    desk.queue.remove(run.name)
    plot, _ = plotted(panel, seen)
    assert plot["visible"] == "hidden"


def test_a_log_is_read_again_only_if_it_has_grown(
    desk: Desk, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,), curves = desk.queue.jobs(), desk.queue.curves(run.name)
    assert (job.step, curves.loss[-1]) == (2, (2, 0.5))
    with monkeypatch.context() as patch:
        for reads in ("open_regular", "read_regular"):
            patch.delattr(run_logs, reads)
        assert desk.queue.jobs() == [job]
        assert desk.queue.curves(run.name) == curves
    log(run, 3)
    assert desk.queue.job(job.id).step == 3
    assert desk.queue.curves(run.name).loss[-1] == (3, 0.5)


def test_a_log_that_was_begun_anew_and_is_as_long_again_is_read_again(
    desk: Desk, run: Path
) -> None:
    file = run / "log.jsonl"
    before, size = file.stat().st_mtime_ns, file.stat().st_size
    assert desk.queue.curves(run.name).loss[-1] == (2, 0.5)
    file.write_bytes(file.read_bytes().replace(b"0.5", b"0.7"))
    os.utime(file, ns=(before + 1, before + 1))
    assert file.stat().st_size == size
    assert desk.queue.curves(run.name).loss[-1] == (2, 0.7)
