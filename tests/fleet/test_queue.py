import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import Notes

from pseudoword.commands.queue import steer_queue
from pseudoword.errors import DamagedError, SettingsError, StorageError
from pseudoword.fleet import archive, history
from pseudoword.fleet.history import Event, Kind
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.life import SignOfLife, Watch
from pseudoword.fleet.queue import Claim, Queue, make_queue, open_queue
from pseudoword.fleet.stores import Store
from pseudoword.fleet.view import view
from pseudoword.progress import Silent


def again(queue: Queue) -> Queue:
    """The queue as another process sees it."""
    return open_queue(queue.address)


def test_a_job_is_submitted_once(queue: Queue) -> None:
    assert not again(queue).submit(Job("cat-1", "steps = 3\n", b"others"))
    assert again(queue).submit(Job("dog-1", "steps = 3\n", b"others"))
    assert queue.jobs() == ["cat-1", "dog-1"]
    assert again(queue).job("cat-1") == Job("cat-1", "steps = 2\n", b"pictures")


def test_a_job_whose_settings_are_not_there_yet_is_not_seen(queue: Queue) -> None:
    queue.store.create("jobs/dog-1.zip", b"pictures")
    assert again(queue).jobs() == ["cat-1"]


def test_one_of_those_who_claim_a_job_at_once_gets_it(queue: Queue) -> None:
    for number in range(4):
        queue.submit(Job(f"dog-{number}", "", b""))
    claims = []
    ready = threading.Barrier(4)

    def claim_all(worker: str) -> None:
        mine = again(queue)
        ready.wait()
        for name in mine.jobs():
            if claim := mine.claim(name, worker, 60):
                claims.append(claim.name)

    threads = [threading.Thread(target=claim_all, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == queue.jobs()


def test_a_claim_ends_once(queue: Queue) -> None:
    claim = queue.claim("cat-1", "me", 60)
    assert claim
    assert again(queue).claim("cat-1", "you", 60) is None
    assert queue.holds(claim)
    other = again(queue)
    assert other.add("cat-1", 2, Event(kind="lost", why="silent"))
    assert not queue.holds(claim)
    assert not queue.end(claim, Event(kind="done"))
    assert history.state(other.history("cat-1")) == "waiting"
    later = other.claim("cat-1", "you", 60)
    assert later
    assert later.number == 3
    assert other.end(later, Event(kind="done"))
    assert [event.kind for event in again(queue).history("cat-1")] == [
        *("claimed", "lost", "claimed", "done"),
    ]


def test_what_has_happened_is_known_though_the_answer_of_the_store_was_lost(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = queue.store.create

    def asked_twice(name: str, data: bytes) -> bool:
        create(name, data)
        return create(name, data)  # the first answer was lost, and the store was asked again

    monkeypatch.setattr(queue.store, "create", asked_twice)
    claim = queue.claim("cat-1", "me", 60)
    assert claim
    assert again(queue).claim("cat-1", "you", 60) is None
    assert queue.end(claim, Event(kind="returned"))
    queue.cancel("cat-1")
    assert [event.kind for event in again(queue).history("cat-1")] == [
        *("claimed", "returned", "cancelled"),
    ]


def events(*kinds: Kind | tuple[Kind, int]) -> Sequence[Event]:
    pairs = [kind if isinstance(kind, tuple) else (kind, 0) for kind in kinds]
    return [Event(kind=kind, step=step) for kind, step in pairs]


def test_tries_that_get_further_are_not_bad_ones() -> None:
    assert history.bad_tries([]) == 0
    assert history.bad_tries(events("claimed", "error", "claimed", "lost")) == 2
    assert history.bad_tries(events("claimed", "returned", "claimed", "returned")) == 0
    assert history.bad_tries(events("lost", "lost", ("lost", 25), ("lost", 50))) == 1
    assert history.bad_tries(events(("lost", 50), ("lost", 50), ("lost", 50))) == 3
    assert history.bad_tries(events("error", "failed", "retried")) == 0


def test_a_job_is_steered(queue: Queue) -> None:
    other = again(queue)
    claim = queue.claim("cat-1", "me", 60)
    assert claim
    with pytest.raises(SettingsError, match="cat-1 is running, so it cannot be tried again"):
        other.retry("cat-1")
    other.cancel("cat-1")
    assert not queue.holds(claim)
    with pytest.raises(SettingsError, match="cat-1 is cancelled, so it cannot be cancelled"):
        other.cancel("cat-1")
    with pytest.raises(SettingsError, match="mouse: there is no such job"):
        other.cancel("mouse")
    queue.store.create("checkpoints/cat-1/5.zip", b"run")
    other.retry("cat-1")
    assert queue.checkpoint("cat-1") is None
    assert [word.state for word in view(queue)] == ["waiting"]


def test_all_words_are_none_where_none_is_in_such_a_state(queue: Queue) -> None:
    notes = Notes()
    steer_queue(queue.address, ["all"], [], None, notes)
    steer_queue(queue.address, [], ["all", "cat"], None, notes)
    assert notes.lines == ["--retry all: no word has failed"]
    steer_queue(queue.address, [], ["all"], None, notes)
    assert notes.lines[1:] == ["--cancel all: no word waits or is being learned"]
    with pytest.raises(SettingsError, match="mouse: there is no such job"):
        steer_queue(queue.address, ["all", "mouse"], [], None, notes)


def test_a_job_is_called_by_its_word_if_that_is_clear(queue: Queue) -> None:
    assert queue.named("cat") == queue.named("cat-1") == "cat-1"
    assert queue.submit(Job("cat-2", "", b""))
    assert queue.named("cat-2") == "cat-2"
    with pytest.raises(SettingsError, match=r"^cat: which one is meant, cat-1, cat-2\?"):
        queue.named("cat")


def test_nothing_is_steered_if_one_job_is_not_there(queue: Queue) -> None:
    with pytest.raises(SettingsError, match="mouse: there is no such job"):
        steer_queue(queue.address, [], ["cat", "mouse"], None, Silent())
    assert [word.state for word in view(queue)] == ["waiting"]
    steer_queue(queue.address, [], ["cat"], None, Silent())
    assert [word.state for word in view(queue)] == ["cancelled"]


def test_the_last_checkpoint_is_kept(queue: Queue) -> None:
    claim = queue.claim("cat-1", "me", 1)
    assert claim is not None
    assert (queue.checkpoint("cat-1"), queue.last_step("cat-1")) == (None, 0)
    for step in (5, 10, 100):
        queue.put_checkpoint(claim, step, str(step).encode())
    other = again(queue)
    assert (other.checkpoint("cat-1"), other.last_step("cat-1")) == (b"100", 100)
    assert queue.store.names("checkpoints") == ["checkpoints/cat-1/100.zip"]
    other.remove_checkpoints("cat-1")
    assert queue.store.names("checkpoints") == []


def test_a_result_is_never_written_twice(queue: Queue) -> None:
    assert not queue.has_result("cat-1")
    queue.put_result("cat-1", b"first folder", b"first word")
    again(queue).put_result("cat-1", b"second folder", b"second word")
    assert queue.result_folder("cat-1") == b"first folder"
    assert queue.store.read("results/cat-1.safetensors") == b"first word"


def test_a_result_without_its_word_is_none(queue: Queue) -> None:
    queue.store.create("results/cat-1.zip", b"folder")
    assert not queue.has_result("cat-1")


def test_a_worker_is_silent_for_as_long_as_its_counter_stands_still(queue: Queue) -> None:
    now = [100.0]
    watch, sign = Watch(queue.store, lambda: now[0]), SignOfLife(queue.store, "me")
    sign.give()
    assert watch.silent_seconds("me") == 0
    now[0] += 5
    assert watch.silent_seconds("me") == 5
    sign.give()
    assert watch.silent_seconds("me") == 0
    now[0] += 7
    assert watch.silent_seconds("me") == 7
    assert watch.silent_seconds("gone") == 0
    now[0] += 3
    assert (watch.silent_seconds("gone"), watch.silent_seconds("me")) == (3, 10)


def test_an_event_that_is_damaged_or_missing_is_a_failure_of_its_word_alone(queue: Queue) -> None:
    for name in ("dog-1", "hat-1"):
        queue.submit(Job(name, "", b""))
    queue.store.put("events/cat-1/0001.json", b"{")
    queue.store.put("events/dog-1/0003.json", b'{"kind": "claimed", "of a later version": 1}')
    seen = {word.name: word for word in view(again(queue))}
    assert [word.state for word in seen.values()] == ["failed", "running", "waiting"]
    assert seen["cat-1"].why.endswith("0001.json was not written by a worker.")
    other = again(queue)
    other.cancel("dog-1")  # the next number is that after the last
    other.retry("cat-1")
    assert [event.kind for event in other.history("dog-1")] == [
        *("failed", "failed", "claimed", "cancelled"),
    ]
    assert again(queue).claim("cat-1", "me", 60) == Claim("cat-1", 3)


def test_nothing_is_steered_if_one_job_cannot_be(queue: Queue) -> None:
    queue.submit(Job("dog-1", "", b""))
    queue.cancel("cat-1")
    claim = queue.claim("dog-1", "me", 60)
    assert claim
    assert queue.end(claim, Event(kind="done"))
    with pytest.raises(SettingsError, match="dog-1 is done, so it cannot be cancelled"):
        steer_queue(queue.address, ["cat"], ["dog"], None, Silent())
    assert [word.state for word in view(queue)] == ["cancelled", "done"]


def test_many_are_steered_without_a_list_of_all_for_each(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        queue.submit(Job(f"dog-{number}", "", b""))
    names, listed = type(queue.store).names, []

    def counted(store: Store, folder: str) -> list[str]:
        listed.append(folder)
        return names(store, folder)

    monkeypatch.setattr(type(queue.store), "names", counted)
    steer_queue(queue.address, [], ["all"], None, Silent())
    steer_queue(queue.address, ["cat-1", *(f"dog-{i}" for i in range(8))], [], None, Silent())
    assert listed.count("jobs") <= 6


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "C:/x", "a\\b"])
def test_no_file_of_an_archive_is_written_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="outside its folder"):
        archive.unpack(archive.pack({name: b"x"}), tmp_path, "it")


def test_an_archive_whose_files_cannot_all_be_on_this_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"pictures/a.png": b"1", "pictures/A.png": b"2", "pictures/what?.png": b"3"}
    archive.unpack(archive.pack(names), tmp_path / "here", "it")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "samefile", lambda *_: True)  # as where case makes no other file
        with pytest.raises(DamagedError, match=r"it has 'pictures/A\.png' and 'pictures/a\.png'"):
            archive.unpack(archive.pack(names), tmp_path / "macos", "it")
    monkeypatch.setattr(archive, "WINDOWS", True)
    with pytest.raises(DamagedError, match=r"what\?\.png', which cannot be here: names on Win"):
        archive.unpack(archive.pack(names), tmp_path / "windows", "it")
    assert not (tmp_path / "windows").exists()


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    data = archive.pack({"a": b"x" * 100})
    for damaged in (b"", data[:50], data.replace(b"xx", b"yy", 1)):
        with pytest.raises(StorageError, match="it is damaged"):
            archive.unpack(damaged, tmp_path, "it")


@pytest.mark.parametrize("mark", [b'{"format": 2}', b"[]", b"no JSON"])
def test_a_queue_of_another_format_is_left_alone(queue: Queue, mark: bytes) -> None:
    queue.store.put("queue.json", mark)
    for opened in (open_queue, make_queue):
        with pytest.raises(SettingsError, match="no queue that this version knows"):
            opened(queue.address)


def test_a_job_is_called_by_its_token_too(queue: Queue) -> None:
    assert queue.named("<cat>") == queue.named("cat") == "cat-1"
    queue.submit(Job("concept-1", "steps = 2\n", b"pictures"))
    with pytest.raises(SettingsError, match="no such job"):
        queue.named("")
