from datetime import UTC, datetime, timedelta

import pytest

from pseudoword.fleet.history import Event, State
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.life import SignOfLife
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.stores import Store
from pseudoword.fleet.view import QueuedWord, Reason, reasons, view, words_an_hour

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_it_says_who_learns_a_word_since_when_and_how_far_it_is(queue: Queue) -> None:
    queue.submit(Job("dog-1", "", b""))
    SignOfLife(queue.store, "me").give()
    first = queue.claim("cat-1", "me", 60)
    assert first
    queue.end(first, Event(kind="returned"))
    second = queue.claim("cat-1", "me", 60)
    assert second
    queue.put_checkpoint(second, 75, b"run")
    queue.store.create("checkpoints/cat-1/100.zip", b"run")  # and nobody has removed the other yet
    cat, dog = view(open_queue(queue.address))
    assert (cat.state, cat.worker, cat.step, cat.tries) == ("running", "me", 100, 2)
    assert not cat.stale
    assert cat.since
    assert cat.since == cat.claimed == queue.store.times("events")["events/cat-1/0003.json"]
    assert abs(datetime.now(UTC) - cat.since) < timedelta(hours=1)
    assert (dog.state, dog.since, dog.claimed, dog.step) == ("waiting", None, None, 0)
    queue.end(second, Event(kind="done"))
    (cat, _) = view(open_queue(queue.address))
    times = queue.store.times("events/cat-1")
    assert cat.state == "done"
    assert cat.since == times["events/cat-1/0004.json"]
    assert cat.claimed == times["events/cat-1/0003.json"]


def test_it_lists_each_folder_once_and_reads_no_archive(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        queue.submit(Job(f"dog-{number}", "", b"pictures"))
        claim = queue.claim(f"dog-{number}", "me", 60)
        assert claim
        queue.put_checkpoint(claim, 10, b"run")
    other = open_queue(queue.address)
    kind, listed, read = type(queue.store), [], []
    names, times, read_one = kind.names, kind.times, kind.read
    depth = 0

    def watched(of: str, store: Store, folder: str) -> object:
        nonlocal depth
        listed.extend([folder] if not depth else [])  # one may be told by the other
        depth += 1
        try:
            return (names if of == "names" else times)(store, folder)
        finally:
            depth -= 1

    def reading(store: Store, name: str) -> bytes | None:
        read.append(name)
        return read_one(store, name)

    monkeypatch.setattr(kind, "names", lambda store, folder: watched("names", store, folder))
    monkeypatch.setattr(kind, "times", lambda store, folder: watched("times", store, folder))
    monkeypatch.setattr(kind, "read", reading)
    assert [word.step for word in view(other)] == [0, 10, 10, 10, 10, 10]
    assert sorted(listed) == ["checkpoints", "events", "jobs"]
    assert sorted(read) == [*(f"events/dog-{i}/0001.json" for i in range(5)), "workers/me"]


def test_a_store_that_knows_no_times_is_shown_too(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.claim("cat-1", "me", 60)
    names = queue.store.names("events")
    monkeypatch.setattr(queue.store, "times", lambda _: dict.fromkeys(names))
    (cat,) = view(queue)
    assert (cat.state, cat.since, cat.claimed) == ("running", None, None)


def ago(state: State, minutes: float, claimed: float = 0.0, **more: object) -> QueuedWord:
    since, claim = (NOW - timedelta(minutes=one) for one in (minutes, claimed or minutes))
    values = {"name": "cat-1", "state": state, "since": since, "claimed": claim, **more}
    return QueuedWord.model_validate(values)


RUNS = ago("running", 5)


def test_words_an_hour_are_those_of_the_last_one() -> None:
    done = [ago("done", minutes, minutes + 30) for minutes in (5, 20, 40, 59, 61, 600)]
    assert words_an_hour([RUNS, *done], NOW) == pytest.approx(4)


def test_the_hour_begins_with_the_first_claim_of_what_was_done_in_it() -> None:
    morning = [ago("done", minutes, 15) for minutes in (2, 2, 5, 5, 5)]
    yesterday = [ago("done", 900, 901)] * 50
    assert words_an_hour([RUNS, *morning, *yesterday], NOW) == pytest.approx(20)


def test_of_too_few_words_or_without_a_worker_nothing_is_foretold() -> None:
    done = [ago("done", 5, 10)] * 2
    assert words_an_hour([], NOW) is None
    assert words_an_hour([RUNS, *done], NOW) is None
    assert words_an_hour([RUNS, *done, ago("failed", 5)], NOW) is None
    assert words_an_hour([*done, *done], NOW) is None
    assert words_an_hour([ago("running", 5, stale=True), *done, *done], NOW) is None
    assert words_an_hour([RUNS, *done, *done], NOW) is not None


def test_the_clock_of_a_store_may_be_ahead() -> None:
    pace = words_an_hour([RUNS, *[ago("done", -10, -9)] * 3], NOW)
    assert pace
    assert pace > 0


def test_reasons_that_differ_in_numbers_only_are_one() -> None:
    def word(name: str, state: State, why: str) -> QueuedWord:
        return QueuedWord(name=name, state=state, why=why, stale=state == "running")

    words = [
        word("a", "failed", "the loss is not a number at step 3"),
        word("b", "failed", "the picture is too small"),
        word("c", "failed", "the loss is not a number at step 14"),
        word("d", "failed", "its worker gpu-1-22-ab1 gave no sign of life for 60 s"),
        word("e", "waiting", "the loss is not a number at step 3"),
        word("f", "running", "its worker is gone"),
        word("g", "done", ""),
    ]
    assert reasons(words) == [
        Reason("failed", "the loss is not a number at step …", ["a", "c"]),
        Reason("failed", "the picture is too small", ["b"]),
        Reason("failed", "its worker gpu-1-22-ab1 gave no sign of life for 60 s", ["d"]),
        Reason("waiting", "the loss is not a number at step 3", ["e"]),
    ]
