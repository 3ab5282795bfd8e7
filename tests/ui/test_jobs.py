"""The queue of trainings: what is submitted, told, refused, removed, and what a failure leaves."""

import errno
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny
from PIL import Image
from ui_uploads import embedding

from pseudoword import internals
from pseudoword.errors import PromptError, PseudowordError, SettingsError, StorageError
from pseudoword.files import read_regular
from pseudoword.ui import estimates, job_files, jobs, training
from pseudoword.ui.estimates import estimate
from pseudoword.ui.job import Job
from pseudoword.ui.job_files import PROGRESS, RUNNING, JobFiles, settings_of
from pseudoword.ui.jobs import Queue
from pseudoword.ui.progress import FileProgress
from pseudoword.ui.workspace import UnknownIdError, Workspace, WorkspaceLimits


def train(queue: Queue, name: str) -> None:
    """In this process, what else a process of its own does."""
    training.train(JobFiles(queue.workspace, name))


def test_a_training_waits_runs_and_leaves_a_word(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | {"preview": ["a [name] --s 1"]})
    assert (job.state, job.step, job.total, job.word) == ("queued", 0, 2, None)
    train(queue, job.id)
    page = Queue(Workspace(queue.workspace.folder))  # opened later
    (job,) = page.jobs()
    assert (job.state, job.sentence, job.step) == ("done", "<cat> is ready.", 2)
    (word,) = page.library.words()
    assert (word.id, word.token) == (job.word, "<cat>")
    assert word.preview is not None
    assert [step for step, _ in page.curves(job.id).loss] == [1, 2]
    assert not [note for note in job.notes if "to go" in note]  # true only when it was made
    assert JobFiles(queue.workspace, job.id).progress["ends"]
    assert page.filmstrip_drawn(job.id)
    strip = page.filmstrip(job.id)
    assert strip is not None
    preview = page.library.preview(job.id)
    assert preview is not None
    assert preview.size == (32, 32)


def test_a_word_that_stopped_by_itself_is_ready_and_a_note_says_why(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    by_itself = {"steps": "auto", "evaluate_every": 5, "patience": 1, "lr": 0.004}
    job = queue.submit(data_set, "<cat>", **settings | by_itself)
    assert job.soonest == 40
    train(queue, job.id)
    job = queue.job(job.id)
    assert 40 < job.soonest <= job.step < job.total, "the rate is too low to stop so early"
    assert (job.state, job.sentence) == ("done", "<cat> is ready.")
    assert [note for note in job.notes if "<cat> stopped at step" in note]


def test_what_is_told_of_a_training_calls_pictures_as_people_did_also_when_they_are_gone(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    first = queue.data_sets.pictures(data_set)[0]
    job = queue.submit(data_set, "<cat>", **settings)
    queue.data_sets.remove(data_set, first.id)
    files = JobFiles(queue.workspace, job.id)
    FileProgress(files.folder / PROGRESS).note(f"{first.id}.png is small")
    files.end("failed", f"{files.folder / 'pictures' / first.id}.png is damaged")
    job = queue.job(job.id)
    assert job.notes == (f"{first.name} is small",)
    assert job.sentence == f"{first.name} is damaged"


def test_a_training_without_previews_leaves_a_word_without_a_picture(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings | {"preview": ["none"]})
    train(queue, job.id)
    assert queue.job(job.id).state == "done"
    assert not queue.filmstrip_drawn(job.id)
    assert queue.library.words()[0].preview is None


def test_the_pictures_are_those_of_when_it_was_submitted(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    first, *_ = queue.data_sets.pictures(data_set)
    job = queue.submit(data_set, "<cat>", **settings)
    before = {
        p.name: p.read_bytes()
        for p in settings_of(JobFiles(queue.workspace, job.id)).pictures[0].iterdir()
    }
    queue.data_sets.set_crop(data_set, first.id, (0, 0, 16, 16))
    queue.data_sets.set_caption(data_set, first.id, "new")
    queue.data_sets.discard(data_set)
    assert {
        p.name: p.read_bytes()
        for p in settings_of(JobFiles(queue.workspace, job.id)).pictures[0].iterdir()
    } == before
    train(queue, job.id)
    assert queue.job(job.id).state == "done"


@pytest.mark.parametrize("token", ["<script>alert(1)</script>", "../../passwd"])
def test_a_hostile_name_is_learned_and_names_no_file(
    queue: Queue, data_set: str, settings: dict[str, Any], token: str, tmp_path: Path
) -> None:
    job = queue.submit(data_set, token, **settings)
    train(queue, job.id)
    assert queue.job(job.id).state == "done"
    (word,) = queue.library.words()
    assert word.token == token
    names = {path.name for path in tmp_path.rglob("*")}
    assert not any("script" in name or "passwd" in name for name in names)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"token": ""}, "empty"),
        ({"token": "a\nb"}, "control characters"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"template": "/etc/passwd"}, "choose one of"),
        ({"sentences": ["no word in it"]}, r"\[name\]"),
        ({"base": "/etc"}, "opens no other files"),
        ({"no_such_setting": 1}, "no such setting"),
    ],
)
def test_what_is_wrong_is_told_before_it_is_queued(
    queue: Queue, data_set: str, settings: dict[str, Any], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(PseudowordError, match=told):
        queue.submit(data_set, **{"token": "<cat>", **settings, **given})
    assert not queue.jobs()


def test_without_pictures_nothing_is_learned(queue: Queue, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="no pictures yet"):
        queue.submit(queue.data_sets.new(), "<cat>", **settings)


def test_a_word_is_learned_in_sentences_of_ones_own(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings, sentences=["my [name], always"])
    train(queue, job.id)
    assert queue.job(job.id).state == "done"
    assert settings_of(JobFiles(queue.workspace, job.id)).template.endswith("sentences.txt")


def test_two_pages_that_submit_one_name_at_once_train_it_once(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    refused: list[str] = []

    def submit() -> None:
        try:
            Queue(queue.workspace).submit(data_set, "<cat>", **settings)
        except SettingsError as error:
            refused.append(str(error))

    pages = [threading.Thread(target=submit) for _ in range(4)]
    for page in pages:
        page.start()
    for page in pages:
        page.join()
    assert len(queue.jobs()) == 1
    assert len(refused) == 3
    assert all("is being learned already" in told for told in refused)


def test_a_word_that_was_saved_on_the_way_is_still_being_learned(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    run = queue.workspace.place("runs", job.id)
    run.mkdir()
    (run / "concept.safetensors").write_bytes(embedding("<cat>"))
    assert [word.token for word in queue.library.words()] == ["<cat>"]
    with pytest.raises(SettingsError, match="<cat> is being learned already"):
        queue.submit(data_set, "<cat>", **settings)


def test_a_name_in_the_library_is_taken(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    with pytest.raises(SettingsError, match="there is a word <cat> already"):
        queue.submit(data_set, "<cat>", **settings)
    other = queue.submit(data_set, "<dog>", **settings)
    with pytest.raises(SettingsError, match="is being learned"):
        queue.library.rename(job.id, "<dog>")
    queue.stop(other.id)
    assert queue.library.rename(job.id, "<dog>").token == "<dog>"
    with pytest.raises(SettingsError, match="there is a word <dog> already"):
        queue.resume(other.id)


def test_the_queue_has_an_end(
    tmp_path: Path, queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    narrow = Queue(Workspace(queue.workspace.folder, WorkspaceLimits(most_jobs=1)))
    narrow.submit(data_set, "<cat>", **settings)
    with pytest.raises(SettingsError, match="waiting already"):
        narrow.submit(data_set, "<dog>", **settings)


def test_a_training_that_waits_is_taken_out_and_queued_again(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    queue.stop(job.id)
    assert queue.job(job.id).state == "stopped"
    train(queue, job.id)  # a process that was started a moment before
    assert queue.job(job.id).step == 0
    assert queue.resume(job.id).state == "queued"
    train(queue, job.id)
    assert queue.job(job.id).state == "done"


def test_a_removed_training_keeps_its_word_and_can_be_brought_back(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    queue.library.rename(job.id, "<dog>")
    queue.remove(job.id)
    assert not queue.jobs()
    assert [word.token for word in queue.library.words()] == ["<dog>"]
    with pytest.raises(UnknownIdError):
        queue.job(job.id)
    assert queue.undo_remove(job.id).state == "done"
    assert [word.token for word in queue.library.words()] == ["<dog>"]


def test_a_deleted_word_stays_away_until_its_training_is_resumed(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    queue.library.delete(job.id)
    os.utime(queue.workspace.place("runs", job.id) / "concept.safetensors")  # it is saved anew
    assert not queue.library.words()
    assert queue.library.undo(job.id).token == "<cat>"
    queue.library.delete(job.id)
    queue.resume(job.id)
    assert [word.token for word in queue.library.words()] == ["<cat>"]
    with pytest.raises(SettingsError, match="<cat> is being learned already"):
        queue.library.undo(job.id)  # it is there again


def test_a_renamed_word_is_learned_further_though_another_has_its_first_name(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    queue.library.rename(job.id, "<dog>")
    queue.library.add(embedding("<cat>"), "cat.pt")
    resumed = queue.resume(job.id)
    assert (resumed.state, resumed.called) == ("queued", "<dog>")
    train(queue, job.id)
    assert queue.job(job.id).state == "done"
    assert {word.token for word in queue.library.words()} == {"<cat>", "<dog>"}


@pytest.fixture
def several(queue: Queue, data_set: str, settings: dict[str, Any]) -> Job:
    """A training of two new words, which captions name; it waits."""
    captions = ("a [name]", "a <hat> on a [name]", "a <hat>")
    for number, picture in enumerate(queue.data_sets.pictures(data_set)):
        queue.data_sets.set_caption(data_set, picture.id, captions[number % 3])
    given = {"also": ["<hat>=red dog"], "template": "filewords", "save_every": 1}
    return queue.submit(data_set, "<cat>", **settings | given | {"preview": ["<hat> --s 1"]})


def test_each_of_several_new_words_is_in_the_library(queue: Queue, several: Job) -> None:
    assert several.called == "<cat> with <hat>"
    train(queue, several.id)
    assert queue.job(several.id).state == "done"
    words = {word.token: word for word in queue.library.words()}
    assert words.keys() == {"<cat>", "<hat>"}
    hat = words["<hat>"].id
    assert words["<cat>"].id == several.id != hat
    run = queue.workspace.place("runs", several.id)
    assert queue.library.file(hat).read_bytes() == (run / "concept-2.safetensors").read_bytes()
    assert queue.library.copies(hat) == [1, 2]
    assert queue.library.copy_file(hat, 1) == run / "words" / "step-1-2.safetensors"
    assert queue.library.copy_file(several.id, 1) == run / "words" / "step-1.safetensors"
    queue.library.use_copy(hat, 1)
    queue.library.rename(hat, "<cap>")
    queue.remove(several.id)
    assert {word.token for word in queue.library.words()} == {"<cat>", "<cap>"}


def test_one_of_several_new_words_is_deleted_and_comes_back(queue: Queue, several: Job) -> None:
    train(queue, several.id)
    (hat,) = (word.id for word in queue.library.words() if word.token == "<hat>")
    queue.library.delete(hat)
    os.utime(queue.workspace.place("runs", several.id) / "concept-2.safetensors")
    assert [word.token for word in queue.library.words()] == ["<cat>"]
    assert queue.library.undo(hat).token == "<hat>"
    queue.library.delete(several.id)
    assert queue.job(several.id).word == hat, "it is there to be used"
    queue.library.delete(hat)
    assert queue.job(several.id).word is None
    queue.resume(several.id)
    assert {word.token for word in queue.library.words()} == {"<cat>", "<hat>"}


def test_a_word_deleted_while_it_is_learned_comes_back(queue: Queue, several: Job) -> None:
    run = queue.workspace.place("runs", several.id)
    run.mkdir()
    (run / "concept.safetensors").write_bytes(embedding("<cat>"))
    (run / "concept-2.safetensors").write_bytes(embedding("<hat>"))
    words = {word.id: word.token for word in queue.library.words()}
    for word, token in words.items():
        queue.library.delete(word)
        assert queue.library.undo(word).token == token
    assert {word.id: word.token for word in queue.library.words()} == words


def test_each_of_several_new_words_shows_its_own_preview(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    del settings["preview"]
    for picture in queue.data_sets.pictures(data_set):
        queue.data_sets.set_caption(data_set, picture.id, "a [name] with a <hat>")
    given = settings | {"also": ["<hat>"], "template": "filewords"}
    job = queue.submit(data_set, "<cat>", **given)
    train(queue, job.id)
    previews = queue.workspace.place("runs", job.id) / "previews"
    for word in queue.library.words():
        number = {"<cat>": 1, "<hat>": 2}[word.token]
        with Image.open(previews / f"step-2-{number}.png") as drawn:
            shown = queue.library.preview(word.id)
            assert shown is not None
            assert shown.tobytes() == drawn.convert("RGB").tobytes()


def test_several_new_words_have_names_of_their_own(
    queue: Queue, data_set: str, settings: dict[str, Any], several: Job
) -> None:
    for given in ({"token": "<hat>"}, {"token": "<c>", "also": ["<hat>"]}):
        with pytest.raises(SettingsError, match="a word <hat> is being learned already"):
            queue.submit(data_set, **settings | given)
    train(queue, several.id)
    (hat,) = (word.id for word in queue.library.words() if word.token == "<hat>")
    with pytest.raises(SettingsError, match="there is a word <cat> already"):
        queue.library.rename(hat, "<cat>")


def test_a_caption_without_the_word_is_told_before_it_is_queued(
    queue: Queue, data_set: str, settings: dict[str, Any], several: Job
) -> None:
    queue.stop(several.id)
    for given, told in (
        ({"also": ["<cap>"]}, "no caption or sentence has <cap> in it"),
        ({"template": "filewords"}, "the word is not in its caption, 'a <hat>'"),
    ):
        with pytest.raises(PromptError, match=told):
            queue.submit(data_set, "<new>", **settings | given)
    assert [job.id for job in queue.jobs()] == [several.id]


def test_a_process_that_died_without_a_word_is_told(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    JobFiles(queue.workspace, job.id).begin()
    told = queue.job(job.id)
    assert told.state == "failed"
    assert "resume it" in told.sentence
    assert queue.resume(job.id).state == "queued"


def test_a_training_that_ends_while_it_is_asked_about_has_not_failed(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = JobFiles(queue.workspace, queue.submit(data_set, "<cat>", **settings).id)
    files.begin()

    def ends(_name: str) -> bool:
        files.end("done", "<cat> is ready.")
        (files.folder / RUNNING).unlink()
        return False

    monkeypatch.setattr(queue.workspace, "is_held", ends)
    assert files.state == "done"


def test_a_base_that_is_gone_is_told_and_the_training_can_go_on(
    queue: Queue, data_set: str, settings: dict[str, Any], base: Path
) -> None:
    shutil.copytree(base, queue.workspace.folder / "models" / "other")
    job = queue.submit(data_set, "<cat>", **{**settings, "base": "other"})
    (queue.workspace.folder / "models" / "other").rename(queue.workspace.folder / "elsewhere")
    train(queue, job.id)
    assert queue.job(job.id).state == "failed"
    assert "no such file or folder" in queue.job(job.id).sentence
    (queue.workspace.folder / "elsewhere").rename(queue.workspace.folder / "models" / "other")
    queue.resume(job.id)
    train(queue, job.id)
    assert queue.job(job.id).state == "done"


def test_a_workspace_may_be_moved_while_a_training_waits(
    queue: Queue, data_set: str, settings: dict[str, Any], base: Path
) -> None:
    own = shutil.copytree(base, queue.workspace.folder / "models" / "other")
    settings |= {"base": own.name}
    job = queue.submit(data_set, "<b>", **settings, sentences=["my [name]"])
    folder = queue.workspace.folder.rename(queue.workspace.folder.with_name("moved"))
    moved = Queue(Workspace(folder))
    train(moved, job.id)
    assert moved.job(job.id).state == "done", moved.job(job.id).sentence


def test_words_of_the_library_that_captions_name_are_read_as_such(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    """And as they were when the training was submitted, also where the workspace has moved."""
    hat = queue.submit(data_set, "<hat>", **settings)
    train(queue, hat.id)
    longer = settings | {"sentences": ["a [name] in a <hat>-box"], "also": ["<hat>-box=box"]}
    box = queue.submit(data_set, "<in>", **longer)
    assert settings_of(JobFiles(queue.workspace, box.id)).words == ()
    queue.remove(box.id)
    queue.library.add(embedding("<cap>"), "cap.pt")  # nobody knows for which model
    picture, *_ = queue.data_sets.pictures(data_set)
    queue.data_sets.set_caption(data_set, picture.id, "a [name] with a <hat> and a <cap>")
    captioned = settings | {"template": "captioned"}
    job, *others = [
        queue.submit(data_set, token, **given)
        for token, given in (
            ("<a>", captioned),
            ("<b>", captioned),
            ("<c>", settings | {"sentences": ["a [name] under a <hat>"]}),
            ("<d>", settings | {"preview": ["a [name] --n <hat>"]}),
        )
    ]
    of_hat = queue.library.file(hat.id).read_bytes()
    for one in (job, *others):
        (copy,) = settings_of(JobFiles(queue.workspace, one.id)).words
        assert Path(copy).read_bytes() == of_hat
    train(queue, job.id)
    assert [note for note in queue.job(job.id).notes if "<cap> is plain text here" in note]
    queue.library.rename(hat.id, "<new>")
    queue.library.delete(hat.id)
    folder = queue.workspace.folder.rename(queue.workspace.folder.with_name("moved"))
    moved = Queue(Workspace(folder))
    train(moved, others[0].id)
    assert moved.job(others[0].id).state == "done", moved.job(others[0].id).sentence
    without = moved.submit(data_set, "<e>", **captioned)
    assert settings_of(JobFiles(moved.workspace, without.id)).words == ()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits on Windows")
@pytest.mark.parametrize("nbytes", [512, 4000])
def test_where_files_may_not_be_large_the_beginning_says_what_happened(
    queue: Queue, data_set: str, settings: dict[str, Any], nbytes: int
) -> None:
    import resource

    job = queue.submit(data_set, "<cat>", **settings)
    files = JobFiles(queue.workspace, job.id)
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = "No larger file is allowed here. " + "And so on. " * 400
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, largest[1]))
        files.end("failed", told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, largest)
    assert files.state == "failed"
    assert files.sentence == told[: 3000 if nbytes > 3500 else 300]


def test_on_a_full_disk_it_says_so_and_loses_nothing(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings |= {"steps": 4, "checkpoint_every": 1}
    job = queue.submit(data_set, "<cat>", **settings)
    log, made = queue.workspace.place("runs", job.id) / "log.jsonl", os.open

    def full(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        """No new file gets onto the disk as soon as two steps are logged."""
        if flags & os.O_CREAT and log.exists() and log.read_bytes().count(b"\n") >= 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return made(path, flags, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)  # also under tempfile
        train(queue, job.id)
    told = queue.job(job.id)
    assert (told.state, told.step) == ("failed", 2), told
    assert "The disk is full" in told.sentence
    assert told.word == job.id
    queue.resume(job.id)
    train(queue, job.id)
    assert (queue.job(job.id).state, queue.job(job.id).step) == ("done", 4)


def test_what_cannot_be_submitted_leaves_nothing(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: object, _data: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(jobs, "write_whole", full)
    with pytest.raises(StorageError):
        queue.submit(data_set, "<cat>", **settings)
    assert not queue.workspace.ids("queue")


def test_what_nobody_thought_of_is_told_in_a_sentence(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: object, **_settings: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(internals, "learn", fails)
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    assert queue.job(job.id).state == "failed"
    assert "something unexpected happened" in queue.job(job.id).sentence.lower()
    assert "ZeroDivisionError" in queue.job(job.id).sentence


def test_a_picture_that_was_damaged_since_is_told(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    picture = next(iter(settings_of(JobFiles(queue.workspace, job.id)).pictures[0].iterdir()))
    picture.write_bytes(b"damaged")
    train(queue, job.id)
    assert "is plain text" in queue.job(job.id).sentence


def test_what_runs_is_not_removed(queue: Queue, data_set: str, settings: dict[str, Any]) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    with queue.workspace.turn(job.id):
        JobFiles(queue.workspace, job.id).begin()
        assert queue.job(job.id).state == "running"
        with pytest.raises(SettingsError, match="Stop it first"):
            queue.remove(job.id)
        queue.stop(job.id)
        assert queue.job(job.id).state == "stopping"
        assert (queue.workspace.place("runs", job.id) / "stop.request").exists()
    (JobFiles(queue.workspace, job.id).folder / RUNNING).unlink()


def test_what_it_needs_is_told_before_it_starts_and_earlier_settings_are_read_once(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = queue.config(data_set, "<cat>", **settings)
    found = estimate(queue.workspace, config)
    assert (found.soonest, found.steps, found.seconds_per_step) == (2, 2, None)
    assert found.plan.model_dump()
    job = queue.submit(data_set, "<cat>", **settings)
    train(queue, job.id)
    again = estimate(queue.workspace, queue.config(data_set, "<dog>", **{**settings, "steps": 100}))
    assert again.seconds_per_step is not None
    assert again.seconds_per_step > 0
    monkeypatch.setattr(estimates, "settings_of", None)  # there may be hundreds of trainings
    assert estimate(queue.workspace, config).seconds_per_step == again.seconds_per_step


def test_memory_is_counted_once_for_all_words_and_again_for_another_base(
    queue: Queue, data_set: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    link = queue.workspace.folder / "models" / "tiny"
    base = shutil.copytree(link, tmp_path / "base")
    link.unlink()
    link.symlink_to(base)

    def plan(token: str, **more: int) -> Any:
        return estimate(queue.workspace, queue.config(data_set, token, **settings | more)).plan

    first = plan("<cat>")
    assert plan("<dog>", steps=9) is first
    assert plan("<dog>", batch=8).train[0].step_nbytes > first.train[0].step_nbytes
    tiny.sdxl(base)
    assert plan("<cat>").family == "sdxl"


def test_long_curves_are_thinned_and_keep_their_end(queue: Queue) -> None:
    name, folder = queue.workspace.new("runs")
    lines = [f'{{"step": {step}, "loss": 0.5, "lr": 0.1}}\n' for step in range(1, 5001)]
    (folder / "log.jsonl").write_text("".join(lines) + '{"step": 5001, "lo')
    loss = queue.curves(name).loss
    assert 500 <= len(loss) <= 1000
    assert loss[-1] == (5000, 0.5)


@pytest.mark.parametrize("name", ["..", "", "0" * 32])
def test_only_trainings_of_this_queue_are_named(queue: Queue, name: str) -> None:
    for use in (queue.job, queue.stop, queue.resume, queue.remove):
        with pytest.raises(UnknownIdError):
            use(name)


def test_a_picture_is_no_way_out_of_its_run(queue: Queue, tmp_path: Path) -> None:
    name, folder = queue.workspace.new("runs")
    (folder / "previews").mkdir()
    (folder / "concept.safetensors").write_bytes(embedding())
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (folder / "previews" / "step-1-1.png").symlink_to(tmp_path / "secret.png")
    (word,) = queue.library.words()
    assert (word.id, word.preview, queue.library.preview(name)) == (name, None, None)


def test_files_of_trainings_are_read_again_only_when_they_have_changed(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = JobFiles(queue.workspace, queue.submit(data_set, "<cat>", **settings).id)
    train(queue, files.name)
    queue.jobs()  # takes the word into the library
    before = queue.jobs()
    read = read_regular
    reads: list[str] = []

    def counted(path: Path, *args: Any) -> bytes:
        reads.append(path.name)
        return read(path, *args)

    monkeypatch.setattr(job_files, "read_regular", counted)
    assert (queue.jobs(), reads) == (before, [])
    files.end("failed", "The disk is full.")
    assert (queue.jobs()[0].sentence, reads) == ("The disk is full.", ["outcome.json"])
