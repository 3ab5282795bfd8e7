import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import Notes, Unplugged, everything, run

from pseudoword import formats
from pseudoword.api import Trained, train_many
from pseudoword.config.word_folders import token_of
from pseudoword.errors import PromptError, PseudowordError, StorageError, TrainingError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Silent
from pseudoword.report import picture_output
from pseudoword.runs import checkpoint
from pseudoword.runs.active_run import ActiveRun
from pseudoword.training import loop, step
from pseudoword.training.early_stopping import EvaluationLoss

pytestmark = pytest.mark.usefixtures("models_are_kept")


def words(folder: Path, *names: str) -> Path:
    """A folder of pictures for each name."""
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for j in range(3):
            Image.new("RGB", (40, 32), (40 * i, 80 * j, 90)).save(folder / name / f"{j}.png")
    return folder


def learn(base: Path, folder: Path, out: Path, **settings: Any) -> list[Trained]:
    options: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "steps": 2, "pack": 2}
    options |= {"timestep_sampling": "uniform", "base": str(base)}
    return train_many(folder, out, **(options | settings))


@pytest.mark.parametrize(
    ("name", "token"), [("cat", "<cat>"), ("my  cat", "<my-cat>"), ("<cat>", "<cat>")]
)
def test_the_name_of_a_folder_gives_the_word(name: str, token: str) -> None:
    assert token_of(name) == token


def test_it_begins_again_where_that_is_asked_for(base: Path, tmp_path: Path) -> None:
    """As the errors about runs with other settings say."""
    folder, out = words(tmp_path / "words", "toy", "dog"), tmp_path / "out"
    learn(base, folder, out)
    with pytest.raises(PseudowordError, match="--restart to begin again"):
        learn(base, folder, out, seed=5)
    (out / "toy" / "config.toml").unlink()
    with pytest.raises(PseudowordError, match="Add --restart to begin again"):
        learn(base, folder, out)
    done = learn(base, folder, out, seed=5, restart=True)
    assert [one.concept.provenance["seed"] for one in done] == ["5", "5"]


def test_each_folder_teaches_its_word_in_a_run_of_its_own(base: Path, tmp_path: Path) -> None:
    folder, loads = words(tmp_path / "words", "toy", "my cat", "dog"), []
    load = base_model.load

    def counted(*args: Any, **more: Any) -> Family:
        loads.append(args)
        return load(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_model, "load", counted)
        done = learn(base, folder, tmp_path / "out")
    assert len(loads) == 1
    assert [one.concept.token for one in done] == ["<dog>", "<my-cat>", "<toy>"]
    assert [one.folder.name for one in done] == ["dog", "my cat", "toy"]
    for one in done:
        assert formats.read(one.folder).token == one.concept.token
        assert checkpoint.finished_step(one.folder) == 2
        assert (one.folder / "config.toml").exists()


def test_a_list_teaches_each_concept_with_settings_of_its_own(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b", "c"), tmp_path / "out"
    concepts = tmp_path / "concepts.toml"
    concepts.write_text(
        "steps = 2\n"
        + "".join(
            f"[[concept]]\ntoken = '<{name}>'\npictures = '{folder / name}'\n{more}\n"
            for name, more in {"a": "batch = 2", "b": "steps = 3", "c": "batch = 2"}.items()
        )
    )
    loads, together = [], []
    load, take_step = base_model.load, step.take_step

    def loaded(*args: Any, **more: Any) -> Family:
        loads.append(args)
        return load(*args, **more)

    def taken(family: Any, states: Any) -> Any:
        together.append([state.data.token for state in states])
        return take_step(family, states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_model, "load", loaded)
        patch.setattr(loop, "take_step", taken)
        notes = Notes()
        done = train_many(
            concepts,
            out,
            base=str(base),
            preview=(),
            timestep_sampling="uniform",
            progress=notes,
        )
    assert len(loads) == 1
    assert together == [["<a>", "<c>"]] * 2 + [["<b>"]] * 3  # those of one batch size share batches
    assert [(one.concept.token, checkpoint.finished_step(one.folder)) for one in done] == [
        ("<a>", 2),
        ("<b>", 3),
        ("<c>", 2),
    ]
    assert [line for line in notes.lines if "words done" in line] == [
        "1 of 3 words done: <a> is ready",
        "2 of 3 words done: <c> is ready",
        "3 of 3 words done: <b> is ready",
    ]


def test_words_that_are_learned_together_are_counted_each(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b"), tmp_path / "out"
    for number in range(3):
        (folder / "a" / f"{number}.txt").write_text("a <hat> on a <a>")
    concepts = tmp_path / "concepts.toml"
    concepts.write_text(
        f"[[concept]]\ntoken = '<a>'\npictures = '{folder / 'a'}'\nalso = ['<hat>=cat']\n"
        f"template = 'filewords'\n[[concept]]\ntoken = '<b>'\npictures = '{folder / 'b'}'\n"
    )
    notes = Notes()
    for _ in range(2):
        learn(base, concepts, out, progress=notes)
    assert [line for line in notes.lines if "words done" in line or "finished" in line] == [
        "2 of 3 words done: <a> with <hat> is ready",
        "3 of 3 words done: <b> is ready",
        "3 of 3 words are finished already",
    ]
    for picture in (folder / "a").glob("*.png"):
        picture.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="2 of 3 words could not be learned"):
        learn(base, concepts, tmp_path / "others")


def test_the_words_that_are_ready_are_shown_on_one_sheet(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b"), tmp_path / "out"
    learn(base, folder, out, preview=["a [name]"])
    with Image.open(out / "gallery.png") as sheet:
        two = sheet.size
    words(folder, "c")
    for picture in (folder / "c").iterdir():
        picture.write_bytes(b"no picture")
    with pytest.raises(TrainingError):
        learn(base, folder, out, preview=["a [name]"])
    with Image.open(out / "gallery.png") as sheet:
        assert sheet.size == two
    (out / "gallery.png").write_bytes(b"somebody else's")
    with pytest.raises(PseudowordError, match=r"gallery\.png .* would be replaced"):
        learn(base, folder, out, preview=["a [name]"])


def test_what_is_finished_is_left_alone_and_the_rest_goes_on(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b", "c"), tmp_path / "out"
    settings: dict[str, Any] = {"steps": 4, "checkpoint_every": 2}
    whole = learn(base, folder, tmp_path / "whole", **settings)

    class UnpluggedWithTheLast(Unplugged):
        last = False

        def phase(self, text: str) -> None:
            self.last = "learning <c>" in text

        def advance(self, done: int, total: int, detail: str = "") -> None:
            if self.last:
                super().advance(done, total, detail)

    with pytest.raises(RuntimeError, match="unplugged"):
        learn(base, folder, out, progress=UnpluggedWithTheLast(4 + 4 + 3), **settings)
    assert checkpoint.steps(out / "c") == [0, 2]
    before = everything(out / "a")
    shutil.copy(next((folder / "a").iterdir()), folder / "a" / "another.png")
    notes = Notes()
    done = learn(base, folder, out, progress=notes, **settings)
    assert "2 of 3 words are finished already" in notes.lines
    assert "resuming <c> from step 2" in notes.lines
    assert [line[: len(str(out / "a"))] for line in notes.lines if "remove it" in line] == [
        str(out / "a")
    ]
    assert everything(out / "a") == before
    assert [one.seconds > 0 for one in done] == [False, False, True]
    for one, other in zip(done, whole, strict=True):
        file = "concept.safetensors"
        assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes()


def test_what_holds_for_all_words_is_told_once(base: Path, tmp_path: Path) -> None:
    folder, notes = words(tmp_path / "words", "a", "b"), Notes()
    for name in "ab":
        (folder / name / "0.txt").write_text("on a table")
    learn(base, folder, tmp_path / "out", timestep_sampling="importance", progress=notes)
    assert sum("do not use the pictures' captions" in line for line in notes.lines) == 1
    (even,) = (line for line in notes.lines if "timesteps are sampled evenly" in line)
    assert even.startswith("<a>, <b>: ")


def test_a_word_that_fails_stops_no_other_one(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b", "c", "d"), tmp_path / "out"
    for picture in (folder / "b").iterdir():
        picture.write_bytes(b"no picture")
    with pytest.raises(TrainingError) as caught:
        learn(base, folder, out, pack=4)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("1 of 4 words could not be learned")
    assert lines[0].startswith("<b>: ")
    assert not any(line.startswith(("<a>", "<c>", "<d>")) for line in lines)
    assert [checkpoint.finished_step(out / name) for name in "abcd"] == [2, None, 2, 2]
    words(tmp_path / "mended", "b")
    for picture in (folder / "b").iterdir():
        picture.write_bytes((tmp_path / "mended" / "b" / picture.name).read_bytes())
    done = learn(base, folder, out, pack=4)
    assert [one.seconds > 0 for one in done] == [False, True, False, False]


def test_which_word_failed_is_told_also_where_the_sheet_of_the_others_cannot_be_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(picture_output, "write", full)
    folder = words(tmp_path / "words", "a")
    (folder / "b").mkdir()
    with pytest.raises(TrainingError, match=r"1 of 2 words.*\n<b>: ") as caught:
        learn(base, folder, tmp_path / "out")
    assert caught.value.__notes__ == ["There is no sheet of the others: the disk is full"]


def test_an_empty_folder_is_told_first_and_stops_no_other_word(base: Path, tmp_path: Path) -> None:
    folder, out, told = words(tmp_path / "words", "a", "c"), tmp_path / "out", EarlyNotes()
    (folder / "b").mkdir()
    with pytest.raises(TrainingError, match=r"1 of 3 words.*\n<b>: .*b holds no pictures"):
        learn(base, folder, out, progress=told)
    assert told.before_loading == [f"<b> cannot be learned: {folder / 'b'} holds no pictures"]
    assert [checkpoint.finished_step(out / name) for name in "abc"] == [2, None, 2]
    (folder / "b").rmdir()
    words(folder, "b")
    done = learn(base, folder, out)
    assert [one.seconds > 0 for one in done] == [False, True, False]


def test_no_folder_with_pictures_is_refused_before_any_work(base: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "words" / name).mkdir(parents=True)
    with pytest.raises(PseudowordError, match=r"a holds no pictures(.|\n)*b holds no pictures"):
        learn(base, tmp_path / "words", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class EarlyNotes(Silent):
    """Keeps what is told before the base model is loaded."""

    def __init__(self) -> None:
        self.before_loading: list[str] = []
        self._loading = False

    def phase(self, text: str) -> None:
        self._loading |= text.startswith("loading")

    def note(self, text: str) -> None:
        if not self._loading:
            self.before_loading.append(text.partition(". Three")[0])


def test_a_loss_that_is_not_finite_stops_only_its_word(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b"), tmp_path / "out"
    take_step = step.take_step

    def fail(family: Any, states: Any) -> Any:
        metrics = take_step(family, states)
        for state in states:
            if state.data.token == "<b>":
                state.failure = "<b>: the loss is not finite"
        return metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pseudoword.training.loop.take_step", fail)
        with pytest.raises(TrainingError, match=r"1 of 2 words.*\n<b>: the loss is not finite"):
            learn(base, folder, out)
    assert checkpoint.finished_step(out / "a") == 2
    assert checkpoint.finished_step(out / "b") is None


def _nothing(_folder: Path) -> None:
    pass


def _nameless(folder: Path) -> None:
    words(folder, "<>")


def _same_word(folder: Path) -> None:
    words(folder, "my cat", "my-cat")


def _same_but_for_case(folder: Path) -> None:
    words(folder, "My-Cat", "my cat")


def _lone_picture(folder: Path) -> None:
    Image.new("RGB", (40, 32)).save(folder / "lone.png")


@pytest.mark.parametrize(
    ("spoil", "settings", "said"),
    [
        (_nameless, {}, "<>: its name gives no word"),
        (_same_word, {}, "my-cat: teaches <my-cat>, and .*my cat <my-cat>. Rename"),
        (_same_but_for_case, {}, "my cat: teaches <my-cat>, and .*My-Cat <My-Cat>. Rename"),
        (_lone_picture, {}, "lone.png. Move them"),
        (_nothing, {"token": "<x>"}, "token cannot be given for all words"),
        (_nothing, {"output_dir": "x"}, "out cannot be given for all words"),
        (_nothing, {"lr": -1}, "--lr"),
        (_nothing, {"vectors": 75}, "--vectors 75"),
        (_nothing, {"pack": 0}, "--pack 0"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    base: Path, tmp_path: Path, spoil: Any, settings: dict[str, Any], said: str
) -> None:
    folder = words(tmp_path / "words", "a")
    spoil(folder)
    with pytest.raises(PseudowordError, match=said):
        learn(base, folder, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_out_among_the_words_is_refused(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a")
    with pytest.raises(PseudowordError, match="Choose one outside"):
        learn(base, folder, folder / "out")


def test_other_settings_are_refused_before_any_work(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a"), tmp_path / "out"
    learn(base, folder, out)
    words(folder, "b")
    with pytest.raises(PseudowordError, match="holds a run with other settings"):
        learn(base, folder, out, batch=4)
    assert not (out / "b").exists()


def test_words_that_were_moved_with_their_pictures_are_still_ready(
    base: Path, tmp_path: Path
) -> None:
    learn(base, words(tmp_path / "words", "a"), tmp_path / "out")
    folder = (tmp_path / "words").rename(tmp_path / "elsewhere")
    out = (tmp_path / "out").rename(tmp_path / "moved")
    (done,) = learn(base, folder, out)
    assert done.seconds == 0


def test_files_of_somebody_else_are_not_replaced(base: Path, tmp_path: Path) -> None:
    folder, out = words(tmp_path / "words", "a", "b"), tmp_path / "out"
    (out / "b").mkdir(parents=True)
    (out / "b" / "loss.png").write_bytes(b"mine")
    with pytest.raises(PseudowordError, match=r"loss\.png would be replaced"):
        learn(base, folder, out)
    assert everything(out) == {str(out / "b" / "loss.png"): b"mine"}


def test_the_command_says_what_failed_and_ends_with_an_error(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a", "b")
    (tmp_path / "settings.toml").write_text("steps = 1\npreview = []\n")
    given = ("--out", tmp_path / "out", "--base", base, "--config", tmp_path / "settings.toml")
    assert run("train-many", folder, *given)[:2] == (
        0,
        f"ready in {tmp_path / 'out'}: 2 words\n",
    )
    words(folder, "c")
    for picture in (folder / "c").iterdir():
        picture.write_bytes(b"no picture")
    code, _, said = run("train-many", folder, *given)
    assert code == 2
    assert "1 of 3 words could not be learned" in said
    assert "is safe" not in said  # of words that are ready


def test_a_word_that_cannot_be_evaluated_is_not_learned_and_stops_no_other_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = words(tmp_path / "words", "a", "b"), tmp_path / "out"
    on_train_begin = ActiveRun.on_train_begin

    def fail(active: ActiveRun, evaluation: EvaluationLoss | None) -> None:
        if active.run.config.token == "<a>":
            raise PromptError("its prompts cannot be read")
        on_train_begin(active, evaluation)

    monkeypatch.setattr(ActiveRun, "on_train_begin", fail)
    with pytest.raises(TrainingError, match=r"1 of 2 words.*\n<a>: its prompts cannot be read"):
        learn(base, folder, out)
    assert [checkpoint.finished_step(out / name) for name in "ab"] == [None, 2]
    assert not (out / "a" / "concept.safetensors").exists()


def test_folders_that_no_person_made_teach_no_word(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "cat", "@eaDir", "__MACOSX")
    assert [one.concept.token for one in learn(base, folder, tmp_path / "out")] == ["<cat>"]
