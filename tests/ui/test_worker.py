"""The processes behind a page: one works on the queue, each training has its own."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from forked import Trainings

from pseudoword import formats
from pseudoword.api import train
from pseudoword.errors import RunFolderError
from pseudoword.models.family import Family
from pseudoword.runs import pack
from pseudoword.runs.run import Run, evaluate
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.ui import processes, training, worker
from pseudoword.ui.job_files import OUTCOME, WORKER, JobFiles, settings_of
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace

LONG: dict[str, Any] = {"steps": 20_000, "checkpoint_every": 1}


def until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@pytest.fixture
def trainings() -> Iterator[Trainings]:
    made = Trainings()
    yield made
    made.kill()


@pytest.fixture
def working(queue: Queue, trainings: Trainings) -> Iterator[Callable[[], threading.Thread]]:
    """Works on the queue in a thread, until nothing is left."""
    threads: list[threading.Thread] = []

    def begin() -> threading.Thread:
        doing = {"idle_s": 0.0, "start": trainings}
        thread = threading.Thread(target=worker.work, args=(queue.workspace,), kwargs=doing)
        thread.start()
        threads.append(thread)
        return thread

    yield begin
    trainings.kill()
    for thread in threads:
        thread.join(240)


def assert_as_alone(queue: Queue, job: str, out: Path) -> None:
    """The word of a job has the rows that its settings give in a run of their own."""
    settings = queue.workspace.place("queue", job) / "settings.toml"
    alone = train(config=settings, out=out, checkpoint_every=100)
    word = formats.read(queue.library.file(job))
    assert torch.equal(word.vectors["clip_l"], alone.concept.vectors["clip_l"])


def test_words_that_can_share_batches_are_learned_together_as_if_each_were_alone(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
    trainings: Trainings,
    tmp_path: Path,
) -> None:
    first = queue.submit(data_set, "<cat>", **settings)
    other = queue.submit(data_set, "<eel>", **settings | {"batch": 2})
    second = queue.submit(data_set, "<dog>", **settings | {"steps": 4, "seed": 5})
    working().join(240)
    assert [job.state for job in queue.jobs()] == ["done"] * 3
    assert [job.sentence for job in queue.jobs()] == [
        f"<{a}> is ready." for a in ("cat", "eel", "dog")
    ]
    assert {word.token for word in queue.library.words()} == {"<cat>", "<dog>", "<eel>"}
    assert len({one.pid for one in trainings.started} - {os.getpid()}) == 2
    outcomes = [
        JobFiles(queue.workspace, job.id).folder / OUTCOME for job in (first, second, other)
    ]
    ended = [outcome.stat().st_mtime_ns for outcome in outcomes]
    assert ended == sorted(ended)
    assert [step for step, _ in queue.curves(second.id).loss] == [1, 2, 3, 4]
    assert_as_alone(queue, second.id, tmp_path)


def test_a_word_joins_the_one_that_is_learned_and_each_stops_alone(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
    trainings: Trainings,
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | LONG)
    thread = working()
    until(lambda: queue.job(job.id).step >= 2)
    joins = queue.submit(data_set, "<dog>", **settings | LONG)
    until(lambda: queue.job(joins.id).step >= 2)
    step = queue.job(job.id).step
    queue.stop(job.id)
    until(lambda: queue.job(job.id).over)
    assert (queue.job(job.id).state, queue.job(job.id).word) == ("stopped", job.id)
    assert queue.job(job.id).step >= step
    step = queue.job(joins.id).step
    until(lambda: queue.job(joins.id).step > step)
    assert queue.job(joins.id).phase == "learning <dog>"
    queue.resume(job.id)
    until(lambda: queue.job(job.id).state == "running")
    for one in (job, joins):
        queue.stop(one.id)
    thread.join(240)
    assert [one.state for one in queue.jobs()] == ["stopped", "stopped"]
    assert len(trainings.started) == 1


def test_a_word_that_fails_in_a_pack_takes_no_other_one_with_it(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
) -> None:
    queue.submit(data_set, "<cat>", **settings | {"steps": 8})
    damaged = queue.submit(data_set, "<dog>", **settings)
    picture = next(iter(settings_of(JobFiles(queue.workspace, damaged.id)).pictures[0].iterdir()))
    picture.unlink()  # it is the same file in all three
    picture.write_bytes(b"damaged")
    queue.submit(data_set, "<eel>", **settings)
    working().join(240)
    assert [job.state for job in queue.jobs()] == ["done", "failed", "done"]
    assert "is plain text" in queue.job(damaged.id).sentence
    assert not [note for job in queue.jobs() for note in job.notes if "<dog>" in note]


def test_a_pack_that_fails_as_a_whole_is_learned_word_by_word(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    packs: list[list[str]] = []
    real = evaluate

    def fails(family: Family, runs: Sequence[Run]) -> Sequence[EvaluationLoss]:
        packs.append([run.config.token for run in runs])
        if "<dog>" in packs[-1]:
            raise AssertionError("broken")
        return real(family, runs)

    monkeypatch.setattr(pack, "evaluate", fails)
    settings |= {"evaluate_every": 1}
    jobs = [queue.submit(data_set, token, **settings) for token in ("<cat>", "<dog>", "<eel>")]
    training.train(JobFiles(queue.workspace, jobs[0].id))
    assert [job.state for job in queue.jobs()] == ["queued"] * 3
    for job in jobs:
        training.train(JobFiles(queue.workspace, job.id))
    assert [job.state for job in queue.jobs()] == ["done", "failed", "done"]
    assert "AssertionError: broken" in queue.job(jobs[1].id).sentence
    assert ["<dog>", "<eel>"] in packs
    assert packs[-1] == ["<eel>"]


def test_what_was_killed_in_a_pack_goes_on_in_one_to_the_same_words(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
    trainings: Trainings,
    tmp_path: Path,
) -> None:
    settings |= {"steps": 60, "checkpoint_every": 1}
    jobs = [queue.submit(data_set, token, **settings) for token in ("<cat>", "<dog>")]
    thread = working()
    until(lambda: queue.job(jobs[1].id).step >= 2)
    trainings.started[0].send_signal(signal.SIGKILL)
    thread.join(240)
    assert [job.state for job in queue.jobs()] == ["failed", "failed"]
    assert all("SIGKILL" in job.sentence for job in queue.jobs())
    for job in jobs:
        queue.resume(job.id)
    working().join(240)
    assert [job.state for job in queue.jobs()] == ["done", "done"]
    for job in jobs:
        assert_as_alone(queue, job.id, tmp_path / job.id)


def test_a_killed_training_is_told_and_the_next_one_begins(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
    trainings: Trainings,
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | LONG)
    queue.submit(data_set, "<dog>", **settings | {"batch": 2})
    thread = working()
    until(lambda: queue.job(job.id).step >= 2)
    trainings.started[0].send_signal(signal.SIGKILL)
    thread.join(240)
    assert [one.state for one in queue.jobs()] == ["failed", "done"]
    told = queue.job(job.id).sentence
    assert "killed" in told
    assert "resume it" in told
    assert "SIGKILL" in told
    assert "memory ran out" in told
    assert queue.job(job.id).word == job.id  # as it was saved last


def test_a_training_is_stopped_with_its_word_and_goes_on_as_if_it_had_not_been(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
    tmp_path: Path,
) -> None:
    settings |= {"steps": 60, "preview": ("a [name] --s 1",)}
    job = queue.submit(data_set, "<cat>", **settings)
    thread = working()
    until(lambda: queue.job(job.id).step >= 2)
    page = Queue(queue.workspace)  # the page, opened again
    assert page.job(job.id).state == "running"
    page.preview_now(job.id)
    page.save_now(job.id)
    until(lambda: page.filmstrip_drawn(job.id) and page.library.copies(job.id))
    page.stop(job.id)
    thread.join(240)
    stopped = page.job(job.id)
    assert (stopped.state, stopped.word) == ("stopped", job.id)
    assert 2 <= stopped.step < 60
    assert not [note for note in stopped.notes if "stopping" in note]  # it has stopped by now
    page.resume(job.id)
    working().join(240)
    assert page.job(job.id).state == "done"
    settings |= {
        "base": settings_of(JobFiles(queue.workspace, job.id)).base,
        "out": tmp_path / "unbroken",
    }
    unbroken = train(queue.data_sets.files(data_set), "<cat>", **settings)
    word = formats.read(page.library.file(job.id))
    assert torch.equal(word.vectors["clip_l"], unbroken.concept.vectors["clip_l"])


class Ended:
    """A process that has ended well, and takes its time to go."""

    def __init__(self, queue: Queue, name: str) -> None:
        self.queue, self.name, self.polled, self.code = queue, name, 0, 0

    pid = 0

    def poll(self) -> int | None:
        self.polled += 1
        if self.polled == 2:
            self.queue.resume(self.name)
        return self.code if self.polled > 2 else None

    def terminate(self) -> None:
        raise AssertionError


def test_what_is_resumed_while_its_process_still_goes_is_trained_again(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    started: list[str] = []

    def start(workspace: Workspace, name: str) -> Ended:
        started.append(name)
        files = JobFiles(workspace, name)
        files.end("failed", "The disk is full.") if len(started) == 1 else training.train(files)
        ended = Ended(queue, name)
        ended.polled = 2 * (len(started) > 1)
        return ended

    worker.work(queue.workspace, idle_s=0.0, start=start)
    assert (len(started), queue.job(job.id).state) == (2, "done")


def test_a_process_that_cannot_even_begin_is_not_started_for_ever(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    started: list[str] = []

    def start(_workspace: Workspace, name: str) -> Ended:
        started.append(name)
        ended = Ended(queue, name)
        ended.polled = 2
        return ended

    worker.work(queue.workspace, idle_s=0.0, start=start)
    assert (len(started), queue.job(job.id).state) == (1, "failed")


def test_what_somebody_holds_for_long_waits_and_is_trained_after_that(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PATIENCE_S", 0.0)
    job = queue.submit(data_set, "<cat>", **settings)
    started: list[str] = []

    def start(workspace: Workspace, name: str) -> Ended:
        started.append(name)
        files, ended = JobFiles(workspace, name), Ended(queue, name)
        held = workspace.turn(name) if len(started) == 1 else contextlib.nullcontext()
        with held:
            ended.code = training.train(files)
        ended.polled = 2
        return ended

    worker.work(queue.workspace, idle_s=0.0, start=start)
    assert (len(started), queue.job(job.id).state) == (2, "done")


def test_a_process_that_fails_by_itself_is_not_told_as_killed(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)

    def start(_workspace: Workspace, name: str) -> Ended:
        ended = Ended(queue, name)
        ended.polled, ended.code = 2, 1
        return ended

    worker.work(queue.workspace, idle_s=0.0, start=start)
    told = queue.job(job.id).sentence
    assert "exit code 1" in told
    assert "training.log says more" in told
    assert "killed" not in told


def test_what_loads_is_stopped_at_once(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    working: Callable[[], threading.Thread],
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | LONG)
    thread = working()
    until(lambda: queue.job(job.id).state == "running")
    queue.stop(job.id)
    thread.join(240)
    assert queue.job(job.id).state == "stopped"


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_the_training_and_the_next_one_waits_for_it(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | LONG)
    first = forked.Process(queue.workspace.folder, module=processes.WORKER)
    until(lambda: queue.job(job.id).step >= 2)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    step = queue.job(job.id).step
    second = forked.Process(queue.workspace.folder, module=processes.WORKER)
    until(lambda: queue.workspace.is_held(WORKER))
    until(lambda: queue.job(job.id).step > step)
    assert queue.job(job.id).state == "running"
    queue.stop(job.id)
    assert second.wait(60) == 0
    assert queue.job(job.id).state == "stopped"
    assert queue.library.words()


def test_a_worker_takes_no_memory_for_models() -> None:
    script = (
        "import sys, pseudoword.ui.worker\nprint({'torch', 'PIL', 'gradio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_one_worker_works_on_a_queue(queue: Queue) -> None:
    with queue.workspace.turn(WORKER), pytest.raises(RunFolderError):
        worker.work(queue.workspace)


def test_a_training_that_is_given_to_two_processes_is_trained_by_one(
    queue: Queue, data_set: str, settings: dict[str, Any], trainings: Trainings
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    several = [trainings(queue.workspace, job.id) for _ in range(2)]
    assert [one.wait() for one in several] == [0, 0]
    assert queue.job(job.id).state == "done"
    assert [step for step, _ in queue.curves(job.id).loss] == [1, 2]


def test_words_of_a_python_that_another_one_has_started_are_told_how_they_ended(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows in a virtual environment: whoever started it knows the other one's number."""
    jobs = [queue.submit(data_set, token, **settings).id for token in ("<cat>", "<dog>")]

    def start(workspace: Workspace, name: str) -> Ended:
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: 4243)
            patched.setattr(os, "getppid", lambda: 4242)
            for job in jobs:
                JobFiles(workspace, job).begin()
                JobFiles(workspace, job).ask_to_stop()
        ended = Ended(queue, name)
        ended.pid, ended.polled = 4242, 2
        return ended

    worker.work(queue.workspace, idle_s=0.0, start=start)
    assert [queue.job(job).state for job in jobs] == ["stopped", "stopped"]


def test_on_windows_a_process_has_no_part_in_the_terminal_of_the_page(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(processes, "WINDOWS", True)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x8000000, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **given: started.append(given))
    processes.start_worker(workspace)
    assert started[0]["creationflags"] == 0x8000200
    assert "start_new_session" not in started[0]  # which is refused there


def test_on_windows_no_process_keeps_a_folder_of_the_queue_from_being_moved(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    place = queue.workspace.place("queue", job.id)
    assert processes.training_log(queue.workspace, job.id).parent == place
    monkeypatch.setattr(processes, "WINDOWS", True)
    log = processes.training_log(queue.workspace, job.id)
    assert log.is_relative_to(queue.workspace.folder)
    assert not log.is_relative_to(place)


@pytest.mark.slow
def test_a_page_starts_a_worker_that_outlives_it(
    workspace: Workspace, pictures: Path, settings: dict[str, Any]
) -> None:
    queue = Queue(workspace)
    data_set = queue.data_sets.new()
    for path in sorted(pictures.iterdir()):
        queue.data_sets.add(data_set, path, path.name)
    job = queue.submit(data_set, "<cat>", **settings)
    until(lambda: queue.job(job.id).state == "done", 120)
    until(lambda: not workspace.is_held(WORKER), 30)
