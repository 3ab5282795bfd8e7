"""Runs whose captions, sentences and previews have other words in them (`--words`)."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import Notes

import pseudoword
from pseudoword import api
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.errors import ConceptError, PseudowordError, RunFolderError, SettingsError
from pseudoword.formats import native

SETTINGS: dict[str, Any] = {
    **{"init": "cat", "steps": 2, "batch": 2, "checkpoint_every": 1, "preview": ()},
    "timestep_sampling": "uniform",
}


@pytest.fixture(scope="module")
def hat(base: Path, once: Path) -> Path:
    """The run of a word `<hat>`."""
    return api.train(once / "pictures", "<hat>", base=base, out=once / "hat", **SETTINGS).folder


@pytest.fixture
def given(base: Path, hat: Path, pictures: Path, tmp_path: Path) -> dict[str, Any]:
    """A word `<hat>`, and settings with which another is learned beside it."""
    shutil.copytree(hat, tmp_path / "hat")
    for path in pictures.glob("*.png"):
        path.with_suffix(".txt").write_text("a [name] with a <hat>")
    return SETTINGS | {"base": base, "template": "filewords", "words": tmp_path / "hat"}


def learned(pictures: Path, out: Path, **settings: Any) -> bytes:
    done = api.train(pictures, "<toy>", out=out, **settings)
    return (done.folder / "concept.safetensors").read_bytes()


def test_it_is_learned_beside_them_and_goes_on_as_it_was(
    given: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    beside = learned(pictures, tmp_path / "a", **given)
    assert beside != learned(pictures, tmp_path / "b", **given | {"words": ()})
    assert (
        beside
        == api.train(pictures, "<toy>", config=tmp_path / "a/config.toml", out=tmp_path / "c")
        .folder.joinpath("concept.safetensors")
        .read_bytes()
    )
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "a", cut)
    longer = learned(pictures, cut, **given | {"extend": 2})
    assert longer == learned(pictures, tmp_path / "long", **given | {"steps": 4})


@pytest.mark.parametrize("own", [True, False])
def test_words_before_and_behind_the_text_encoder_are_read_together(
    own: bool, given: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    """`own`: it is the learned word that goes in behind, and not the other."""
    settings = SETTINGS | {"base": given["base"], "output_embedding": not own}
    api.train(pictures, "<hat>", out=tmp_path / "hat", restart=True, **settings)
    kind = given | {"output_embedding": own}
    beside = learned(pictures, tmp_path / "a", **kind)
    assert beside != learned(pictures, tmp_path / "b", **kind | {"words": ()})
    pack = pseudoword.train_pack(
        [
            TrainConfig.check(pictures=pictures, token=token, out=tmp_path / name, **kind)
            for name, token in (("toy", "<toy>"), ("other", "<other>"))
        ]
    )
    assert [one.concept.token for one in pack] == ["<toy>", "<other>"]
    assert (tmp_path / "toy" / "concept.safetensors").read_bytes() == beside


def test_a_run_does_not_go_on_with_another_word_of_the_same_name(
    given: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    learned(pictures, tmp_path / "a", **given)
    api.train(
        pictures,
        "<hat>",
        out=tmp_path / "hat",
        restart=True,
        **SETTINGS | {"base": given["base"], "steps": 3},
    )
    with pytest.raises(RunFolderError, match=r"begun with other words beside it \(--words\)"):
        learned(pictures, tmp_path / "a", **given | {"extend": 2})


def test_a_preview_draws_them_as_generate_does(
    given: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    line = "a [name] and a <hat> --n <hat> --s 2 --d 5"
    learned(pictures, tmp_path / "a", **given | {"preview": [line]})
    (drawn,) = pseudoword.generate(
        "a <toy> and a <hat>",
        concept=[tmp_path / "a", tmp_path / "hat"],
        **{"base": given["base"], "negative": "<hat>", "sampler_steps": 2, "seed": 5},
    )
    with Image.open(tmp_path / "a" / "previews" / "step-2-1.png") as shown:
        assert shown.convert("RGB").tobytes() == drawn.convert("RGB").tobytes()


def test_words_that_are_nowhere_are_told(
    given: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    notes = Notes()
    renamed = f"{tmp_path / 'hat'}=<cap>"
    learned(pictures, tmp_path / "a", progress=notes, **given | {"words": [renamed]})
    assert any("no caption, sentence or preview has <cap> in it" in one for one in notes.lines)
    unknown = "<hat> is plain text here: no word is called so; --words FILE gives one"
    assert unknown in notes.lines
    notes = Notes()
    learned(pictures, tmp_path / "b", progress=notes, **given)
    assert not [one for one in notes.lines if "<hat>" in one], notes.lines


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("{hat}=<toy>", SettingsError, "is called <toy>, as the new word is"),
        (["{hat}", "{hat}"], ConceptError, "2 concepts are called <hat>"),
        ("nowhere.pt", ConceptError, r"--words nowhere.pt: there is no such file or folder"),
        ("{other}", ConceptError, "does not fit"),
    ],
)
def test_words_that_cannot_be_used_are_refused_before_anything_is_written(
    words: Any,
    error: type[PseudowordError],
    message: str,
    given: dict[str, Any],
    pictures: Path,
    tmp_path: Path,
) -> None:
    places = {"hat": tmp_path / "hat", "other": tmp_path / "other.safetensors"}
    other = Concept("<other>", {"clip_l": torch.ones(1, 7)})
    places["other"].write_bytes(native.dump(other))
    several = [words] if isinstance(words, str) else words
    with pytest.raises(error, match=message):
        learned(
            pictures,
            tmp_path / "a",
            **given | {"words": [one.format(**places) for one in several]},
        )
    assert not (tmp_path / "a").exists()
