"""Repeating, extending and changing runs, and errors during a run."""

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Notes, run

from pseudoword import formats
from pseudoword.api import train, train_pack
from pseudoword.config import TrainConfig
from pseudoword.errors import PictureError, RunFolderError, SettingsError, TrainingError
from pseudoword.models import base_model
from pseudoword.models.loading.source import Placement
from pseudoword.runs import checkpoint
from pseudoword.runs.failures import memory_advice
from pseudoword.runs.finish import Trained
from pseudoword.training.early_stopping import EvaluationLoss


def learn(base: Path, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "steps": 6}
    options |= {"checkpoint_every": 2, "evaluate_every": 3}
    return train(pictures, "<cat>", base=str(base), out=out, **(options | settings))


def word(run_: Trained) -> bytes:
    return (run_.folder / "concept.safetensors").read_bytes()


def stop_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let the next run die after it has saved its checkpoint of `step`."""
    save = checkpoint.save

    def save_then_die(folder: Path, state: Any, sources: Any) -> None:
        save(folder, state, sources)
        if state.step == step:
            raise KeyboardInterrupt

    patch.setattr(checkpoint, "save", save_then_die)


def test_a_run_s_own_config_repeats_it_byte_for_byte(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("my [name]\none [name]\n")
    monkeypatch.chdir(tmp_path)
    options = ("--token", "<cat>", "--init", "a cat", "--vectors", 2, "--base", base, "--steps", 4)
    more = ("--template", "lines.txt", "--lr", "0.01:2, 1e-3", "--ema", 0.5, "--norm", "limit")
    code, _, _ = run(
        "train", "pictures", *options, *more, "--out", "x", "--preview", "[name] --s 1"
    )
    assert code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code, _, stderr = run("train", "--config", tmp_path / "x" / "config.toml", "--out", "y")
    assert code == 0, stderr
    for name in ("concept.safetensors", "config.toml", "previews/step-4-1.png"):
        assert (elsewhere / "y" / name).read_bytes() == (tmp_path / "x" / name).read_bytes()


def test_options_override_the_file_and_the_file_overrides_defaults(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'token = "<toy>"\nbase = "{base}"\nsteps = 5\nbatch = 3\npreview = []\n')
    out = tmp_path / "run"
    code, _, stderr = run("train", pictures, "--config", file, "--steps", 2, "--out", out)
    assert code == 0, stderr
    saved = TrainConfig.from_toml((out / "config.toml").read_text(), out)
    assert (saved.token, saved.steps, saved.batch) == ("<toy>", 2, 3)
    assert str(saved.lr) == "50%"
    assert TrainConfig.gather(file, pictures=["p"], batch=4).batch == 4
    assert TrainConfig.gather(file, pictures=["p"]).steps == 5
    done = train(pictures, config=file, out=tmp_path / "other", steps=1)
    assert done.concept.token == "<toy>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("steps = = 2", "is damaged"),
        (r'pictures = "C:\photos"', "Write paths with /, or in single quotes"),
        (r'pictures = "C:\Users\me"', "Write paths with /, or in single quotes"),
        ('token = "<a>"\nspeed = 3', "run.toml: speed: there is no such setting"),
        ("steps = 3", r"--token is missing"),
    ],
)
def test_a_bad_file_is_explained(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    if text is not None:
        file.write_text(text)
    code, stderr, complained = run("train", tmp_path, "--config", file)
    assert (code, stderr) == (2, "")
    assert message in complained
    with pytest.raises(SettingsError, match=message):
        train(tmp_path, config=file)


def test_an_extended_run_ends_like_a_longer_run(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = learn(base, pictures, tmp_path / "long", steps=10, ema=0.9)
    short = learn(base, pictures, tmp_path / "short", ema=0.9)
    assert word(short) != word(long)
    with monkeypatch.context() as patch:
        stop_at(8, patch)
        with pytest.raises(KeyboardInterrupt):
            learn(base, pictures, tmp_path / "short", ema=0.9, extend=4)
    extended = learn(base, pictures, tmp_path / "short", ema=0.9, extend=4)
    assert word(extended) == word(long)
    losses = [
        [json.loads(line).get("loss") for line in (r.folder / "log.jsonl").open()]
        for r in (long, extended)
    ]
    assert losses[0] == losses[1]
    assert learn(base, pictures, tmp_path / "short", ema=0.9, extend=4).seconds == 0
    with pytest.raises(RunFolderError, match="--extend was 4, is 2"):
        learn(base, pictures, tmp_path / "short", ema=0.9, extend=2)


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({}, "to train it further, add for example --extend 100,"),
        ({"extend": 2}, "to train it further, add for example --extend 102,"),
        ({"schedule": "linear"}, "begin another run with --init {out}/concept.safetensors,"),
        ({"steps": "auto", "max_steps": 6}, "begin another run with --init {out}/concept"),
    ],
)
def test_a_finished_run_says_how_it_is_trained_further(
    base: Path, pictures: Path, tmp_path: Path, settings: dict[str, Any], way: str
) -> None:
    learn(base, pictures, tmp_path, **settings)
    notes = Notes()
    learn(base, pictures, tmp_path, progress=notes, **settings)
    assert way.format(out=tmp_path) in notes.lines[-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: shutil.copy(p / "0.png", p / "9.png"), True),
        (lambda p: shutil.copy(p / "1.png", p / "0.png"), True),
        (lambda p: (p / "0.png").unlink(), True),
        (lambda p: (p / "0.png").write_bytes(b""), True),
        (lambda p: (p / "0.txt").write_text("on a table"), True),
        (lambda p: (p / "0.png").touch(), False),
        (lambda p: shutil.copy(p / "0.png", p / "0-mask.png"), False),  # no mask is asked for
    ],
)
def test_a_finished_run_says_that_its_pictures_have_changed(
    base: Path, pictures: Path, tmp_path: Path, change: Callable[[Path], None], told: bool
) -> None:
    done = learn(base, pictures, tmp_path / "run", steps=1)
    change(pictures)
    notes = Notes()
    assert learn(base, pictures, done.folder, steps=1, progress=notes).seconds == 0
    said = f"{done.folder} was learned from other, more or fewer pictures, repeats, masks or"
    assert any(line.startswith(said) for line in notes.lines) == told


def test_a_run_goes_on_where_all_that_it_learns_from_has_moved(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn_in(folder: Path, out: str) -> Trained:
        template = str(folder / "lines.txt")
        return learn(folder / "base", folder / "pictures", tmp_path / out, template=template)

    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(pictures, before / "pictures")
    shutil.copytree(base, before / "base")
    (before / "lines.txt").write_text("my [name]\none [name]\n")
    whole = learn_in(before, "whole")
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            learn_in(before, "run")
    shutil.copytree(before, after)
    with pytest.raises(RunFolderError, match=r"--base was .*--pictures was .*before.*, is .*after"):
        learn_in(after, "run")
    shutil.rmtree(before)
    resumed = learn_in(after, "run")
    assert word(resumed) == word(whole)
    again = after.rename(tmp_path / "again")
    assert learn_in(again, "run").seconds == 0


def test_without_its_last_checkpoint_a_run_cannot_be_extended(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    done = learn(base, pictures, tmp_path)
    next(done.folder.glob("finished-*.pt")).unlink()
    with pytest.raises(RunFolderError, match="cannot be extended"):
        learn(base, pictures, tmp_path, extend=2)


def test_changed_settings_are_named_and_allowed_only_when_asked_for(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            learn(base, pictures, tmp_path, lr=0.002)
    changed: dict[str, Any] = {"lr": 0.1, "optimiser": "SGD", "steps": 8}
    with pytest.raises(RunFolderError, match=r"--steps was 6, is 8; --lr was .*--optimiser was"):
        learn(base, pictures, tmp_path, **changed)
    done = learn(base, pictures, tmp_path, allow_changes=True, **changed)
    assert done.concept.provenance["steps"] == "8"
    assert "step 4: --lr was 0.002, is 0.1" in done.concept.provenance["changed"]
    rates = [json.loads(line).get("lr") for line in (tmp_path / "log.jsonl").open()]
    assert rates[1:] == [0.002] * 4 + [0.1] * 4
    before = (tmp_path / "config.toml").read_bytes()
    with pytest.raises(RunFolderError, match="vectors of another number"):
        learn(base, pictures, tmp_path, allow_changes=True, vectors=2, **changed | {"steps": 9})
    assert (tmp_path / "config.toml").read_bytes() == before


def test_changed_options_of_the_optimiser_count_from_there_on(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in ("same", "other"):
        with monkeypatch.context() as patch:
            stop_at(4, patch)
            with pytest.raises(KeyboardInterrupt):
                learn(base, pictures, tmp_path / out)
    decay = ("weight_decay=10.0",)
    same = learn(base, pictures, tmp_path / "same", allow_changes=True)
    other = learn(base, pictures, tmp_path / "other", allow_changes=True, optimiser_option=decay)
    assert same.concept.vectors["clip_l"].ne(other.concept.vectors["clip_l"]).all()
    plain = learn(base, pictures, tmp_path / "plain")
    assert same.concept.vectors["clip_l"].equal(plain.concept.vectors["clip_l"])


def test_evaluations_on_other_pictures_do_not_count(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of before were lower, so their word would be the best to the end."""
    settings: dict[str, Any] = {"steps": "auto", "max_steps": 8, "evaluate_every": 2}
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            learn(base, pictures, tmp_path, **settings)
    monkeypatch.setattr(EvaluationLoss, "deciding_loss", property(lambda one: one.step))
    done = learn(base, pictures, tmp_path, allow_changes=True, template="style", **settings)
    assert done.concept.provenance["steps"] == "6"


def test_repeats_are_of_what_a_run_learns_from(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "both" / "4_a", tmp_path / "both" / "2_b"
    for i, path in enumerate(sorted(pictures.iterdir())):
        place = second if i else first
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    notes = Notes()
    unbroken = word(learn(base, tmp_path / "both", tmp_path / "unbroken", progress=notes))
    assert any("names of their folders say: 2, 4" in line for line in notes.lines)
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            learn(base, tmp_path / "both", tmp_path / "run")
    first = first.rename(first.with_name("2_a"))
    with pytest.raises(RunFolderError, match="other, more or fewer pictures, repeats"):
        learn(base, tmp_path / "both", tmp_path / "run")
    equal = word(learn(base, tmp_path / "both", tmp_path / "equal"))
    first, second = first.rename(first.with_name("7_a")), second.rename(second.with_name("7_b"))
    assert word(learn(base, tmp_path / "both", tmp_path / "also equal")) == equal != unbroken
    first, second = first.rename(first.with_name("4_a")), second.rename(second.with_name("2_b"))
    assert word(learn(base, tmp_path / "both", tmp_path / "run")) == unbroken
    notes = Notes()
    second.rename(second.with_name("3_b"))
    assert learn(base, tmp_path / "both", tmp_path / "run", progress=notes).seconds == 0
    assert any("other, more or fewer pictures, repeats" in line for line in notes.lines)


def test_an_error_about_a_deleted_picture_says_where_the_word_is(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            learn(base, pictures, out)
    (pictures / "0.png").unlink()
    with pytest.raises(RunFolderError, match="other, more or fewer pictures") as raised:
        learn(base, pictures, out)
    step = formats.read(out).provenance["steps"]
    assert raised.value.__notes__ == [
        f"The word of step {step} is safe in {out / 'concept.safetensors'}."
    ]
    notes = Notes()
    done = learn(base, pictures, out, allow_changes=True, progress=notes)
    assert done.concept.provenance["steps"] == "6"
    change = "other, more or fewer pictures, repeats, crops, masks or captions"
    assert f"from here on, {change}" in notes.lines
    assert done.concept.provenance["changed"] == f"step 4: {change}"
    for path in pictures.iterdir():
        path.unlink()
    with pytest.raises(PictureError) as gone:
        learn(base, pictures, out, steps=9)
    assert "The word of step 6 is safe" in gone.value.__notes__[0]


def test_out_of_memory_suggests_settings_and_the_run_resumes_with_them(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pseudoword.training import loss

    losses, calls = loss.losses, 0

    def too_much(*of: Any, **options: Any) -> torch.Tensor:
        nonlocal calls
        calls += torch.is_grad_enabled()
        if calls > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return losses(*of, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loss, "losses", too_much)
        with pytest.raises(TrainingError, match="--batch 2 --accumulate 2") as raised:
            learn(base, pictures, tmp_path, batch=4, timestep_sampling="uniform")
    assert "The word of step 4 is safe" in raised.value.__notes__[0]
    done = learn(
        base,
        pictures,
        tmp_path,
        batch=2,
        accumulate=2,
        allow_changes=True,
        timestep_sampling="uniform",
    )
    assert done.concept.provenance["steps"] == "6"


def test_suggested_settings_keep_the_samples_of_a_step() -> None:
    config = TrainConfig.check(pictures=["p"], token="<a>", batch=9, accumulate=2)
    assert "--batch 3 --accumulate 6" in memory_advice([config])
    assert "--batch" not in memory_advice([config.model_copy(update={"batch": 1})])
    assert "fewer than 2 words" in memory_advice([config, config])


def test_what_needs_less_memory_is_not_what_a_run_does_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainConfig.check(pictures=".", token="<cat>")
    assert not {"--offload", "--dtype"} & {*memory_advice([config]).split()}  # on a CPU
    for dtype, helps in ((torch.float32, True), (torch.bfloat16, False)):
        place = Placement(torch.device("cuda"), dtype)
        monkeypatch.setattr(base_model, "placement", lambda _config, place=place: place)
        advice = memory_advice([config])
        assert "--offload" in advice
        assert ("--dtype bfloat16" in advice) == helps


def test_other_errors_are_not_changed(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(checkpoint, "save", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        learn(base, pictures, tmp_path)


def test_run_from_its_source_folder_alone_the_package_has_no_version(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    done = learn(base, pictures, tmp_path, steps=1)
    assert done.concept.provenance["version"] == "not installed"


@pytest.mark.usefixtures("short_range_test")
def test_a_run_with_auto_settings_is_repeated_from_its_config(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    first = learn(base, pictures, tmp_path / "x", lr="auto", vectors="auto")
    config = TrainConfig.gather(first.folder / "config.toml", out=tmp_path / "y")
    (second,) = train_pack([config])
    assert word(first) == word(second)
