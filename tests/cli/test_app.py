"""The command line as its users meet it: in a process of its own where exit codes matter."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from pydantic_core import SchemaSerializer, core_schema
from safetensors.torch import save_file
from support import SHARED, run
from typer.core import TyperGroup
from typer.testing import CliRunner
from word_files import write_word

import pseudoword
from pseudoword.__main__ import main
from pseudoword.cli import program
from pseudoword.cli.app import app
from pseudoword.concept import Concept


@pytest.fixture(autouse=True)
def _one_chart() -> None:
    """These runs draw their own charts."""


@pytest.fixture(scope="module")
def trained_once(base: Path, once: Path) -> Path:
    out = once / "run"
    options = ("--token", "<cat>", "--init", "cat", "--base", base, "--vectors", 2, "--steps", 3)
    code, said, _ = run("train", once / "pictures", *options, "--lr", 0.002, "--out", out)
    assert code == 0
    assert str(out / "concept.safetensors") in said
    return out


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A finished run of `<cat>`, made by the command."""
    return shutil.copytree(trained_once, tmp_path / "run")


def test_train_leaves_what_it_promises(trained: Path) -> None:
    assert (trained / "config.toml").read_text().count("vectors = 2") == 1
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert set(lines[0]) == {"step", "evaluation"}
    assert all({"loss", "lr", "norm", "grad", "seconds"} <= set(line) for line in lines[1:])
    assert Image.open(trained / "loss.png").size[0] > 400
    (preview,) = (trained / "previews").glob("step-*.png")
    assert Image.open(preview).size == (32, 32)
    assert not list(trained.glob("checkpoint*"))


def test_train_takes_several_files(base: Path, pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.iterdir())[:2]
    options = ("--token", "<cat>", "--base", base, "--steps", 1, "--out", tmp_path / "run")
    assert run("train", *files, *options)[0] == 0
    seen = json.loads(run("inspect", tmp_path / "run", "--json")[1])
    assert seen["provenance"]["pictures"] == "2"


def test_the_command_to_try_names_all_that_the_model_was_loaded_with(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    model = ("--base", base, "--prediction-type", "epsilon", "--clip-skip", 2)
    quick = ("--steps", 1, "--preview", "none", "--out", tmp_path / "run")
    said = run("train", pictures, "--token", "<cat>", "--init", "cat", *model, *quick)[1]
    tried = shlex.split(said.splitlines()[-1].removeprefix("try: "))
    expected = ["--concept", tmp_path / "run", *model, "--out", "picture.png"]
    assert tried == ["pseudoword", "generate", "a photo of <cat>", *map(str, expected)]


def test_inspect_as_json_and_as_text(base: Path, trained: Path) -> None:
    seen = json.loads(run("inspect", trained, "--json")[1])
    assert seen["token"] == "<cat>"
    assert seen["family"] == "sd"
    assert seen["encoders"] == {"clip_l": [2, 32]}
    assert seen["provenance"]["steps"] == "3"
    assert len(seen["norms"]["clip_l"]) == 2
    assert seen["nearest"] is None
    seen = json.loads(run("inspect", trained, "--json", "--base", base)[1])
    assert seen["nearest"]["clip_l"][0][0]["token"] == "cat"
    assert seen["nearest"]["clip_l"][0][0]["cosine"] > 0.8
    assert seen["vocabulary_norms"]["clip_l"] > 0
    text = run("inspect", trained / "concept.safetensors", "--base", base)[1]
    assert "<cat>" in text
    assert "2 × 32" in text
    assert " more" not in text


def test_inspect_says_how_many_norms_are_not_shown(tmp_path: Path) -> None:
    save_file({"emb_params": torch.ones(11, 768)}, tmp_path / "word.safetensors")
    assert "27.713 and 3 more" in run("inspect", tmp_path / "word.safetensors")[1]


def test_inspect_compares_a_word_of_which_a_part_is_an_output_embedding(
    base: Path, tmp_path: Path
) -> None:
    rows = {"clip_l": torch.zeros(1, 32), "clip_l_out": torch.ones(1, 32)}
    write_word(Concept("<cat>", rows), tmp_path / "cat.safetensors")
    code, text = run("inspect", tmp_path / "cat.safetensors", "--base", base)[:2]
    assert code == 0
    assert text.count("the vocabulary's median") == 1
    assert "clip_l_out" in text


def test_inspect_takes_several_files_as_a_shell_gives_them(trained: Path) -> None:
    files = (trained / "concept.safetensors", trained)
    found = json.loads(run("inspect", *files, "--json")[1])
    assert [one["token"] for one in found] == ["<cat>", "<cat>"]
    assert run("inspect", *files)[1].count("2 × 32") == 2


def test_generate_writes_one_picture_or_a_grid_and_each(
    base: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "a.png"
    options = ("--concept", trained, "--base", base, "--sampler-steps", 2)
    code, said, _ = run("generate", "a <cat>", *options, "--out", out)
    assert (code, said.split()) == (0, [str(out)])
    one = np.asarray(Image.open(out))
    several = ("generate", "a <cat>", *options, "--out", out, "-n", 3)
    theirs = out.with_name("a-2.png")
    Image.fromarray(255 - one).save(theirs)
    code, said, complained = run(*several)
    assert (code, said) == (2, "")
    assert f"{theirs} is there already" in complained
    assert np.array_equal(np.asarray(Image.open(theirs)), 255 - one)
    assert np.array_equal(np.asarray(Image.open(out)), one)
    theirs.unlink()
    code, said, _ = run(*several)  # what it has drawn there before gives way
    assert code == 0
    assert [Path(line).name for line in said.split()] == ["a-1.png", "a-2.png", "a-3.png", "a.png"]
    first = np.asarray(Image.open(out.with_name("a-1.png")), dtype=np.int16)
    assert np.abs(first - one).max() <= 1
    assert Image.open(out).size[0] > 2 * 32


def test_generate_says_when_a_concept_is_not_mentioned(
    base: Path, trained: Path, tmp_path: Path
) -> None:
    options = ("--concept", trained, "--base", base, "--sampler-steps", 1, "--out")
    said = run("generate", "a cat", *options, tmp_path / "a.png")[2]
    assert "<cat> is in neither prompt" in said
    code, _, said = run("generate", "a dog", "--negative", "<cat>", *options, tmp_path / "b.png")
    assert code == 0
    assert "neither" not in said


def test_bases_lists_the_bundled_model() -> None:
    (emoji,) = json.loads(run("bases", "--json")[1])
    assert emoji["name"] == "emoji"
    assert emoji["family"] == "sd"
    assert (Path(emoji["path"]) / "model_index.json").is_file()
    assert "emoji" in run("bases")[1]


class NotImported:
    """Takes the place of what imports torch."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is imported")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["train", "photo", "--token", "<a>"],
            "photo does not exist. Did you mean photos? Give a folder",
        ),
        (
            ["train", "photos", "--token", "<a>", "--base", "./nosuch"],
            "--base ./nosuch: there is no",
        ),
        (
            ["train-many", "photo", "--out", "o"],
            "photo does not exist. Did you mean photos? Give a folder",
        ),
        (
            ["submit", "queue", "photos", "photo"],
            "photo does not exist. Did you mean photos? Give a folder",
        ),
        (["generate", "a cat", "--concept", "a.pt=<b>"], "--concept a.pt: there is no such file"),
        (["generate", "a cat", "--concept", "photo"], "--concept photo: there is no such file"),
        (["generate", "a cat", "--base", "./nosuch"], "--base ./nosuch: there is no such"),
        (["prepare", "photos", "photo"], "photo does not exist. Did you mean photos? Give"),
        (["inspect", "a.pt"], "a.pt: there is no such file"),
        (["convert", "a.pt", "b.pt"], "a.pt: there is no such file"),
        (["evaluate", "a.pt", "--pictures", "photos"], "a.pt: there is no such file"),
        (
            ["evaluate", "photos", "--pictures", "photo"],
            "photo does not exist. Did you mean photos?",
        ),
        (["plan", "--base", "./nosuch"], "--base ./nosuch: there is no such"),
        (["bench", "--base", "nosuch"], "no base model nosuch"),
        (["gallery", "photo"], "photo does not exist. Did you mean photos? Give a folder that"),
        (["push", "run", "--to", "me/cat"], "run does not exist. Give a run's folder"),
        (["queue", "line"], "line does not exist. `pseudoword submit` makes a queue"),
        (["work", "line"], "line does not exist. `pseudoword submit` makes a queue"),
        (["inspect", "photos", "--base", "nosuch"], "no base model nosuch"),
        (["train-many", "photos", "--out", "o", "--optimiser", "Adm"], "--optimiser Adm cannot"),
        (["submit", "queue", "photos", "--template", "x"], "--template x is neither"),
        (["train-many", "photos", "--out", "photos/o"], "--out photos/o is in photos"),
        (["train-many", "list.toml", "--out", "o"], "list.toml, concept 1: --optimiser Adm cannot"),
        (["submit", "queue", "list.toml"], "list.toml, concept 1: --optimiser Adm cannot"),
        (["bench", "--compare", "lr=x"], "--compare lr=x: --lr: 'x' in 'x' is no rate"),
        (["bench", "--compare", "optimiser=Adm"], "--optimiser Adm cannot"),
        (["generate", "a cat", "--scheduler", "Eulr"], "--scheduler: diffusers has no scheduler"),
        (["generate", "a cat", "--lora", "x"], "--lora x: there is no such file"),
        (["prepare", "photos", "--caption-model", "x"], "--caption-model x: there is no such"),
        (["generate", "a cat", "--out", "a.gif"], "--out a.gif: give a file that ends in .png"),
        (["prepare", "photos", "--out", "a.gif"], "--out a.gif: give a file that ends in .png"),
        (["gallery", "photos", "--out", "a.gif"], "--out a.gif: give a file that ends in .png"),
        (["convert", "list.toml", "a.txt"], "a.txt: give a file that ends in .safetensors, .pt"),
        (["convert", "list.toml", "o/", "--format", "x"], "--format x: choose one of native"),
        (["convert", "list.toml", "a.pt", "--format", "kohya"], "a.pt: --format kohya makes files"),
        (["convert", "list.toml", "a.pt", "--picture", "x"], "--picture x has no effect with"),
        (
            ["evaluate", "photos", "--pictures", "photos", "--prompt", "a cat"],
            "--prompt 'a cat': write [name] where",
        ),
        (
            ["evaluate", "photos", "--pictures", "photos", "--compare-with", "a.png"],
            "--compare-with 'a.png' looks like a file",
        ),
        (["push", "photos", "--to", "nonsense"], "--to 'nonsense': give a repository such as"),
    ],
)
def test_what_is_not_there_is_told_before_torch_is_imported(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "list.toml").write_text(
        "[[concept]]\ntoken='<a>'\npictures='photos'\noptimiser='Adm'"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("api", "internals"):
        monkeypatch.setattr(pseudoword, name, NotImported(), raising=False)
    code, _, stderr = run(*arguments)
    assert code == 2
    assert f"error: {said}" in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "list.toml"}


@pytest.mark.parametrize("given", [("generate", "-dark cat"), ("train", "-p", "--token", "<a>")])
def test_an_argument_that_begins_with_a_dash_is_told_its_place(given: tuple[str, ...]) -> None:
    code, _, stderr = run(*given)
    assert code == 2
    assert "goes to the end, after --" in stderr
    assert "after --" not in run("train", "--nosuch")[2]


def _of_one_value(name: str) -> list[Any]:
    """The options of a command that take one value, or are on or off."""
    kind = _commands()[name]
    options = [one for one in kind.params if one.param_type_name == "option" and not one.multiple]
    return [one for one in options if not one.is_flag or one.secondary_opts]


def _commands() -> dict[str, Any]:
    return dict(vars(typer.main.get_command(app))["commands"])


@pytest.mark.parametrize("name", _commands())
def test_of_two_values_none_is_chosen(name: str, tmp_path: Path) -> None:
    options = _of_one_value(name)
    assert options or name in {"bases", "env", "gallery"}
    for option in options:
        (flag, *_), value = option.opts, [] if option.is_flag else ["1"]
        code, said, complained = run(name, flag, *value, *option.secondary_opts, flag, *value)
        assert (code, said) == (2, "")
        assert re.search(
            rf"{flag}(/--no-\S+)? is given [23] times, and takes one value", complained
        )


def test_what_may_be_given_again_may(tmp_path: Path) -> None:
    given = ["--concept", tmp_path / "a.pt", "--concept", tmp_path / "b.pt", "--overwrite"]
    _, _, complained = run("generate", "a cat", *given, "--overwrite")
    assert "a.pt: there is no such file" in complained
    (tmp_path / "settings.toml").write_text("steps = 0")
    file = ["--config", tmp_path / "settings.toml"]
    _, _, complained = run("train", tmp_path / "no", "--token", "<a>", "--steps", 2, *file)
    assert "no does not exist" in complained, "an option counts more than a file"


@pytest.mark.parametrize("name", [name for name in _commands() if name not in {"bases", "env"}])
def test_a_setting_without_dashes_is_told(name: str, tmp_path: Path) -> None:
    for option in _of_one_value(name):
        if not option.is_flag:
            given = option.opts[0].lstrip("-").replace("-", "_")
            code, said, complained = run(name, f"{given}=a b")
            assert (code, said) == (2, "")
            assert f'{given}=a b: write {option.opts[0]} "a b"' in complained


def test_a_current_folder_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run("bases") == (
        2,
        "",
        "error: the current folder is there no longer. Change to another one.\n",
    )


@pytest.mark.parametrize("given", [True, False])
def test_that_the_bundled_model_was_not_asked_for_is_told(
    given: bool, pictures: Path, tmp_path: Path
) -> None:
    options = ["--base", "emoji"] if given else []
    options += ["--steps", "1", "--preview", "none", "--out", str(tmp_path / "run")]
    code, _, told = run("train", pictures, "--token", "<a>", *options)
    assert code == 0
    assert ("knows emoji only. For photographs, give a Stable Diffusion" in told) is not given


def test_the_version_is_told() -> None:
    assert run("--version") == run("-V") == (0, f"pseudoword {version('pseudoword')}\n", "")


def test_pictures_may_be_given_as_an_option(tmp_path: Path) -> None:
    """As `evaluate` takes them, and as errors name them."""
    nowhere = tmp_path / "nowhere"
    for command in (["train", "--token", "<a>"], ["prepare"]):
        code, _, complained = run(*command, "--pictures", nowhere)
        assert code == 2
        assert "nowhere does not exist" in complained
        _, _, complained = run(*command, tmp_path, "--pictures", nowhere)
        assert "PICTURES and --pictures are two names of one setting" in complained


def test_an_option_of_another_command_is_told_with_that_command() -> None:
    for line, where in {
        "plan --offload": "train, train-many, submit and 1 more",
        "train a --negative b": "generate",
    }.items():
        code, _, complained = run(*line.split())
        assert code == 2
        (said,) = (text for text in complained.split("\n") if text.startswith("Error: "))
        option = next(one for one in line.split() if one.startswith("--"))
        assert said == f"Error: No such option: {option}. It is an option of {where}"
    _, _, complained = run("train", "a", "--batc", "3")
    assert "No such option: --batc (Possible options: --base, --batch" in complained
    _, _, complained = run("plan", "--batch")
    assert "an option of" not in complained


def test_what_is_missing_is_explained() -> None:
    assert run("train") == (
        2,
        "",
        "error: --token is missing. Give the new word as it is written in prompts, such as "
        '"<cat>".\n--pictures is missing. Give a folder of pictures, or several files.\n',
    )


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--quantize", "5bit", "--quantize: should be 'none', '8bit' or '4bit', got 5bit"),
        ("--log", "tensorboardx", "'wandb' or 'trackio', got tensorboardx"),
        ("--batch", "x", "--batch: should be a valid integer, got x"),
        ("--min-snr", "x", "--min-snr: should be a valid number, got x"),
    ],
)
def test_a_wrong_value_is_told_in_the_same_words_for_all_settings(
    option: str, value: str, said: str
) -> None:
    code, _, complained = run("train", "--token", "<a>", "here", option, value)
    assert code == 2
    assert complained.startswith("error: --")
    assert said in complained


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in the background of a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_while_it_is_imported_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where Python would drop the exception, as in what a weak reference calls."""

    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "pseudoword.cli.app":
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.delitem(sys.modules, "pseudoword.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("heard")
def test_ctrl_c_while_python_tidies_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception would be told as one that is ignored: nobody is left to catch it."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr("pseudoword.cli.app.main", lambda: sys.exit(2))
    with pytest.raises(SystemExit):
        main()
    with pytest.raises(SystemExit) as stopped:
        signal.raise_signal(signal.SIGINT)
    assert stopped.value.code == 130


@pytest.mark.usefixtures("heard")
def test_ctrl_c_leaves_the_signal_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[object] = []
    monkeypatch.setattr(
        "pseudoword.cli.app.main", lambda: handled.append(signal.getsignal(signal.SIGINT))
    )
    usual = signal.getsignal(signal.SIGINT)
    main()
    assert handled == [usual]


def test_ctrl_c_while_the_commands_are_made_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pseudoword.cli.app.main", interrupt)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_while_a_class_is_made_is_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 and pydantic wrap it; classes are made while torch and all else is imported."""

    class Attribute:
        def __set_name__(self, *_: object) -> None:
            raise KeyboardInterrupt

    def list_bases() -> None:
        type("Made", (), {"attribute": Attribute()})

    class Interrupted:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    def make_schema() -> None:
        SchemaSerializer(core_schema.literal_schema([Interrupted()]))

    for made in (list_bases, make_schema):
        monkeypatch.setattr("pseudoword.api.bases", made)
        assert run("bases") == (130, "", "stopped; nothing was lost that had been saved\n")


def bad_inputs(tmp_path: Path, pictures: Path, base: Path) -> dict[str, tuple[list[object], str]]:
    """Arguments after `train`, and what the error must name."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jpg").write_text("no picture")
    (tmp_path / "cut").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut" / "b.jpg")
    whole = (tmp_path / "cut" / "b.jpg").read_bytes()
    (tmp_path / "cut" / "b.jpg").write_bytes(whole[: len(whole) // 2])
    token = ["--token", "<cat>"]
    return {
        "missing folder": ([tmp_path / "none", *token], "none does not exist"),
        "empty folder": ([tmp_path / "empty", *token], "empty holds no pictures"),
        "text as jpg": ([tmp_path / "text", *token], "a.jpg is plain text"),
        "truncated jpeg": ([tmp_path / "cut", *token], "b.jpg is damaged"),
        "no model": ([pictures, *token, "--base", pictures], "model_index.json"),
        "empty token": ([pictures, "--token", ""], "--token is empty"),
        "no steps": ([pictures, *token, "--steps", 0], "--steps"),
        "not a number": ([pictures, *token, "--lr", "quick"], "--lr"),
        "bad size": ([pictures, *token, "--resolution", 33], "--resolution 33"),
        "unknown template": ([pictures, *token, "--template", "x"], "--template"),
        "out is a file": ([pictures, *token, "--out", pictures / "0.png"], "0.png"),
        "base misspelt": ([pictures, *token, "--base", "emojy"], "emojy"),
    }


CASES = [
    "missing folder",
    "empty folder",
    "text as jpg",
    "truncated jpeg",
    "no model",
    "empty token",
    "no steps",
    "not a number",
    "bad size",
    "unknown template",
    "out is a file",
    "base misspelt",
]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named_and_nothing_is_written(
    case: str, tmp_path: Path, pictures: Path, base: Path
) -> None:
    arguments, named = bad_inputs(tmp_path, pictures, base)[case]
    if "--base" not in arguments:
        arguments += ["--base", base]
    out = tmp_path / "run"
    if "--out" not in arguments:
        arguments += ["--out", out]
    if "--steps" not in arguments:
        arguments += ["--steps", 2]
    code, said, complained = run("train", *arguments)
    assert code == 2
    assert said == ""
    assert named in " ".join(complained.replace("│", " ").split())
    assert "Traceback" not in complained
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["generate", "a cat", "--out", "picture.xyz"], "--out picture.xyz"),
        (["generate", "a cat", "--concept", "nowhere.safetensors"], "nowhere.safetensors"),
        (["generate", "a cat", "--sampler-steps", "0"], "--sampler-steps"),
        (["generate", "a cat", "--base", "nowhere"], "nowhere"),
        (["inspect", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_other_commands_explain_bad_input_too(arguments: list[str], named: str) -> None:
    code, said, complained = run(*arguments)
    assert code == 2
    assert said == ""
    assert named in complained


def test_a_real_process_exits_with_two_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pseudoword", "train", str(tmp_path), "--token", "<x>"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "holds no pictures" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SHARED.exists(), reason="no sample photographs here")
@pytest.mark.parametrize("subject", ["dog", "backpack"])
def test_photographs_train(base: Path, tmp_path: Path, subject: str) -> None:
    folder = SHARED / "photos" / subject
    options = ("--token", f"<{subject}>", "--base", base, "--steps", 2, "--out", tmp_path / "run")
    assert run("train", folder, *options)[0] == 0
    seen = json.loads(run("inspect", tmp_path / "run", "--json")[1])
    assert seen["token"] == f"<{subject}>"
    given = len(list(folder.glob("*.jpg")))
    assert int(seen["provenance"]["pictures"]) == given - given // 6


def test_on_windows_only_files_are_named_by_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell there replaces them, and a prompt is no pattern."""
    started: dict[str, object] = {}
    monkeypatch.setattr(TyperGroup, "main", lambda *_, **given: started.update(given))
    app()
    assert started["windows_expand_args"] is False
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.jpg", "[c].jpg", "a.txt"):
        (tmp_path / name).touch()
    assert program._matching(["*.jpg"]) == ["*.jpg"]  # a shell has done it
    monkeypatch.setattr(program, "WINDOWS", True)
    assert program._matching(["*.jpg", "x*", "a.txt"]) == [
        *("[c].jpg", "a.jpg", "b.jpg"),
        *("x*", "a.txt"),
    ]
    assert program._matching(["[c].jpg"]) == ["[c].jpg"]
    said = CliRunner().invoke(app, ["inspect", "*.jpg"]).output
    assert "[c].jpg" in said
    assert "*" not in said
