"""What comes late, twice, or into a queue that has gone, leaves nothing behind and is told."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from pseudoword.commands.queue import steer_queue
from pseudoword.errors import StorageError
from pseudoword.fleet import archive
from pseudoword.fleet.history import Event
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.queue import Claim, Queue, make_queue
from pseudoword.progress import Silent


def lost(queue: Queue) -> tuple[Claim, Claim]:
    """The claim of a worker that was given up, and that of the one that goes on."""
    first = queue.claim("cat-1", "slow", 1)
    assert first is not None
    assert queue.end(first, Event(kind="lost"))
    second = queue.claim("cat-1", "other", 1)
    assert second is not None
    return first, second


def test_a_worker_that_was_given_up_puts_no_checkpoint(queue: Queue) -> None:
    slow, other = lost(queue)
    queue.put_checkpoint(other, 7, b"7")
    queue.put_checkpoint(slow, 9, b"9")
    assert queue.store.names("checkpoints") == ["checkpoints/cat-1/7.zip"]
    queue.end(other, Event(kind="done"))
    queue.remove_checkpoints("cat-1")
    queue.put_checkpoint(slow, 9, b"9")
    assert queue.store.names("checkpoints") == []


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_a_checkpoint_that_was_on_its_way_when_its_word_ended_is_removed(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    claim = queue.claim("cat-1", "slow", 1)
    assert claim is not None
    create = queue.store.create

    def slowly(name: str, data: bytes) -> bool:
        if name.startswith("checkpoints/"):
            queue.end(claim, Event(kind=end))  # type: ignore[arg-type]
        return create(name, data)

    monkeypatch.setattr(queue.store, "create", slowly)
    queue.put_checkpoint(claim, 9, b"9")
    assert queue.store.names("checkpoints") == []


def test_a_cancelled_word_leaves_no_checkpoint(queue: Queue) -> None:
    claim = queue.claim("cat-1", "me", 1)
    assert claim is not None
    queue.put_checkpoint(claim, 5, b"5")
    queue.cancel("cat-1")
    assert queue.store.names("checkpoints") == []


def test_two_fetch_into_one_folder_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = done(tmp_path)
    both, unpack = threading.Barrier(2), archive.unpack

    def together(*given: Any) -> None:
        both.wait(60)
        unpack(*given)
        both.wait(60)

    monkeypatch.setattr(archive, "unpack", together)
    errors: list[Exception] = []

    def fetch() -> None:
        try:
            steer_queue(queue.address, [], [], tmp_path / "out", Silent())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cat-1"]
    assert (tmp_path / "out" / "cat-1" / "word").read_bytes() == b"learned"


def done(tmp_path: Path) -> Queue:
    """A queue with a word that was learned."""
    queue = make_queue(str(tmp_path / "queue"))
    queue.submit(Job("cat-1", "steps = 2\n", b"pictures"))
    claim = queue.claim("cat-1", "me", 1)
    assert claim is not None
    queue.put_result("cat-1", archive.pack({"word": b"learned"}), b"learned")
    queue.end(claim, Event(kind="done"))
    return queue


def test_a_damaged_result_is_told_when_the_others_are_fetched(tmp_path: Path) -> None:
    queue = done(tmp_path)
    for name, folder in (("ant-1", b"no archive"), ("dog-1", archive.pack({"word": b"learned"}))):
        queue.submit(Job(name, "", b""))
        claim = queue.claim(name, "me", 1)
        assert claim is not None
        queue.put_result(name, folder, b"learned")
        queue.end(claim, Event(kind="done"))
    with pytest.raises(StorageError, match=r"ant-1 is damaged.*results/ant-1\.safetensors"):
        steer_queue(queue.address, [], [], tmp_path / "out", Silent())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cat-1", "dog-1"]


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_a_folder_that_is_gone_is_told_and_not_made_again(tmp_path: Path, how: str) -> None:
    queue = done(tmp_path)
    folder = tmp_path / "queue"
    if how == "moved":
        folder.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(folder)
    store = queue.store
    for act in (
        lambda: store.put("workers/me", b"1"),
        lambda: store.create("events/cat-1/0003.json", b"{}"),
        lambda: store.read("events/cat-1/0003.json"),
        lambda: store.names("jobs"),
    ):
        with pytest.raises(StorageError, match="not there any more"):
            act()
    assert not folder.exists()
