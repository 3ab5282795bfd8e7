"""Two pages on one workspace at one moment: nothing is lost, done by halves, or left unsaid."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ui_uploads import embedding

from pseudoword.concept import Concept
from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.formats import encode
from pseudoword.ui import jobs, pictures
from pseudoword.ui.job_files import JobFiles, State
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import UnknownIdError, Workspace


@pytest.fixture
def ended(queue: Queue, data_set: str, settings: dict[str, Any]) -> str:
    """The id of a training that has left a word."""
    return end(queue, queue.submit(data_set, "<cat>", **settings).id, "done")


def end(queue: Queue, name: str, how: State) -> str:
    """Let a training end, with a word in its run."""
    run = queue.workspace.place("runs", name)
    run.mkdir()
    (token,) = JobFiles(queue.workspace, name).tokens.values()
    (run / "concept.safetensors").write_bytes(embedding(token))
    (run / "words").mkdir()
    (run / "words" / "step-1.safetensors").write_bytes(embedding(token))
    JobFiles(queue.workspace, name).end(how, "")
    return name


def meanwhile(monkeypatch: pytest.MonkeyPatch, lock: str, act: Callable[[], object]) -> None:
    """Another page does something just before the lock is taken the next time."""
    turn, left = Workspace.turn, [act]

    @contextmanager
    def late(self: Workspace, name: str, *patience: float, **more: float) -> Iterator[None]:
        if name == lock and left:
            left.pop()()
        with turn(self, name, *patience, **more):
            yield

    monkeypatch.setattr(Workspace, "turn", late)


def test_a_removal_and_its_undoing_do_not_get_in_between_each_other(
    queue: Queue, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, move = Queue(queue.workspace), Workspace.move_to_trash
    told: list[str] = []

    def then_undone(self: Workspace, kind: Any, name: str) -> None:
        move(self, kind, name)
        if not told:
            told.append("")
            try:
                other.undo_remove(name)
            except PseudowordError as error:
                told.append(str(error))

    monkeypatch.setattr(Workspace, "move_to_trash", then_undone)
    queue.remove(ended)
    assert "Try again" in told[1]
    assert not queue.jobs()
    assert other.undo_remove(ended).state == "done"
    assert queue.workspace.place("runs", ended).is_dir()


def test_a_word_deleted_after_its_training_was_removed_stays_away(queue: Queue, ended: str) -> None:
    assert [word.id for word in queue.library.words()] == [ended]
    queue.remove(ended)
    queue.library.delete(ended)
    queue.undo_remove(ended)
    assert not queue.library.words()
    assert queue.library.undo(ended).token == "<cat>"


def test_a_word_brought_back_before_its_training_is_kept_up_to_date(
    queue: Queue, ended: str
) -> None:
    queue.library.delete(ended)
    queue.remove(ended)
    queue.library.undo(ended)
    queue.undo_remove(ended)
    run = queue.workspace.place("runs", ended)
    saved = Concept("<cat>", {"clip_l": torch.ones(3, 32)}, "sd")
    (run / "concept.safetensors").write_bytes(encode(saved, "native")[""])
    assert queue.library.word(ended).vectors == {"clip_l": (3, 32)}


def test_a_training_that_waits_comes_back_stopped_so_no_name_is_there_twice(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    queue.remove(job.id)
    queue.submit(data_set, "<cat>", **settings)
    assert queue.undo_remove(job.id).state == "stopped"
    with pytest.raises(SettingsError, match="<cat> is being learned already"):
        queue.resume(job.id)


def test_pictures_are_taken_while_no_page_cuts_them(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is being cut is not there for a moment, and would be left out."""
    take, alone = pictures.link_or_copy, []

    def then_look(files: Sequence[Path], folder: Path) -> None:
        alone.append(queue.workspace.is_held("pictures"))
        take(files, folder)

    monkeypatch.setattr(jobs, "link_or_copy", then_look)
    queue.submit(data_set, "<cat>", **settings)
    assert alone == [True]


def test_what_another_page_has_begun_is_said_when_it_is_to_go_on(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    with queue.workspace.turn(job.id):
        JobFiles(queue.workspace, job.id).begin()
        with pytest.raises(SettingsError, match="<cat> is being learned"):
            queue.resume(job.id)


def test_a_page_that_looks_who_runs_keeps_nothing_from_going_on(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look, it takes the lock for a moment."""
    job = queue.submit(data_set, "<cat>", **settings)
    JobFiles(queue.workspace, job.id).begin()  # its process died
    is_held = Workspace.is_held
    monkeypatch.setattr(Workspace, "is_held", lambda *_: True)  # of another page that looks
    queue.resume(job.id)
    monkeypatch.setattr(Workspace, "is_held", is_held)
    assert queue.job(job.id).state == "queued"


def test_a_training_that_waits_alone_and_is_resumed_still_waits_alone(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    files = JobFiles(queue.workspace, queue.submit(data_set, "<cat>", **settings).id)
    files.queue_again(alone=True)  # as one of a pack that failed is
    assert queue.resume(files.name).state == "queued"
    assert files.alone


@pytest.mark.parametrize("act", ["stop", "resume"])
def test_what_was_just_removed_is_not_made_anew_by_halves(
    queue: Queue,
    data_set: str,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    act: str,
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    if act == "resume":
        queue.stop(job.id)
    with monkeypatch.context() as patch:
        meanwhile(patch, job.id, lambda: Queue(queue.workspace).remove(job.id))
        with pytest.raises(UnknownIdError):
            getattr(queue, act)(job.id)
    assert queue.undo_remove(job.id).state == "stopped"


def test_a_copy_takes_the_name_that_another_page_has_just_given(
    queue: Queue, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.library.words()
    with monkeypatch.context() as patch:
        meanwhile(patch, "words", lambda: Queue(queue.workspace).library.rename(ended, "<dog>"))
        assert queue.library.use_copy(ended, 1).token == "<dog>"


def test_a_copy_does_not_bring_a_word_back_that_was_just_deleted(
    queue: Queue, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.library.words()
    with monkeypatch.context() as patch:
        meanwhile(patch, "words", lambda: Queue(queue.workspace).library.delete(ended))
        with pytest.raises(UnknownIdError):
            queue.library.use_copy(ended, 1)
    assert not queue.library.words()
