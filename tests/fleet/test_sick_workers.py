"""What is wrong with a worker or its machine is not held against the words."""

import errno
from pathlib import Path
from typing import Any

import pytest
from queued_words import QUICK, kinds, states, submit, words
from support import Notes

from pseudoword import api
from pseudoword.config import TrainConfig
from pseudoword.errors import BaseModelError, StorageError
from pseudoword.files import storage_error
from pseudoword.fleet import jobs
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.view import view
from pseudoword.fleet.worker import Worker
from pseudoword.runs.interrupt import Interrupted


def test_who_is_stopped_while_it_unpacks_learns_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))
    notes = Notes()
    worker = Worker(open_queue(queue.address), QUICK, notes)

    def stopped(job: Job, folder: Path, out: Path) -> TrainConfig:
        worker.stop()
        return jobs.open_job(job, folder, out)

    monkeypatch.setattr("pseudoword.fleet.worker.open_job", stopped)
    with pytest.raises(Interrupted):
        worker.run()
    assert kinds(queue, "a") == kinds(queue, "b") == ["claimed", "returned"]
    assert not any("loading" in line for line in notes.lines)


def test_a_full_disk_ends_the_worker_and_fails_no_word(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))

    def full(path: Path, *_data: Any) -> None:
        raise storage_error(path, OSError(errno.ENOSPC, "No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr("pseudoword.fleet.archive.write_whole", full)
        with pytest.raises(StorageError, match="disk is full"):
            api.work(queue.address, tries=1)
    assert states(queue) == {"a": "waiting", "b": "waiting"}
    assert all(set(kinds(queue, name)) == {"claimed", "returned"} for name in "ab")


def test_a_job_that_is_damaged_fails_alone(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b", "c"))
    first, second, _ = queue.jobs()
    queue.store.put(f"jobs/{first}.zip", b"no archive")
    queue.store.remove(f"jobs/{second}.zip")
    done = api.work(queue.address, tries=1)
    assert states(queue) == {"a": "failed", "b": "failed", "c": "done"}
    assert "damaged" in done.failed[first]
    assert "missing" in done.failed[second]


def test_a_store_that_does_not_answer_fails_no_word(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))

    def fails(_queue: Queue, name: str) -> Job:
        raise storage_error(Path(name), OSError(errno.EIO, "Input/output error"))

    with monkeypatch.context() as patched:
        patched.setattr(Queue, "job", fails)
        with pytest.raises(StorageError, match="output error"):
            api.work(queue.address, tries=1)
    assert states(queue) == {"a": "waiting"}


def test_words_wait_for_a_worker_that_has_their_base(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    submit(tmp_path / "other", queue.address, words(tmp_path / "others", "b", "c"))
    with pytest.raises(BaseModelError, match="2 words cannot be learned by this worker") as told:
        api.work(queue.address, tries=1)
    assert "other" in str(told.value)
    assert states(queue) == {"a": "done", "b": "waiting", "c": "waiting"}
    assert all(set(kinds(queue, name)) <= {"claimed", "returned"} for name in "bc")
    assert any("other" in word.why for word in view(queue))
    (tmp_path / "other").symlink_to(base)
    assert len(api.work(queue.address).learned) == 2
