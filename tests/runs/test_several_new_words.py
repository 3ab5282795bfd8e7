"""Runs that learn several new words together (`--also`)."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import Notes, everything, run

import pseudoword
from pseudoword import api, formats
from pseudoword.commands import push
from pseudoword.config import TrainConfig
from pseudoword.errors import (
    ConceptError,
    PromptError,
    PseudowordError,
    RunFolderError,
    SettingsError,
)
from pseudoword.fleet import jobs
from pseudoword.formats import folder_scan, sources
from pseudoword.models.family import Family
from pseudoword.progress import Silent
from pseudoword.report import word_sheet
from pseudoword.training import initialisation, nearest_word

SETTINGS: dict[str, Any] = {
    **{"init": "cat", "steps": 4, "batch": 2, "checkpoint_every": 1, "preview": ()},
    **{"timestep_sampling": "uniform", "template": "filewords", "lr": 2e-3},
    "also": ("<hat>=red dog",),
}
FILES = ("concept.safetensors", "concept-2.safetensors")


@pytest.fixture
def captioned(pictures: Path) -> Path:
    """Pictures of one word, of the other, and of both."""
    captions = ("a <toy>", "a <hat> on a [name]", "a <hat>")
    for number, path in enumerate(sorted(pictures.glob("*.png"))):
        path.with_suffix(".txt").write_text(captions[number % 3])
    return pictures


def learned(base: Path, pictures: Path, out: Path, **settings: Any) -> list[bytes]:
    api.train(pictures, "<toy>", base=base, out=out, **SETTINGS | settings)
    return [(out / name).read_bytes() for name in FILES]


def words_in(folder: Path) -> Path:
    """The folder of a run of two words, without the run."""
    folder.mkdir()
    for name, token, other in zip(FILES, ("<toy>", "<hat>"), ("<hat>", "<toy>"), strict=True):
        word = pseudoword.Concept(
            token, {"clip_l": torch.full((1, 32), 0.5)}, "sd", provenance={"learned_with": other}
        )
        (folder / name).write_bytes(formats.encode(word, "native")[""])
    return folder


class Stopping(Silent):
    """Stops a run after a step."""

    def __init__(self, at: int) -> None:
        self._at = at

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if detail.startswith("loss") and done == self._at:
            raise KeyboardInterrupt


def test_each_has_a_file_with_copies_and_a_best_one(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    learned(base, captioned, out, evaluate_every=1, save_every=1, keep_last=2)
    toy, hat = (formats.read(out / name) for name in FILES)
    assert (toy.token, hat.token) == ("<toy>", "<hat>")
    assert (toy.provenance["init"], hat.provenance["init"]) == ("cat", "red dog")
    assert toy.provenance["learned_with"] == "<hat>"
    assert hat.provenance["learned_with"] == "<toy>"
    assert hat.length == toy.length
    best = [formats.read(out / name) for name in ("best.safetensors", "best-2.safetensors")]
    assert [one.token for one in best] == ["<toy>", "<hat>"]
    copies = {f"step-{step}{which}.safetensors" for step in (3, 4) for which in ("", "-2")}
    assert {path.name for path in (out / "words").iterdir()} == copies
    found = folder_scan.scan_folder(tmp_path, tmp_path / "none")[0]
    assert {path.name for path in found if path.suffix == ".safetensors"} == set(FILES)


def test_it_goes_on_where_it_was_stopped_and_is_finished_once(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    whole = learned(base, captioned, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learned(base, captioned, tmp_path / "cut", progress=Stopping(2))
    assert learned(base, captioned, tmp_path / "cut") == whole
    again = api.train(captioned, "<toy>", config=tmp_path / "cut/config.toml", out=tmp_path / "cut")
    assert [one.token for one in again.words.values()] == ["<toy>", "<hat>"]
    assert [*again.words] == [tmp_path / "cut" / name for name in FILES]
    pack = [
        TrainConfig.check(pictures=captioned, token=token, out=tmp_path / name, base=base, **given)
        for token, name, given in (
            ("<toy>", "a", SETTINGS),
            ("<hat>", "b", SETTINGS | {"also": "<toy>"}),
        )
    ]
    api.train_pack(pack)
    for name in FILES:  # kernels may round otherwise for more samples
        alone, packed = (formats.read(tmp_path / run / name) for run in ("whole", "a"))
        assert packed.token == alone.token
        for key, rows in alone.vectors.items():
            torch.testing.assert_close(packed.vectors[key], rows, rtol=0, atol=0.02 * 2e-3)


def test_what_is_told_of_a_run_names_all_of_its_words(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    class Phases(Notes):
        def phase(self, text: str) -> None:
            self.lines.append(text)

    told, out = Phases(), tmp_path / "run"
    given = {"preview": ["a <hat> --s 1"]}
    with pytest.raises(KeyboardInterrupt):
        learned(base, captioned, out, progress=Stopping(2), **given)
    learned(base, captioned, out, progress=told, **given)
    for expected in (
        "reading 4 pictures for <toy> with <hat>",
        "resuming <toy> with <hat> from step 2",
        "learning <toy> with <hat>",
        "drawing previews of <toy> with <hat> at step 4",
    ):
        assert expected in told.lines


def test_one_that_was_deleted_is_learned_again(base: Path, captioned: Path, tmp_path: Path) -> None:
    whole = learned(base, captioned, tmp_path / "run")
    (tmp_path / "run" / FILES[1]).unlink()
    assert learned(base, captioned, tmp_path / "run") == whole


def test_a_preview_draws_them_as_generate_does(base: Path, captioned: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    learned(base, captioned, out, preview=["a [name] and a <hat> --s 2 --d 5"])
    (drawn,) = pseudoword.generate(
        "a <toy> and a <hat>", concept=out, base=base, sampler_steps=2, seed=5
    )
    with Image.open(out / "previews" / "step-4-1.png") as shown:
        assert shown.convert("RGB").tobytes() == drawn.convert("RGB").tobytes()


def test_the_nearest_word_is_found_beside_what_the_others_begin_as(
    base: Path, captioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[Any] = []
    find = nearest_word.nearest

    def noted(family: Family, data: Any, words: Any, vectors: Any, further: Any, tick: Any) -> Any:
        beside.extend(further)
        expected = initialisation.rows_of_words(family, "red dog", "auto", vectors[0])
        torch.testing.assert_close(dict(beside[0]), dict(expected), rtol=0, atol=0)
        return find(family, data, words, vectors, further, tick)

    monkeypatch.setattr(nearest_word, "nearest", noted)
    learned(base, captioned, tmp_path / "run", init="cat, blue", init_mode="nearest", steps=1)
    assert len(beside) == 1


def test_a_sheet_shows_each_with_a_preview_of_its_own(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    out, lines = tmp_path / "out", ["a <hat> --s 1", "a [name] --s 1"]
    words = tmp_path / "list.toml"
    words.write_text(f"[[concept]]\npictures = '{captioned}'\ntoken = '<toy>'\n")
    settings = SETTINGS | {"steps": 1, "preview": lines}
    (done,) = api.train_many(words, out, base=base, **settings)
    found = api.gallery(out).words
    assert {Path(str(one.preview)).name: one.token for one in found} == {
        "step-1-1.png": "<hat>",
        "step-1-2.png": "<toy>",
    }
    assert len(done.words) == 2
    for number, (file, word) in enumerate(done.words.items()):
        published = push.repository_files(file, word, "me/x")
        shown = {name for name in published if "previews/step" in name}
        assert shown == {f"previews/step-1-{2 - number}.png"}
    with Image.open(out / "gallery.png") as sheet:
        assert sheet.width > 2 * word_sheet.CELL_PX


def test_one_that_no_caption_names_is_an_error(base: Path, captioned: Path, tmp_path: Path) -> None:
    for given in ({"also": ("<hat>", "<cap>")}, {"also": "<cap>", "template": "subject"}):
        with pytest.raises(PromptError, match="--also <cap>: no caption or sentence has <cap>"):
            learned(base, captioned, tmp_path / "run", **given)
    assert not list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("given", "left_out"),
    [({"drop_caption": 1}, "--drop-caption 1"), ({"drop_tags": 1}, "--drop-tags 1")],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_one_whose_captions_are_all_left_out_is_an_error(
    given: dict[str, Any],
    left_out: str,
    skip_bad: bool,
    base: Path,
    captioned: Path,
    tmp_path: Path,
) -> None:
    given |= {"skip_bad": skip_bad}
    with pytest.raises(PromptError, match=f"--also <hat>: only captions .* {left_out} leaves all"):
        learned(base, captioned, tmp_path / "run", template="captioned", **given)
    assert not list((tmp_path / "run").glob("*.safetensors"))
    learned(base, captioned, tmp_path / "run", steps=1, **given)  # prompts get lost words back


@pytest.mark.parametrize("skip_bad", [False, True])
def test_the_first_one_must_be_named_too(
    base: Path, captioned: Path, tmp_path: Path, skip_bad: bool
) -> None:
    for path in captioned.glob("*.txt"):
        path.write_text("a <hat>")
    with pytest.raises(PromptError, match="--token <toy>: no caption or sentence has <toy>"):
        learned(base, captioned, tmp_path / "run", skip_bad=skip_bad)
    (tmp_path / "sentences.txt").write_text("[filewords]\na [name]")
    learned(base, captioned, tmp_path / "run", template=tmp_path / "sentences.txt", steps=1)


def test_a_caption_of_a_picture_that_is_held_out_names_none(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    files = sorted(captioned.glob("*.txt"))
    for path in files:
        for other in files:
            other.write_text("a <toy>" if other != path else "a <hat>")
        try:
            learned(base, captioned, tmp_path / path.stem, held_out=1, steps=1)
        except PromptError as error:
            said.append(str(error))
    (told,) = said
    assert told.startswith("--also <hat>: no caption or sentence has <hat> in it")
    assert told.endswith("Pictures that are held out do not count; --held-out 0 learns from all.")


def test_one_continues_from_a_file_wherever_that_is_moved(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    given = {"also": f"<hat>={words_in(tmp_path / 'two')}=<hat>"}
    learned(base, captioned, tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        learned(base, captioned, tmp_path / "cut", progress=Stopping(2), **given)
    (tmp_path / "two").rename(tmp_path / "moved")
    again = {"also": f"<hat>={tmp_path / 'moved' / FILES[1]}"}
    learned(base, captioned, tmp_path / "cut", **again)
    whole, cut = (formats.read(tmp_path / run / FILES[1]) for run in ("whole", "cut"))
    assert (cut.provenance["init_mode"], cut.length) == ("file", 1)
    assert "changed" not in cut.provenance
    torch.testing.assert_close(cut.vectors, whole.vectors, rtol=0, atol=0)


def test_a_file_to_continue_from_goes_into_a_queue(captioned: Path, tmp_path: Path) -> None:
    also = (f"<hat>={words_in(tmp_path / 'two')}=<hat>", "<cap>=red hat", "<toys>")
    config = TrainConfig.check(pictures=captioned, token="<toy>", **SETTINGS | {"also": also})
    job = jobs.make_job(config, Notes().note)
    shutil.rmtree(tmp_path / "two")
    opened = jobs.open_job(job, tmp_path / "there", tmp_path / "out")
    _, hat, cap, toys = opened.new_words
    concept = initialisation.named_concept(hat)
    assert concept is not None
    assert concept.length == 1
    assert Path(hat.init).is_relative_to(tmp_path / "there")
    assert (cap.init, toys.init) == ("red hat", "object")


def test_that_only_the_first_one_starts_from_the_nearest_word_is_told(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    notes = Notes()
    given: dict[str, Any] = {"init": "cat,dog", "init_mode": "nearest", "steps": 1}
    learned(base, captioned, tmp_path / "run", progress=notes, **given)
    assert any("--init-mode nearest has no effect on the words of --also" in n for n in notes.lines)


def test_that_random_ones_start_from_no_words_is_told(captioned: Path) -> None:
    given = {"pictures": captioned, "token": "<toy>", "init_mode": "random"}
    told = TrainConfig.check(**given, also=["<hat>=red", "<cap>"]).without_effect()
    assert [line for line in told if line.startswith("--also <hat>=red, <cap> has no effect")]
    assert not TrainConfig.check(**given, also=["<cap>"]).without_effect()


def test_words_that_do_not_fit_are_told_with_their_flag(
    base: Path, captioned: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"init_mode": "rows", "vectors": 1}
    with pytest.raises(SettingsError, match="--also <hat>='red dog' has 2 tokens"):
        learned(base, captioned, tmp_path / "run", **given)


def test_one_that_no_step_has_seen_is_told(base: Path, captioned: Path, tmp_path: Path) -> None:
    """Which of the two it is depends on the picture of the only step."""
    told = set()
    for seed in range(20):
        notes = Notes()
        given = {"steps": 1, "batch": 1, "seed": seed, "progress": notes}
        learned(base, captioned, tmp_path / str(seed), **given)
        told |= {line.split()[0] for line in notes.lines if "too few prompts had it" in line}
        if told == {"<toy>", "<hat>"}:
            return
    pytest.fail(f"only {told} was told in {seed + 1} runs")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"also": "<toy>"}, "--also <toy> is called like another new word"),
        ({"also": ("<hat>", "<HAT>")}, "--also <HAT> is called like another new word"),
        ({"also": "<hat>="}, "--also <hat>=: after the = come the words that it starts from"),
        ({"also": "<hat>="}, "or a concept file to continue from"),
        ({"also": "<hat>=./hat.pt"}, "--also <hat>=./hat.pt: there is no such file"),
        ({"also": "<hat>=./hat.pt", "init_mode": "mean"}, "--also <hat>=./hat.pt: there is no"),
        ({"also": ""}, "--also is empty"),
        ({"also": "a [name]"}, r"\[name\] has a meaning in templates"),
        ({"also": "photo", "template": "subject"}, "--also photo is already a word of 'a photo of"),
    ],
)
def test_words_that_cannot_be_are_refused_before_anything_is_written(
    settings: dict[str, Any], message: str, base: Path, captioned: Path, tmp_path: Path
) -> None:
    with pytest.raises(PseudowordError, match=message):
        learned(base, captioned, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_words_beside_them_have_other_names(base: Path, captioned: Path, tmp_path: Path) -> None:
    learned(base, captioned, tmp_path / "run")
    with pytest.raises(SettingsError, match="is called <hat>, as the new word is"):
        learned(base, captioned, tmp_path / "other", words=tmp_path / "run" / FILES[1])


@pytest.mark.parametrize("name", ["concept-2.safetensors", "best-2.safetensors"])
def test_files_of_others_are_not_replaced(
    name: str, base: Path, captioned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / name).write_bytes(b"mine")
    with pytest.raises(RunFolderError, match=f"{name} would be replaced"):
        learned(base, captioned, out, evaluate_every=1)
    assert (out / name).read_bytes() == b"mine"
    api.train(
        captioned, "<toy>", base=base, out=out, **SETTINGS | {"also": (), "template": "subject"}
    )
    assert (out / name).read_bytes() == b"mine"


def test_other_words_are_another_run(base: Path, captioned: Path, tmp_path: Path) -> None:
    learned(base, captioned, tmp_path / "run")
    with pytest.raises(RunFolderError, match="--also was <hat>=red dog, is <hat>=blue") as error:
        learned(base, captioned, tmp_path / "run", also="<hat>=blue")
    assert error.value.__notes__ == [f"The words of step 4 are safe in {tmp_path / 'run'}."]
    with pytest.raises(RunFolderError, match="--also was <hat>=red dog, is none"):
        learned(base, captioned, tmp_path / "run", also=(), template="captioned")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"also": (), "template": "captioned"}, {}),
        ({}, {"also": (), "template": "captioned"}),
        ({}, {"token": "<hat>", "also": ("<toy>",)}),
    ],
)
def test_a_finished_run_does_not_become_one_of_other_words(
    before: dict[str, Any], after: dict[str, Any], base: Path, captioned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    given = SETTINGS | {"token": "<toy>", "steps": 1}
    api.train(captioned, base=base, out=out, **given | before)
    whole = everything(out)
    with pytest.raises(RunFolderError, match="Several new words cannot become other ones"):
        api.train(captioned, base=base, out=out, allow_changes=True, **given | after)
    assert everything(out) == whole


def test_the_command_line_names_each_file(base: Path, captioned: Path, tmp_path: Path) -> None:
    given = [
        *("train", captioned, "--token", "<toy>", "--also", "<hat>=red dog", "--base", base),
        *("--template", "filewords", "--steps", 1, "--preview", "none", "--out", tmp_path / "run"),
    ]
    code, out, err = run(*given)
    assert code == 0, err
    first, second = (tmp_path / "run" / name for name in FILES)
    assert f"<toy> is ready: {first}" in out
    assert f"<hat> is ready: {second}" in out
    assert f"--concept {tmp_path / 'run'} --base" in " ".join(out.split())


def test_a_folder_stands_for_all_of_its_words(tmp_path: Path) -> None:
    folder = words_in(tmp_path / "run")
    named = sources.read_named([folder], flag="--words")
    assert {one.concept.token: one.name for one in named} == {
        "<toy>": str(folder / FILES[0]),
        "<hat>": str(folder / FILES[1]),
    }
    assert [path.name for path in api.convert(folder, tmp_path / "all")] == [
        "toy.safetensors",
        "hat.safetensors",
    ]
    (one,) = sources.read_named([f"{folder}=<hat>"])
    assert one.concept.token == "<hat>"
    seen = api.inspect(folder, token="<hat>")
    assert (seen.token, seen.others) == ("<hat>", ["<toy>"])
    assert "concept-2" in seen.tools["AUTOMATIC1111"]
    (alone,) = sources.read_named([folder / FILES[0]])
    assert alone.concept.token == "<toy>"


def test_a_file_that_came_to_a_run_in_another_way_is_no_word_of_it(tmp_path: Path) -> None:
    folder = words_in(tmp_path / "run")
    stranger = replace(formats.read(folder / FILES[1]), token="<cap>")
    (folder / FILES[1]).write_bytes(formats.encode(stranger, "native")[""])
    assert [one.token for one in formats.read_all(folder)] == ["<toy>"]


@pytest.mark.parametrize(
    ("asked", "how"),
    [
        (lambda run: api.convert(run, run / "word.pt"), '--token "<toy>"'),
        (lambda run: api.push(run, "me/word"), '--token "<toy>"'),
        (lambda run: api.evaluate(run, run), '--token "<toy>"'),
        (lambda run: api.generate("x", concept=f"{run}=<x>"), '--concept {run}="<toy>"'),
        (lambda run: api.train(run, "<x>", init=run), '--init {run}="<toy>"'),
        (lambda run: api.train(run, "<x>", also=f"<y>={run}"), '--also <y>={run}="<toy>"'),
    ],
    ids=["convert", "push", "evaluate", "generate", "init", "also"],
)
def test_where_one_word_is_needed_the_folder_of_several_is_no_choice(
    asked: Callable[[Path], object], how: str, tmp_path: Path
) -> None:
    run = words_in(tmp_path / "run")
    Image.new("RGB", (64, 64)).save(run / "picture.png")
    before = everything(run)
    with pytest.raises(ConceptError) as error:
        asked(run)
    assert f"{run} holds 2 words, not one concept: <toy>, <hat>. Say which one" in str(error.value)
    assert how.format(run=run) in str(error.value)
    assert everything(run) == before
