"""Settings are taken by the names that other trainers have for them, wherever they are given."""

import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
from typer.testing import CliRunner

from pseudoword.cli.app import app
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PlanConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
    flag,
)
from pseudoword.config.other_trainers.aliases import names_of, synonyms_of
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.config.schedulers import (
    SAMPLERS,
    check_known,
    classes,
    has_karras,
    sampler_name,
)
from pseudoword.errors import SettingsError

KINDS = (TrainConfig, GenerateConfig, PrepareConfig, PlanConfig, BenchConfig, EvaluateConfig)
DOCS = Path(__file__).resolve().parents[3] / "docs" / "training.md"
NEEDED: dict[str, Any] = {"pictures": ["p"], "token": "<cat>"}


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_means_two_settings(kind: type[Settings]) -> None:
    assert not names_of(kind).keys() & kind.model_fields.keys()
    for field, words in synonyms_of(kind).items():
        for word, own in words.items():
            needed = NEEDED | {"steps": 9}  # a rate that falls ends
            needed = {k: v for k, v in needed.items() if k in kind.model_fields}
            by_word, by_own = (kind.check(**needed, **{field: value}) for value in (word, own))
            assert by_word == by_own


def test_what_peers_scripts_call_it_is_understood(tmp_path: Path) -> None:
    theirs = {
        "pretrained_model_name_or_path": "base",
        "train_data_dir": ["p"],
        "placeholder_token": "<cat>",
        "initializer_token": "cat",
        "learnable_property": "object",
        "num_vectors": 2,
        "max_train_steps": 30,
        "train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "learning_rate": "5e-3",
        "lr_scheduler": "constant_with_warmup",
        "lr_warmup_steps": 4,
        "mixed_precision": "fp16",
        "output_dir": "out",
    }
    ours = TrainConfig.check(
        base="base", pictures=["p"], token="<cat>", init="cat", template="subject", vectors=2,
        steps=30, batch=2, accumulate=3, lr=0.005, schedule="constant", warmup=4, dtype="float16",
        out="out",
    )  # fmt: skip
    assert TrainConfig.check(**theirs) == ours
    file = tmp_path / "theirs.toml"
    file.write_text("\n".join(f"{name} = {value!r}" for name, value in theirs.items()))
    assert TrainConfig.gather(file) == ours
    drawn = GenerateConfig.check(negative_prompt="blurry", guidance_scale=3, num_inference_steps=9)
    assert drawn == GenerateConfig.check(negative="blurry", guidance=3, sampler_steps=9)


def test_two_names_of_one_setting_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--batch and --train-batch-size are two names of one"):
        TrainConfig.check(**NEEDED, batch=2, train_batch_size=2)
    file = tmp_path / "mine.toml"
    file.write_text("batch_size = 2\ntrain_batch_size = 2")
    with pytest.raises(SettingsError, match=r"mine\.toml: batch_size and train_batch_size are two"):
        TrainConfig.gather(file, **NEEDED)


def test_what_is_given_counts_more_than_the_file_by_whatever_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("batch_size = 2\nlr = 1")
    found = TrainConfig.gather(file, **NEEDED, batch=3, learning_rate=2)
    assert (found.batch, str(found.lr)) == (3, "2")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"learning_rat": 1},
            r"--learning-rat: there is no such .* did you mean --learning-rate\?",
        ),
        ({"mixed_precision": "fp8"}, "--dtype: should be 'auto', 'float32'"),
        ({"learning_rate": "fast"}, "--lr: 'fast'"),
    ],
)
def test_a_mistake_is_told(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        TrainConfig.check(**NEEDED, **wrong)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--train-data-dir", "nowhere", "--placeholder-token", "<a>"], "nowhere does not exist"),
        (["nowhere", "--placeholder_token", "<a>", "--max_train_steps", "0"], "--steps: should"),
        (["p", "--token", "<a>", "--lr", "1", "--learning-rate", "1"], "--lr and --learning-rate"),
        (["p", "--token", "<a>", "--mixed_precision", "no", "--vectors", "0"], "--vectors: should"),
    ],
)
def test_the_command_line_knows_them_with_either_kind_of_dash(
    arguments: list[str], says: str
) -> None:
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 2
    assert says in result.stderr


def test_the_page_has_a_table_of_them() -> None:
    rows = re.findall(r"^\| (`-.*?`) \| (`--.*`) \|$", DOCS.read_text(encoding="utf-8"), re.M)
    told = {own.strip("`"): set(re.findall(r"`(--[a-z-]+)`", others)) for own, others in rows}
    expected: dict[str, set[str]] = {}
    for kind in KINDS:
        for name, field in names_of(kind).items():
            expected.setdefault(flag(field), set()).add(flag(name))
    assert told == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_other_trainers_alone_have_is_no_setting(kind: type[Settings]) -> None:
    assert not kind.instead.keys() & {*kind.model_fields, *names_of(kind)}


def test_the_advice_names_settings_that_are_there() -> None:
    known = {flag(name) for name in (*TrainConfig.model_fields, *names_of(TrainConfig))}
    known |= {"--config", *(f"--{one}" for one in ("n", "d", "w", "h", "s", "l", "ss"))}
    named = {one for text in INSTEAD.values() for one in re.findall(r"--[a-z][a-z-]*", text)}
    assert not named - known
    assert "--preview" in named


def test_all_options_that_others_alone_have_are_told_at_once() -> None:
    given = ["--scale_lr", "--repeats=100", "--push-to-hub", "--max_train_epochs", "3"]
    said = CliRunner().invoke(app, ["train", "p", "--token", "<a>", *given]).stderr
    for name in ("--scale-lr", "--repeats", "--push-to-hub", "--max-train-epochs"):
        assert f"{name}: {INSTEAD[name[2:].replace('-', '_')]}" in said
    said = CliRunner().invoke(app, ["train", "--token", "<a>", "--", "--scale_lr"]).stderr
    assert "--scale_lr does not exist" in said


def test_a_file_of_another_trainer_is_told_what_to_do_instead(tmp_path: Path) -> None:
    file = tmp_path / "theirs.toml"
    file.write_text("xformers = true\nhuber_c = 0.2\nscale_lr = true\n")
    with pytest.raises(SettingsError) as told:
        TrainConfig.gather(file, **NEEDED)
    said = str(told.value)
    assert f"xformers: there is no such setting; {INSTEAD['xformers']}" in said
    assert f"scale_lr: there is no such setting; {INSTEAD['scale_lr']}" in said
    assert "huber" not in said


@pytest.mark.parametrize(
    ("theirs", "path"),
    [
        ("PRODIGY", "prodigyopt.Prodigy"),
        ("AdamW8bit", "bitsandbytes.optim.AdamW8bit"),
        ("SCHEDULE_FREE_ADAMW", "schedulefree.AdamWScheduleFree"),
        ("MUON_ADV", "MUON_ADV"),
        ("Lion", "lion_pytorch.Lion"),
        ("PagedAdamW", "bitsandbytes.optim.PagedAdamW"),
        ("DAdaptAdam", "dadaptation.DAdaptAdam"),
        ("adamw", "AdamW"),
        ("ADAMW_8BIT", "bitsandbytes.optim.AdamW8bit"),
        ("mine.AdamW", "mine.AdamW"),
    ],
)
def test_optimisers_are_known_by_their_usual_names(theirs: str, path: str) -> None:
    assert TrainConfig.check(**NEEDED, optimizer_type=theirs).optimiser == path


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("euler_a", "EulerAncestralDiscreteScheduler"),
        ("Euler a", "EulerAncestralDiscreteScheduler"),
        ("k_dpm_2", "KDPM2DiscreteScheduler"),
        ("DPM++ 2M", "DPMSolverMultistepScheduler"),
        ("DPMPP", "DPMSolverMultistepScheduler"),
        ("EULER_A", "EulerAncestralDiscreteScheduler"),
        ("UniPC", "UniPCMultistepScheduler"),
        ("DDIM", "DDIMScheduler"),
    ],
)
def test_samplers_are_known_by_their_usual_names(theirs: str, ours: str) -> None:
    config = GenerateConfig.check(sampler=theirs)
    config.check_there()
    assert config.scheduler is not None
    assert ours in classes(config.scheduler)
    line = TrainConfig.check(**NEEDED, preview=f"a [name] --ss {theirs}")
    check_known(str(line.preview[0].scheduler), "--preview")
    for ending in ("", " Karras", "_karras"):
        assert ours in classes(theirs + ending)
        assert has_karras(theirs + ending) == bool(ending)
    with pytest.raises(SettingsError, match=r"no scheduler DPM\+\+ 9M Karras"):
        GenerateConfig.check(sampler="DPM++ 9M Karras").check_there()


@pytest.mark.parametrize("theirs", SAMPLERS)
def test_a_sampler_that_a_picture_names_is_known_by_that_name(theirs: str) -> None:
    """A scheduler writes this name into what it draws, and from there it is typed again."""
    check_known(theirs, "--scheduler")
    written = [kind for kind in classes(theirs) if sampler_name(kind) == theirs]
    assert any(hasattr(diffusers, kind) for kind in written)


def test_schedules_with_the_defaults_of_other_trainers_are_ours() -> None:
    def schedule(theirs: str) -> str:
        return TrainConfig.check(**NEEDED, steps=9, lr_scheduler=theirs).schedule

    assert schedule("polynomial") == "linear"
    assert schedule("cosine_with_restarts") == "cosine"


def test_several_options_of_an_optimiser_after_one_name_are_explained() -> None:
    given = ["--optimizer_args", "weight_decay=0.01", "betas=.9,.999"]
    said = CliRunner().invoke(app, ["train", "p", "--token", "<a>", *given]).stderr
    assert "betas=.9,.999: write --optimiser-option betas=.9,.999" in " ".join(said.split())


@pytest.mark.parametrize("kind", [TrainConfig, GenerateConfig, PlanConfig])
def test_the_side_of_a_square_may_be_written_twice(kind: type[Settings]) -> None:
    """As in kohya's scripts, which also take two that differ."""
    needed = {name: value for name, value in NEEDED.items() if name in kind.model_fields}
    for written in ("64,64", "64x64", " 64, 64 ", 64):
        assert kind.check(**needed, resolution=written).model_dump()["resolution"] == 64
    with pytest.raises(SettingsError, match=r"--resolution 64,96: it is the side of a square"):
        kind.check(**needed, resolution="64,96")
