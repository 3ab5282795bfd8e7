"""Workers on a tiny model: what they learn is what `train` learns, whatever happens to them."""

import gc
import itertools
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked import Process
from PIL import Image
from queued_words import QUICK, SETTINGS, kinds, states, submit, words
from support import Notes, everything

import pseudoword
from pseudoword import api, formats, locks
from pseudoword.config import WorkConfig
from pseudoword.fleet import claiming, history, life, scratch
from pseudoword.fleet import worker as worker_module
from pseudoword.fleet.history import Event
from pseudoword.fleet.life import SignOfLife
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.unpacked import Unpacked
from pseudoword.fleet.view import view
from pseudoword.fleet.worker import Worker
from pseudoword.models import base_model
from pseudoword.progress import Silent
from pseudoword.runs import checkpoint
from pseudoword.runs.finish import Trained
from pseudoword.runs.planned import PlannedRun
from pseudoword.runs.runner import learn


def result(queue: Queue, name: str) -> bytes:
    """The one result of a word."""
    names = queue.store.names("results")
    (path,) = (n for n in names if n.startswith(f"results/{name}-") and n.endswith("tensors"))
    return queue.store.read(path) or b""


def alone(base: Path, pictures: Path, out: Path, **settings: Any) -> bytes:
    """The word as `train` learns it."""
    given = SETTINGS | {"base": str(base)} | settings
    done = api.train(pictures, f"<{pictures.name}>", out=out, **given)
    return (done.folder / formats.CONCEPT_FILE).read_bytes()


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def learned_alone(base: Path, once: Path) -> dict[str, bytes]:
    """Words as `train` learns them."""
    folder = words(once / "words", *"abc")
    return {name: alone(base, folder / name, once / name) for name in "abc"}


def test_a_worker_learns_what_train_learns(
    base: Path, address: str, tmp_path: Path, learned_alone: dict[str, bytes]
) -> None:
    queue = submit(base, address, words(tmp_path / "words", *"abc"))
    done = api.work(address, pack=1)
    assert (len(done.learned), done.failed) == (3, {})
    for name in "abc":
        assert result(queue, name) == learned_alone[name]
        assert kinds(queue, name) == ["claimed", "done"]
    assert queue.store.names("checkpoints") == queue.store.names("workers") == []
    assert api.work(address).learned == []


@pytest.mark.parametrize("address", ["folder", "bucket"], indirect=True)
def test_workers_side_by_side_learn_each_word_once(
    base: Path, address: str, tmp_path: Path
) -> None:
    queue = submit(base, address, words(tmp_path / "words", *"abcd"))
    # at the end, one waits for the other, and looks as often as it gives signs of life
    workers = [Process("work", address, "--pack", 1, "--lease", 12) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert all(kinds(queue, name) == ["claimed", "done"] for name in "abcd")
    said = "".join(worker.stdout for worker in workers)
    assert sum(map(int, re.findall(r"learned (\d+) words?", said))) == 4


def test_a_job_is_learned_without_the_files_it_was_made_of(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    first = alone(base, pictures, tmp_path / "first")
    (tmp_path / "first.safetensors").write_bytes(first)
    (tmp_path / "lines.txt").write_text("a [name]\nmy [name], [filewords]\n")
    folder = tmp_path / "words"
    (folder / "toy" / "10_toy").mkdir(parents=True)
    for path in pictures.iterdir():
        place = folder / "toy" / ("3_toy" if path.name == "1.png" else "10_toy")
        place.mkdir(exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
    (folder / "toy" / "10_toy" / "0.txt").write_text("a red thing on a <hat>")
    mask = Image.new("L", (48, 40), "white")
    mask.save(folder / "toy" / "10_toy" / "0-mask.png")
    settings = {
        **{"init": str(tmp_path / "first.safetensors"), "template": str(tmp_path / "lines.txt")},
        **{"mask": "file", "words": [f"{tmp_path / 'first.safetensors'}=<hat>"]},
    }
    expected = alone(base, folder / "toy", tmp_path / "solo", **settings)
    queue = submit(base, str(tmp_path / "queue"), folder, **settings)
    for path in (tmp_path / "first.safetensors", tmp_path / "lines.txt"):
        path.unlink()
    folder.rename(tmp_path / "gone")
    assert api.work(queue.address, pack=1).failed == {}
    assert result(queue, "toy") == expected


def test_a_word_goes_on_from_the_checkpoint_of_a_worker_that_was_killed(
    base: Path, tmp_path: Path
) -> None:
    folder = words(tmp_path / "words", "a")
    queue = submit(base, str(tmp_path / "queue"), folder, steps=15)
    killed = Process("work", queue.address, "--lease", 0.4)
    (job,) = queue.jobs()
    until(lambda: queue.last_step(job) > 0)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert states(queue) == {"a": "running"}
    step = queue.last_step(job)
    notes = Notes()
    done = Worker(open_queue(queue.address), QUICK, notes).run()
    assert done.learned == [job]
    assert kinds(queue, "a") == ["claimed", "lost", "claimed", "done"]
    assert f"resuming <a> from step {step}" in notes.lines
    assert queue.store.names("workers") == []  # also that of the one that was killed
    assert result(queue, "a") == alone(base, folder / "a", tmp_path / "solo", steps=15)


def test_sigterm_saves_and_gives_back(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a", "b")
    queue = submit(base, str(tmp_path / "queue"), folder, steps=2000, checkpoint_every=2)
    worker = Process("work", queue.address, "--lease", 2)
    until(lambda: all(queue.last_step(job) > 0 for job in queue.jobs()))
    before = [queue.last_step(job) for job in queue.jobs()]
    worker.terminate()
    assert worker.wait() == 128 + signal.SIGTERM
    assert "has been given back" in worker.stderr
    assert set(states(queue).values()) == {"waiting"}
    assert all(kinds(queue, name) == ["claimed", "returned"] for name in "ab")
    after = [queue.last_step(job) for job in queue.jobs()]
    assert all(now >= then > 0 for now, then in zip(after, before, strict=True))
    assert queue.store.names("workers") == []


def test_a_word_that_is_cancelled_stops_and_the_others_go_on(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"), steps=8)
    victim = queue.jobs()[0]

    class CancelsOnce(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if done == 4 and history.state(queue.history(victim)) == "running":
                api.queue(queue.address, cancel=victim)
                time.sleep(0.3)  # until the next sign of life

    done = Worker(open_queue(queue.address), WorkConfig(lease=0.4), CancelsOnce()).run()
    assert states(queue) == {"a": "cancelled", "b": "done"}
    assert len(done.learned) == 1
    assert kinds(queue, "b") == ["claimed", "done"]
    api.queue(queue.address, retry=victim)
    assert api.work(queue.address).learned == [victim]


def test_sigterm_counts_also_in_a_pack_that_a_cancelled_word_has_left(
    base: Path, tmp_path: Path
) -> None:
    folder = words(tmp_path / "words", "a", "b")
    queue = submit(base, str(tmp_path / "queue"), folder, steps=2000, checkpoint_every=2)
    victim, other = queue.jobs()
    worker = Process("work", queue.address, "--lease", 0.4)
    until(lambda: all(queue.last_step(job) > 0 for job in queue.jobs()))
    api.queue(queue.address, cancel=victim)
    time.sleep(1.5)  # until the word has left
    before = queue.last_step(other)
    until(lambda: queue.last_step(other) > before)
    worker.terminate()
    until(lambda: history.state(queue.history(other)) == "waiting", 20)
    assert worker.wait() == 128 + signal.SIGTERM
    assert kinds(queue, "b") == ["claimed", "returned"]


def test_a_word_is_done_before_the_others_of_its_pack(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    submit(base, queue.address, words(tmp_path / "others", "b"), steps=10)
    seen = []

    class Slow(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            seen.append(states(queue))
            time.sleep(0.1)

    Worker(open_queue(queue.address), WorkConfig(lease=0.4), Slow()).run()
    assert {"a": "done", "b": "running"} in seen
    assert states(queue) == {"a": "done", "b": "done"}
    assert kinds(queue, "a") == kinds(queue, "b") == ["claimed", "done"]


def test_a_word_that_fails_is_tried_again_and_then_given_up(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = words(tmp_path / "words", "a", "b", "c")
    for picture in (folder / "b").iterdir():
        picture.write_bytes(b"no picture")
    with monkeypatch.context() as patched:  # as a machine that knows more formats would submit it
        patched.setattr("pseudoword.data.examples.check", lambda *_: None)
        queue = submit(base, str(tmp_path / "queue"), folder)
    done = api.work(queue.address, tries=2)
    assert len(done.learned) == 2
    assert states(queue) == {"a": "done", "b": "failed", "c": "done"}
    assert kinds(queue, "b") == ["claimed", "error", "claimed", "failed"]
    assert kinds(queue, "a") == ["claimed", "done"]
    (failed,) = (word for word in api.queue(queue.address) if word.state == "failed")
    assert failed.why.startswith("pictures/0.png ")  # nothing of a folder that is gone
    assert api.work(queue.address).learned == []
    api.queue(queue.address, retry="all")
    assert states(queue)["b"] == "waiting"


def test_an_error_of_any_kind_ends_only_its_word(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))

    def fails(configs: Any, *args: Any, **more: Any) -> Any:
        if any(config.token == "<b>" for config in configs):
            raise ZeroDivisionError("of a library")
        return learn(configs, *args, **more)

    monkeypatch.setattr("pseudoword.fleet.worker.learn", fails)
    api.work(queue.address, tries=1)
    assert states(queue) == {"a": "done", "b": "failed"}
    assert "of a library" in next(word.why for word in view(queue) if word.why)


def test_a_result_of_a_worker_that_was_lost_right_after_is_taken(
    base: Path, tmp_path: Path
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    (job,) = queue.jobs()
    assert queue.claim(job, "lost", 1)
    queue.store.create(f"checkpoints/{job}/1.zip", b"run")
    queue.put_result(job, b"folder", b"word")
    queue.add(job, 2, Event(kind="lost"))
    api.work(queue.address)
    assert kinds(queue, "a") == ["claimed", "lost", "claimed", "done"]
    assert result(queue, "a") == b"word"
    assert queue.store.names("checkpoints") == []


def test_the_base_is_loaded_once_for_all_packs(base: Path, tmp_path: Path) -> None:
    queue, loads = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", *"abc")), []
    load = base_model.load

    def counted(*args: Any, **more: Any) -> Any:
        loads.append(args)
        return load(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_model, "load", counted)
        api.work(queue.address, pack=1)
    assert len(loads) == 1


def test_words_of_other_settings_get_packs_of_their_own(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a", "b")
    queue = submit(base, str(tmp_path / "queue"), folder)
    submit(base, queue.address, folder, batch=4)
    assert len(api.work(queue.address).learned) == 4
    assert all(history.state(queue.history(job)) == "done" for job in queue.jobs())


def test_learned_words_are_fetched_as_folders_of_runs(base: Path, tmp_path: Path) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a"))
    api.work(queue.address)
    out = tmp_path / "out"
    api.queue(queue.address, out=out)
    (run,) = out.iterdir()
    assert formats.read(run).token == "<a>"
    assert checkpoint.finished_step(run) == 2
    before = everything(out)
    api.queue(queue.address, out=out)
    assert everything(out) == before


def test_a_cancelled_word_that_is_submitted_again_stays_so_and_that_is_said(
    base: Path, tmp_path: Path
) -> None:
    folder, notes = words(tmp_path / "words", "a", "b"), Notes()
    queue = submit(base, str(tmp_path / "queue"), folder)
    (job,) = (job for job in queue.jobs() if job.startswith("a-"))
    queue.cancel(job)
    again = SETTINGS | {"base": str(base)}
    assert api.submit(queue.address, folder, progress=notes, **again) == []
    assert [
        line for line in notes.lines if f"cancelled before, and not learned again: {job}" in line
    ]
    assert not [line for line in notes.lines if "failed before" in line]
    assert states(queue) == {"a": "cancelled", "b": "waiting"}


def test_nothing_is_submitted_if_a_word_cannot_be(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a")
    (folder / "b").mkdir()
    with pytest.raises(pseudoword.PseudowordError, match="b holds no pictures"):
        submit(base, str(tmp_path / "queue"), folder)
    with pytest.raises(pseudoword.PseudowordError, match="--lr"):
        submit(base, str(tmp_path / "queue"), words(tmp_path / "others", "a"), lr=-1)
    several = tmp_path / "list.toml"
    several.write_text(f"[[concept]]\ntoken='<a>'\npictures=['{folder}/a', '{folder}/a']")
    with pytest.raises(pseudoword.PseudowordError, match="takes one folder of pictures"):
        submit(base, str(tmp_path / "queue"), several)
    assert not (tmp_path / "queue").exists()


def test_a_pack_takes_further_words_when_some_have_left(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "REFILL_SECONDS", 0.0)
    monkeypatch.setattr(random, "shuffle", lambda _names: None)
    phases: list[str] = []

    class Watching(Silent):
        def phase(self, text: str) -> None:
            phases.append(text)

    folder, address = words(tmp_path / "words", *"abcd"), str(tmp_path / "queue")
    for name, steps in (("a", 12), ("b", 2), ("c", 2), ("d", 2)):
        one = tmp_path / "one" / name
        one.mkdir(parents=True)
        (folder / name).rename(one / name)
        submit(base, address, one, steps=steps)
    queue = open_queue(address)
    done = Worker(queue, QUICK, Watching()).run()
    assert (len(done.learned), done.failed) == (4, {})
    packs = [set(re.findall(r"<(\w)>", text)) for text in phases if "learning" in text]
    assert sum("a" in pack and len(pack) == 2 for pack in packs) == 3, packs
    for name, steps in (("a", 12), ("d", 2)):
        pictures = tmp_path / "one" / name / name
        assert result(queue, name) == alone(base, pictures, tmp_path / name, steps=steps)


def always_look(monkeypatch: pytest.MonkeyPatch, turn: float) -> None:
    """Let a pack look for words after each step, and others wait for so many looks."""
    for name in ("REFILL_SECONDS", "LOOKS_LEAVE"):
        monkeypatch.setattr(worker_module, name, 0)
    looks = itertools.count()
    monkeypatch.setattr(claiming, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    monkeypatch.setattr(claiming, "TURN_SECONDS", turn)
    monkeypatch.setattr(random, "shuffle", lambda _names: None)


@pytest.mark.usefixtures("little_to_search")
@pytest.mark.parametrize(("differs", "pack"), [("base", 1), ("base", 2), ("batch", 2)])
def test_a_word_that_cannot_share_a_pack_waits_for_no_queue_to_be_empty(
    differs: str, pack: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_look(monkeypatch, turn=1)
    address = str(tmp_path / "queue")
    submit(base, address, words(tmp_path / "same", *"abcdef"))
    its_base = shutil.copytree(base, tmp_path / "other-base") if differs == "base" else base
    batch = 1 if differs == "batch" else 2
    queue = submit(its_base, address, words(tmp_path / "other", "z"), batch=batch)
    notes = Notes()
    Worker(queue, WorkConfig(pack=pack, lease=2), notes).run()
    done = [line[0] for line in notes.lines if line.endswith(" is done")]
    assert sorted(done) == [*"abcdefz"]
    assert done.index("z") < 5, done


def test_a_word_that_is_to_be_learned_alone_waits_for_no_queue_to_be_empty(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that further words join goes on as long as there are any, perhaps for weeks."""
    always_look(monkeypatch, turn=0)
    address = str(tmp_path / "queue")
    submit(base, address, words(tmp_path / "long", "a"), steps=10)
    queue = submit(base, address, words(tmp_path / "short", *"bcdefz"))
    *_, failed = queue.jobs()
    done: list[str] = []

    class Fails(Silent):
        def note(self, text: str) -> None:
            done.extend(re.findall(r"(\S+) is done", text))
            if len(done) == 1:  # another worker has tried it meanwhile
                claim = queue.claim(failed, "another", 60)
                assert claim is not None
                queue.end(claim, Event(kind="error", why="x"))

    Worker(open_queue(address), QUICK, Fails()).run()
    assert len(done) == 7
    assert failed not in (done[0], done[-1])


@pytest.mark.usefixtures("little_to_search")
def test_a_pack_that_goes_on_for_long_keeps_nothing_of_words_that_have_left(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "REFILL_SECONDS", 0.0)
    monkeypatch.setattr(worker_module, "LOOKS_LEAVE", 0)
    monkeypatch.setattr(random, "shuffle", lambda _names: None)
    kept: list[int] = []

    def count() -> int:
        gc.collect()
        kinds_of = (PlannedRun, Trained, Unpacked)
        return sum(isinstance(one, kinds_of) for one in gc.get_objects())

    class Counting(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if detail.startswith("loss"):
                kept.append(count())

    address = str(tmp_path / "queue")
    submit(base, address, words(tmp_path / "long", "a"), steps=16)
    queue = submit(base, address, words(tmp_path / "short", *"bcdefg"), steps=2)
    done = Worker(queue, QUICK, Counting()).run()
    assert len(done.learned) == 7
    at_most = 2 * 2 + 2  # of each of two words, and of one that has just left
    assert max(kept[-4:]) <= at_most, kept


def test_the_queue_shows_at_once_whose_worker_is_gone(base: Path, tmp_path: Path) -> None:
    address = str(tmp_path / "queue")
    queue = submit(base, address, words(tmp_path / "words", "a", "b"))
    first, second = queue.jobs()
    here = life.new_name()
    dead = re.sub(r"-\d+-", f"-{2**22 + 1}-", here)  # there is no process of this number
    for worker, job in ((here, first), (dead, second)):
        SignOfLife(queue.store, worker).give()
        queue.claim(job, worker, 60.0)
    assert [(word.state, word.stale) for word in view(queue)] == [
        ("running", False),
        ("running", True),
    ]
    SignOfLife(queue.store, here).end()
    assert [word.stale for word in view(queue)] == [True, True]


def test_what_is_open_while_a_folder_is_removed_is_left_to_a_later_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a file that is open cannot be removed."""
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with scratch.folder(tmp_path) as folder:
            (folder / "open").touch()
            (folder / locks.LOCK).unlink()  # as its removal does there
    assert (folder / "open").exists()
    with scratch.folder(tmp_path):
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_workers_are_removed_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    abandoned = tmp_path / f"{scratch.PREFIX}abandoned"
    with locks.lock_folder(abandoned / "inside"):
        (abandoned / locks.LOCK).touch()
    other = tmp_path / f"{scratch.PREFIX}other"
    other.mkdir()  # no lock: it is somebody else's
    with scratch.folder() as first:
        with scratch.folder() as second:
            assert sorted(tmp_path.iterdir()) == sorted([first, second, other])
        assert first.is_dir()
    assert list(tmp_path.iterdir()) == [other]
