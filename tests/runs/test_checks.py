"""Settings without effect are reported; contradictory ones are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import single_file
import torch
from PIL import Image
from word_files import write_word

from pseudoword import api, config, formats
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, GenerateConfig, PrepareConfig, Settings, TrainConfig
from pseudoword.config.variants import parse_variant
from pseudoword.data import captions, picture_files
from pseudoword.errors import PictureError, PseudowordError, SettingsError, TrainingError
from pseudoword.formats import native
from pseudoword.formats.sources import NamedConcept
from pseudoword.models import base_model, detection
from pseudoword.models.family import Family
from pseudoword.models.toward import init_words
from pseudoword.progress import Silent
from pseudoword.runs import checks
from pseudoword.runs.finish import TOO_LONG
from pseudoword.training import memory

WITHOUT_EFFECT: list[tuple[type[Settings], str, Any, Mapping[str, Any]]] = [
    (TrainConfig, "init", "cat", {"init_mode": "random"}),
    (TrainConfig, "init_mode", "nearest", {"also": ("<hat>",)}),
    (TrainConfig, "also", ("<hat>=red hat",), {"init_mode": "random"}),
    (TrainConfig, "crops", 4, {}),
    (TrainConfig, "unmasked_weight", 0.5, {}),
    (TrainConfig, "mask", "alpha", {"unmasked_weight": 1}),
    (TrainConfig, "keep_tags", 1, {"template": "captioned"}),
    (TrainConfig, "shuffle_tags", True, {"drop_tags": 1}),
    (TrainConfig, "drop_tags", 0.5, {"drop_caption": 1}),
    (TrainConfig, "preview_every", 9, {"steps": 9}),
    (TrainConfig, "max_steps", 100, {"steps": 3}),
    (TrainConfig, "patience", 3, {"steps": 3}),
    (TrainConfig, "held_out", 1, {"steps": 3, "evaluate_every": 0}),
    (TrainConfig, "norm_pull", 0.1, {}),
    (TrainConfig, "kappa", 0.01, {}),
    (TrainConfig, "nested", 0.3, {"vectors": 1}),
    (TrainConfig, "optimiser", "SGD", {"method": "directional"}),
    (TrainConfig, "optimiser_option", ("eps=1e-6",), {"method": "directional"}),
    (TrainConfig, "average", True, {"ema": 0.9}),
    (TrainConfig, "huber_delta", 1.0, {}),
    (TrainConfig, "gradient_checkpointing", True, {"offload": True}),
    (TrainConfig, "preview_every", 5, {"preview": ()}),
    (TrainConfig, "embedding_in_preview", False, {"preview": ()}),
    (TrainConfig, "keep_last", 2, {}),
    (TrainConfig, "save_every", 9, {"steps": 3}),
    (PrepareConfig, "seed", 1, {}),
    (GenerateConfig, "negative", "blurry", {"guidance": 1}),
    (GenerateConfig, "toward_word", "dog", {}),
    (GenerateConfig, "guidance_rescale", 0.7, {"guidance": 0}),
    (GenerateConfig, "resolution", 64, {"width": 64, "height": 32}),
]


def least(kind: type[Settings]) -> dict[str, Any]:
    """The required settings."""
    needed = {"pictures": ["p"], "token": "<cat>"}
    return {
        k: v for k, v in needed.items() if k in kind.model_fields and kind is not GenerateConfig
    }


@pytest.mark.parametrize(("kind", "name", "value", "others"), WITHOUT_EFFECT)
def test_a_setting_without_effect_is_reported(
    kind: type[Settings], name: str, value: Any, others: Mapping[str, Any]
) -> None:
    written = config.flag(f"no_{name}" if value is False else name)
    (reported,) = kind.check(**least(kind), **{name: value}, **others).without_effect()
    assert reported.startswith(written)
    without = kind.check(**least(kind), **others).without_effect()
    assert not any(reported.startswith(written) for reported in without), "nobody gave it"


def test_each_rule_about_settings_without_effect_is_tested() -> None:
    kinds = (TrainConfig, PrepareConfig, GenerateConfig)
    rules = {(k, n) for k in kinds for c in k.__mro__ for n in vars(c).get("idle", {})}
    tested = {(kind, name) for kind, name, _, _ in WITHOUT_EFFECT}
    assert {name for _, name in rules} == {name for _, name in tested}
    fields = {name for kind in kinds for name in kind.model_fields}
    assert {name for _, name in rules} <= fields


def test_a_config_of_a_run_is_not_reported_again(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TrainConfig.check(**least(TrainConfig), steps=3).to_toml())
    assert TrainConfig.gather(file).without_effect() == []
    assert TrainConfig.gather(file, crops=4).without_effect() != []
    file.write_text(TrainConfig.check(**least(TrainConfig), crops=7).to_toml())
    assert TrainConfig.gather(file).without_effect() == [
        "--crops 7 has no effect without --crop random"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": "0.005:100", "steps": 200}, "--lr 0.005:100 ends at step 100, before --steps 200"),
        ({"lr": "1e-2:50, 50%:150"}, "ends at step 150, before --max-steps 2000"),
        ({"lr": "1e-2:9", "steps": 9, "extend": 1}, "ends at step 9, before --steps 9 --extend 1"),
        ({"warmup": 11, "steps": 10}, "--warmup 11 is not over by --steps 10"),
        ({"batch": 100, "accumulate": 100}, "10000 samples a step"),
        ({"min_timestep": 9, "max_timestep": 9}, "leaves no timestep from --min-timestep 9 on"),
        ({"steps": "auto", "evaluate_every": 0}, "Give --evaluate-every"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainConfig.check(**least(TrainConfig), **settings)


@pytest.mark.parametrize(
    "lr", ["0.005", "0.005:100, 1e-3", "0.005:100,1e-3:-1", "0.005:200", "50%:300", "auto"]
)
def test_a_schedule_as_long_as_the_run_is_accepted(lr: str) -> None:
    TrainConfig.check(**least(TrainConfig), lr=lr, steps=200)


def asked(pictures: Path, template: str = "subject", **settings: Any) -> list[str]:
    """The notes before anything is loaded."""
    reported: list[str] = []
    config = TrainConfig.check(
        **{"pictures": [pictures], "token": "<cat>", "template": template, **settings}
    )
    templates = captions.templates(template)
    checks.before_loading(config, picture_files.find([pictures]), templates, reported.append)
    checks.names(config, templates, [])
    return reported


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "photo"}, "--token photo is already a word of 'a photo of"),
        ({"token": "a"}, "Call the new word <a>"),
        ({"held_out": 4}, "--held-out 4 leaves none of 4 pictures"),
        ({"optimiser": "Adamw"}, "Adamw cannot be imported"),
        ({"optimiser_option": ["lr=3"]}, "it is --lr"),
        ({"init": "runs/none"}, "--init runs/none"),
        ({"init": " "}, "has no tokens"),
    ],
)
def test_settings_are_refused_before_the_model_is_loaded(
    settings: dict[str, Any], message: str, pictures: Path
) -> None:
    with pytest.raises(PseudowordError, match=message):
        asked(pictures, **settings)


def test_own_sentences_may_name_words_whose_name_has_the_new_one_in_it(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "sentences.txt").write_text("a [name] under a cat-hat and a cat-tree")
    template = str(tmp_path / "sentences.txt")
    given: dict[str, Any] = {"pictures": [pictures], "token": "cat", "template": template}
    config = TrainConfig.check(**given, also=["cat-hat"])
    tree = NamedConcept(Concept("cat-tree", {"clip_l": torch.ones(1, 32)}), "tree.pt")
    checks.names(config, captions.templates(template), [tree])
    with pytest.raises(SettingsError, match="--token cat is already a word"):
        checks.names(config, captions.templates(template), [])


def test_caption_settings_without_captions_in_the_templates_are_reported(pictures: Path) -> None:
    (reported,) = asked(pictures, shuffle_tags=True)
    assert "--shuffle-tags has no effect with --template subject" in reported
    assert asked(pictures, "captioned", shuffle_tags=True) == []


def test_previews_without_the_word_are_reported(pictures: Path) -> None:
    (reported,) = asked(pictures, preview=["a cat", "a [name]", "my <cat>", "a --n [name]"])
    assert reported == "--preview a cat: no [name] in it, so it does not show the word"
    (reported,) = asked(pictures, preview=["a [name], [filewords]"])
    assert reported.endswith("[filewords] is left out: a preview has no caption")


def test_a_run_that_ends_before_early_stopping_can_is_reported(pictures: Path) -> None:
    (reported,) = asked(pictures, max_steps=79)
    assert "at step 80 or later" in reported
    assert asked(pictures, max_steps=80) == []
    assert asked(pictures, max_steps=80, evaluate_every=8) == []


def test_a_learning_rate_for_an_optimiser_that_finds_its_own_is_reported(pictures: Path) -> None:
    (reported,) = asked(pictures, optimiser="Adadelta")
    assert "needs --lr 1, not 50%" in reported
    assert asked(pictures, optimiser="Adadelta", lr=1) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_timestep": 1000}, "--min-timestep 1000 is too large .* 1000 timesteps. .* 999"),
        ({"max_timestep": 1001}, "--max-timestep 1001 is too large .* Give at most 1000"),
        ({"vectors": 75}, "--vectors 75 leaves too few of the 75 tokens"),
        ({"resolution": 8192, "batch": 1024}, "1024 samples a step of 8192 x 8192 pixels needs"),
        ({"preview": ["a [name] --w 8192"]}, "a picture of 8192 x 8192 pixels needs"),
    ],
)
def test_settings_that_are_too_much_for_model_or_memory_are_refused(
    settings: dict[str, Any], message: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_nbytes", lambda _device: 1 << 30)
    base = {"base": family.source.name, "device": "cpu"}
    made = TrainConfig.check(**least(TrainConfig), **base, **settings)
    with pytest.raises(SettingsError, match=message):
        checks.against_model(family, made, captions.SUBJECT, lambda _text: None)


def test_a_word_to_continue_from_that_does_not_fit_is_refused_before_pictures_are_read(
    family: Family, tmp_path: Path
) -> None:
    rows = {"clip_l": torch.ones(1, 7)}
    (tmp_path / "other.safetensors").write_bytes(native.dump(Concept("<other>", rows)))
    init = tmp_path / "other.safetensors"
    made = TrainConfig.check(pictures=["p"], token="<a>", base=family.source.name, init=init)
    with pytest.raises(PseudowordError, match=r"<other> does not fit .* of width 7"):
        checks.against_model(family, made, captions.SUBJECT, lambda _text: None)


def test_a_token_that_the_model_knows_is_reported(family: Family) -> None:
    for token, known in (("dog", True), ("<dog>", False), ("my dog", False)):
        reported: list[str] = []
        made = TrainConfig.check(pictures=["p"], token=token, base=family.source.name)
        checks.against_model(family, made, captions.SUBJECT, reported.append)
        assert bool(reported) == known, token


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"variant": "fp16"}, "--variant fp16 has no effect with .* one file"),
        ({"configs": "nowhere"}, "--configs nowhere: there is no such folder"),
    ],
)
def test_options_that_do_not_work_with_one_file_are_refused(
    setting: dict[str, str], message: str, base: Path, tmp_path: Path
) -> None:
    file = single_file.write(base, tmp_path / "one.safetensors")
    with pytest.raises(PseudowordError, match=message):
        detection.detect(BaseChoice.check(base=str(file), **setting))


def test_configs_beside_a_folder_are_refused(base: Path) -> None:
    with pytest.raises(PseudowordError, match=r"--configs .* has no effect with --base"):
        detection.detect(BaseChoice.check(base=str(base), configs=base))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("token=<x>", "the benchmark chooses token itself"),
        ("base=emoji", "the benchmark chooses base itself"),
        ("steps=many", "--steps"),
        ("lr", "name=value"),
    ],
)
def test_bench_refuses_what_it_cannot_compare_before_it_loads_anything(
    text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_variant(text)


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_word_with_too_long_vectors_is_reported(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    reported = Told()
    settings: dict[str, Any] = {"steps": 1, "base": base, "preview": (), "norm": "none"}
    word = api.train(pictures, "<cat>", lr=1e9, out=tmp_path / "run", progress=reported, **settings)
    assert word.concept.vectors["clip_l"].norm(dim=-1).mean() > TOO_LONG
    assert any("--norm keep, or a lower --lr" in note for note in reported.notes)


@pytest.mark.parametrize(
    ("lr", "said"),
    [(1e30, r"not finite\. Try a lower --lr"), (1e-20, r"does not change .* a higher --lr")],
)
def test_a_rate_that_makes_no_word_in_the_last_step_is_named(
    lr: float, said: str, base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"steps": 1, "base": base, "preview": (), "norm": "none"}
    with pytest.raises(TrainingError, match=said):
        api.train(pictures, "<cat>", lr=lr, out=tmp_path / "run", **settings)


def test_a_random_initialisation_is_recorded_and_has_no_init_word(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"steps": 1, "base": base, "preview": (), "init_mode": "random"}
    word = api.train(pictures, "<cat>", out=tmp_path / "run", **settings)
    assert init_words(word.concept) == ""
    again = formats.read(tmp_path / "run")
    assert again.provenance["init_mode"] == "random"
    assert (
        init_words(Concept("<a>", {"clip_l": torch.ones(1, 2)}, provenance={"init": "o/x"})) == ""
    )


def test_a_background_without_transparent_pictures_is_reported(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    reported = Told()
    settings: dict[str, Any] = {"base": base, "background": "red", "progress": reported}
    api.prepare(pictures, out=tmp_path / "sheet.png", **settings)
    assert "--background red has no effect: no picture is transparent" in reported.notes
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(pictures / "clear.png")
    reported.notes.clear()
    api.prepare(pictures, out=tmp_path / "other.png", **settings)
    assert not any("--background" in note for note in reported.notes)


def test_arguments_of_files_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    write_word(Concept("<cat>", {"clip_l": torch.ones(1, 768)}), tmp_path / "cat.safetensors")
    with pytest.raises(SettingsError, match=r"--picture .* has no effect with the format a1111,"):
        api.convert(tmp_path / "cat.safetensors", tmp_path / "cat.pt", picture="x.png")
    with pytest.raises(PseudowordError, match="holds one word, <cat>, and none called <dog>"):
        api.inspect(tmp_path / "cat.safetensors", token="<dog>")
    assert api.inspect(tmp_path / "cat.safetensors", token="<cat>").token == "<cat>"


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a base model is an error."""

    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(base_model, "load", load)


def test_a_damaged_picture_is_told_before_the_base_model_is_loaded(
    pictures: Path, tmp_path: Path, no_model: None
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(next(iter(sorted(pictures.iterdir()))).read_bytes()[:-40])
    files = [*sorted(pictures.iterdir()), damaged]
    settings: dict[str, Any] = {"token": "<cat>", "out": tmp_path / "run", "preview": ()}
    with pytest.raises(PictureError, match=r"damaged\.png is damaged.* add --skip-bad"):
        api.train(files, **settings)
    with pytest.raises(AssertionError, match="loaded"):
        api.train(files, **settings, skip_bad=True)
    with pytest.raises(PictureError, match=r"damaged\.png is damaged") as alone:
        api.train(damaged, **settings)
    assert "--skip-bad" not in str(alone.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 65}, "--resolution 65 does not work with this model"),
        ({"width": 70, "height": 64}, "--width 70"),
        ({"graphs": True, "device": "cpu"}, "--graphs needs an NVIDIA GPU"),
        ({"graphs": True, "device": "gpu"}, "--device gpu: there is no such device"),
    ],
)
def test_what_configs_and_the_device_tell_is_refused_before_weights_are_loaded(
    settings: dict[str, Any],
    message: str,
    pictures: Path,
    tmp_path: Path,
    no_model: None,
) -> None:
    with pytest.raises(SettingsError, match=message):
        api.train(pictures, "<cat>", out=tmp_path / "run", preview=(), **settings)


@pytest.mark.parametrize(
    ("settings", "file", "content", "message"),
    [
        ({"mask": "file"}, "", b"", "none of the 4 pictures has a mask"),
        ({"mask": "file"}, "0-mask.png", b"no picture", r"0-mask\.png is plain text"),
        ({"template": "captioned"}, "0.txt", b"\xff", r"0\.txt: the caption is not UTF-8"),
        ({"template": "filewords"}, "0.txt", b"a cat", r"0\.png: the word is not in its caption"),
    ],
)
def test_masks_and_captions_are_refused_before_the_model_is_loaded(
    settings: dict[str, Any],
    file: str,
    content: bytes,
    message: str,
    tmp_path: Path,
    no_model: None,
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (32, 32)).save(folder / f"{i}.png")
    if file:
        (folder / file).write_bytes(content)
    with pytest.raises(PseudowordError, match=message):
        api.train(folder, "<cat>", out=tmp_path / "run", preview=(), **settings)
