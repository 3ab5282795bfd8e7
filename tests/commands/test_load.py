"""A base model that stays in memory learns and draws as one that is loaded for each call."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pseudoword
from pseudoword.config import TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.models import base_model

SHORT: dict[str, Any] = {"steps": 3, "preview": "none", "init": "dog"}


@pytest.fixture
def model(base: Path) -> pseudoword.Loaded:
    return pseudoword.load(base)


def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(base_model, "load", load)


def learned(run: Path) -> bytes:
    return (run / "concept.safetensors").read_bytes()


def test_calls_give_what_they_give_alone_and_load_nothing(
    model: pseudoword.Loaded,
    base: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also after a word whose training lets go of the text encoders."""
    usual: dict[str, Any] = {"base": str(base), **SHORT}
    word = pseudoword.train(pictures, "<cat>", out=tmp_path / "alone", **usual)
    pictured = pseudoword.generate("a <cat>", concept=word.concept, base=str(base), sampler_steps=2)
    no_loading(monkeypatch)
    for run, settings in (
        ("first", SHORT),
        ("other", SHORT | {"output_embedding": True}),
        ("again", SHORT),
    ):
        out = tmp_path / run
        again = pseudoword.train(pictures, "<cat>", out=out, base=model, **settings)
        if settings == SHORT:
            assert learned(out) == learned(word.folder)
            drawn = pseudoword.generate(
                "a <cat>", concept=again.concept, base=model, sampler_steps=2
            )
            assert drawn[0].tobytes() == pictured[0].tobytes()
    assert TrainConfig.gather(tmp_path / "first" / "config.toml").base == str(base)


def test_several_words_and_an_evaluation_take_it(
    model: pseudoword.Loaded,
    base: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_loading(monkeypatch)
    configs = [
        TrainConfig.check(
            pictures=pictures, token=token, base=str(base), out=tmp_path / token[1:-1], **SHORT
        )
        for token in ("<a>", "<b>")
    ]
    both = pseudoword.train_pack(configs, base=model)
    assert [one.concept.token for one in both] == ["<a>", "<b>"]
    found = pseudoword.evaluate(
        both[0].concept, pictures, base=model, n=1, sampler_steps=1, out=tmp_path / "evaluation"
    )
    assert found.similarities.image <= 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"dtype": "float16"},
            "`dtype`: should be b?float(32|16), as for the base model in memory, got float16",
        ),
        ({"mixed_precision": "fp16"}, "`dtype`: should be b?float(32|16), .* got float16"),
        (
            {"gradient_checkpointing": True},
            "`gradient_checkpointing`: should be False, .* got True",
        ),
        ({"offload": True}, "`offload=True`: the base model is in memory already"),
        ({"pretrained_model_name_or_path": "emoji"}, "two names of one setting"),
    ],
)
def test_another_model_than_that_in_memory_is_refused(
    given: dict[str, Any],
    said: str,
    model: pseudoword.Loaded,
    base: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match=said):
        pseudoword.train(pictures, "<cat>", base=model, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
    config = TrainConfig.check(
        pictures=pictures, token="<a>", out=tmp_path / "run", offload=True, base=str(base)
    )
    with pytest.raises(SettingsError, match="is in memory already"):
        pseudoword.train_pack([config], base=model)
    config = TrainConfig.check(pictures=pictures, token="<a>", base="emoji", out=tmp_path / "run")
    with pytest.raises(SettingsError, match=r"`base`: should be .*, got emoji"):
        pseudoword.train_pack([config], base=model)


def test_the_same_settings_by_other_names_are_those_of_the_model(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    theirs: dict[str, Any] = {"mixed_precision": "no"}
    model = pseudoword.load(base, gradient_checkpointing=True, **theirs)
    theirs = {"pretrained_model_name_or_path": model}
    run = pseudoword.train(
        pictures, "<cat>", dtype="float32", out=tmp_path / "run", **theirs, **SHORT
    )
    config = TrainConfig.gather(run.folder / "config.toml")
    assert (config.dtype, config.gradient_checkpointing) == ("float32", True)


def test_a_file_of_settings_may_name_another_base_but_no_other_clip_skip(
    model: pseudoword.Loaded, base: Path, pictures: Path, tmp_path: Path
) -> None:
    file, words = tmp_path / "a.toml", {"out": tmp_path / "run", **SHORT}
    file.write_text("base = 'emoji'\nclip_skip = 2\n")
    with pytest.raises(SettingsError, match="`clip_skip`: should be 1, as for the base model in"):
        pseudoword.train(pictures, "<cat>", config=file, base=model, **words)
    file.write_text("base = 'emoji'\nbatch = 2\n")
    run = pseudoword.train(pictures, "<cat>", config=file, base=model, **words)
    config = TrainConfig.gather(run.folder / "config.toml")
    assert (config.base, config.batch) == (str(base), 2)


def test_what_the_model_is_may_be_asked_for_and_auto_is_what_it_is(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    usual = pseudoword.load(base)
    with usual.use() as family:
        own: dict[str, Any] = {
            "device": str(family.device),
            "dtype": str(family.dtype).removeprefix("torch."),
        }
        del family
    exact = pseudoword.load(base, dtype="float32", device="cpu")
    for model, asked in ((usual, own), (exact, dict.fromkeys(own, "auto"))):
        pseudoword.generate("a cat", base=model, sampler_steps=1, **asked)
    pseudoword.train(pictures, "<cat>", base=exact, dtype="auto", out=tmp_path / "run", **SHORT)
    assert TrainConfig.gather(tmp_path / "run" / "config.toml").dtype == "float32"


def test_words_of_a_pack_need_not_name_it(base: Path, pictures: Path, tmp_path: Path) -> None:
    model = pseudoword.load(base, dtype="float32")
    config = TrainConfig.check(pictures=pictures, token="<a>", out=tmp_path / "a", **SHORT)
    other = {"train_data_dir": pictures, "token": "<b>", "out": tmp_path / "b", **SHORT}
    runs = pseudoword.train_pack([config, other], base=model)
    assert [run.concept.token for run in runs] == ["<a>", "<b>"]
    for run in runs:
        saved = TrainConfig.gather(run.folder / "config.toml")
        assert (saved.base, saved.dtype) == (str(base), "float32")


def test_of_a_pack_the_word_with_a_wrong_setting_is_told(pictures: Path, tmp_path: Path) -> None:
    good: dict[str, Any] = {"pictures": pictures, "token": "<a>", "out": tmp_path / "a"}
    with pytest.raises(SettingsError, match=r"^configs\[1\]: `stpes`: .* `steps`\?$"):
        pseudoword.train_pack([good, good | {"stpes": 3}])
    with pytest.raises(SettingsError, match=r"must be several TrainConfig or dict\.$"):
        pseudoword.train_pack([{1: 2}])  # type: ignore[dict-item]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_no_copy_of_it_is_made(
    copied: Callable[[object], object], model: pseudoword.Loaded
) -> None:
    with pytest.raises(TypeError, match=r"Load it there: pseudoword\.load\('"):
        copied(model)


def test_threads_take_turns(model: pseudoword.Loaded) -> None:
    def draw(seed: int) -> bytes:
        (picture,) = pseudoword.generate("a cat", base=model, seed=seed, sampler_steps=2)
        return picture.tobytes()

    alone = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(draw, range(4))] == alone


def test_it_leaves_memory_with_its_last_holder(base: Path, pictures: Path, tmp_path: Path) -> None:
    model = pseudoword.load(base)
    with model.use() as family:
        seen = weakref.ref(family)
        del family
    pseudoword.train(pictures, "<cat>", base=model, out=tmp_path / "run", **SHORT)
    pseudoword.generate("a cat", base=model, sampler_steps=1)
    assert str(base) in repr(model)
    del model
    gc.collect()
    assert seen() is None
