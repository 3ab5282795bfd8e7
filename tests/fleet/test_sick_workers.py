"""What is wrong with a worker or its machine is not held against the words."""

import errno
import os
import random
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from queued_words import QUICK, kinds, states, submit, words
from support import Notes

from pseudoword import api
from pseudoword.config import TrainConfig, WorkConfig
from pseudoword.errors import BaseModelError, StorageError
from pseudoword.files import storage_error
from pseudoword.fleet import jobs
from pseudoword.fleet import worker as worker_module
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.stores import Store
from pseudoword.fleet.view import view
from pseudoword.fleet.worker import Worker
from pseudoword.models import base_model
from pseudoword.progress import Silent
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

    monkeypatch.setattr("pseudoword.fleet.unpacked.open_job", stopped)
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


def test_where_nothing_can_be_unpacked_that_is_told(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's folder for such files may be full, or be tidied away while a worker lives."""
    folder = words(tmp_path / "words", "a")
    queue = submit(base, str(tmp_path / "queue"), folder)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    for asked in (
        lambda: api.work(queue.address),
        lambda: submit(base, str(tmp_path / "other"), folder),
    ):
        with pytest.raises(StorageError, match=r"cannot write .*gone: No such file"):
            asked()
    assert states(queue) == {"a": "waiting"}


def test_a_job_that_is_damaged_fails_alone(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b", "c"))
    first, second, _ = queue.jobs()
    queue.store.put(f"jobs/{first}.zip", b"no archive")
    queue.store.remove(f"jobs/{second}.zip")
    done = api.work(queue.address, tries=1)
    assert states(queue) == {"a": "failed", "b": "failed", "c": "done"}
    assert "damaged" in done.failed[first]
    assert "missing" in done.failed[second]
    submit(base, queue.address, tmp_path / "words")
    assert len(api.work(queue.address).learned) == 0
    assert states(queue) == {"a": "failed", "b": "failed", "c": "done"}
    api.queue(queue.address, retry="all")
    assert sorted(api.work(queue.address).learned) == [first, second]


def test_settings_that_are_mended_count_for_a_worker_that_has_seen_the_damaged_ones(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "shuffle", lambda _names: None)
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))
    first, second = queue.jobs()
    queue.store.put(f"jobs/{first}.toml", b"init = \x00")

    class Mends(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if states(queue)["a"] == "failed":
                submit(base, queue.address, tmp_path / "words")
                api.queue(queue.address, retry=first)

    done = Worker(open_queue(queue.address), WorkConfig(pack=1, tries=1), Mends()).run()
    assert (sorted(done.learned), done.failed) == ([first, second], {})


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


def fails_at(
    monkeypatch: pytest.MonkeyPatch, queue: Queue, act: str, part: str, times: int
) -> list[str]:
    """Let a store not answer so often; what it was asked for."""
    kind = type(queue.store)
    asked: list[str] = []
    works = getattr(kind, act)

    def fails(store: Store, name: str, *data: bytes) -> Any:
        if part in name and len(asked) < times:
            asked.append(name)
            raise storage_error(Path(name), OSError(errno.EIO, "Input/output error"))
        return works(store, name, *data)

    monkeypatch.setattr(kind, act, fails)
    return asked


@pytest.mark.parametrize(
    ("act", "part"),
    [
        ("create", "results/"),
        ("create", "0001.json"),
        ("create", "0002.json"),
        ("names", "events"),
        ("read", "jobs/"),
    ],
)
def test_a_store_that_does_not_answer_for_a_moment_costs_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, part: str
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    asked = fails_at(monkeypatch, queue, act, part, 3)
    done = Worker(open_queue(queue.address), WorkConfig(lease=60), notes := Notes()).run()
    assert (len(done.learned), len(asked)) == (2, 3)
    assert any("output error" in line for line in notes.lines)
    monkeypatch.undo()
    assert all(kinds(queue, name) == ["claimed", "done"] for name in "ab")


def test_a_store_that_does_not_answer_for_long_ends_the_worker(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    with monkeypatch.context() as patched:
        asked = fails_at(patched, queue, "create", "results/", 10**9)
        with pytest.raises(StorageError, match="output error"):
            Worker(open_queue(queue.address), WorkConfig(lease=0.5), Notes()).run()
    assert len(asked) > 3
    assert kinds(queue, "a") == ["claimed", "returned"]


def test_a_pack_goes_on_while_a_store_does_not_answer(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"), steps=12)
    submit(base, queue.address, words(tmp_path / "others", "b", "c"))
    monkeypatch.setattr(worker_module, "REFILL_SECONDS", 0.0)
    monkeypatch.setattr(worker_module, "LOOKS_LEAVE", 0)
    monkeypatch.setattr(random, "shuffle", lambda names: names.sort())
    asked = fails_at(monkeypatch, queue, "read", "jobs/b", 1)
    asked_too = fails_at(monkeypatch, queue, "read", "jobs/c-", 2)
    phases: list[str] = []

    class Watching(Notes):
        def phase(self, text: str) -> None:
            phases.append(text)

    done = Worker(open_queue(queue.address), QUICK, Watching()).run()
    assert (len(done.learned), len(asked), len(asked_too)) == (3, 1, 2)
    monkeypatch.undo()
    assert kinds(queue, "a") == ["claimed", "done"]
    assert all(set(kinds(queue, name)) <= {"claimed", "returned", "done"} for name in "bc")


def test_a_checkpoint_that_is_damaged_is_made_again(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    (job,) = queue.jobs()
    queue.store.create(f"checkpoints/{job}/1.zip", b"no archive")
    done = Worker(open_queue(queue.address), WorkConfig(tries=1), notes := Notes()).run()
    assert done.learned == [job]
    assert any("from the beginning" in line for line in notes.lines)
    assert kinds(queue, "a") == ["claimed", "done"]


def test_who_is_stopped_while_the_base_is_loaded_ends_at_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))
    loaded = []

    def load(*_args: Any, **_more: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        loaded.append(True)

    monkeypatch.setattr(base_model, "load", load)
    with pytest.raises(Interrupted, match="given back") as told:
        api.work(queue.address)
    assert told.value.exit_code == 128 + signal.SIGTERM
    assert not loaded
    assert kinds(queue, "a") == kinds(queue, "b") == ["claimed", "returned"]
